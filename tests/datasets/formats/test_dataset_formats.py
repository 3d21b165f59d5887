"""Feature files of every format: the same dataset from each, and clear words about what is wrong."""

import json
import os
from zipfile import ZipFile

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, Parts, Split
from cmbench.datasets.formats.feature_file import dataset_arrays
from cmbench.datasets.formats.files import READERS, check_file, load_file
from cmbench.datasets.formats.numpy_files import save_folder, save_npz
from cmbench.errors import DatasetError


def a_split(name, pairs):
    chance = np.random.default_rng(pairs)
    return Split(
        images=chance.normal(size=(pairs, 5)).astype(np.float32),
        texts=chance.normal(size=(pairs, 4)).astype(np.float32),
        labels=np.arange(pairs) % 3,
        ids=np.array([f"{name}é {row}" for row in range(pairs)]),
        image_parts=Parts(
            chance.normal(size=(2 * pairs, 2)).astype(np.float32), 2 * np.arange(pairs + 1, dtype=np.int64)
        ),
        image_groups=np.array([0, 0, 1, 1, 2]),
        text_groups=np.array([1, 1, 1, 0]),
    )


@pytest.fixture
def dataset():
    card = Card(
        source="made up",
        licence="CC0",
        citation="nobody 1",
        image_feature="noise",
        sizes=(9, 6, 7),
        shared_after="é",
        shared_space="noïse",
    )
    return Dataset("toy", a_split("a", 9), a_split("b", 6), a_split("c", 7), ("cat", "dög", "red owl"), card)


def cell_array(texts):
    cells = np.empty((len(texts), 1), dtype=object)
    cells[:, 0] = texts
    return cells


def matlab_variables(arrays):
    """Return the arrays as MATLAB would hold them: doubles, 1 x n vectors, cells and chars."""
    variables = {}
    for key, array in arrays.items():
        if array.dtype.kind == "U":
            variables[key] = cell_array(array.tolist()) if array.ndim else str(array)
        else:
            variables[key] = np.atleast_2d(array).astype(np.float64)
    return variables


def write_mat_5(path, arrays):
    savemat(path, matlab_variables(arrays))


def write_mat_7(path, arrays):
    savemat(path, matlab_variables(arrays), do_compression=True)


def write_mat_73(path, arrays):
    """Write what ``save -v7.3`` does: a MATLAB header, reversed dimensions, classes, cells by reference."""
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_group("#refs#")
        for key, value in matlab_variables(arrays).items():
            if isinstance(value, str):
                write_chars_73(file, key, value)
            elif value.dtype == object:
                write_cells_73(file, cells, key, value)
            else:
                file.create_dataset(key, data=value.T).attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(
            b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon May  4 10:15:08 2026 HDF5 schema 1.00 ."
        )


def write_chars_73(group, key, text):
    codes = np.frombuffer(text.encode("utf-16-le"), dtype=np.uint16)[:, None]
    node = group.create_dataset(key, data=codes if text else np.zeros(2, dtype=np.uint64))
    node.attrs["MATLAB_class"] = np.bytes_("char")
    if text:
        node.attrs["MATLAB_int_decode"] = np.int32(2)
    else:
        node.attrs["MATLAB_empty"] = np.uint8(1)


def write_cells_73(file, cells, key, texts):
    references = np.empty(texts.T.shape, dtype=h5py.ref_dtype)
    for index, text in enumerate(texts.ravel()):
        write_chars_73(cells, f"{key}{index}", text)
        references.ravel()[index] = cells[f"{key}{index}"].ref
    file.create_dataset(key, data=references).attrs["MATLAB_class"] = np.bytes_("cell")


def write_npz(path, arrays):
    np.savez(path, **arrays)


def write_folder(path, arrays):
    path.mkdir()
    card = {key: array.tolist() for key, array in arrays.items() if array.ndim == 0 or key == "sizes"}
    (path / "card.json").write_text(json.dumps(card))
    for key in arrays.keys() - card.keys():
        np.save(path / f"{key}.npy", arrays[key])


