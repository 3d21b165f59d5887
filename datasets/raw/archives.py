"""Archives that others made, unpacked into a folder and nowhere else."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from cmbench.errors import DatasetError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
BLOCK = 2**20  # bytes


@dataclass(frozen=True)
class Entry:
    """A file in an archive: its name, its size in bytes, and how to open it."""

    name: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


Entries: TypeAlias = Iterator[Entry]


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Unpack a ZIP or TAR archive into ``folder`` and return the files it holds.

    A file of the right size that is there already is not written again, and no file is there under its name
    before it is complete, so an interrupted unpacking goes on where it was. Directories are made as they
    are needed; owners, dates and permissions are not taken over.

    Raises
    ------
    DatasetError
        For an archive that is truncated, damaged or of an unknown kind, and for one with an entry that is a
        link or a device, or whose name leads out of the folder: of such an archive nothing is unpacked.
    """
    try:
        for entry in _entries(archive):  # all of them before the first is written
            _check_name(archive, entry.name)
        return [_written(entry, folder / entry.name) for entry in _entries(archive)]
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, OSError, RuntimeError) as error:
        raise DatasetError(
            f"{archive}: cannot be unpacked ({error}); it is damaged or cut off: get it again"
        ) from error


def _entries(archive: Path) -> Entries:
    if archive.name.lower().endswith(".zip"):
        return _zip_entries(archive)
    if archive.name.lower().endswith(SUFFIXES):
        return _tar_entries(archive)
    raise DatasetError(f"{archive}: is no archive known here; use one of {', '.join(SUFFIXES)}")


def _zip_entries(archive: Path) -> Entries:
    with zipfile.ZipFile(archive) as opened:
        for found in opened.infolist():
            if not found.is_dir():
                yield Entry(found.filename, found.file_size, lambda found=found: opened.open(found))  # type: ignore[misc]


def _tar_entries(archive: Path) -> Entries:
    with tarfile.open(archive) as opened:
        end = 0
        for found in opened:
            end = found.offset_data + (-(-found.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
            if found.isdir():
                continue
            if not found.isfile():
                raise DatasetError(f"{archive}: {found.name!r} is a link or a device; nothing was unpacked")
            yield Entry(found.name, found.size, lambda found=found: _member(opened, found))  # type: ignore[misc]
        if not _goes_on(opened, end):  # tarfile takes that for the end
            raise EOFError("the mark of its end is missing")


def _goes_on(opened: tarfile.TarFile, end: int) -> bool:
    assert opened.fileobj is not None, "opened for reading"
    opened.fileobj.seek(end)
    return bool(opened.fileobj.read(1))


def _member(opened: tarfile.TarFile, found: tarfile.TarInfo) -> IO[bytes]:
    member = opened.extractfile(found)
    assert member is not None, "a regular file"
    return member


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or ".." in path.parts or drive or not path.parts:
        raise DatasetError(
            f"{archive}: the entry {name!r} leads out of the folder; nothing was unpacked. Do not trust this "
            "archive"
        )


def _written(entry: Entry, path: Path) -> Path:
    if path.is_file() and path.stat().st_size == entry.size:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with entry.open() as source, beside.open("wb") as target:
        shutil.copyfileobj(source, target, BLOCK)
    if beside.stat().st_size != entry.size:
        raise EOFError(f"{entry.name!r} has {beside.stat().st_size} bytes of {entry.size}")
    beside.replace(path)
    return path
