"""What NumPy, SciPy and the archive readers raise on damaged files, and what to tell about it."""

from __future__ import annotations

from struct import error as StructError
from zipfile import BadZipFile
from zlib import error as ZlibError

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
    ZlibError,
)
"""A damaged file can lead its reader anywhere, so this is wide: catch it around a reader's call only."""


def damaged(what: object, error: Exception) -> str:
    """Return a sentence on a file or array that its reader gave up on."""
    reason = str(error) or type(error).__name__
    if "object" in reason.lower():  # NumPy's word for arrays that only unpickling could read
        return (
            f"{what} is an array of Python objects, which is not loaded because that could run code; "
            "save numbers as float32 or int64, texts as numpy.array(texts, dtype=str), ragged parts as "
            "values and offsets"
        )
    return f"{what} cannot be read ({reason}); it is damaged or incomplete, make or download it again"
