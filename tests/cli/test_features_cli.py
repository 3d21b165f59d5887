"""``cmbench features extract``: a file with a card, the same again, and after a kill."""

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click import UsageError
from click.testing import CliRunner
from PIL import Image

from cmbench.cli.main import cli, main
from cmbench.cli.options import like_default
from cmbench.cli.plot import plot
from cmbench.datasets.features import extraction
from cmbench.datasets.features.backbones import LITE, OWN
from cmbench.datasets.registry import load_dataset
from cmbench.errors import CmbenchError, DatasetError

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40)}
QUICK = (
    "--backbone", "small-cnn", "--weights", "random", "--vectors", "random", "--threads", "1",
    "--set", "text.epochs=2", "--set", "text.maps=4",
)  # fmt: skip


@pytest.fixture
def pairs(tmp_path):
    """A table of 40 pairs with pictures of two colours."""
    rows = [("image", "text", "category", "split")]
    random = np.random.default_rng(0)
    for number in range(40):
        name, colour = list(COLOURS.items())[number % 2]
        pixels = np.clip(random.normal(colour, 50, (30, 20, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        split = "train" if number < 24 else "val" if number < 32 else "test"
        rows.append((f"{number}.png", f"A {name} thing.\nNumber {number % 3}.", name, split))
    path = tmp_path / "mine.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def extract(*arguments):
    result = CliRunner().invoke(cli, ["features", "extract", *map(str, arguments)])
    if isinstance(result.exception, CmbenchError):
        raise result.exception
    return result


def test_the_help_names_every_backbone_that_has_a_name():
    told = extract("--help").output
    assert {name for name in (*OWN, *LITE) if name not in told} == set()


def test_a_feature_dataset_with_its_card_comes_out(pairs, tmp_path):
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / "out.npz", *QUICK)
    assert result.exit_code == 0, result.output
    dataset = load_dataset(tmp_path / "out.npz")
    assert f"fingerprint {dataset.fingerprint}" in result.output
    assert dataset.name == "mine"
    assert dataset.class_names == ("green", "red")
    assert dataset.train.ids[:2].tolist() == ["0.png", "1.png"]
    assert [len(split) for _, split in dataset.splits] == [24, 8, 8]
    assert dataset.train.texts.shape[1] == 12
    recipe = json.loads(dataset.card.recipe)
    assert recipe["text"]["settings"]["shape"]["maps"] == 4
    assert not (tmp_path / "out.npz.work").exists()


def test_unreadable_pictures_are_all_named_or_left_out_and_the_card_says_so(pairs, tmp_path):
    (tmp_path / "3.png").write_bytes(b"<html>")
    (tmp_path / "35.png").write_bytes(b"")
    arguments = ("pairs_table", "--from", pairs, "-o", tmp_path / "out.npz", *QUICK)
    with pytest.raises(DatasetError, match=r"3\.png: .* a web page .*35\.png: .* it is empty"):
        extract(*arguments)
    result = extract(*arguments, "--skip-unreadable")
    assert result.exit_code == 0, result.output
    dataset = load_dataset(tmp_path / "out.npz")
    assert [len(split) for _, split in dataset.splits] == [23, 8, 7]
    assert "2 pairs were left out, whose pictures cannot be read: 3.png, 35.png" in dataset.card.notes


def test_vgg19_gives_the_same_fingerprint_twice(pairs, tmp_path):
    with pairs.open(newline="") as file:
        header, *rows = csv.reader(file)
    with pairs.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows[:4], *rows[24:26], *rows[32:34]])
    for name in ("one.npz", "two.npz"):
        result = extract("pairs_table", "--from", pairs, "-o", tmp_path / name, *QUICK, "--backbone", "vgg19")
        assert result.exit_code == 0, result.output
    one, two = (load_dataset(tmp_path / name) for name in ("one.npz", "two.npz"))
    assert one.train.images.shape == (4, 4096)
    assert (one.train.images >= 0).all(), "fc7 after ReLU"
    assert one.fingerprint == two.fingerprint


def test_adadelta_begins_with_its_own_rate(pairs, tmp_path):
    for name, more, rate in (("own", (), 1.0), ("given", ("--set", "text.learning_rate=0.5"), 0.5)):
        given = ("--set", "text.optimiser=adadelta", *more)
        result = extract("pairs_table", "--from", pairs, "-o", tmp_path / f"{name}.npz", *QUICK, *given)
        assert result.exit_code == 0, result.output
        recipe = json.loads(load_dataset(tmp_path / f"{name}.npz").card.recipe)
        assert recipe["text"]["settings"]["learning_rate"] == rate


