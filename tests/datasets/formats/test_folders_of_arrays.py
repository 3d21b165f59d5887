"""Folders of arrays in other files than one .npy for each: .mat, .npz, text, or a folder for each split."""

import os

import numpy as np
import pytest
from plain_arrays import PAIRS, assert_same, plain_arrays
from scipy.io import savemat

from cmbench.datasets.formats.files import load_file
from cmbench.errors import DatasetError


@pytest.fixture
def arrays():
    return plain_arrays()


@pytest.mark.parametrize("one_each", [True, False])
def test_a_folder_of_mat_files_is_read(one_each, arrays, tmp_path):
    if one_each:
        for key, array in arrays.items():
            savemat(tmp_path / f"{key}.mat", {"data": array})
    else:
        for name in PAIRS:
            keys = {"I": "images", "T": "texts", "L": "labels"}
            savemat(tmp_path / f"{name}.mat", {key: arrays[f"{kind}_{name}"] for key, kind in keys.items()})
    assert_same(load_file(tmp_path), arrays)


def test_labels_may_stand_one_to_a_line(arrays, tmp_path):
    for key, array in arrays.items():
        if key.startswith("labels"):
            (tmp_path / f"{key}.txt").write_text("\ufeff" + "\r\n".join(map(str, array)) + "\n", "utf-8")
        else:
            np.save(tmp_path / f"{key}.npy", array)
    assert_same(load_file(tmp_path), arrays)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".txt"])
def test_each_split_may_have_a_folder_of_its_own(suffix, arrays, tmp_path):
    for key, array in arrays.items():
        kind, _, name = key.partition("_")
        (tmp_path / name).mkdir(exist_ok=True)
        path = tmp_path / name / f"{kind}{suffix}"
        if suffix == ".txt":
            np.savetxt(path, array, fmt="%.9g")
        else:
            (np.save if suffix == ".npy" else np.savez)(path, array)
    for other in ("notes", "\u52a8\u7269"):  # no folders of a split
        (tmp_path / other).mkdir()
        np.save(tmp_path / other / "images_test.npy", np.zeros(3))
    dataset = load_file(tmp_path)
    assert_same(dataset, arrays)
    assert not any("read as images" in note for note in dataset.card.notes)


def test_each_split_may_have_an_npz_file_of_its_own(arrays, tmp_path):
    for name in PAIRS:
        of_split = {kind: arrays[f"{kind}_{name}"] for kind in ("images", "texts", "labels")}
        np.savez(tmp_path / f"{name}.npz", **of_split)
    assert_same(load_file(tmp_path), arrays)


@pytest.mark.parametrize(
    ("suffix", "separator"), [(".txt", " "), (".txt", "\t"), (".csv", ","), (".csv", "; "), (".tsv", "\t")]
)
def test_the_numbers_of_a_pair_may_stand_in_a_line(suffix, separator, arrays, tmp_path):
    """As ``numpy.savetxt`` and ``writematrix`` of MATLAB write them, labels by the former with decimals."""
    for key, array in arrays.items():
        np.savetxt(tmp_path / f"{key}{suffix}", array, delimiter=separator)
    ids = [f"00{row}" for row in range(PAIRS["test"])]
    (tmp_path / "ids_test.txt").write_text("\n".join(ids) + "\n", "utf-8")
    dataset = load_file(tmp_path)
    assert_same(dataset, arrays)
    assert dataset.test.ids.tolist() == ids


def test_a_line_with_another_number_of_numbers_is_named(arrays, tmp_path):
    for key, array in arrays.items():
        np.savetxt(tmp_path / f"{key}.csv", array, delimiter=",")
    with (tmp_path / "texts_val.csv").open("a") as file:
        file.write("1,2\n")
    with pytest.raises(
        DatasetError, match=rf"texts_val\.csv: line {len(arrays['texts_val']) + 1} has 2 numbers, and line 1"
    ):
        load_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("f0,f1\n1,2\n3,4\n", "line 1 is 'f0,f1', which is no row of numbers"),
        ("# made by me\n1 2\n", "line 1 is '# made by me', which"),
        ("0,5;0,3\n0,1;0,2\n", "line 1, column 2 is '5;0'"),
        ('"1","2"\n', 'line 1 is \'"1","2"\', which'),
        ("1,2\n3,\n", "line 2, column 2 is empty"),
        ("1,2\n3,x\n", "line 2, column 2 is 'x'"),
        ("1,2,\n3,4,\n", "line 1, column 3 is empty"),
        ("1 2\n\n3\n", "line 3 has 1 numbers, and line 1 has 2"),
        ("A dog runs.\nA cat.\n", "line 1 is 'A dog runs.', which"),
    ],
)
def test_lines_of_features_that_are_no_numbers_are_named_with_the_remedy(text, told, arrays, tmp_path):
    for key, array in arrays.items():
        np.save(tmp_path / f"{key}.npy", array)
    (tmp_path / "texts_val.npy").unlink()
    place = tmp_path / "texts_val.csv"
    place.write_text(text, "utf-8")
    with pytest.raises(DatasetError) as error:
        load_file(tmp_path)
    assert f"{place}: {told}" in str(error.value)
    assert "write the numbers of a pair in a line, with points for decimals" in str(error.value)
    assert "damaged" not in str(error.value)
    place.write_bytes("caf\u00e9".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"texts_val\.csv is not UTF-8 .*; save it as UTF-8"):
        load_file(tmp_path)


@pytest.mark.parametrize("name", ["labels_test.pt", "labels_test.npy.gz", "labels_test.parquet"])
def test_an_array_in_a_form_that_is_not_read_is_named(name, arrays, tmp_path):
    """Without it there would be no word of labels that lie in the folder."""
    for key, array in arrays.items():
        np.save(tmp_path / f"{key}.npy", array)
    (tmp_path / "labels_test.npy").rename(tmp_path / name)
    (tmp_path / "images_test.pt").write_bytes(b"beside the one that is read")
    with pytest.raises(DatasetError, match=rf"{name} is in a form that is not read; save it as \.npy"):
        load_file(tmp_path)


def test_endings_may_be_in_capitals(arrays, tmp_path):
    for key, array in arrays.items():
        np.save(tmp_path / f"{key}.npy", array)
    (tmp_path / "labels_test.npy").rename(tmp_path / "labels_test.NPY")
    assert_same(load_file(tmp_path), arrays)


@pytest.mark.parametrize("name", ["a.npz", "a.mat", "a/labels_test.npy", "a/labels_test.mat", "a/card.json"])
def test_a_pipe_is_named_and_not_waited_for(name, arrays, tmp_path):
    (tmp_path / "a").mkdir()
    for key, array in arrays.items():
        np.save(tmp_path / "a" / f"{key}.npy", array)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(DatasetError, match=rf"{name} is a pipe or a device"):
        load_file(tmp_path / name.partition("/")[0])


@pytest.mark.parametrize("text", ["[" * 200_000, '{"source": ' + "[" * 200_000])
def test_a_card_that_is_nested_too_deeply_is_no_json(text, arrays, tmp_path):
    for key, array in arrays.items():
        np.save(tmp_path / f"{key}.npy", array)
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(DatasetError, match=r"card\.json is not JSON in UTF-8"):
        load_file(tmp_path)
