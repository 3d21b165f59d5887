"""Datasets by name or path, and the real files."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cmbench.datasets
from cmbench.datasets import registry
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Split
from cmbench.datasets.formats.numpy_files import save_folder, save_npz
from cmbench.datasets.registry import dataset_names, dataset_summaries, describe, load_dataset
from cmbench.errors import DatasetError

# Pairs, dimensions and categories as the README of the files states them.
REAL_FILES = {
    "wikipedia_cnn128_lda50": ((2173, 231, 462), (128, 50), 10),
    "wikipedia_sift128_lda10": ((2173, 231, 462), (128, 10), 10),
    "pascal_sentence_mnv2_lsa300": ((800, 100, 100), (1280, 300), 20),
    "fashion_mnv2_lsa300": ((7836, 981, 981), (1280, 300), 66),
}


@pytest.fixture
def dataset():
    def split(name):
        features = np.eye(4, dtype=np.float32)
        return Split(
            features, features, np.array([0, 1, 1, 1]), np.array([f"{name}{row}" for row in range(4)])
        )

    return Dataset("toy", split("a"), split("b"), split("c"), ("cat", "dog"))


@pytest.fixture
def toys(monkeypatch, dataset):
    """Register a dataset called ``toys``, from a module whose docstring has two lines."""
    module = SimpleNamespace(__doc__="Toys to play with.\n\nAnd more.", make=lambda: dataset)
    monkeypatch.setitem(sys.modules, "toy_module", module)
    monkeypatch.setitem(registry.BUILT_IN, "toys", "toy_module:make")


@pytest.mark.usefixtures("toys")
def test_a_built_in_dataset_loads_by_name(dataset):
    assert load_dataset("toys") is dataset
    assert {"scenes", "toys"} <= set(dataset_names())
    assert list(dataset_names()) == sorted(dataset_names())


@pytest.mark.usefixtures("toys")
def test_the_summary_of_a_dataset_is_the_first_line_of_its_module():
    assert dataset_summaries()["toys"] == "Toys to play with."


@pytest.mark.usefixtures("toys")
def test_a_path_object_means_the_file_even_if_a_dataset_has_its_name(tmp_path, monkeypatch, dataset):
    monkeypatch.chdir(tmp_path)
    save_folder("toys", dataset)
    assert load_dataset("toys") is dataset
    for path in (Path("toys"), "./toys"):
        loaded = load_dataset(path)
        assert loaded is not dataset
        assert loaded.fingerprint == dataset.fingerprint


def test_a_path_may_start_at_home(tmp_path, monkeypatch, dataset):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_npz(tmp_path / "a.npz", dataset)
    assert load_dataset("~/a.npz").fingerprint == dataset.fingerprint


def test_an_unknown_name_is_answered_with_the_nearest_all_known_and_the_formats():
    with pytest.raises(DatasetError) as caught:
        load_dataset("Scene")
    for part in ("'Scene'", "did you mean 'scenes'?", "by name are", ".npz", ".mat", "folder of .npy"):
        assert part in str(caught.value)
    with pytest.raises(DatasetError) as caught:
        load_dataset("wikipedia.npz")
    assert "did you mean" not in str(caught.value)


def test_a_path_that_is_not_there_is_answered_with_what_lies_beside_it(tmp_path):
    (tmp_path / "features.npz").touch()
    with pytest.raises(DatasetError) as caught:
        load_dataset(str(tmp_path / "feature.npz"))
    assert "no such file or folder (did you mean 'features.npz'?); give the path" in str(caught.value)
    assert "features extract" not in str(caught.value)
    with pytest.raises(DatasetError, match="no such file or folder; give the path"):
        load_dataset(str(tmp_path / "none" / "features.npz"))


def test_an_empty_name_does_not_stand_for_the_current_folder():
    with pytest.raises(DatasetError, match="'' names no dataset"):
        load_dataset("")


@pytest.mark.parametrize("name", ["my_features", "wikipedia", "a"])
def test_a_file_that_was_named_without_its_ending_is_suggested(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.npz").touch()
    with pytest.raises(DatasetError, match=rf"unknown dataset '{name}' \(did you mean '{name}\.npz'\?\)"):
        load_dataset(name)


@pytest.mark.parametrize("name", ["Scenes", "EMOJI"])
def test_a_built_in_dataset_in_capital_letters_is_not_said_to_have_no_features(name):
    with pytest.raises(DatasetError, match=f"unknown dataset .*did you mean '{name.lower()}'"):
        load_dataset(name)


@pytest.mark.parametrize("name", REAL_FILES)
def test_a_real_file_has_the_sizes_its_readme_states(name, real_data):
    description = describe(load_dataset(real_data / f"{name}.npz"))
    sizes, dimensions, categories = REAL_FILES[name]
    assert description.name == name
    assert description.sizes == sizes
    assert (description.image_dimension, description.text_dimension) == dimensions
    assert len(description.classes) == categories
    assert tuple(np.sum([counts for _, *counts in description.classes], axis=0)) == sizes
    assert description.card.image_feature != "unknown"


def test_a_real_file_keeps_its_fingerprint_as_a_folder(tmp_path, real_data):
    loaded = load_dataset(real_data / "wikipedia_sift128_lda10.npz")
    save_folder(tmp_path / "wikipedia", loaded)
    assert load_dataset(tmp_path / "wikipedia").fingerprint == loaded.fingerprint


def test_the_real_file_without_training_images_says_so(real_data):
    with pytest.raises(
        DatasetError, match=r"pascal_dscmr_partial\.npz: missing: images_train, .*keys found: "
    ):
        load_dataset(real_data / "pascal_dscmr_partial.npz")


def test_importing_datasets_imports_nothing_heavy():
    code = (
        "import sys, cmbench.datasets.registry, cmbench.datasets.formats.files, cmbench.cli.datasets\n"
        "print(*{'torch', 'pandas', 'sklearn', 'h5py', 'scipy', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_public_name_of_the_package_can_be_imported():
    for name in cmbench.datasets.__all__:
        assert getattr(cmbench.datasets, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        cmbench.datasets.missing  # noqa: B018
