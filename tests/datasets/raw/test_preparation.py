"""``cmbench datasets prepare`` and ``raw``: an archive as its source sent it, whole and broken."""

import hashlib
import io
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from click.testing import CliRunner
from PIL import Image

from cmbench.cli.main import cli
from cmbench.datasets.raw.preparation import checked_pictures, place_of, prepared, without_unreadable
from cmbench.datasets.raw.registry import load_raw
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
    place = place_of(str(archive(tmp_path / "fruit.zip", folder_of_pairs(), within)))
    assert place == tmp_path / "fruit" / within
    dataset = prepared("pairs_table", place)
    assert dataset.class_names == CATEGORIES
    assert sum(len(pairs) for _, pairs in dataset.splits) == 2 * EACH
    pair = dataset.train[0]
    assert pair.picture.read().shape == (6, 8, 3)
    assert (place / f"{pair.id}.jpg").exists()


def test_a_folder_and_a_table_are_their_own_place(tmp_path):
    (tmp_path / "mine.csv").touch()
    for path in (tmp_path, tmp_path / "mine.csv", tmp_path / "gone.zip"):
        assert place_of(str(path)) == path


def test_what_macos_adds_to_an_archive_is_left_alone(tmp_path):
    path = archive(tmp_path / "fruit.zip", folder_of_pairs())
    with zipfile.ZipFile(path, "a") as opened:
        for name in (".DS_Store", "pairs/.DS_Store", "__MACOSX/._pairs", "__MACOSX/pairs/apple/._1.jpg"):
            opened.writestr(name, b"x")
    assert place_of(str(path)) == tmp_path / "fruit" / "pairs"
    assert prepared("pairs_table", tmp_path / "fruit" / "pairs").class_names == CATEGORIES


def test_an_archive_that_has_changed_is_not_mixed_with_what_it_was(tmp_path):
    path = archive(tmp_path / "fruit.zip", folder_of_pairs())
    assert command("prepare", "pairs_table", "--from", path).exit_code == 0
    assert command("prepare", "pairs_table", "--from", path).exit_code == 0
    files = folder_of_pairs()
    files["apple/0.txt"] = files["apple/0.txt"].replace(b"green", b"white")
    done = command("prepare", "pairs_table", "--from", archive(path, files))
    assert isinstance(done.exception, DatasetError)
    assert f"{tmp_path / 'fruit'} is there and does not come from {path}" in str(done.exception)


def test_the_command_prints_the_card_and_the_categories(tmp_path):
    path = archive(tmp_path / "fruit.zip", folder_of_pairs())
    done = command("prepare", "pairs_table", "--from", path, "--to", tmp_path / "there")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "there" / "pairs" / "pear" / "3.txt").exists()
    rows = [line.split() for line in done.output.splitlines()]
    assert ["apple", "8", "1", "1"] in rows
    assert ["pairs", "16", "train,", "2", "val,", "2", "test"] in rows
    assert f"place{tmp_path}/there/pairs" in "".join(done.output.split())


