"""Features that do not vary are found in blocks as by looking at everything at once, and told of."""

from dataclasses import replace

import numpy as np
import pytest

from cmbench.datasets import draft as drafts
from cmbench.datasets.constancy import all_the_same, counting, still_in_training
from cmbench.datasets.draft import Draft, Split
from cmbench.datasets.soundness import findings


def literal(train, others):
    later = np.concatenate(others)
    pairs = enumerate(zip(train.T, later.T, strict=True))
    return [column for column, (one, other) in pairs if np.ptp(one) == 0 and (other != one[0]).any()]


@pytest.mark.parametrize("block_bytes", [1, 200, 2**24])
@pytest.mark.parametrize("seed", range(5))
def test_columns_are_those_of_a_literal_search(block_bytes, seed, monkeypatch):
    monkeypatch.setattr(drafts, "BLOCK_BYTES", block_bytes)
    random = np.random.default_rng(seed)
    sparse = [(random.random((rows, 12)) < 0.1).astype(np.float32) for rows in (8, 5, 7)]
    train, *others = sparse
    expected = literal(train, others)
    assert expected
    assert still_in_training(train, others, fewest=1).tolist() == expected
    assert len(still_in_training(train, others, fewest=13)) == 0


def test_nothing_is_read_on_where_too_few_columns_can_be_still():
    class Unread(np.ndarray):
        def __getitem__(self, key):
            raise AssertionError("read")

    random = np.random.default_rng(0)
    train = random.standard_normal((9, 4)).astype(np.float32)
    assert len(still_in_training(train, [train.view(Unread)], fewest=1)) == 0


@pytest.mark.parametrize("block_bytes", [1, 2**24])
def test_rows_are_the_same_only_if_all_are(block_bytes, monkeypatch):
    monkeypatch.setattr(drafts, "BLOCK_BYTES", block_bytes)
    rows = np.ones((9, 3), np.float32)
    assert all_the_same(rows)
    rows[8, 2] = 2
    assert not all_the_same(rows)


def a_split(name, rows, seed):
    random = np.random.default_rng(seed)
    return Split(
        random.standard_normal((rows, 32)).astype(np.float32),
        random.standard_normal((rows, 16)).astype(np.float32),
        np.arange(rows) % 4,
        np.array([f"{name}{row}" for row in range(rows)]),
    )


@pytest.mark.parametrize("step", [1, 7])
def test_columns_that_count_rows_in_every_split_are_found(step):
    random = np.random.default_rng(0)
    splits = [random.standard_normal((rows, 6)).astype(np.float32) for rows in (90, 30, 5)]
    for rows in splits:
        rows[:, 2] = np.arange(len(rows)) * step + 3
        rows[:, 4] = np.arange(len(rows)) * step + 0.5
        rows[:, 5] = np.arange(len(rows))
    splits[1][20, 5] = 19
    splits[2][:] = 0  # five rows tell nothing
    assert counting(splits).tolist() == [2]
    assert counting(splits[2:]).tolist() == []


def test_an_index_among_the_features_is_told_of():
    draft = a_draft()
    for _, split in draft.splits:
        split.texts[:, 1] = np.arange(len(split))
    (finding,) = findings(draft)
    assert finding.sentence.startswith("column 1 of the text features counts rows (0, 1, 2, ... in training)")


def a_draft(name="toy", **constant):
    """Return a dataset of which so many columns, by key, are 0 in training."""
    train = a_split("a", 60, 1)
    for key, columns in constant.items():
        getattr(train, key)[:, :columns] = 0
    return Draft(name, train, a_split("b", 40, 2), a_split("c", 40, 3), tuple("wxyz"))


@pytest.mark.parametrize(
    ("constant", "told"), [({"images": 30}, "30 of 32 image"), ({"texts": 2}, "2 of 16 text")]
)
def test_features_that_are_constant_in_training_alone_are_told_of(constant, told):
    (finding,) = findings(a_draft(**constant))
    assert finding.sentence.startswith(f"{told} features are constant in training and vary in other splits")
    assert "results may be too low" in finding.sentence
    assert not finding.stops


def test_of_a_limited_dataset_more_pairs_are_the_remedy():
    (finding,) = findings(a_draft("toy-limit-60", images=30))
    assert finding.sentence.endswith("a larger --limit may do")


@pytest.mark.parametrize("constant", [{"images": 3}, {"texts": 1}])
def test_a_few_rare_features_that_training_lacks_are_nothing_special(constant):
    assert not findings(a_draft(**constant))


def test_features_that_are_constant_everywhere_are_nothing_special():
    draft = a_draft(images=20)
    for split in (draft.validation, draft.test):
        split.images[:, :20] = 0
    assert not findings(draft)


def test_features_that_vary_in_a_retrieval_set_alone_are_told_of():
    draft = a_draft(images=20)
    for split in (draft.validation, draft.test):
        split.images[:, :20] = 0
    (finding,) = findings(replace(draft, retrieval=a_split("d", 40, 4)))
    assert finding.sentence.startswith("20 of 32 image features")