FORMATS = {
    "npz": (write_npz, "toy.npz"),
    "folder": (write_folder, "toy"),
    "mat 5": (write_mat_5, "toy.mat"),
    "mat 7": (write_mat_7, "toy.mat"),
    "mat 7.3": (write_mat_73, "toy.mat"),
}


@pytest.fixture(params=FORMATS)
def written(request, tmp_path):
    """Return a function that writes arrays in one of the formats and gives the path."""
    write, name = FORMATS[request.param]

    def write_them(arrays):
        write(tmp_path / name, arrays)
        return tmp_path / name

    return write_them


def test_every_format_gives_the_same_dataset(written, dataset):
    loaded = load_file(written(dict(dataset_arrays(dataset))))
    assert loaded.fingerprint == dataset.fingerprint
    assert (loaded.name, loaded.class_names, loaded.card) == ("toy", dataset.class_names, dataset.card)
    for (_, split), (_, original) in zip(loaded.splits, dataset.splits, strict=True):
        assert split.images.dtype == split.texts.dtype == np.float32
        assert split.images.flags.c_contiguous
        np.testing.assert_array_equal(split.images, original.images)
        np.testing.assert_array_equal(split.image_parts[2], original.image_parts[2])


def test_ids_class_names_and_name_have_defaults(written, dataset):
    required = {
        key: array for key, array in dataset_arrays(dataset) if key.startswith(("images", "texts", "labels"))
    }
    loaded = load_file(written(required))
    assert loaded.class_names == ("0", "1", "2")
    assert loaded.train.ids[:2].tolist() == ["train-0", "train-1"]
    assert loaded.test.ids[-1] == "test-6"
    assert loaded.name == "toy"
    assert loaded.card == Card()
    assert loaded.train.image_parts is None


def test_labels_that_count_from_2_are_refused_until_first_label_says_so(written, dataset):
    arrays = dict(dataset_arrays(dataset))
    del arrays["first_label"]
    for key in ("labels_train", "labels_val", "labels_test"):
        arrays[key] = arrays[key] + 2
    unclear = written(arrays)
    with pytest.raises(DatasetError, match=r"smallest label is 2, .*first_label = 2.*first_label = 0"):
        load_file(unclear)


@pytest.mark.parametrize("name", FORMATS)
def test_first_label_moves_the_labels_to_0(name, tmp_path, dataset):
    write, file = FORMATS[name]
    arrays = dict(dataset_arrays(dataset)) | {"first_label": np.array(1)}
    for key in ("labels_train", "labels_val", "labels_test"):
        arrays[key] = arrays[key] + 1
    write(tmp_path / file, arrays)
    assert load_file(tmp_path / file).fingerprint == dataset.fingerprint


def test_first_label_1_with_a_label_0_is_refused(written, dataset):
    path = written(dict(dataset_arrays(dataset)) | {"first_label": np.array(1)})
    with pytest.raises(DatasetError, match="first_label is 1, but labels_train holds 0"):
        load_file(path)


def test_absurd_labels_without_class_names_are_refused_rather_than_named_one_by_one(written, dataset):
    arrays = dict(dataset_arrays(dataset))
    del arrays["class_names"]
    arrays["labels_train"] = np.where(arrays["labels_train"] == 2, 10**12, arrays["labels_train"])
    with pytest.raises(DatasetError, match=r"numbers from 0 to 1000000000000 with gaps .*astype\(str\)"):
        load_file(written(arrays))


def test_a_file_that_may_not_be_opened_is_named(tmp_path, monkeypatch):
    def refuse(path, keys):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setitem(READERS, ".npz", refuse)
    (tmp_path / "a.npz").touch()
    with pytest.raises(DatasetError, match=r"a\.npz cannot be opened \(.*Permission denied\); check"):
        load_file(tmp_path / "a.npz")


