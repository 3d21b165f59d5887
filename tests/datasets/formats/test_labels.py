"""Labels as people write them, in every format: what is read, and the note on what was done."""

import numpy as np
import pytest
from scipy.io import savemat

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Split
from cmbench.datasets.formats.feature_file import dataset_arrays
from cmbench.datasets.formats.files import check_file, load_file
from cmbench.datasets.formats.labels import label_array, settled_labels, tags_of
from cmbench.datasets.formats.numpy_files import load_split, save_folder, save_npz, save_split
from cmbench.errors import DatasetError

SIZES = {"train": 12, "val": 6, "test": 8}


def file_with(path, labels, **others):
    """Write a feature file with these labels by split, as ``.npz`` or ``.mat``."""
    random = np.random.default_rng(0)
    arrays = {}
    for name, count in SIZES.items():
        arrays[f"images_{name}"] = random.standard_normal((count, 5)).astype(np.float32)
        arrays[f"texts_{name}"] = random.standard_normal((count, 4)).astype(np.float32)
        if labels is not None:
            arrays[f"labels_{name}"] = labels[name]
    arrays |= others
    if path.suffix == ".mat":
        savemat(path, arrays)
    else:
        np.savez(path, **arrays)
    return path


def by_split(make):
    return {name: make(count) for name, count in SIZES.items()}


def tags(count):
    matrix = np.zeros((count, 3), dtype=np.int64)
    matrix[np.arange(count), np.arange(count) % 3] = 1
    matrix[::2, 0] = 1
    return matrix


WORDS = np.array(["sea", "art", "map"])


@pytest.mark.parametrize("ending", [".npz", ".mat"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, np.float64])
def test_a_matrix_of_0_and_1_gives_each_pair_several_categories(tmp_path, ending, dtype):
    path = file_with(tmp_path / f"toy{ending}", by_split(lambda count: tags(count).astype(dtype)))
    loaded = load_file(path)
    assert loaded.is_multi_label
    assert loaded.train.labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.test.labels, tags(8))
    assert loaded.class_names == ("0", "1", "2")
    assert loaded.test.categories.tolist() == [0, 1, 2]
    assert check_file(path).holds


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda count: WORDS[np.arange(count) % 3], "texts, read as 3 categories in alphabetical order"),
        (lambda count: np.array([b"sea", b"art", b"map"])[np.arange(count) % 3], "texts, read as 3"),
        (lambda count: np.eye(3, dtype=int)[np.arange(count) % 3], "one-hot, read as 3 categories"),
        (lambda count: 1 + np.arange(count) % 3, "count from 1"),
        (lambda count: (np.arange(count) % 3).astype(np.float32), "floating-point numbers, read as whole"),
        (lambda count: (np.arange(count) % 3)[:, None], None),
    ],
    ids=["texts", "bytes", "one-hot", "from 1", "floats", "column"],
)
def test_one_category_a_pair_is_read_however_it_is_written_and_a_note_says_so(tmp_path, make, note):
    path = file_with(tmp_path / "toy.npz", by_split(make))
    loaded = load_file(path)
    assert not loaded.is_multi_label
    first = [2, 0, 1] if loaded.class_names == ("art", "map", "sea") else [0, 1, 2]
    for _, split in loaded.splits:
        assert split.labels.dtype == np.int64
        assert split.labels.tolist() == [first[row % 3] for row in range(len(split))]
    notes = " ".join(loaded.card.notes)
    assert note in notes if note else not notes


def test_texts_with_several_categories_are_a_matrix(tmp_path):
    words = by_split(lambda count: np.array(["sky;sea", "sea", " art ; sky"])[np.arange(count) % 3])
    loaded = load_file(file_with(tmp_path / "toy.npz", words))
    assert loaded.class_names == ("art", "sea", "sky")
    assert loaded.validation.labels[:3].tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 1]]
    assert "several categories" in loaded.card.notes[0]