@pytest.mark.parametrize(
    ("place", "what"), [("mine.zip", "an archive"), ("https://example.org/mine.zip", "an address")]
)
def test_what_is_to_be_prepared_first_is_told(tmp_path, monkeypatch, place, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.zip").touch()
    remedy = f"{place} is {what}; run 'cmbench datasets prepare wikipedia --from {place}' first"
    with pytest.raises(DatasetError, match=re.escape(remedy)):
        extract("wikipedia", "--from", place, "-o", tmp_path / "out.npz", *QUICK)


def test_how_pictures_are_prepared_can_be_said(pairs, tmp_path):
    own = [
        "--resize",
        20,
        "--crop",
        16,
        "--mean",
        0.1,
        0.2,
        0.3,
        "--std",
        1,
        1,
        0.5,
        "--precision",
        "float32",
    ]
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / "out.npz", *QUICK, *own)
    assert result.exit_code == 0, result.output
    recipe = json.loads(load_dataset(tmp_path / "out.npz").card.recipe)
    expected = {"resize": 20, "crop": 16, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 0.5]}
    assert recipe["image"]["preprocessing"] == recipe["image"]["found"]["preprocessing"] == expected
    assert recipe["image"]["precision"] == "float32"


def test_without_npz_it_is_a_folder_and_a_second_time_the_same(pairs, tmp_path):
    both = ["--training", "scratch", "--set", "image.epochs=2", "--parts"]
    for name in ("one", "two.npz"):
        result = extract("pairs_table", "--from", pairs, "-o", tmp_path / name, *QUICK, *both)
        assert result.exit_code == 0, result.output
    one, two = (load_dataset(tmp_path / name) for name in ("one", "two.npz"))
    assert one.fingerprint == two.fingerprint
    assert one.train.has_parts


def test_after_a_kill_the_same_command_goes_on_and_ends_with_the_same_fingerprint(pairs, tmp_path):
    output = tmp_path / "killed.npz"
    command = ["features", "extract", "pairs_table", "--from", pairs, "-o", output, *QUICK, "--batch-size", 1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cmbench", *map(str, command)], env=environment, stderr=subprocess.PIPE
    )
    work = tmp_path / "killed.npz.work"
    done = 0
    while process.poll() is None and not done:
        states = list(work.rglob("features.json"))
        done = json.loads(states[0].read_text())["done"] if states else 0
        time.sleep(0.001)
    process.kill()
    process.communicate()
    if process.returncode != -signal.SIGKILL:
        pytest.skip("the extraction was complete before it could be killed")
    assert 0 < done < 40
    assert not output.exists()
    assert extract(*command[2:]).exit_code == 0
    undisturbed = tmp_path / "calm.npz"
    assert extract("pairs_table", "--from", pairs, "-o", undisturbed, *command[7:]).exit_code == 0
    assert load_dataset(output).fingerprint == load_dataset(undisturbed).fingerprint


def test_after_ctrl_c_it_is_said_that_the_work_is_kept(pairs, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "extract_features", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    output = ["pairs_table", "--from", str(pairs), "-o", str(tmp_path / "out.npz")]
    monkeypatch.setattr(sys, "argv", ["cmbench", "features", "extract", *output, *QUICK])
    with pytest.raises(SystemExit, match="130"):
        main()
    assert capsys.readouterr().err == (
        "\ncmbench: interrupted; what is finished is kept, and the same command goes on from there\n"
    )


def test_an_interrupted_verb_that_keeps_nothing_does_not_say_that_it_does(monkeypatch, capsys):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(plot.commands["ranks"], "callback", interrupted)
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(sys, "argv", ["cmbench", "plot", "ranks"])
    with pytest.raises(SystemExit, match="130"):
        main()
    assert capsys.readouterr().err == "\ncmbench: interrupted\n"


def test_a_folder_for_what_is_finished_is_kept_with_what_else_is_in_it(pairs, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "precious.txt").write_text("mine")
    assert extract(
        "pairs_table", "--from", pairs, "-o", tmp_path / "one.npz", *QUICK, "--work", tmp_path
    ).exit_code == 0  # fmt: skip
    assert (tmp_path / "images" / "precious.txt").read_text() == "mine"
    assert list(tmp_path.rglob("features.npy"))


@pytest.mark.parametrize("name", ["x.mat", "x.PT"])
def test_a_folder_is_not_named_like_a_file_of_another_kind(pairs, tmp_path, name):
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / name, *QUICK)
    assert result.exit_code == 2
    assert "is written as one file .npz, or as a folder of .npy files, and not as" in result.output
    assert not (tmp_path / name).exists()


