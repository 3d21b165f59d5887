"""What only MATLAB files hold: char matrices, sparse matrices, objects, and other writers' HDF5."""

import struct
from io import BytesIO

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from cmbench.datasets.formats import matlab
from cmbench.datasets.formats.files import check_file, load_file
from cmbench.datasets.formats.matlab import read_mat
from cmbench.errors import DatasetError

VARIABLES = {
    f"{key}_{name}": value
    for name in ("train", "val", "test")
    for key, value in (
        ("images", np.arange(12.0).reshape(4, 3)),
        ("texts", np.eye(4)),
        ("labels", np.array([[0.0, 1.0, 1.0, 0.0]])),
    )
}


def write_73(path, variables, *, classes=True):
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in variables.items():
            node = file.create_dataset(key, data=value.T)
            if classes:
                node.attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")


def add_73(path, key, value, **attributes):
    with h5py.File(path, "r+") as file:
        node = file.create_dataset(key, data=value)
        node.attrs.update(attributes)


def char_codes(rows):
    return np.array([[ord(letter) for letter in row] for row in rows], dtype=np.uint16).T


@pytest.fixture
def path_5(tmp_path):
    path = tmp_path / "five.mat"
    savemat(path, VARIABLES | {"class_names": np.array(["cat  ", "horse"])})
    return path


@pytest.fixture
def path_73(tmp_path):
    path = tmp_path / "seven.mat"
    write_73(path, VARIABLES)
    add_73(path, "class_names", char_codes(["cat  ", "horse"]), MATLAB_class=np.bytes_("char"))
    return path


def test_the_rows_of_a_char_matrix_lose_their_padding(path_5, path_73):
    assert load_file(path_5).class_names == ("cat", "horse")
    assert load_file(path_73).class_names == ("cat", "horse")
    assert load_file(path_5).fingerprint == load_file(path_73).fingerprint


def test_features_keep_the_shape_and_order_that_matlab_shows(path_5, path_73):
    for path in (path_5, path_73):
        np.testing.assert_array_equal(load_file(path).train.images, np.arange(12.0).reshape(4, 3))


def test_sparse_features_become_dense(tmp_path, path_73):
    sparse = csc_array(np.array([[0, 2.0, 0, 0], [0, 0, 0, 0], [1.5, 0, 0, 3], [0, 0, 0, 4]]))
    savemat(tmp_path / "sparse.mat", VARIABLES | {"texts_val": sparse})
    with h5py.File(path_73, "r+") as file:
        del file["texts_val"]
        group = file.create_group("texts_val")
        group.attrs.update(MATLAB_class=np.bytes_("double"), MATLAB_sparse=np.uint64(4))
        group.create_dataset("data", data=sparse.data)
        group.create_dataset("ir", data=sparse.indices.astype(np.uint64))
        group.create_dataset("jc", data=sparse.indptr.astype(np.uint64))
    for path in (tmp_path / "sparse.mat", path_73):
        np.testing.assert_array_equal(load_file(path).validation.texts, sparse.toarray())


def test_a_class_that_is_a_string_and_a_link_to_nothing_are_no_damage(path_73):
    expected = load_file(path_73).validation.texts
    with h5py.File(path_73, "r+") as file:
        file["texts_val"].attrs["MATLAB_class"] = "double"
        file["gone"] = h5py.SoftLink("/nowhere")
        file["elsewhere"] = h5py.ExternalLink("absent.mat", "/x")
    np.testing.assert_array_equal(load_file(path_73).validation.texts, expected)


def test_a_sparse_matrix_of_zeros_has_no_data(path_73):
    with h5py.File(path_73, "r+") as file:
        del file["texts_val"]
        group = file.create_group("texts_val")
        group.attrs.update(MATLAB_class=np.bytes_("double"), MATLAB_sparse=np.uint64(4))
        group.create_dataset("jc", data=np.zeros(5, dtype=np.uint64))
    np.testing.assert_array_equal(load_file(path_73).validation.texts, np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("matlab_class", "remedy"),
    [
        ("string", "cellstr"),
        ("categorical", "categories"),
        ("table", "columns"),
        ("datetime", "numeric array"),
    ],
)
def test_objects_in_version_7_3_are_refused_with_the_conversion(path_73, matlab_class, remedy):
    add_73(
        path_73,
        "ids_val",
        np.array([[3707764736, 2, 1, 1, 1, 1]], dtype=np.uint32),
        MATLAB_class=np.bytes_(matlab_class),
        MATLAB_object_decode=np.int32(3),
    )
    with pytest.raises(DatasetError, match=f"ids_val is a MATLAB {matlab_class}, .*{remedy}"):
        load_file(path_73)