def test_given_names_number_the_categories_of_texts(tmp_path):
    words = by_split(lambda count: WORDS[np.arange(count) % 3])
    path = file_with(tmp_path / "toy.npz", words, class_names=WORDS)
    assert load_file(path).test.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    other = file_with(tmp_path / "other.npz", words, class_names=np.array(["sea", "art"]))
    with pytest.raises(DatasetError, match="labels hold 'map', which is not among class_names"):
        load_file(other)


def test_signed_matrices_and_items_without_a_category_are_noted(tmp_path):
    signed = by_split(lambda count: 2 * tags(count) - 1)
    signed["test"][1] = -1
    loaded = load_file(file_with(tmp_path / "toy.npz", signed))
    assert loaded.train.labels.min() == 0
    assert any("-1 read as 0" in note for note in loaded.card.notes)
    assert any("labels_test: 1 of 8 items have no category" in note for note in loaded.card.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val": np.arange(6) % 3}, "labels_train holds a matrix of 3 columns, labels_val holds numbers"),
        ({"val": tags(6)[:, :2]}, "labels_val holds a matrix of 2 columns"),
        ({"val": tags(6) * 2}, r"labels_val row 0 column 0 is 2; .*\(labels > 0\)"),
        ({"val": tags(6) * 0.5}, r"labels_val row 0 column 0 is 0.5"),
        ({"train": tags(12) * [1, 1, 0]}, r"class\(es\) 2 that no training pair has"),
        ({name: tags(count) * [1, 1, 0] for name, count in SIZES.items()}, "no pair has the category 2"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(tmp_path, change, message):
    with pytest.raises(DatasetError, match=message):
        load_file(file_with(tmp_path / "toy.npz", by_split(tags) | change))


def test_columns_and_names_must_be_as_many(tmp_path):
    path = file_with(tmp_path / "toy.npz", by_split(tags), class_names=WORDS[:2])
    with pytest.raises(DatasetError, match="3 columns, and there are 2 class_names"):
        load_file(path)


@pytest.mark.parametrize("save", [save_npz, save_folder])
def test_a_dataset_of_several_labels_is_the_same_after_saving(tmp_path, save):
    loaded = load_file(file_with(tmp_path / "toy.npz", by_split(tags), class_names=WORDS))
    place = tmp_path / ("again.npz" if save is save_npz else "again")
    save(place, loaded)
    again = load_file(place)
    assert again.fingerprint == loaded.fingerprint
    assert again.card == loaded.card


def test_a_split_whose_rows_have_one_tag_each_stays_a_matrix_on_the_way_to_a_method(tmp_path):
    labels = by_split(tags) | {"val": np.eye(3, dtype=np.int64)[np.arange(6) % 3]}
    loaded = load_file(file_with(tmp_path / "toy.npz", labels))
    assert loaded.is_multi_label
    save_split(tmp_path / "handed", "val", loaded.validation)
    np.testing.assert_array_equal(load_split(tmp_path / "handed", "val").labels, labels["val"])


def test_one_hot_matrices_in_a_dataset_object_are_refused(tmp_path):
    def one_hot(split):
        labels = np.eye(3, dtype=np.int64)[np.arange(len(split)) % 3]
        return Split(split.images, split.texts, labels, split.ids)

    loaded = load_file(file_with(tmp_path / "toy.npz", by_split(tags)))
    splits = (one_hot(split) for _, split in loaded.splits)
    with pytest.raises(DatasetError, match=r"exactly one category; .*argmax"):
        Dataset("toy", *splits, ("a", "b", "c"))


def test_pairs_without_labels_have_no_categories_and_their_pictures_are_what_counts(tmp_path):
    random = np.random.default_rng(1)
    images = random.standard_normal((4, 5)).astype(np.float32)[[0, 0, 1, 2, 2, 3, 3, 3]]
    path = file_with(tmp_path / "toy.npz", None, images_test=images)
    loaded = load_file(path)
    assert loaded.class_names == ()
    assert loaded.test.labels.shape == (8, 0)
    assert "no labels" in loaded.card.notes[0]
    same = loaded.test.pictures[:, None] == loaded.test.pictures
    np.testing.assert_array_equal(same, (images[:, None] == images).all(axis=2))
    np.testing.assert_array_equal(loaded.test.targets, loaded.test.pictures)
    save_npz(tmp_path / "again.npz", loaded)
    assert load_file(tmp_path / "again.npz").fingerprint == loaded.fingerprint


def test_labels_under_another_name_are_not_taken_for_none(tmp_path):
    with pytest.raises(DatasetError, match="missing: labels_train"):
        load_file(file_with(tmp_path / "toy.npz", None, answers_train=np.arange(12) % 3))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"image_ids_test": np.array(["a", "b", "a", "b", "c", "c", "c", "a"])}, [0, 1, 0, 1, 2, 2, 2, 0]),
        ({"ids_test": np.array([f"{row % 2}.jpg#{row}" for row in range(8)])}, [0, 1, 0, 1, 0, 1, 0, 1]),
        ({"ids_test": np.array([*(f"{row % 2}.jpg#{row}" for row in range(7)), "7"])}, range(8)),
    ],
    ids=["image_ids", "ids", "features"],
)
def test_pictures_are_told_apart_by_names_then_ids_then_features(tmp_path, others, expected):
    loaded = load_file(file_with(tmp_path / "toy.npz", by_split(tags), **others))
    found = loaded.test.pictures
    np.testing.assert_array_equal(found[:, None] == found, np.equal.outer(list(expected), list(expected)))