def test_a_missing_key_is_named_with_the_file_the_keys_found_and_the_likely_typo(written, dataset):
    arrays = dict(dataset_arrays(dataset))
    arrays["imagse_train"] = arrays.pop("images_train")
    path = written(arrays)
    with pytest.raises(DatasetError) as caught:
        load_file(path)
    message = str(caught.value)
    assert str(path) in message
    assert "missing: images_train (is imagse_train meant for images_train?)" in message
    assert "labels_val" in message.partition("keys found:")[2]
    assert "add images_*" in message


def test_parts_without_offsets_are_refused(written, dataset):
    arrays = dict(dataset_arrays(dataset))
    del arrays["image_parts_val_offsets"]
    with pytest.raises(DatasetError, match="missing: image_parts_val_offsets; parts need both"):
        load_file(written(arrays))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels_val", np.array([0, 1, 2, 0.5, 1, 2]), "labels_val row 3 is 0.5, which is not an integer"),
        (
            "labels_val",
            np.array([0, 2**63], np.uint64),
            "labels_val row 1 is 9.*, which is too large for 64 bits",
        ),
        ("labels_val", np.array([0, 1, np.nan, 0, 1, 2]), "labels_val row 2 is nan"),
        ("labels_val", np.eye(6), r"labels_train holds numbers, labels_val holds a matrix of 6 columns"),
        ("labels_val", np.full((6, 3), 0.5), r"labels_val row 0 column 0 is 0.5; .*\(labels > 0\.5\)"),
        ("images_val", np.full((6, 5), 1e200), "images_val row 0 column 0 is 1e.200, which float32 cannot"),
        ("images_val", np.zeros((6, 5, 2)), r"images_val has shape \(6, 5, 2\).*two dimensions"),
        ("sizes", np.array([9, 6]), "sizes holds 2 numbers"),
    ],
)
def test_a_value_that_does_not_survive_is_named_with_key_and_row(written, dataset, key, value, message):
    path = written(dict(dataset_arrays(dataset)) | {key: value})
    with pytest.raises(DatasetError, match=message):
        load_file(path)


def test_a_broken_rule_names_the_file(written, dataset):
    arrays = dict(dataset_arrays(dataset))
    arrays["texts_test"] = np.full((7, 4), np.nan, dtype=np.float32)
    path = written(arrays)
    with pytest.raises(DatasetError, match="texts_test row 0 holds NaN") as caught:
        load_file(path)
    assert str(path) in str(caught.value)


def test_an_object_array_is_refused_with_its_key_and_the_remedy(tmp_path, dataset):
    arrays = dict(dataset_arrays(dataset)) | {"class_names": np.array(["cat", None, "owl"], dtype=object)}
    np.savez(tmp_path / "a.npz", **arrays)
    save_folder(tmp_path / "b", dataset)
    np.save(tmp_path / "b" / "class_names.npy", arrays["class_names"])
    for path in (tmp_path / "a.npz", tmp_path / "b"):
        with pytest.raises(
            DatasetError, match=r"class_names.* Python objects.*numpy\.array\(texts, dtype=str"
        ):
            load_file(path)


def test_every_truncated_file_is_refused_by_name(written, dataset, tmp_path):
    path = written(dict(dataset_arrays(dataset)))
    whole = path / "images_train.npy" if path.is_dir() else path
    content = whole.read_bytes()
    for length in np.linspace(0, 0.99 * len(content), 30, dtype=int):
        whole.write_bytes(content[:length])
        with pytest.raises(DatasetError) as caught:
            load_file(path)
        assert str(path) in str(caught.value)
        assert not check_file(path).holds


def test_a_damaged_array_in_an_npz_is_named_and_the_others_still_checked(tmp_path, dataset):
    save_npz(tmp_path / "a.npz", dataset)
    with ZipFile(tmp_path / "a.npz") as archive:
        start = archive.getinfo("texts_val.npy").header_offset
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[start + 250] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    (problem,) = check_file(tmp_path / "a.npz").rules[0].problems
    assert problem.startswith("texts_val cannot be read")


