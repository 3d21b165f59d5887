"""Files and folders that are written as a whole or not at all, locks, and what damaged files raise."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from pickle import UnpicklingError
from secrets import token_hex
from struct import error as StructError
from tempfile import TemporaryFile
from tokenize import TokenError
from zipfile import BadZipFile
from zlib import error as ZlibError

from filelock import FileLock, SoftFileLock, Timeout

from cmbench.errors import CmbenchError, DatasetError

_BESIDE = re.compile(r"\..+\.[0-9a-f]{8}\.(json|jsonl|npz)")
"""The names that ``replacing`` gives to unfinished files of a store."""
_ABANDONED_SECONDS = 3600
_PATIENCE_SECONDS = 10  # with whoever may have been killed
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)
"""What a drive that has no locks answers who asks for one."""


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a path beside ``path``, with the same suffix, that takes its place when the block ends.

    The content reaches the disk before the name does, so that not even a power cut leaves a
    truncated file; with ``durable=False``, for files that are worthless after one, this wait is left
    out. After an error nothing is left behind and an older ``path`` is unchanged; an ``OSError`` names
    ``path``. Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process id: cells have namespaces of their own, in which all have the same few numbers.
    beside = path.with_name(f".{path.stem}.{token_hex(4)}{path.suffix}")
    try:
        yield beside
        if durable:
            with beside.open("r+b") as file:  # Windows syncs what may be written only
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        if error.filename == os.fspath(beside):
            error.filename = os.fspath(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes had begun to write in place of ``path``; nobody may be writing it now."""
    for beside in path.parent.glob(f".{escape(path.stem)}.*{escape(path.suffix)}"):
        if len(beside.name) == len(path.name) + 10:  # two dots and eight digits more
            beside.unlink(missing_ok=True)


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove what killed processes had begun to write by ``replacing`` in these folders, an hour ago or more.

    Others may be writing there now; no writing takes so long. What may not be removed stays.
    """
    latest = time.time() - _ABANDONED_SECONDS
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if _BESIDE.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime < latest:
                    os.unlink(entry.path)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a path beside ``folder`` for a folder that takes its place when the block ends.

    ``folder`` itself must not exist, or be empty. After an error nothing is left behind; what a killed
    process left is removed first.
    """
    beside = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        yield beside
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def writing_to(path: Path, *, raising: type[CmbenchError] = DatasetError) -> Iterator[None]:
    """Turn every ``OSError`` into the error ``raising``, with the file it names, or else ``path``."""
    try:
        yield
    except OSError as error:
        raise raising(
            f"{error.filename or path}: cannot be written or read ({error.strerror or error}); see that "
            "there is room and permission, or choose another place"
        ) from error


MAKE_ROOM = "make room, and run the same command again: what is finished is kept"


def is_full(folder: Path) -> bool:
    """Return whether the disk of ``folder``, or one's share of it, has no room for another megabyte."""
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(2**20))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return tells_of_full_disk(error)
    return False