def with_retrieval(path, **others):
    random = np.random.default_rng(2)
    arrays = {
        "images_retrieval": random.standard_normal((9, 5)).astype(np.float32),
        "texts_retrieval": random.standard_normal((9, 4)).astype(np.float32),
        "labels_retrieval": tags(9),
    }
    return file_with(path, by_split(tags), **arrays, **others)


def test_a_retrieval_set_is_a_fourth_split(tmp_path):
    loaded = load_file(with_retrieval(tmp_path / "toy.npz"))
    assert [name for name, _ in loaded.splits] == ["train", "val", "test", "retrieval"]
    assert len(loaded.retrieval) == 9
    plain = load_file(file_with(tmp_path / "plain.npz", by_split(tags)))
    assert plain.fingerprint != loaded.fingerprint
    save_folder(tmp_path / "again", loaded)
    assert load_file(tmp_path / "again").fingerprint == loaded.fingerprint


def test_a_retrieval_set_may_hold_training_pairs_and_no_test_pairs(tmp_path):
    training = {"ids_train": np.array([f"pair {row}" for row in range(12)])}
    retrieval = np.array([f"pair {row}" for row in range(9)])
    path = with_retrieval(tmp_path / "toy.npz", ids_retrieval=retrieval, **training)
    assert check_file(path).holds
    asked = with_retrieval(
        tmp_path / "other.npz",
        ids_retrieval=retrieval,
        ids_test=np.array([f"pair {row}" for row in range(8)]),
    )
    with pytest.raises(DatasetError, match="'pair 0' is in test and again in retrieval"):
        load_file(asked)


def test_half_a_retrieval_set_is_missing_the_rest(tmp_path):
    path = file_with(tmp_path / "toy.npz", by_split(tags), images_retrieval=np.ones((3, 5), np.float32))
    with pytest.raises(DatasetError, match="missing: texts_retrieval, labels_retrieval"):
        load_file(path)


def test_unknown_kinds_of_labels_are_refused():
    with pytest.raises(DatasetError, match="0 and 1"):
        label_array("labels_train", np.array([["a", "b"], ["c", "d"]]))
    with pytest.raises(DatasetError, match="row 1 is empty"):
        settled_labels({"labels_train": np.array(["a", " ; "])})
    assert tags_of("sky") == ("sky",)


