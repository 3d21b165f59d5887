"""The files that pairs are made of: pictures, UTF-8 texts, and lists with a pair to a line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sentencex import segment

from cmbench.datasets.raw.pictures import PictureFile
from cmbench.errors import DatasetError

AGAIN = "get the file again"
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Line:
    """The fields of a line, and the file and line number to name in errors."""

    place: str
    fields: tuple[str, ...]


def read_text(path: Path, remedy: str = AGAIN) -> str:
    """Return the text in a UTF-8 file; ``DatasetError`` if there is none, or it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or error}); {remedy}") from error


def lines_of(text: str, place: object) -> tuple[str, ...]:
    """Return the lines of ``text`` that are not blank; ``DatasetError`` names ``place`` if there is none."""
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise DatasetError(f"{place}: the text is empty; get the file again, or leave the pair out")
    return lines


def sentences_of(text: str, place: object) -> tuple[str, ...]:
    r"""Return the sentences of ``text``, none of which goes on in another line, by the rules of English.

    ``DatasetError`` names ``place`` if there is none.

    >>> sentences_of("By Mr. Hill. A mill!\nIt turns", "a caption")
    ('By Mr. Hill.', 'A mill!', 'It turns')
    """
    found = [sentence.strip() for line in lines_of(text, place) for sentence in segment("en", line)]
    return tuple(filter(None, found))


def read_lines(path: Path, place: object) -> tuple[str, ...]:
    """Return the lines of a text file that are not blank; ``place`` says who asks for the file."""
    return lines_of(read_text(existing(path, "text", place)), path)


def read_sentences(path: Path, place: object) -> tuple[str, ...]:
    """Return the sentences in a text file; ``place`` says who asks for the file."""
    return sentences_of(read_text(existing(path, "text", place)), path)


def picture_at(path: Path, place: object) -> PictureFile:
    """Return the picture in a file that is there; it is not opened."""
    return PictureFile(existing(path, "image", place))


def existing(path: Path, kind: str, place: object) -> Path:
    """Return the path of a file that is there; ``DatasetError`` says which ``kind`` of file is missing."""
    if not os.path.isfile(path):  # Path.is_file raises where the name is too long for one
        remedy = "get the file again, or leave the pair out"
        remedy += "; write / in paths, not \\" if "\\" in str(path) and os.sep == "/" else ""
        raise DatasetError(f"{place}: the {kind} {path} is missing; {remedy}")
    return path


def read_names(path: Path, remedy: str = AGAIN) -> tuple[str, ...]:
    """Return the category names in a file, one to a line, each once; ``remedy`` is for a missing file."""
    names = tuple(line.strip() for line in read_text(path, remedy).splitlines() if line.strip())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f"{path}: the category {twice[0]!r} stands twice; keep one")
    return names


def read_list(path: Path, fields: tuple[str, ...], remedy: str = AGAIN) -> list[Line]:
    """Return the lines of a list whose fields are separated by tabs; blank lines are left out.

    ``fields`` names what must stand in each line; ``DatasetError`` names the first that has more or fewer.
    ``remedy`` is for a missing file.
    """
    lines = []
    for number, text in enumerate(read_text(path, remedy).splitlines(), start=1):
        if not text.strip():
            continue
        line = Line(f"{path}, line {number}", tuple(field.strip() for field in text.split("\t")))
        if len(line.fields) != len(fields) or not all(line.fields):
            raise DatasetError(
                f"{line.place}: {text!r} has not the {len(fields)} fields {', '.join(fields)}; "
                "separate them by tabs"
            )
        lines.append(line)
    return lines


def claim(id_: str, place: str, taken: dict[str, str]) -> None:
    """Note in ``taken`` where an id stands; ``DatasetError`` if it stands elsewhere already."""
    if id_ in taken:
        raise DatasetError(
            f"{place}: the id {id_!r} stands already in {taken[id_]}; give each pair an id of its own"
        )
    taken[id_] = place