def tells_of_full_disk(error: BaseException | None) -> bool:
    """Return whether an error, or what it came from, says that there is no room on a disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            return True
        error = error.__cause__ or error.__context__
    return False


def cache_folder() -> Path:
    """Return the folder for files from the net: the environment's CMBENCH_CACHE, or the user's cache."""
    import pooch

    return Path(os.environ.get("CMBENCH_CACHE") or pooch.os_cache("cmbench"))


def check_writable(folder: Path) -> None:
    """Make a folder that is missing, and raise ``DatasetError`` unless files can be written to it."""
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            TemporaryFile(dir=folder).close()
        except OSError as error:
            error.filename = os.fspath(folder.absolute())
            raise


def lock(path: Path) -> AbstractContextManager[object] | None:
    """Lock the file ``path``, which is made and stays; return what unlocks it at the end of its block.

    None where another process has locked it. The system drops a lock when its process ends, however
    it ends.
    """
    try:
        return FileLock(path).acquire(timeout=0)
    except Timeout:
        return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file ``path``, which is made and stays, for the block, as soon as nobody else has locked it.

    On a drive without locks a file beside it, which only one process can make, stands for the lock; its maker
    may have been killed, so that nobody waits for more than some seconds.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(path))
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            with suppress(Timeout):
                stack.enter_context(SoftFileLock(f"{path}.taken", timeout=_PATIENCE_SECONDS))
        yield


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock ``folder`` during the block; raises ``DatasetError`` where another process has locked it.

    The folder is made if it is missing. The file ``.lock`` stays in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = lock(folder / ".lock")
    if held is None:
        raise DatasetError(
            f"{folder} is in use by another extraction; wait for its end, or name another folder (--work)"
        )
    with held:
        yield


def remove_folder(folder: Path) -> None:
    """Remove a folder and what is in it, as far as the system allows, however deeply it is nested.

    Folders in it whose mode keeps their user out go too.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.isdir(folder) and not os.path.islink(folder):
            _let_in(folder)
            shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        with suppress(OSError):
            _flatten(folder)
            folder.rmdir()


def _let_in(folder: Path) -> None:
    """Give the user all rights to a folder and those in it; links lead to what is not in it."""
    with suppress(OSError):
        os.chmod(folder, 0o700)
    for place, folders, _ in os.walk(folder):
        for path in (os.path.join(place, name) for name in folders):  # before the walk looks into them
            with suppress(OSError):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)


def _flatten(folder: Path) -> None:
    """Remove the files in a folder, and its folders level by level: what is in them is moved up first."""
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            for inner in list(os.scandir(entry.path)):
                os.rename(inner.path, folder / token_hex(8))
            os.rmdir(entry.path)


DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    AttributeError,
    NameError,
    BadZipFile,
    StructError,
    TokenError,
    UnpicklingError,
    ZlibError,
)
"""A damaged file can lead its reader anywhere, so this is wide: catch it around a reader's call only."""


PICKLE = "which is not read because it could run code; save its arrays as .npz, with numpy.savez"
KINDS = {
    b"version https://git-lfs": "a pointer of Git LFS and not the file; fetch that with 'git lfs pull'",
    b"<": "a web page and not data: the download was refused or the address is wrong; get it again",
    b"\x1f\x8b": "compressed by gzip; unpack it",
    b"BZh": "compressed by bzip2; unpack it",
    b"\xfd7zXZ": "compressed by xz; unpack it",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"PK": "a ZIP archive, as .npz files are; let its name end in .npz if it is one",
    b"\x93NUMPY": "a single array of NumPy's; put it into a folder, called images_train.npy for instance",
    b"MATLAB": "a MATLAB file; let its name end in .mat",
    b"\x89HDF": "an HDF5 file; if MATLAB wrote it, let its name end in .mat, else save its arrays as .npz",
    b"\x80": f"a Python pickle, {PICKLE}",
}
"""What files turn out to be that are called data, by their first bytes."""


def check_plain(path: Path) -> None:
    """Raise ``ValueError`` for what is no plain file: whoever opens a FIFO may wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no plain file")


def kind_of(path: Path) -> str:
    """Return what a file is by its first bytes, with a remedy; nothing where they tell nothing."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "empty; make or get it again"
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PK") and b"/data.pkl" in start:
        return f"a file of torch.save, {PICKLE}"
    return next((kind for mark, kind in KINDS.items() if start.startswith(mark)), "")


def damaged(what: object, error: Exception) -> str:
    """Return the message about a file or array that its reader could not read."""
    reason = str(error) or type(error).__name__
    if (
        "allow_pickle" in reason or "Python objects in dtype" in reason
    ):  # NumPy's words for arrays that only unpickling could read
        return (
            f"{what} is an array of Python objects, which is not loaded because that could run code; "
            "save numbers as float32 or int64, texts as numpy.array(texts, dtype=str), ragged parts as "
            "values and offsets"
        )
    return f"{what} cannot be read ({reason}); it is damaged or incomplete, make or download it again"
