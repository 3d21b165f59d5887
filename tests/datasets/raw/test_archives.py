"""Archives that others made: whole ones are unpacked, damaged and hostile ones leave nothing behind."""

import errno
import io
import random
import shutil
import tarfile
import zipfile

import pytest

from cmbench.datasets.raw.archives import MARK, unpack
from cmbench.errors import DatasetError

FILES = {"images/art/1.jpg": b"one" * 1000, "texts/1.xml": b"two", "empty": b""}


def zipped(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("images")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


MODES = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}


def tarred(path, files=FILES, extra=()):
    with tarfile.open(path, MODES.get(path.suffix.lower(), "w")) as archive:
        folder = tarfile.TarInfo("images")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return path


MAKERS = [
    ("a.zip", zipped),
    ("a.tar", tarred),
    ("a.tar.gz", tarred),
    ("a.TGZ", tarred),
    ("a.tar.bz2", tarred),
    ("a.tar.xz", tarred),
]


def unpacked(folder):
    """Return what the folder holds, by name, without the mark of cmbench."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != MARK}


@pytest.mark.parametrize(("name", "make"), MAKERS)
def test_every_file_is_unpacked(tmp_path, name, make):
    unpack(make(tmp_path / name), tmp_path / "deep" / "to")
    assert unpacked(tmp_path / "deep" / "to") == FILES
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["to"]


def test_an_archive_that_was_unpacked_is_not_unpacked_again(tmp_path):
    archive, to = zipped(tmp_path / "a.zip"), tmp_path / "to"
    unpack(archive, to)
    (to / "texts/1.xml").write_bytes(b"corrected by hand")
    unpack(archive, to)
    assert (to / "texts/1.xml").read_bytes() == b"corrected by hand"


def test_a_folder_of_another_archive_is_neither_used_nor_changed(tmp_path):
    archive, to = tmp_path / "a.zip", tmp_path / "to"
    unpack(zipped(archive), to)
    zipped(archive, {**FILES, "texts/1.xml": b"TWO"})
    with pytest.raises(DatasetError, match=r"to is there and does not come from .*a\.zip as it is now"):
        unpack(archive, to)
    assert unpacked(to) == FILES


@pytest.mark.parametrize("own", ["to/1.txt", "to"])
def test_what_the_user_has_is_not_touched(tmp_path, own):
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_text("mine")
    with pytest.raises(DatasetError, match="remove it, or have the archive unpacked into another"):
        unpack(zipped(tmp_path / "a.zip"), tmp_path / "to")
    assert (tmp_path / own).read_text() == "mine"


def test_a_folder_beside_it_that_cmbench_has_not_made_is_not_touched(tmp_path):
    (tmp_path / "to.part").mkdir()
    (tmp_path / "to.part" / "mine").touch()
    with pytest.raises(DatasetError, match=r"File exists.*to\.part"):
        unpack(zipped(tmp_path / "a.zip"), tmp_path / "to")
    assert (tmp_path / "to.part" / "mine").exists()


def test_an_unpacking_that_was_killed_begins_anew(tmp_path, monkeypatch):
    archive, to = zipped(tmp_path / "a.zip"), tmp_path / "to"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda path: None)
        patch.setattr(shutil, "copyfileobj", killed)
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, to)
    assert (tmp_path / "to.part" / "images/art/1.jpg").read_bytes() == b"half"
    assert not to.exists()
    unpack(archive, to)
    assert unpacked(to) == FILES
    assert not (tmp_path / "to.part").exists()


def killed(source, target, block):
    target.write(b"half")
    raise KeyboardInterrupt


def test_an_empty_folder_may_be_there(tmp_path):
    (tmp_path / "to").mkdir()
    unpack(zipped(tmp_path / "a.zip"), tmp_path / "to")
    assert unpacked(tmp_path / "to") == FILES


@pytest.mark.parametrize(("name", "make"), MAKERS[:2])
def test_names_of_windows_become_folders_and_what_macos_adds_is_left_out(tmp_path, name, make):
    files = {"art\\": b"", "art\\1.txt": b"one", "__MACOSX/art/._1.txt": b"x", "__MACOSX\\._art": b"x"}
    unpack(make(tmp_path / name, files if make is zipped else dict(list(files.items())[1:])), tmp_path / "to")
    assert unpacked(tmp_path / "to") == {"art/1.txt": b"one"}


@pytest.mark.parametrize(("maker", "name"), [(zipped, "a.zip"), (tarred, "a.tar")])
@pytest.mark.parametrize("entry", ["../out", "/out", "a/../../out", "..\\out", "C:\\out", "C:/out"])
def test_an_entry_that_leads_out_of_the_folder_stops_everything(tmp_path, maker, name, entry):
    archive = maker(tmp_path / name, {**FILES, entry: b"gotcha"})
    with pytest.raises(DatasetError, match="leads out of the folder; nothing was unpacked") as caught:
        unpack(archive, tmp_path / "to")
    assert str(archive) in str(caught.value)
    assert repr(entry) in str(caught.value)
    assert not (tmp_path / "to").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_stop_everything(tmp_path, kind):
    info = tarfile.TarInfo("trap")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(DatasetError, match="'trap' is a link or a device; nothing was unpacked"):
        unpack(tarred(tmp_path / "a.tar", extra=[info]), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_link_in_a_zip_stops_everything(tmp_path):
    link = zipfile.ZipInfo("trap")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(zipped(tmp_path / "a.zip"), "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetError, match="'trap' is a link or a device; nothing was unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize(("name", "make"), MAKERS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.75])
def test_a_truncated_archive_is_refused(tmp_path, name, make, share):
    incompressible = {"noise": random.Random(0).randbytes(30_000), "b": b"b" * 600}
    whole = make(tmp_path / name, incompressible).read_bytes()
    archive = tmp_path / name
    archive.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DatasetError, match="damaged or cut off: get it again") as caught:
        unpack(archive, tmp_path / "to")
    assert str(archive) in str(caught.value)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("blocks", [0, 1, 2, 59, 60, 61, 62])
def test_a_tar_cut_off_between_two_files_is_noticed(tmp_path, blocks):
    whole = tarred(tmp_path / "a.tar", {"noise": random.Random(0).randbytes(30_000), "b": b"b" * 600})
    whole.write_bytes(whole.read_bytes()[: blocks * 512])
    with pytest.raises(DatasetError, match="damaged or cut off"):
        unpack(whole, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("a", b"a" * 100)
    archive.write_bytes(archive.read_bytes().replace(b"a" * 50, b"a" * 49 + b"b", 1))
    with pytest.raises(DatasetError, match=r"Bad CRC-32.*damaged or cut off"):
        unpack(archive, tmp_path / "to")
    assert list(tmp_path.iterdir()) == [archive], "not even what stood before the damage"


@pytest.mark.parametrize(("name", "make"), MAKERS[2:])
def test_a_changed_byte_in_a_compressed_tar_is_noticed(tmp_path, name, make):
    archive = make(tmp_path / name, {"noise": random.Random(0).randbytes(300_000)})
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    archive.write_bytes(damaged)
    with pytest.raises(DatasetError, match="damaged or cut off"):
        unpack(archive, tmp_path / "to")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_zip_of_another_compression_that_is_damaged_is_noticed(tmp_path):
    archive = tmp_path / "a.zip"
    for compression in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        with zipfile.ZipFile(archive, "w", compression) as opened:
            opened.writestr("a", random.Random(0).randbytes(1000) + b"a" * 100_000)
        damaged = bytearray(archive.read_bytes())
        damaged[40:60] = bytes(20)
        archive.write_bytes(damaged)
        with pytest.raises(DatasetError, match="damaged or cut off"):
            unpack(archive, tmp_path / "to")


def test_an_archive_without_a_file_is_refused(tmp_path):
    for make, name in ((zipped, "a.zip"), (tarred, "a.tar")):
        with pytest.raises(DatasetError, match="it holds no file"):
            unpack(make(tmp_path / name, {}), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_an_archive_that_needs_a_password_is_told_apart(tmp_path):
    archive = zipped(tmp_path / "a.zip")
    content = bytearray(archive.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(header)
        while at >= 0:
            content[at + flags] |= 1
            at = content.find(header, at + 4)
    archive.write_bytes(content)
    with pytest.raises(DatasetError, match=r"encrypted, .*; unpack it yourself, and name the folder"):
        unpack(archive, tmp_path / "to")


def test_a_full_disk_is_not_blamed_on_the_archive(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DatasetError, match=r"cannot be unpacked into .*to \(.*No space left.*there is room"):
        unpack(zipped(tmp_path / "a.zip"), tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_an_entry_that_no_disk_holds_is_not_begun(tmp_path):
    entry = tarfile.TarInfo("pictures.bin")
    entry.size = 2**60
    (tmp_path / "a.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(10 * tarfile.BLOCKSIZE))
    with pytest.raises(DatasetError, match=r"'pictures\.bin' has 1152921504606846976 bytes.* there is room"):
        unpack(tmp_path / "a.tar", tmp_path / "to")
    assert not list(tmp_path.glob("to*"))


def test_an_unknown_kind_of_archive_is_named(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(DatasetError, match=r"a\.rar: is no archive known here; use one of \.zip"):
        unpack(tmp_path / "a.rar", tmp_path / "to")


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.zip: cannot be unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "to")