def test_a_file_that_is_there_is_not_overwritten(pairs, tmp_path):
    (tmp_path / "old.npz").write_bytes(b"precious")
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / "old.npz", *QUICK)
    assert result.exit_code == 2
    assert "exists already; name another file, or remove it" in result.output
    assert (tmp_path / "old.npz").read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made_is_named(pairs, tmp_path):
    (tmp_path / "file").write_text("precious")
    places = ("-o", tmp_path / "out.npz", "--work", tmp_path / "file")
    with pytest.raises(DatasetError, match=r"file.*: cannot be written .*; see that there is room"):
        extract("pairs_table", "--from", pairs, *places, *QUICK)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("-o", "new/deep/out.npz"), "new/deep"),
        (("-o", "new/folder"), "new"),
        (("-o", "mine.csv/out.npz"), "mine.csv"),
        (("-o", "out.npz", "--work", "new/work"), "new"),
        (("-o", "out.npz", "--save-weights", "new/weights"), "new"),
    ],
)
def test_no_folder_is_made_on_the_way_to_an_output(pairs, tmp_path, given, missing):
    there = sorted(tmp_path.rglob("*"))
    places = [word if word.startswith("-") else tmp_path / word for word in given]
    with pytest.raises(CmbenchError) as raised:
        extract("pairs_table", "--from", pairs, *places, *QUICK)
    wanted = f": there is no folder {tmp_path / missing}; make it first, or name another place"
    assert str(raised.value).endswith(wanted)
    assert sorted(tmp_path.rglob("*")) == there


def test_a_link_to_nothing_is_there_already(pairs, tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "later.npz")
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / "link.npz", *QUICK)
    assert "exists already; name another file, or remove it" in result.output
    assert (tmp_path / "link.npz").is_symlink()


@pytest.fixture
def small_disk():
    """No file can become larger than 20,000 bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("training", ["none", "scratch"])
def test_a_full_disk_is_an_error_with_a_path_and_what_to_do(pairs, tmp_path, small_disk, training):
    with pytest.raises(DatasetError, match=rf"{tmp_path}.* cannot be written .*; see that there is room"):
        extract("pairs_table", "--from", pairs, "-o", tmp_path / "o.npz", *QUICK, "--training", training)


def test_wrong_word_vectors_are_noticed_before_any_picture_is_read(pairs, tmp_path):
    (tmp_path / "vectors.txt").write_text("")
    with pytest.raises(DatasetError, match=r"vectors\.txt is empty; get the file again"):
        extract(
            "pairs_table", "--from", pairs, "-o", tmp_path / "out.npz", "--backbone", "small-cnn",
            "--weights", "random", "--vectors", tmp_path / "vectors.txt",
        )  # fmt: skip
    assert not (tmp_path / "out.npz.work").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("text.epoch=2", "--set text.epoch: there is no such setting; use optimiser, learning_rate"),
        ("image.epochs=2", "add --training"),
        ("epochs=2", "is not image.SETTING=VALUE or text.SETTING=VALUE"),
        (
            "picture.epochs=2",
            "'picture' is neither image nor text; use image.SETTING=VALUE or text.SETTING=VALUE",
        ),
        ("text.epochs", "is not image.SETTING=VALUE or text.SETTING=VALUE"),
    ],
)
def test_a_setting_that_there_is_not_is_refused_with_those_there_are(pairs, tmp_path, given, message):
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / "out.npz", *QUICK, "--set", given)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("image.augmented=no", "--set image.augmented=no: it must be true or false, such as true"),
        ("image.augmented=1", "--set image.augmented=1: it must be true or false, such as true"),
        ("image.epochs=2.5", "--set image.epochs=2.5: it must be a whole number, such as 20"),
        ("image.epochs=true", "--set image.epochs=true: it must be a whole number, such as 20"),
        ("image.momentum=NaN", "--set image.momentum=NaN: it must be a number, such as 0.9"),
        ("image.momentum=[1]", "--set image.momentum=[1]: it must be a number, such as 0.9"),
        ("image.precision=16", "--set image.precision=16: it must be a word, such as auto"),
        ("text.epochs=abc", "--set text.epochs=abc: it must be a whole number, such as 30"),
        ("text.epochs=null", "--set text.epochs=null: it must be a whole number, such as 30"),
        ("text.widths=3", "--set text.widths=3: it must be a list of whole numbers, such as [3, 4, 5]"),
        ("text.widths=[3,true]", "--set text.widths=[3, true]: it must be a list of whole numbers"),
        ("text.tuned=tuned", "--set text.tuned=tuned: it must be true or false, such as true"),
    ],
)
def test_a_value_of_another_type_than_its_setting_is_refused_with_the_form(pairs, tmp_path, given, message):
    settings = ["--training", "scratch", "--set", given, *QUICK[: QUICK.index("--set")]]
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / "out.npz", *settings)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_values_of_settings_have_the_type_of_the_default():
    assert like_default("a", False, True) is False
    assert like_default("a", True, False) is True
    assert like_default("a", 2, 0) == 2
    assert type(like_default("a", 2, 0.5)) is float
    assert like_default("a", [1, 2], (3,)) == (1, 2)
    assert like_default("a", "adadelta", "adam") == "adadelta"
    with pytest.raises(UsageError, match=r"it must be a number, such as 0\.5"):
        like_default("a", 10**400, 0.5)


def test_word_vectors_must_be_named_or_declined(pairs, tmp_path):
    result = extract("pairs_table", "--from", pairs, "-o", tmp_path / "out.npz", "--backbone", "small-cnn")
    assert result.exit_code == 2
    assert "--vectors" in result.output