def element(kind, content):
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def matlab_object(name, matlab_class):
    """Return the bytes of an object in version 5: an array of type 17 that holds its name and an array."""
    flags = element(6, struct.pack("<II", 17, 0))
    numbers = element(6, struct.pack("<II", 13, 0)) + element(5, struct.pack("<ii", 1, 2)) + element(1, b"")
    numbers += element(6, struct.pack("<II", 1, 2))
    names = b"".join(element(1, text.encode()) for text in (name, "MCOS", matlab_class))
    return element(14, flags + names + element(14, numbers))


def test_objects_in_version_5_are_refused_by_name_even_among_others(path_5):
    with path_5.open("ab") as file:
        file.write(matlab_object("my_table", "table") + matlab_object("ids_val", "string"))
    file = read_mat(path_5)
    assert file.problems == (
        "ids_val is a MATLAB string, which cannot be read; convert it with cellstr(...)",
    )
    assert set(file.keys) == {*VARIABLES, "class_names", "my_table", "ids_val"}
    assert file.unused == ("my_table",)
    with pytest.raises(DatasetError, match="cellstr"):
        load_file(path_5)


def test_a_cell_that_holds_no_text_and_an_array_of_structs_are_refused(tmp_path):
    cells = np.empty((1, 2), dtype=object)
    cells[0, :] = ["cat", 3.0]
    structs = np.array([[(1.0,), (2.0,)]], dtype=[("field", object)])
    savemat(tmp_path / "a.mat", VARIABLES | {"class_names": cells, "name": structs})
    assert check_file(tmp_path / "a.mat").rules[0].problems == (
        "class_names is a MATLAB cell, which cannot be read; every cell must hold one char vector",
        "name is a MATLAB struct array, which cannot be read; save its fields as variables of their own",
    )


STRUCTS = {
    name: {kind: VARIABLES[f"{kind}_{name}"] for kind in ("images", "texts", "labels")}
    for name in ("train", "val", "test")
}


def same_pairs(file, path):
    return all(
        np.array_equal(getattr(getattr(file, part), kind), getattr(getattr(load_file(path), part), kind))
        for part in ("train", "validation", "test")
        for kind in ("images", "texts", "labels")
    )


@pytest.mark.parametrize("variables", [STRUCTS, {"data": STRUCTS}])
def test_the_fields_of_structs_are_arrays_by_name(tmp_path, path_5, variables):
    savemat(tmp_path / "structs.mat", variables)
    file = read_mat(tmp_path / "structs.mat")
    before = "data." if "data" in variables else ""
    (note,) = file.notes
    assert note.startswith(
        f"{before}train.images was read as images_train, {before}train.texts as texts_train"
    )
    assert same_pairs(load_file(tmp_path / "structs.mat"), path_5)
    with (tmp_path / "structs.mat").open("ab") as stream:
        stream.write(matlab_object("my_table", "table"))
    assert set(read_mat(tmp_path / "structs.mat").keys) == {*file.keys, "my_table"}


def test_the_fields_of_structs_in_version_7_3_are_arrays_by_name(path_73):
    expected = load_file(path_73)
    with h5py.File(path_73, "r+") as file:
        for name in STRUCTS:
            group = file.create_group(f"data/{name}")
            for kind in ("images", "texts", "labels"):
                file.move(f"{kind}_{name}", f"data/{name}/{kind}")
            group.attrs["MATLAB_class"] = np.bytes_("struct")
        file["data"].attrs["MATLAB_class"] = np.bytes_("struct")
    assert "data.test.texts" in read_mat(path_73).keys
    assert same_pairs(expected, path_73)


def test_arrays_of_structs_in_version_7_3_are_refused(path_73):
    with h5py.File(path_73, "r+") as file:
        references = np.array([[file["images_val"].ref] * 2], dtype=h5py.ref_dtype)
        file.create_group("ids_val").create_dataset("field", data=references, dtype=h5py.ref_dtype)
        file["ids_val"].attrs["MATLAB_class"] = np.bytes_("struct")
    with pytest.raises(DatasetError, match="ids_val is a MATLAB struct array, which cannot be read"):
        load_file(path_73)


