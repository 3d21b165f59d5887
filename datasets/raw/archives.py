"""Archives that others made, unpacked into a folder and nowhere else."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from cmbench.disk import DAMAGE
from cmbench.errors import DatasetError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
BLOCK = 2**20  # bytes
MARK = ".unpacked-by-cmbench"
"""A file in an unpacked folder: the SHA-256 of the archive."""
UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, tarfile.TarError, lzma.LZMAError)


@dataclass(frozen=True)
class Entry:
    """A file in an archive: its name, its size in bytes, and how to open it."""

    name: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


Entries: TypeAlias = Iterator[Entry]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a ZIP or TAR archive into the new folder ``folder``; if that has been done, do nothing.

    The files come into ``<folder>.part``, which gets its name when it is complete. Owners, dates and
    permissions are not taken over, nor is what macOS adds (``__MACOSX``); a backslash in a name begins a
    folder, as in archives made on Windows.

    Raises
    ------
    DatasetError
        For an archive that is truncated, damaged or of an unknown kind, for one with an entry that is a link
        or a device, or whose name leads out of the folder, and where it cannot be written: of such an
        archive nothing is unpacked. And for a folder that holds anything but what this archive had.
    """
    part = folder.with_name(folder.name + ".part")
    try:
        digest = _sha256(archive)
        if _is_there(archive, folder, digest):
            return
        _start(part, digest)
        _fill(part, archive)
        part.replace(folder)
    except DatasetError:
        raise
    except UNREADABLE as error:
        raise DatasetError(_failure(archive, folder, error)) from error
    finally:
        if (part / MARK).exists():
            shutil.rmtree(part)


def _sha256(archive: Path) -> str:
    with archive.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _is_there(archive: Path, folder: Path, digest: str) -> bool:
    mark = folder / MARK
    if mark.is_file() and mark.read_bytes() == digest.encode():
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(
            f"{folder} is there and does not come from {archive} as it is now; name the folder itself, "
            "remove it, or have the archive unpacked into another (--to)"
        )
    return False


def _start(part: Path, digest: str) -> None:
    """Make the folder anew: what an interruption left there may be half a file."""
    if (part / MARK).exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    (part / MARK).write_bytes(digest.encode())


def _fill(part: Path, archive: Path) -> None:
    for entry in _entries(archive):
        path = _path(archive, entry.name)
        if path.parts[0] != "__MACOSX":
            _write(entry, part / path)
    if [path.name for path in part.iterdir()] == [MARK]:
        raise EOFError("it holds no file")


def _failure(archive: Path, folder: Path, error: Exception) -> str:
    said = f"{archive}: cannot be unpacked into {folder} ({error}); "
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of a position that is none
        return said + "see that both can be reached and there is room, or take another folder (--to)"
    if isinstance(error, RuntimeError):  # a password is needed, or the compression is not known
        return said + "unpack it yourself, and name the folder"
    return said + "it is damaged or cut off: get it again"


def _entries(archive: Path) -> Entries:
    if archive.name.lower().endswith(".zip"):
        return _zip_entries(archive)
    if archive.name.lower().endswith(SUFFIXES):
        return _tar_entries(archive)
    raise DatasetError(f"{archive}: is no archive known here; use one of {', '.join(SUFFIXES)}")


def _zip_entries(archive: Path) -> Entries:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.filename.endswith(("/", "\\")):
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                raise DatasetError(_link(archive, member.filename))
            yield Entry(member.filename, member.file_size, lambda member=member: opened.open(member))  # type: ignore[misc]


def _tar_entries(archive: Path) -> Entries:
    with tarfile.open(archive) as opened:
        end = 0
        for member in opened:
            end = member.offset_data + (-(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
            if member.isdir():
                continue
            if not member.isfile():
                raise DatasetError(_link(archive, member.name))
            yield Entry(member.name, member.size, lambda member=member: _member(opened, member))  # type: ignore[misc]
        if not _goes_on(opened, end):  # tarfile takes that for the end
            raise EOFError("the mark of its end is missing")


def _goes_on(opened: tarfile.TarFile, end: int) -> bool:
    assert opened.fileobj is not None, "opened for reading"
    opened.fileobj.seek(end)
    more = bool(opened.fileobj.read(1))
    while opened.fileobj.read(BLOCK):  # to the end, where gzip and xz have their checksums
        pass
    return more


def _member(opened: tarfile.TarFile, information: tarfile.TarInfo) -> IO[bytes]:
    member = opened.extractfile(information)
    assert member is not None, "a regular file"
    return member


def _link(archive: Path, name: str) -> str:
    return (
        f"{archive}: {name!r} is a link or a device; nothing was unpacked. Unpack it yourself, if you trust "
        "it, and name the folder"
    )


def _path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or ".." in path.parts or drive or not path.parts:
        raise DatasetError(
            f"{archive}: the entry {name!r} leads out of the folder; nothing was unpacked. Do not trust this "
            "archive"
        )
    return path


def _write(entry: Entry, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(target.parent).free < entry.size:  # before the disk is full, for others too
        raise OSError(errno.ENOSPC, f"{entry.name!r} has {entry.size} bytes, and there is no room for it")
    with entry.open() as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, BLOCK)
    if target.stat().st_size != entry.size:
        raise EOFError(f"{entry.name!r} has {target.stat().st_size} bytes of {entry.size}")
