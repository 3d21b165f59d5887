"""Folders of arrays in other files than one .npy for each: .mat, .npz, text, or a folder for each split."""

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
        DatasetError, match=r"texts_val\.csv has numbers in its first line, .* row \d+.*; correct"
    ):
        load_file(tmp_path)
