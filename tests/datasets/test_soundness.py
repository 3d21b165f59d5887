"""Validation pairs that cannot choose are refused, and those that hardly can are named."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import cmbench
from cmbench.cli.main import cli
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Draft, Split
from cmbench.datasets.formats.division import Shares
from cmbench.datasets.formats.feature_file import draft_of
from cmbench.datasets.formats.files import read_file
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.datasets.limiting import limited
from cmbench.datasets.rules import broken_rules
from cmbench.datasets.soundness import findings, refuse_unsound
from cmbench.datasets.splits import redrawn
from cmbench.errors import DatasetError, DatasetWarning
from cmbench.methods.cca import CCA
from cmbench.methods.views.inputs import MethodWarning

QUICK = {"threads": 1, "memory": "none"}


def a_split(name, labels, seed):
    random, labels = np.random.default_rng(seed), np.asarray(labels)
    centres = np.random.default_rng(9).standard_normal((5, 10))
    return Split(
        (centres[labels % 5] + random.standard_normal((len(labels), 10))).astype(np.float32),
        (centres[labels % 5, :6] + random.standard_normal((len(labels), 6))).astype(np.float32),
        labels.astype(np.int64),
        np.array([f"{name}{row}" for row in range(len(labels))]),
    )


def a_dataset(labels=None, **others):
    splits = {
        "train": a_split("a", np.arange(60) % 4, 1),
        "validation": a_split("b", np.arange(24) % 4 if labels is None else labels, 2),
        "test": a_split("c", np.arange(20) % 4, 3),
    }
    return Dataset("toy", *{**splits, **others}.values(), ("art", "bio", "geo", "war"))


def test_a_sound_dataset_has_no_findings():
    assert findings(a_dataset(), thorough=True) == ()


@pytest.mark.parametrize(
    ("labels", "part"),
    [([2], "there is 1 validation pair"), ([2] * 5, "all 5 validation pairs are of one category ('geo')")],
)
def test_validation_pairs_that_cannot_choose_stop_a_run(labels, part, tmp_path):
    dataset = a_dataset(labels)
    assert part in findings(dataset)[0].sentence
    with pytest.raises(DatasetError, match=r"dataset 'toy': .* validation pair"):
        cmbench.run(dataset, "cca", store=tmp_path, allow_repeated=True, **QUICK)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("key", ["images", "texts"])
def test_validation_rows_that_are_all_the_same_stop_a_run(key):
    split = a_dataset().validation
    same = replace(split, **{key: np.ones_like(getattr(split, key))})
    with pytest.raises(DatasetError, match=f"have the same {key[:-1]} features, so all candidates tie"):
        refuse_unsound("toy", findings(a_dataset(validation=same)))


@pytest.mark.parametrize("labels", [[2], [2] * 7])
def test_test_pairs_that_every_method_ranks_alike_stop_a_run(labels):
    with pytest.raises(DatasetError, match="so every method has the MAP 1"):
        refuse_unsound("toy", findings(a_dataset(test=a_split("c", labels, 3))))


def test_test_pairs_that_all_share_a_label_stop_a_run():
    def tagged(split):
        return replace(split, labels=np.eye(5, dtype=np.int64)[split.labels] | [0, 0, 0, 0, 1])

    whole = a_dataset()
    splits = (tagged(split) for split in (whole.train, whole.validation, whole.test))
    stopping = [
        finding.sentence for finding in findings(Draft("toy", *splits, tuple("abcde"))) if finding.stops
    ]
    assert any("each of the 20 test pairs shares a category" in sentence for sentence in stopping)


@pytest.mark.parametrize("key", ["images", "texts"])
def test_test_rows_that_are_all_the_same_stop_a_run(key):
    split = a_dataset().test
    same = replace(split, **{key: np.ones_like(getattr(split, key))})
    with pytest.raises(DatasetError, match=f"all test pairs have the same {key[:-1]} features"):
        refuse_unsound("toy", findings(a_dataset(test=same)))


def test_categories_without_a_pair_are_counted_and_named():
    whole = a_dataset()
    names = ("art", "bio", "geo", "war", "law", "sea")
    (finding,) = findings(Draft("toy", whole.train, whole.validation, whole.test, names))
    assert "2 of 6 categories have no pair in any split (law, sea)" in finding.sentence
    assert not finding.stops


def test_categories_with_one_validation_pair_are_named():
    (finding,) = findings(a_dataset([0] * 11 + [1] * 11 + [2]))
    assert not finding.stops
    assert "2 of 4 categories have fewer than two validation pairs (geo, war)" in finding.sentence


def test_few_validation_pairs_are_warned_of():
    (finding,) = findings(a_dataset(np.arange(8) % 4))
    assert "there are 8 validation pairs, too few" in finding.sentence


@pytest.mark.parametrize(
    ("pairs", "name", "remedy"),
    [
        (240, "toy", "--validation 0.1' draws"),
        (60, "toy", "--validation 0.3' draws"),
        (24, "toy", "--validation 0.5' draws"),
        (240, "toy-limit-8", "a larger --limit leaves more of them"),
    ],
)
def test_what_is_advised_against_few_validation_pairs_makes_them_more(pairs, name, remedy):
    whole = a_dataset(np.arange(8) % 4)
    train = a_split("train", np.arange(pairs) % 4, 9)
    (finding,) = findings(Draft(name, train, whole.validation, whole.test, whole.class_names))
    assert remedy in finding.sentence


@pytest.mark.parametrize(
    ("labels", "training"),
    [
        ([2], [2, 1]),
        ([2], [2] * 40),
        ([2] * 30, [2, 2, 2, 1]),
        (np.arange(8) % 4, np.arange(16) % 4),
        ([*np.arange(40) % 3, 3], [*np.arange(60) % 3, 3, 3]),
    ],
    ids=["two training pairs", "one category", "one pair of another", "no more pairs", "none of the scarce"],
)
def test_no_draw_is_advised_that_would_choose_no_better(labels, training):
    whole = a_dataset(labels)
    draft = Draft("toy", a_split("train", training, 9), whole.validation, whole.test, whole.class_names)
    sentences = [finding.sentence for finding in findings(draft) if "methods choose" in finding.sentence]
    assert sentences
    for sentence in sentences:
        assert sentence.endswith(
            "add others, since those drawn from the training pairs would choose no better"
        )


@pytest.mark.parametrize(
    ("labels", "training", "share"),
    [
        ([2], np.arange(4) % 2, 0.5),
        ([2] * 30, np.arange(40) % 4, 0.5),
        ([*np.arange(40) % 3, 3], [*np.arange(300) % 3, *[3] * 6], 0.3),
    ],
    ids=["one pair", "one category", "a scarce one"],
)
def test_the_draw_that_is_advised_mends_what_it_is_advised_for(labels, training, share, tmp_path):
    whole = a_dataset(labels)
    draft = Draft("toy", a_split("a", training, 9), whole.validation, whole.test, whole.class_names)
    faults = {finding.sentence for finding in findings(draft) if "methods choose" in finding.sentence}
    assert all(f"--validation {share}' draws" in fault for fault in faults)
    save_npz(tmp_path / "a.npz", draft)
    reading = draft_of(read_file(tmp_path / "a.npz"), Shares(share))
    assert not faults & {finding.sentence for finding in findings(reading.draft)}
    assert not any(finding.stops for finding in findings(reading.draft))


def test_the_draw_that_is_advised_keeps_the_texts_of_a_picture_together(tmp_path):
    whole = a_dataset(np.arange(4) % 4)
    train = a_split("a", np.repeat(np.arange(60) % 20, 5), 9)
    pictures = np.repeat(np.arange(60), 5)
    names = tuple(f"category {at}" for at in range(20))
    train = replace(
        train,
        images=train.images[pictures],
        ids=np.array([f"p{picture}#{at % 5}" for at, picture in enumerate(pictures)]),
    )
    draft = Draft("toy", train, whole.validation, whole.test, names)
    advised = {
        float(share)
        for finding in findings(draft)
        for share in re.findall(r"--validation (\S+)'", finding.sentence)
    }
    assert advised == {0.3}
    save_npz(tmp_path / "a.npz", draft)
    reading = draft_of(read_file(tmp_path / "a.npz"), Shares(0.3))
    assert len(reading.draft.validation) == 100


def test_many_validation_pairs_are_not_to_give_way_to_far_fewer():
    names = tuple(f"category {at}" for at in range(20))
    train = a_split("a", np.arange(300) % 20, 9)
    validation = a_split("b", [*np.arange(1900) % 19, 19], 2)
    draft = Draft("toy", train, validation, a_split("c", np.arange(40) % 20, 3), names)
    sentences = (finding.sentence for finding in findings(draft))
    (told,) = (sentence for sentence in sentences if "fewer than two validation pairs" in sentence)
    assert told.endswith("would choose no better")


def test_a_split_of_a_limited_dataset_has_a_larger_limit_as_its_remedy():
    drawn = redrawn(limited(a_dataset(), 12), 1)
    (sentence,) = (finding.sentence for finding in drawn.findings if "too few" in finding.sentence)
    assert sentence.endswith("a larger --limit leaves more of them")


@pytest.mark.parametrize("direction", [1, -1])
def test_a_file_sorted_by_category_that_was_cut_is_recognised_and_named(direction):
    labels = np.sort(np.arange(100) % 4)
    splits = (a_split("a", labels[:60], 1), a_split("b", labels[60:80], 2), a_split("c", labels[80:], 3))
    turned = [replace(split, labels=split.labels[::direction].copy()) for split in splits]
    draft = Draft("toy", *turned, ("art", "bio", "geo", "war"))
    text = "train: art to geo; val: geo to war; test: war"
    assert any(text in finding.sentence for finding in findings(draft))
    (problems,) = (list(found) for rule, found in broken_rules(draft) if "class is trained" in rule)
    assert any("sorted by category" in problem for problem in problems)


def test_splits_that_are_sorted_each_by_itself_are_no_such_thing():
    sorted_splits = {
        "train": a_split("a", np.sort(np.arange(60) % 4), 1),
        "validation": a_split("b", np.sort(np.arange(24) % 4), 2),
        "test": a_split("c", np.sort(np.arange(20) % 4), 3),
    }
    assert findings(a_dataset(**sorted_splits)) == ()


@pytest.fixture
def leaking():
    test = a_dataset().test
    train = a_dataset().train
    joined = replace(
        train,
        images=np.concatenate([train.images, test.images]),
        texts=np.concatenate([train.texts, test.texts]),
        labels=np.concatenate([train.labels, test.labels]),
        ids=np.array([f"a{row}" for row in range(80)]),
    )
    return a_dataset(train=joined)


def test_a_run_refuses_repeated_pairs_unless_they_are_allowed_and_then_says_so(leaking, tmp_path):
    with pytest.raises(DatasetError, match=r"20 of 20 test pairs stand in training too.*--allow-repeated"):
        cmbench.run(leaking, "cfa", store=tmp_path, **QUICK)
    with pytest.warns(DatasetWarning, match="20 of 20 test pairs"):
        frame = cmbench.run(leaking, "cfa", store=tmp_path, allow_repeated=True, **QUICK)
    assert frame["status"].tolist() == ["ok"]
    (path,) = tmp_path.rglob("cfa-*.json")
    assert "20 of 20 test pairs" in json.loads(path.read_text("utf-8"))["dataset"]["warnings"][0]
    shown = CliRunner().invoke(cli, ["show", "cfa", "--store", str(tmp_path)])
    assert "20 of 20 test pairs" in shown.output


def test_the_terminal_and_the_table_say_what_is_questionable(tmp_path):
    save_npz(tmp_path / "few.npz", a_dataset(np.arange(8) % 4))
    arguments = ["run", "--dataset", tmp_path / "few.npz", "--methods", "cfa", "--store", tmp_path / "s"]
    with pytest.warns(DatasetWarning, match="dataset 'toy': there are 8 validation pairs"):
        result = CliRunner().invoke(cli, [*map(str, arguments), "--threads", "1", "--memory", "none"])
    assert result.exit_code == 0
    assert "- Warning: there are 8 validation pairs" in result.stdout


def test_settings_that_all_tie_on_validation_are_warned_of():
    apart = a_dataset(np.arange(24) % 2)
    rows = np.where((np.arange(24) % 2)[:, None] == 0, 1.0, -1.0).astype(np.float32)
    validation = replace(
        apart.validation, images=rows @ np.ones((1, 10), np.float32), texts=rows @ np.ones((1, 6), np.float32)
    )
    labels = np.arange(60) % 2
    mean = np.where(labels == 0, 1.0, -1.0).astype(np.float32)[:, None]
    train = replace(
        a_dataset().train,
        images=mean + 0.01 * a_dataset().train.images,
        texts=mean + 0.01 * a_dataset().train.texts,
        labels=labels,
    )
    with pytest.warns(MethodWarning, match=r"all \d+ settings tried have the validation MAP 1, so the first"):
        CCA().fit(train, validation)


@pytest.mark.parametrize("side", ["images", "texts"])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_training_rows_that_are_all_the_same_stop_a_run(side, value):
    train = a_split("a", np.arange(60) % 4, 1)
    flat = replace(train, **{side: np.full_like(getattr(train, side), value)})
    stopping = [finding.sentence for finding in findings(a_dataset(train=flat)) if finding.stops]
    assert any(f"{side} of all 60 training pairs are the same" in sentence for sentence in stopping)


def test_features_without_columns_stop_a_run():
    splits = {
        name: replace(a_split(name, np.arange(20) % 4, at), images=np.empty((20, 0), np.float32))
        for at, name in enumerate(("train", "validation", "test"))
    }
    stopping = [finding.sentence for finding in findings(a_dataset(**splits)) if finding.stops]
    assert any("images have no features (0 columns)" in sentence for sentence in stopping)


def test_a_single_training_pair_stops_a_run():
    splits = {name: a_split(name, [0], at) for at, name in enumerate(("train", "validation", "test"))}
    stopping = [finding.sentence for finding in findings(a_dataset(**splits)) if finding.stops]
    assert any("there is 1 training pair;" in sentence for sentence in stopping)


@pytest.mark.parametrize("by_ids", [False, True])
def test_a_picture_that_stands_in_two_splits_with_other_features_is_named(by_ids):
    """Such as another crop of it, which no features tell."""
    dataset = a_dataset()

    def named(split, rows, number):
        names = {"ids": f"#{number}"} if by_ids else {"image_ids": ""}
        return replace(
            split, **{key: np.array([f"{row}.jpg{end}" for row in rows]) for key, end in names.items()}
        )

    train = named(dataset.train, range(60), 1)
    validation = named(dataset.validation, range(200, 224), 1)
    test = named(dataset.test, [7, *range(100, 119)], 2)
    (finding,) = findings(Draft("toy", train, validation, test, dataset.class_names))
    assert (
        "the images of 1 of 20 test pairs stand in training too, by their names, with other"
        in finding.sentence
    )
    assert not finding.stops


def test_rows_of_zeros_are_counted_and_named():
    dataset = a_dataset()
    texts = dataset.test.texts.copy()
    texts[[3, 5]] = 0
    (finding,) = findings(a_dataset(test=replace(dataset.test, texts=texts)))
    assert "the texts of 2 of 20 test pairs have features of zeros alone" in finding.sentence
    assert "c3, c5" in finding.sentence
    assert not finding.stops
