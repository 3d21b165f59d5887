"""Archives that others made: whole ones are unpacked, damaged and hostile ones leave nothing behind."""

import io
import random
import tarfile
import zipfile

import pytest

from cmbench.datasets.raw.archives import unpack
from cmbench.errors import DatasetError

FILES = {"images/art/1.jpg": b"one" * 1000, "texts/1.xml": b"two", "empty": b""}


def zipped(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("images")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files=FILES, extra=()):
    with tarfile.open(path, "w:gz" if path.suffix.lower().endswith("gz") else "w") as archive:
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


MAKERS = [("a.zip", zipped), ("a.tar", tarred), ("a.tar.gz", tarred), ("a.TGZ", tarred)]


@pytest.mark.parametrize(("name", "make"), MAKERS)
def test_every_file_is_unpacked(tmp_path, name, make):
    found = unpack(make(tmp_path / name), tmp_path / "to")
    assert {path.relative_to(tmp_path / "to").as_posix(): path.read_bytes() for path in found} == FILES
    assert not list((tmp_path / "to").rglob("*.part"))


@pytest.mark.parametrize(("name", "make"), MAKERS)
def test_files_that_are_complete_are_left_as_they_are(tmp_path, name, make):
    archive, to = make(tmp_path / name), tmp_path / "to"
    unpack(archive, to)
    (to / "texts/1.xml").write_bytes(b"2")
    (to / "images/art/1.jpg").write_bytes(b"own" * 1000)
    unpack(archive, to)
    assert (to / "texts/1.xml").read_bytes() == b"two", "of another size: an interrupted one, say"
    assert (to / "images/art/1.jpg").read_bytes() == b"own" * 1000


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
    with pytest.raises(DatasetError, match="Bad CRC-32"):
        unpack(archive, tmp_path / "to")
    assert not (tmp_path / "to" / "a").exists()


def test_an_unknown_kind_of_archive_is_named(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(DatasetError, match=r"a\.rar: is no archive known here; use one of \.zip"):
        unpack(tmp_path / "a.rar", tmp_path / "to")


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.zip: cannot be unpacked"):
        unpack(tmp_path / "a.zip", tmp_path / "to")