def test_a_file_in_an_archive_that_is_no_array_is_named(tmp_path, dataset):
    save_npz(tmp_path / "a.npz", dataset)
    with ZipFile(tmp_path / "a.npz") as archive, ZipFile(tmp_path / "b.npz", "w") as other:
        for name in archive.namelist():
            if name != "labels_test.npy":
                other.writestr(name, archive.read(name))
        other.writestr("labels_test.txt", "1\n2\n")
    for reading in (load_file, lambda path: load_file(path, keys={"labels_test": "labels_test.txt"})):
        with pytest.raises(DatasetError, match="labels_test"):
            reading(tmp_path / "b.npz")
    with pytest.raises(
        DatasetError, match=r"labels_test\.txt is a file in the archive that is no array; unpack"
    ):
        load_file(tmp_path / "b.npz", keys={"labels_test": "labels_test.txt"})


@pytest.mark.parametrize("name", ["a\nb", "x" * 201, "\x1b[31m"])
def test_a_name_of_several_lines_or_pages_is_refused(name, tmp_path, dataset):
    arrays = dict(dataset_arrays(dataset))
    np.savez(tmp_path / "a.npz", **{**arrays, "name": np.array(name)})
    with pytest.raises(DatasetError, match="it must be one line of at most 200 characters"):
        load_file(tmp_path / "a.npz")


def test_half_characters_of_names_are_replaced(tmp_path, dataset):
    """No figure can be drawn of them."""
    arrays = dict(dataset_arrays(dataset))
    names = [f"\ud800{name}" for name in dataset.class_names]
    place = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.npz")
    np.savez(
        place, **{**{key: arrays[key] for key in arrays if key != "name"}, "class_names": np.array(names)}
    )
    read = load_file(place)
    assert read.name == "caf\ufffd"
    assert read.class_names == tuple(f"\ufffd{name}" for name in dataset.class_names)


def test_a_file_that_is_no_archive_is_refused_without_advice_to_unpickle(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"something else")
    with pytest.raises(DatasetError, match=r"a\.npz is not an \.npz archive") as caught:
        load_file(tmp_path / "a.npz")
    assert "pickle" not in str(caught.value)


def test_an_unknown_ending_and_an_absent_path_say_what_is_readable(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    for name in ("a.csv", "absent"):
        with pytest.raises(DatasetError, match=r"\.npz.*\.mat.*folder of \.npy"):
            load_file(tmp_path / name)


def test_check_tells_every_broken_rule_and_the_unused_keys(written, dataset):
    arrays = dict(dataset_arrays(dataset)) | {"note": np.array("hello")}
    arrays["images_train"] = np.full((9, 5), np.inf, dtype=np.float32)
    arrays["ids_val"] = arrays["ids_test"][:6]
    arrays["class_names"] = np.array(["cat", "cat", "owl"])
    check = check_file(written(arrays))
    broken = {rule.rule: rule.problems for rule in check.rules if not rule.holds}
    assert list(broken) == ["features are finite", "class names are distinct", "no id appears twice"]
    assert all(rule.checked for rule in check.rules)
    assert check.unused == ("note",)
    assert not check.holds


def test_check_looks_for_repeated_pairs_where_ids_are_repeated_too(written, dataset):
    arrays = dict(dataset_arrays(dataset))
    arrays |= {f"{key}_val": arrays[f"{key}_test"][:6] for key in ("images", "texts", "labels", "ids")}
    check = check_file(written(arrays))
    assert [rule.rule for rule in check.rules if not rule.holds] == ["no id appears twice"]
    assert any(finding.repeated for finding in check.findings)


def test_check_of_a_sound_file_holds(written, dataset):
    assert check_file(written(dict(dataset_arrays(dataset)))).holds
