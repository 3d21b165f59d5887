"""Rows that stand twice are found by content, against a literal comparison of every row with every other."""

import json
import re
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Draft, Split
from cmbench.datasets.registry import load_dataset
from cmbench.datasets.repetitions import near_copies, repetitions, row_digests
from cmbench.datasets.soundness import findings
from cmbench.errors import DatasetWarning


def a_split(name, rows, seed, *, labels=None):
    random = np.random.default_rng(seed)
    return Split(
        random.standard_normal((rows, 16)).astype(np.float32),
        random.standard_normal((rows, 10)).astype(np.float32),
        np.arange(rows) % 4 if labels is None else labels,
        np.array([f"{name}{row}" for row in range(rows)]),
    )


def a_draft(**splits):
    whole = {"train": a_split("a", 400, 1), "validation": a_split("b", 40, 2), "test": a_split("c", 100, 3)}
    return Draft("toy", *{**whole, **splits}.values(), tuple("wxyz"))


def planted(draft, rows, *, images=True, texts=True, ids=False):
    """Return the draft with test rows copied over the first training rows."""
    train, test = draft.train, draft.test
    copies = {"images": train.images.copy(), "texts": train.texts.copy(), "ids": train.ids.copy()}
    for key, wanted in (("images", images), ("texts", texts), ("ids", ids)):
        if wanted:
            copies[key][: len(rows)] = getattr(test, key)[rows]
    return replace(draft, train=replace(train, **copies))


@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("ids", [False, True])
def test_planted_pairs_are_found_whatever_their_ids(share, ids):
    rows = np.random.default_rng(0).permutation(100)[: int(100 * share)]
    draft = planted(a_draft(), rows, ids=ids)
    (repeated,) = repetitions(draft).pairs
    assert (repeated.first, repeated.second, repeated.of) == ("train", "test", 100)
    assert repeated.rows == tuple(sorted(rows.tolist()))
    for row, original in zip(repeated.rows, repeated.originals, strict=True):
        np.testing.assert_array_equal(draft.train.images[original], draft.test.images[row])
    (finding,) = (finding for finding in findings(draft) if finding.stops)
    assert finding.repeated
    assert f"{len(rows)} of 100 test pairs" in finding.sentence
    assert str(draft.test.ids[min(rows)]) in finding.sentence


def test_nothing_is_found_where_nothing_is_repeated():
    assert not findings(a_draft(), thorough=True)


def test_an_image_with_another_text_is_reported_and_stops_nothing():
    draft = planted(a_draft(), np.array([5, 9]), texts=False)
    found = repetitions(draft)
    assert not found.pairs
    assert found.images[0].rows == (5, 9)
    (finding,) = findings(draft)
    assert not finding.stops
    assert "the images of 2 of 100 test pairs stand in training too" in finding.sentence
    assert "c5 (train: a0)" in finding.sentence


def test_a_text_alone_may_stand_in_two_splits():
    assert not findings(planted(a_draft(), np.arange(10), images=False))


def test_a_validation_set_that_is_the_test_set_is_called_so():
    test = a_split("c", 100, 3)
    draft = a_draft(validation=replace(test, ids=np.array([f"b{row}" for row in range(100)])), test=test)
    (finding,) = findings(draft)
    assert finding.sentence.startswith("the validation set is the test set")
    assert finding.one_split == ("val", "test")
    assert not findings(planted(a_draft(), np.array([1])))[0].one_split


def test_the_same_pair_with_two_labels_is_named():
    draft = planted(a_draft(), np.array([1]))
    assert any(
        "the same pair has two labels: a0 (train) 'w' and c1" in finding.sentence
        for finding in findings(draft)
    )


def test_pairs_that_stand_twice_in_one_split_are_counted():
    train = a_split("a", 400, 1)
    for array in (train.images, train.texts):
        array[7] = array[3]
    assert repetitions(a_draft(train=train)).within == {"train": 1}


