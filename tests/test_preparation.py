"""``cmbench datasets prepare`` and ``raw``: an archive as its source sent it, whole and broken."""

import io
import zipfile

import pytest
from click.testing import CliRunner
from PIL import Image

from cmbench.cli.main import cli
from cmbench.datasets.raw.preparation import prepared
from cmbench.errors import DatasetError

CATEGORIES = ("apple", "pear")
EACH = 10


def jpeg():
    encoded = io.BytesIO()
    Image.new("RGB", (8, 6), "green").save(encoded, "JPEG")
    return encoded.getvalue()


def folder_of_pairs():
    """Return the files of a folder with two categories of ten pairs, by name."""
    files = {}
    for category in CATEGORIES:
        for number in range(EACH):
            files[f"{category}/{number}.jpg"] = jpeg()
            files[f"{category}/{number}.txt"] = f"A green {category}, number {number}.".encode()
    return files


def archive(path, files, within="pairs/"):
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(within + name, content)
    return path


def command(*arguments):
    return CliRunner().invoke(cli, ["datasets", *map(str, arguments)])


@pytest.mark.parametrize("within", ["", "pairs/", "from/somewhere/"])
def test_an_archive_is_unpacked_and_read(tmp_path, within):
    dataset = prepared("pairs_table", archive(tmp_path / "fruit.zip", folder_of_pairs(), within))
    assert dataset.class_names == CATEGORIES
    assert sum(len(pairs) for _, pairs in dataset.splits) == 2 * EACH
    pair = dataset.train[0]
    assert pair.picture.read().shape == (6, 8, 3)
    assert (tmp_path / "fruit" / within / f"{pair.id}.jpg").exists()


def test_the_command_prints_the_card_and_the_categories(tmp_path):
    path = archive(tmp_path / "fruit.zip", folder_of_pairs())
    done = command("prepare", "pairs_table", "--from", path, "--to", tmp_path / "there")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "there" / "pairs" / "pear" / "3.txt").exists()
    rows = [line.split() for line in done.output.splitlines()]
    assert ["apple", "8", "1", "1"] in rows
    assert ["pairs", "16", "train,", "2", "val,", "2", "test"] in rows


def test_a_split_of_ones_own_is_followed(tmp_path):
    path = archive(tmp_path / "fruit.zip", folder_of_pairs(), "")
    words = ["train"] * 4 + ["val"] * 3 + ["test"] * 3
    lines = [f"{category}/{n},{words[n]}" for category in CATEGORIES for n in range(EACH)]
    splits = tmp_path / "splits.csv"
    splits.write_text("\n".join(["id,split", *lines]) + "\n")
    dataset = prepared("pairs_table", path, splits)
    assert [len(pairs) for _, pairs in dataset.splits] == [8, 6, 6]


def test_every_broken_picture_is_named(tmp_path):
    files = folder_of_pairs()
    files["apple/3.jpg"], files["pear/7.jpg"] = b"no picture", jpeg()[:200]
    done = command("prepare", "pairs_table", "--from", archive(tmp_path / "fruit.zip", files))
    assert done.exit_code != 0
    assert isinstance(done.exception, DatasetError)
    for name in ("apple/3.jpg", "pear/7.jpg"):
        assert f"{name}: no picture can be read" in str(done.exception)


def test_what_is_no_archive_and_no_folder_is_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist; name the place of its files"):
        prepared("wikipedia", tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"'pascal_sentence': no folder is given; .* Save the pictures"):
        prepared("pascal_sentence")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "wikipedia",
            ("2173 train, 231 val, 462 test", "Rasiwasia", "svcl.ucsd.edu", "no licence"),
        ),
        ("pascal_sentence", ("800 train, 100 val, 100 test", "Rashtchian", "no licence is stated")),
        ("xmedianet", ("32000 train, 4000 val, 4000 test", "Huang", "Apply to its authors")),
    ],
)
def test_info_shows_a_card_that_can_be_cited(name, said):
    printed = " ".join(command("info", name).output.split())
    for words in said:
        assert words in printed


def test_raw_lists_what_there_is():
    printed = command("raw").output
    for name in ("pairs_table", "pascal_sentence", "scenes", "wikipedia", "xmedianet"):
        assert name in printed