def test_complex_features_are_refused_rather_than_halved(tmp_path, path_73):
    savemat(tmp_path / "a.mat", VARIABLES | {"images_val": np.full((4, 3), 1 + 2j)})
    with pytest.raises(DatasetError, match="images_val is complex numbers"):
        load_file(tmp_path / "a.mat")
    with h5py.File(path_73, "r+") as file:
        del file["images_val"]
    stored = np.zeros((3, 4), dtype=[("real", "<f8"), ("imag", "<f8")])
    add_73(path_73, "images_val", stored, MATLAB_class=np.bytes_("double"))
    with pytest.raises(DatasetError, match="images_val is a MATLAB complex array"):
        load_file(path_73)


def test_hdf5_that_matlab_did_not_write_is_refused_because_its_order_is_unknown(tmp_path):
    write_73(tmp_path / "a.mat", VARIABLES, classes=False)
    with pytest.raises(DatasetError, match=r"images_train was not saved by MATLAB .*either order"):
        load_file(tmp_path / "a.mat")


def test_logical_and_integer_classes_are_read(path_73):
    with h5py.File(path_73, "r+") as file:
        del file["labels_val"], file["labels_test"]
    add_73(
        path_73,
        "labels_val",
        np.array([[0, 1, 1, 0]], dtype=np.uint8),
        MATLAB_class=np.bytes_("logical"),
        MATLAB_int_decode=np.int32(1),
    )
    add_73(
        path_73,
        "labels_test",
        np.array([[1], [0], [1], [0]], dtype=np.int16),
        MATLAB_class=np.bytes_("int16"),
    )
    loaded = load_file(path_73)
    assert loaded.validation.labels.tolist() == [0, 1, 1, 0]
    assert loaded.test.labels.tolist() == [1, 0, 1, 0]


def test_empty_values_in_version_7_3_are_empty_whatever_numbers_they_store(path_73):
    add_73(
        path_73,
        "source",
        np.zeros(2, dtype=np.uint64),
        MATLAB_class=np.bytes_("char"),
        MATLAB_empty=np.uint8(1),
    )
    assert load_file(path_73).card.source == "unknown"
    with h5py.File(path_73, "r+") as file:
        del file["images_val"]
    add_73(
        path_73,
        "images_val",
        np.array([0, 3], dtype=np.uint64),
        MATLAB_class=np.bytes_("double"),
        MATLAB_empty=np.uint8(1),
    )
    with pytest.raises(DatasetError, match=r"val has unequal lengths \(images 0, texts 4"):
        load_file(path_73)


def test_version_4_files_are_read(tmp_path):
    savemat(tmp_path / "four.mat", VARIABLES, format="4")
    assert load_file(tmp_path / "four.mat").train.images[3].tolist() == [9, 10, 11]


def test_a_file_that_is_not_matlab_is_refused(tmp_path):
    stream = BytesIO()
    np.save(stream, np.zeros(200))
    (tmp_path / "a.mat").write_bytes(stream.getvalue())
    with pytest.raises(DatasetError, match=r"a\.mat is a single array of NumPy's"):
        load_file(tmp_path / "a.mat")


def test_a_cell_that_refers_to_nothing_is_damage_and_no_danger(path_73):
    with h5py.File(path_73, "r+") as file:
        del file["class_names"]
        nothing = np.array([[h5py.Reference()] * 2], dtype=h5py.ref_dtype)
        node = file.create_dataset("class_names", data=nothing, dtype=h5py.ref_dtype)
        node.attrs["MATLAB_class"] = np.bytes_("cell")
    with pytest.raises(DatasetError, match="class_names has cells that refer to nothing"):
        load_file(path_73)


def test_a_file_that_crashes_its_reader_is_refused_and_the_run_lives(path_5, monkeypatch):
    monkeypatch.setattr(matlab, "_READER", ("-c", "import os; os.abort()"))
    with pytest.raises(DatasetError, match=r"crashes SciPy's reader: Abort"):
        load_file(path_5)


def test_a_file_that_crashes_its_reader_at_a_variable_is_refused_too(path_5, monkeypatch):
    reading = """import os; print('{"names": ["images_train"]}', flush=True); input(); os.abort()"""
    monkeypatch.setattr(matlab, "_READER", ("-c", reading))
    with pytest.raises(DatasetError, match=r"crashes SciPy's reader: Abort"):
        load_file(path_5)


def test_the_process_that_reads_an_older_file_ends_when_nobody_reads_it(path_5):
    names, read = matlab.open_mat(path_5)
    process = read.__self__._process
    assert read(names[0]).shape
    assert process.poll() is None
    del read
    assert process.poll() is not None