@pytest.fixture
def address(tmp_path):
    """The address of an archive of pairs, and its checksum."""
    (tmp_path / "www").mkdir()
    path = archive(tmp_path / "www" / "fruit.zip", folder_of_pairs())
    handler = partial(Quiet, directory=tmp_path / "www")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/fruit.zip?raw=1"
        yield url, hashlib.sha256(path.read_bytes()).hexdigest()
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_an_address_is_fetched_unpacked_and_checked(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    url, sha256 = address
    for to in ((), ("--to", tmp_path / "there" / "pairs")):
        done = command("prepare", "pairs_table", "--from", url, "--sha256", sha256.upper(), *to)
        assert done.exit_code == 0, done.output
    for folder in (tmp_path / "fruit", tmp_path / "there" / "pairs"):
        assert (folder / "pairs" / "pear" / "3.txt").exists()
    assert (tmp_path / "fruit.zip").exists()
    assert (tmp_path / "there" / "fruit.zip").exists()


def test_nothing_is_fetched_without_its_checksum_or_of_another(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    url, sha256 = address
    wrong = "0" * 64
    for arguments, said in (
        ((url,), "nothing is fetched without its SHA-256; give the one that its publisher names (--sha256)"),
        ((url, "--sha256", wrong), f"the SHA-256 is {sha256} and should be {wrong}; nothing of it was kept"),
        ((url.replace(".zip", ".html"), "--sha256", wrong), "is not the address of an archive (.zip, "),
        (("www/fruit.zip", "--sha256", sha256), "www/fruit.zip is no address (https://...)"),
    ):
        done = command("prepare", "pairs_table", "--from", *arguments)
        assert isinstance(done.exception, DatasetError)
        assert said in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["www"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("http://127.0.0.1:1/a.zip", "--sha256", "abc"), "'abc'; it has 64 hexadecimal digits"),
        (("http://[::1/a.zip", "--sha256", "0" * 64), "http://[::1/a.zip is not an address ("),
        (("http://127.0.0.1:1/a.zip", "--sha256", "0" * 64, "--to", "file/in/x"), "cannot be written"),
    ],
)
def test_what_cannot_be_fetched_or_kept_is_told(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = command("prepare", "pairs_table", "--from", *arguments)
    assert isinstance(done.exception, DatasetError)
    assert said in str(done.exception)


def test_a_split_of_ones_own_is_followed(tmp_path):
    path = archive(tmp_path / "fruit.zip", folder_of_pairs(), "")
    words = ["train"] * 4 + ["val"] * 3 + ["test"] * 3
    lines = [f"{category}/{n},{words[n]}" for category in CATEGORIES for n in range(EACH)]
    splits = tmp_path / "splits.csv"
    splits.write_text("\n".join(["id,split", *lines]) + "\n")
    dataset = prepared("pairs_table", place_of(str(path)), splits)
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
            (
                *("2173 train, 231 val, 462 test", "Rasiwasia", "svcl.ucsd.edu", "no licence"),
                *("2,173 training pairs and 693 others as distributed;", "cut of the paper is not published"),
                *("10; train: 138, 272, 244,", "val and test: 34, 88, 96,"),
            ),
        ),
        (
            "pascal_sentence",
            (
                *("800 train, 100 val, 100 test", "Rashtchian", "no licence is stated", "drawn by category"),
                *("with Amazon's Mechanical Turk, pp.", "20; train: 40 of each; val: 5 of each; test: 5 of"),
            ),
        ),
        (
            "xmedianet",
            (
                "32000 train, 4000 val, 4000 test",
                "Huang",
                "Apply to its authors",
                "categories 200",
                "1710.05106",
            ),
        ),
        (
            "pairs_table",
            ("text_file", "id and split (train, val or test)", "drawn by category, 80/10/10"),
        ),
    ],
)
def test_info_shows_a_card_that_can_be_cited(name, said):
    printed = " ".join(command("info", name).output.split())
    for words in said:
        assert words in printed


def test_raw_lists_what_there_is():
    printed = command("raw").output
    for name in ("emoji", "pairs_table", "pascal_sentence", "scenes", "wikipedia", "xmedianet"):
        assert name in printed


def test_pairs_of_unreadable_pictures_can_be_left_out_and_the_card_says_which(tmp_path):
    files = folder_of_pairs()
    files["apple/3.jpg"], files["pear/7.jpg"] = b"<html>", b""
    path = archive(tmp_path / "fruit.zip", files)
    dataset = load_raw("pairs_table", place_of(str(path)))
    with pytest.raises(DatasetError, match=r"apple/3\.jpg: .* a web page .*pear/7\.jpg: .* it is empty"):
        checked_pictures(dataset)
    readable = without_unreadable(dataset)
    ids = {pair.id for _, pairs in readable.splits for pair in pairs}
    assert ids == {pair.id for _, pairs in dataset.splits for pair in pairs} - {"apple/3", "pear/7"}
    assert readable.card.notes == ("2 pairs were left out, whose pictures cannot be read: apple/3, pear/7",)


def test_where_all_pictures_can_be_read_nothing_changes(tmp_path):
    dataset = load_raw("pairs_table", place_of(str(archive(tmp_path / "fruit.zip", folder_of_pairs()))))
    assert without_unreadable(dataset) is dataset
