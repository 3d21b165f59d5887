"""The files that pairs are made of: pictures, UTF-8 texts, and lists with a pair to a line."""

from __future__ import annotations

import codecs
import os
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sentencex import segment

from cmbench.datasets.draft import composed
from cmbench.datasets.raw.pictures import PictureFile
from cmbench.datasets.raw.problems import Problems
from cmbench.errors import DatasetError

AGAIN = "get the file again"
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Line:
    """The fields of a line, and the file and line number to name in errors."""

    place: str
    fields: tuple[str, ...]


def read_text(path: Path, remedy: str = AGAIN) -> str:
    """Return the text in a UTF-8 file; ``DatasetError`` if there is none, or it is not UTF-8."""
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or error}); {remedy}") from error
    if encoded.startswith(UTF16_MARKS) or b"\0" in encoded[:4]:
        raise DatasetError(f"{path} is UTF-16 and not UTF-8; save it as UTF-8")
    try:
        return encoded.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = encoded.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}, in line {line}); save it as UTF-8"
        ) from error


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
    sentences = [sentence.strip() for line in lines_of(text, place) for sentence in segment("en", line)]
    return tuple(filter(None, sentences))


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
        for form in ("NFC", "NFD"):  # é is one character in one, and an e with an accent in the other
            other = Path(unicodedata.normalize(form, str(path)))
            if os.path.isfile(other):
                return other
        alike = _spelt_alike(path)
        if alike is not None:
            return alike
        remedy = "get the file again, or leave the pair out"
        remedy += "; write / in paths, not \\" if "\\" in str(path) and os.sep == "/" else ""
        raise DatasetError(f"{place}: the {kind} {path} is missing; {remedy}")
    return path


def _spelt_alike(path: Path) -> Path | None:
    """Return the file whose path is the same once each of its parts is composed (NFC)."""
    reached = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        if not os.path.lexists(reached / part):
            entries = os.listdir(reached) if os.path.isdir(reached) else []
            part = next((entry for entry in entries if composed(entry) == composed(part)), "")
            if not part:
                return None
        reached = reached / part
    return reached if os.path.isfile(reached) else None


def read_names(path: Path, remedy: str = AGAIN) -> tuple[str, ...]:
    """Return the category names in a file, one to a line, each once; ``remedy`` is for a missing file."""
    names = tuple(composed(line.strip()) for line in read_text(path, remedy).splitlines() if line.strip())
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


@dataclass(frozen=True)
class Couple:
    """The files of a pair, and the category whose folder they lie in."""

    category: str
    picture: Path
    text: Path


def couples_in(
    pictures: Path, texts: Path, *, problems: Problems, besides: Collection[str] = ()
) -> list[Couple]:
    """Return the pictures of the folder ``pictures`` with the texts of ``texts``, by category and name.

    Both folders hold a folder for each category, and may be the same one. Files that are neither pictures
    nor texts are left alone, and so are hidden files and the folders ``besides``. A picture without its
    text, a text without its picture, two pictures of one name, and what lies in no category or too deep are
    noted in ``problems``.
    """
    for path in _visible(pictures):
        if path.suffix.lower() in PICTURE_ENDINGS:
            problems.add(f"{path} lies in no category; move it into the folder of its own, or remove it")
    images = _files(pictures, PICTURE_ENDINGS, besides, problems)
    captions = _files(texts, (".txt",), besides, problems)
    for category, name in sorted(captions.keys() - images.keys()):
        problems.add(
            f"{captions[category, name]} has no image {name} ({', '.join(PICTURE_ENDINGS)}) in "
            f"{pictures / category}; add it, or remove the text"
        )
    for category, name in sorted(images.keys() - captions.keys()):
        problems.add(
            f"{images[category, name]} has no text {texts / category / name}.txt; add it, or remove the image"
        )
    both = sorted(images.keys() & captions.keys())
    return [Couple(key[0], images[key], captions[key]) for key in both]


def _files(
    root: Path, endings: tuple[str, ...], besides: Collection[str], problems: Problems
) -> dict[tuple[str, str], Path]:
    paths: dict[tuple[str, str], Path] = {}
    taken: dict[str, str] = {}
    for folder in _visible(root):
        if not folder.is_dir() or folder.name in besides:
            continue
        for path in _visible(folder):
            if path.is_dir():
                _note_deeper(path, endings, problems)
            elif path.suffix.lower() in endings:
                with problems.noted():
                    key = composed(folder.name), composed(path.stem)
                    claim("/".join(key), str(path), taken)
                    paths[key] = path
    return paths


def _note_deeper(folder: Path, endings: tuple[str, ...], problems: Problems) -> None:
    deeper = sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in endings)
    if deeper:
        problems.add(f"{deeper[0]} lies in a folder within that of its category; move it up, or remove it")


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; name the folder that holds one for each category")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