def test_existing_single_labels_keep_their_fingerprint(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    assert load_file(tmp_path / "toy.npz").fingerprint == toy.fingerprint
    assert "labels_train" in dict(dataset_arrays(toy))
    assert toy.fingerprint.startswith("1ed323bbff7705e9")


def test_a_split_of_one_pair_keeps_the_matrix_of_its_labels(tmp_path):
    path = file_with(tmp_path / "toy.npz", by_split(tags))
    with np.load(path) as archive:
        arrays = {key: archive[key][:1] if key.endswith("_val") else archive[key] for key in archive.files}
    np.savez(path, **arrays)
    np.testing.assert_array_equal(load_file(path).validation.labels, tags(6)[:1])


@pytest.mark.parametrize(
    ("matrix", "remedy"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], r"labels > 0\.5.*argmax"),
        ([[1, np.nan], [0, 1]], "0 or 1 for NaN"),
        ([[3, 0], [0, 2]], r"from counts with \(labels > 0\)"),
        ([[-1, 0], [1, -1]], "-1 for the others"),
    ],
)
def test_a_matrix_of_something_else_is_refused_with_the_remedy_that_fits(matrix, remedy):
    with pytest.raises(DatasetError, match=remedy):
        label_array("labels_train", np.array(matrix))


def test_labels_that_differ_in_how_accents_are_stored_are_one_category(tmp_path):
    words = {"train": "cafe\u0301", "val": "caf\u00e9", "test": "caf\u00e9"}
    labels = {name: np.array([word, "art"])[np.arange(SIZES[name]) % 2] for name, word in words.items()}
    assert load_file(file_with(tmp_path / "toy.npz", labels)).class_names == ("art", "caf\u00e9")


@pytest.mark.filterwarnings("error")
def test_labels_of_half_precision_are_read_without_a_warning(tmp_path):
    labels = by_split(lambda count: (np.arange(count) % 3).astype(np.float16))
    assert load_file(file_with(tmp_path / "toy.npz", labels)).train.labels.tolist() == [0, 1, 2] * 4


def numbered(*numbers):
    return by_split(lambda count: np.array(numbers)[np.arange(count) % len(numbers)])


@pytest.mark.parametrize("numbers", [(7, 107, 207, 307), (7, 8, 9, 40)])
@pytest.mark.parametrize("copies", [1, 50])
def test_numbers_with_gaps_are_answered_at_once_with_what_works(numbers, copies, tmp_path):
    rows = {name: np.tile(labels, copies) for name, labels in numbered(*numbers).items()}
    with pytest.raises(
        DatasetError, match=rf"{numbers[0]} to {numbers[-1]} with gaps .*np\.unique"
    ) as caught:
        settled_labels({f"labels_{name}": labels for name, labels in rows.items()})
    assert "add first_label =" not in str(caught.value)
    texts = {name: labels.astype(str) for name, labels in numbered(*numbers).items()}
    assert len(load_file(file_with(tmp_path / "toy.npz", texts)).class_names) == len(numbers)


def test_large_numbers_without_gaps_count_from_the_smallest(tmp_path):
    labels = numbered(10**6, 10**6 + 1, 10**6 + 2)
    with pytest.raises(DatasetError, match="add first_label = 1000000"):
        load_file(file_with(tmp_path / "toy.npz", labels))
    loaded = load_file(file_with(tmp_path / "said.npz", labels, first_label=10**6))
    assert loaded.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("numbers", "remedy"),
    [((-1, 0, 1), "add first_label = -1"), ((-100, 0, 100, 200), r"save them as texts \(labels\.astype")],
)
def test_negative_numbers_without_names_may_be_classes_or_pairs_without_a_label(numbers, remedy, tmp_path):
    message = rf"labels_train row 0 holds {numbers[0]}, .* leave out these pairs if .* no label; .*{remedy}"
    with pytest.raises(DatasetError, match=message) as caught:
        load_file(file_with(tmp_path / "toy.npz", numbered(*numbers)))
    assert "class_names" not in str(caught.value)


def test_a_negative_first_label_is_taken(tmp_path):
    loaded = load_file(file_with(tmp_path / "toy.npz", numbered(-1, 0, 1), first_label=-1))
    assert loaded.train.labels.tolist() == [0, 1, 2] * 4
