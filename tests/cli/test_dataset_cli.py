"""``cmbench datasets``: list, info and check."""

import sys
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from cmbench.cli.main import cli
from cmbench.datasets import registry
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, Draft, Parts, Split
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.datasets.raw.splits import shipped_splits
from cmbench.datasets.registry import load_dataset
from cmbench.errors import DatasetError


def a_split(name, labels):
    pairs = len(labels)
    return Split(
        np.ones((pairs, 5), dtype=np.float32),
        np.ones((pairs, 3), dtype=np.float32),
        np.array(labels),
        np.array([f"{name}{row}" for row in range(pairs)]),
        text_parts=Parts(np.ones((pairs, 2), dtype=np.float32), np.arange(pairs + 1)),
        image_groups=np.array([0, 0, 1, 1, 2]),
    )


@pytest.fixture
def dataset():
    return Dataset(
        "toy",
        a_split("a", [0, 0, 1, 1, 1]),
        a_split("b", [1, 0]),
        a_split("c", [1, 1, 1]),
        ("cat [red]", "dog"),
        Card(source="a source " * 20, licence="CC0", image_feature="noise"),
    )


@pytest.fixture
def run():
    """Return a function that runs a command and gives its status and the lines it printed."""

    def run_it(*arguments):
        result = CliRunner().invoke(cli, ["datasets", *map(str, arguments)])
        if isinstance(result.exception, DatasetError):
            raise result.exception
        lines = result.output.splitlines()
        assert arguments[0] in ("info", "list") or all(len(line) <= 80 for line in lines)
        return result.exit_code, [" ".join(line.split()) for line in lines]

    return run_it


def test_list_shows_every_name_with_a_line_on_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "toy_module", SimpleNamespace(__doc__="Toys to play with.\nMore."))
    monkeypatch.setattr(registry, "BUILT_IN", {"toys": "toy_module:make"})
    assert run("list") == (0, ["toys Toys to play with."])


def test_info_shows_sizes_features_card_and_pairs_by_category(run, tmp_path, dataset):
    save_npz(tmp_path / "a.npz", dataset)
    status, lines = run("info", tmp_path / "a.npz")
    assert status == 0
    for line in (
        "name toy",
        "pairs 5 train, 2 val, 3 test",
        "images 5 dimensions: noise",
        "texts 3 dimensions: unknown",
        "parts texts",
        "groups images 3",
        "categories 2",
        "licence CC0",
        f"fingerprint {dataset.fingerprint}",
        "category train val test",
        "cat [red] 2 1 0",
        "dog 3 1 3",
    ):
        assert line in lines


def test_info_for_another_program_has_each_value_whole_on_its_line(tmp_path, dataset):
    save_npz(tmp_path / "a.npz", dataset)
    lines = CliRunner().invoke(cli, ["datasets", "info", str(tmp_path / "a.npz")]).output.splitlines()
    assert f"fingerprint{' ' * (lines[0].index('toy') - 11)}{dataset.fingerprint}" in lines
    assert any(line.endswith(("a source " * 20).strip()) for line in lines)
    assert not any(line.endswith(" ") for line in lines[: lines.index("")])


def test_info_on_an_unknown_name_is_an_error(run):
    with pytest.raises(DatasetError, match="did you mean 'scenes'"):
        run("info", "scnes")
    with pytest.raises(DatasetError, match=r"did you mean 'wikipedia'.* made of .*xmedianet"):
        run("info", "Wikipdia")


@pytest.mark.parametrize("name", ["wikipedia", "Wikipedia", "xmedianet"])
def test_a_collection_without_features_is_never_said_to_be_unknown(name):
    with pytest.raises(
        DatasetError, match=f"^'{name.lower()}' is a collection .* extract {name.lower()}"
    ) as caught:
        load_dataset(name)
    assert "did you mean" not in str(caught.value)


def test_info_names_the_split_file_of_a_collection_with_its_checksum(run):
    status, lines = run("info", "wikipedia")
    digest = sha256(shipped_splits("wikipedia").read_bytes()).hexdigest()
    assert status == 0
    assert any(line.startswith("split file wikipedia.csv, shipped with cmbench") for line in lines)
    assert digest in " ".join(lines)