def captioned(name, rows, seed):
    """Return a split with five texts for each image."""
    split = a_split(name, rows, seed)
    split.images[:] = np.repeat(split.images[: rows // 5], 5, axis=0)
    return split


@pytest.fixture
def captions():
    return a_draft(
        train=captioned("a", 400, 1), validation=captioned("b", 40, 2), test=captioned("c", 100, 3)
    )


def test_several_texts_of_an_image_are_said_once_with_the_remedy(captions):
    (finding,) = (each for each in findings(captions) if "texts on average" in each.sentence)
    assert finding.sentence.startswith(
        "the 40 validation pairs have 8 different images and the 100 test pairs have 20 different images, so "
        "an image has 5 texts on average"
    )
    assert "--protocol pairs counts each picture once" in finding.sentence
    assert not finding.stops


def test_several_texts_of_an_image_are_not_said_where_each_picture_counts_once(captions, tmp_path):
    dataset = Dataset(
        "toy", captions.train, captions.validation, captions.test, captions.class_names, captions.card
    )
    run = partial(cmbench.run, dataset, "cfa", store=tmp_path, threads=1, memory="none")
    with pytest.warns(DatasetWarning, match="5 texts on average"):
        run(protocol="paper")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DatasetWarning)
        run(protocol="pairs")
    records = [json.loads(path.read_text("utf-8")) for path in tmp_path.rglob("cfa-*.json")]
    said = {record["protocol"]["name"]: len(record["dataset"]["warnings"]) for record in records}
    assert said == {"paper": 1, "pairs": 0}


def test_several_texts_of_an_image_are_not_said_without_categories(captions):
    splits = (replace(split, labels=np.zeros((len(split), 0), np.int64)) for _, split in captions.splits)
    assert not findings(Draft("toy", *splits, ()))


def test_digests_are_equal_where_rows_are_and_nowhere_else():
    matrix = np.random.default_rng(0).integers(0, 2, (200, 6)).astype(np.float32)
    matrix[matrix == 0] = -0.0
    matrix[::2] = np.abs(matrix[::2])
    digests = row_digests(matrix)
    for one in range(200):
        for other in range(200):
            assert (digests[one] == digests[other]) == bool((matrix[one] == matrix[other]).all())


def literal_near_copies(one, other):
    near = []
    for row, query in enumerate(other):
        cosines = [float(query @ each / np.linalg.norm(query) / np.linalg.norm(each)) for each in one]
        if max(cosines) > 0.9999 and not (one == query).all(axis=1).any():
            near.append(row)
    return near


def test_near_copies_are_those_of_a_literal_loop():
    draft = planted(a_draft(), np.arange(30))
    noise = np.random.default_rng(5).standard_normal((30, 16)) * np.linspace(0, 0.03, 30)[:, None]
    train = replace(draft.train, images=draft.train.images.copy())
    train.images[:30] += noise.astype(np.float32)
    (copies,) = near_copies(replace(draft, train=train))
    assert list(copies.images) == literal_near_copies(train.images, draft.test.images)
    assert 5 < len(copies.images) < 29
    assert copies.pairs == copies.images


def test_a_search_that_would_take_too_long_looks_at_some_rows_and_says_how_many():
    draft = planted(a_draft(), np.arange(100))
    train = replace(draft.train, images=draft.train.images * np.float32(1.00001))
    (copies,) = near_copies(replace(draft, train=train), most_products=4e5)
    assert 0 < len(copies.images) == copies.compared < copies.of == 100


def test_few_dimensions_are_not_searched():
    draft = a_draft()
    narrow = {
        name: replace(getattr(draft, name), images=getattr(draft, name).images[:, :2])
        for name in ("train", "validation", "test")
    }
    assert near_copies(replace(draft, **narrow)) == ()


@pytest.mark.parametrize("name", ["wikipedia_cnn128_lda50", "wikipedia_sift128_lda10"])
def test_the_three_copies_in_wikipedia_are_found_and_named(name, real_data):
    dataset = load_dataset(real_data / f"{name}.npz")
    (finding,) = findings(dataset, thorough=True)
    assert "the images of 3 of 462 test pairs stand in training too" in finding.sentence
    assert not finding.stops


@pytest.mark.parametrize("name", ["pascal_sentence_mnv2_lsa300", "pascal_efflite2_lsa300"])
def test_nothing_is_found_in_other_real_data(name, real_data):
    assert not findings(load_dataset(real_data / f"{name}.npz"), thorough=True)


def test_the_one_text_of_zeros_among_the_fashion_products_is_found_and_named(real_data):
    (finding,) = findings(load_dataset(real_data / "fashion_mnv2_lsa300.npz"), thorough=True)
    assert re.match(r"the texts of 1 of \d+ training pairs have features of zeros alone", finding.sentence)
    assert "53822" in finding.sentence
    assert not finding.stops


@pytest.mark.parametrize(
    "changed",
    [
        lambda rows: rows.astype(np.float16).astype(np.float32),
        lambda rows: rows.round(3),
        lambda rows: np.float32(2) * rows,
        lambda rows: np.float32(1e30) * rows,
    ],
    ids=["float16", "rounded", "doubled", "huge"],
)
def test_a_run_refuses_pairs_that_are_the_same_but_for_rounding_or_scale(changed):
    draft = planted(a_draft(), np.array([5, 9]))
    train = replace(draft.train, images=changed(draft.train.images), texts=changed(draft.train.texts))
    (finding,) = findings(replace(draft, train=train))
    assert finding.stops
    assert finding.repeated
    assert "2 of 100 test pairs are pairs of training but for rounding or scale" in finding.sentence
    assert "c5, c9" in finding.sentence


def test_images_that_are_the_same_but_for_rounding_with_other_texts_stop_nothing():
    draft = planted(a_draft(), np.array([5, 9]), texts=False)
    train = replace(draft.train, images=draft.train.images.round(3))
    (finding,) = findings(replace(draft, train=train))
    assert "2 test images are near-copies" in finding.sentence
    assert not finding.stops