@pytest.fixture
def sound():
    """The arrays of a sound file, labels aside, and what its features are."""
    random = np.random.default_rng(0)
    widths = {"images": 5, "texts": 3}
    arrays = {
        f"{kind}_{name}": random.standard_normal((20, width)).astype(np.float32)
        for kind, width in widths.items()
        for name in ("train", "val", "test")
    }
    return {**arrays, "image_feature": "VGG-19 fc7", "text_feature": "LDA"}


LABELS = {f"labels_{name}": np.arange(20) % 4 for name in ("train", "val", "test")}


def test_check_of_a_sound_file_passes_every_rule(run, tmp_path, sound):
    np.savez(tmp_path / "a.npz", **sound, **LABELS)
    status, lines = run("check", tmp_path / "a.npz")
    assert status == 0
    assert all(line.startswith("pass ") for line in lines[:11])
    assert lines[11:] == ["", "Ready to run."]


def test_check_of_a_file_without_labels_names_the_protocol_that_takes_it(run, tmp_path, sound):
    np.savez(tmp_path / "a.npz", **sound)
    status, lines = run("check", tmp_path / "a.npz")
    assert status == 0
    assert lines[-1] == "Ready to run with --protocol pairs."


@pytest.mark.parametrize("left_out", [["image_feature"], ["image_feature", "text_feature"]])
def test_check_says_which_keys_tell_what_the_features_are(run, tmp_path, sound, left_out):
    told = {key: array for key, array in sound.items() if key not in left_out}
    np.savez(tmp_path / "a.npz", **told, **LABELS)
    status, lines = run("check", tmp_path / "a.npz")
    assert (status, lines[-1]) == (0, "Ready to run.")
    assert f"note tables call the features unknown; say in {' and '.join(left_out)} what" in " ".join(lines)


def test_check_shows_everything_broken_and_exits_with_1(run, tmp_path, dataset):
    train = replace(
        dataset.train, images=np.full((5, 5), np.nan, dtype=np.float32), labels=np.array([0, 0, 1, 1, 2])
    )
    broken = Draft("toy", train, dataset.validation, dataset.test, dataset.class_names)
    save_npz(tmp_path / "a.npz", broken)
    status, lines = run("check", tmp_path / "a.npz")
    assert status == 1
    assert [line for line in lines if line.startswith("FAIL")] == [
        "FAIL features are finite",
        "FAIL labels name a class",
    ]
    text = " ".join(lines)
    assert "images_train row 0 holds NaN" in text
    assert "labels_train row 4 holds 2, outside 0..1" in text


def test_check_of_an_unreadable_file_says_what_it_could_not_check(run, tmp_path):
    np.savez(tmp_path / "a.npz", images_train=np.ones((2, 2)), note=np.array("x"))
    status, lines = run("check", tmp_path / "a.npz")
    assert status == 1
    assert lines[0] == "FAIL every array can be read and cast"
    assert "missing: texts_train" in " ".join(lines)
    assert "- 10 more rules are checked when this is mended" in lines
    assert "Keys without a meaning here: note" in lines
    assert lines[-1] == "A run refuses this dataset."


@pytest.mark.parametrize("verb", [["check"], ["convert", "-o", "a.npz"]])
def test_the_empty_path_of_a_variable_that_is_not_set_is_no_folder(verb):
    done = CliRunner().invoke(cli, ["datasets", verb[0], "", *verb[1:]])
    assert done.exit_code == 2
    assert "'' names no file or folder" in done.output


def test_check_of_an_absent_path_exits_with_1(run, tmp_path):
    status, lines = run("check", tmp_path / "absent.npz")
    assert status == 1
    assert "does not exist" in " ".join(lines)


@pytest.mark.parametrize("command", ["list", "info", "check"])
def test_every_command_has_help(run, command):
    status, lines = run(command, "--help")
    assert status == 0
    assert len(lines) > 4
