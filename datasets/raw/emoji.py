"""Emoji drawn in three styles, each with a text of its own; categories are the subgroups of Unicode.

Every emoji is drawn by Noto, Twemoji and Fluent, and described by Unicode CLDR, emojilib and emojibase;
a pair is the picture of one style and the text of one of the three, so that each is used once. (Of 217 of
the 1,166 emoji, two sources say the same.) Taken are the emoji of one code point that all six have, of the
subgroups with eight of them or more. All three pairs of an emoji stand in one split.

The folder holds the unpacked packages below, under any names; files are found by theirs, and compared with
the checksums of the versions that cmbench was made with before one is parsed.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pictures import Picture, PictureFile, Pixels, decoded
from cmbench.datasets.raw.problems import Problems
from cmbench.datasets.raw.splits import divided, drawn_splits, read_splits, sorted_out
from cmbench.errors import DatasetError, installed

NAME = "emoji"
SIDE = 128  # pixels, of drawings that have no size of their own
FEWEST = 8  # emoji of a subgroup
APOSTROPHE = "\u2019"
VARIATION = "\ufe0f"  # asks for a picture in place of a sign
ALIKE = {0x1F431: 0x1F63A, 0x25FC: 0x1F533}
"""Emoji that one style draws exactly as another one: they stand in its split."""
EXTRA = "its pictures (pip install 'cmbench[emoji]')"

PACKAGES = {
    "noto": ("fonts-noto-color-emoji 2.042-0+deb12u1 of Debian", "NotoColorEmoji.ttf"),
    "twemoji": ("@twemoji/svg 15.0.0 of npm", "1f600.svg"),
    "fluent": ("fluentui-emoji 1.3.0 of npm", "icons/flat/grinning-face.svg"),
    "groups": ("unicode-data 15.0.0-1 of Debian", "emoji/emoji-test.txt"),
    "cldr": ("unicode-cldr-core 41-0.1 of Debian", "common/annotations/en.xml"),
    "emojilib": ("emojilib 4.0.3 of npm", "dist/emoji-en-US.json"),
    "emojibase": ("emojibase-data 17.0.0 of npm", "en/data.json"),
}
"""The package of each source, and a file by which its place is found."""

CHECKSUMS = {
    "noto": "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec",
    "groups": "8445f23ac8388e096be19d0262e14fceff856ff52093f2356dc89485f1a853db",
    "cldr": "170a989b9aff71fd06b9f7bbd70aa3b4a3d228e15fa734692d4fc80206e536e1",
    "emojilib": "7974e9162e1505aa1b02d07a04e4eefa5c51864d6c32e477121c635201e2eca2",
    "emojibase": "ed014f1049bd370c5794f815850156196ac382850f51c3e9f6a9e83553fb3f01",
}
"""SHA-256 of the file of each source that is one file."""

DRAWINGS = Path(__file__).with_name("emoji_drawings.txt")
"""The drawings used: a line for each, with the first 16 digits of its SHA-256, its source and its name."""

CARD = RawCard(
    source=(
        "pictures: Noto Color Emoji (Google), Twemoji (Twitter and contributors), Fluent Emoji (Microsoft); "
        "texts: Unicode CLDR, emojilib (Mu-An Chiou), emojibase (Miles Johnson); categories: Unicode"
    ),
    terms=(
        "pictures: Noto SIL OFL 1.1, Twemoji CC BY 4.0, Fluent MIT; texts: CLDR Unicode licence, "
        "emojilib MIT, emojibase MIT"
    ),
    citation="The cmbench developers: cmbench, a benchmark of cross-modal retrieval methods, 2026",
    obtaining=(
        "Fetch the packages "
        + ", ".join(package for package, _ in PACKAGES.values())
        + " ('npm pack NAME@VERSION', and 'apt-get download NAME=VERSION' on Debian 12), unpack each into a "
        "folder of its own, and name the folder that holds them."
    ),
    division="a tenth of the emoji of each category for val and for test, drawn by cmbench",
    shared_after="/",
)


@dataclass(frozen=True)
class Emoji:
    """An emoji of one code point, its name and its subgroup."""

    code_point: int
    name: str
    subgroup: str

    @property
    def character(self) -> str:
        return chr(self.code_point)


def load(folder: Path, splits: Path | None = None) -> RawDataset:
    """Return the dataset made of the packages in ``folder``; segments of a text are a name and its keywords.

    Raises
    ------
    DatasetError
        Naming each package and drawing that is not there, and each file that is not of the version above.
    """
    sources = Sources(folder)
    sources.check()
    emoji = [each for each in sources.emoji if sources.has_all(each)]
    counts = Counter(each.subgroup for each in emoji)
    class_names = tuple(sorted(name for name, count in counts.items() if count >= FEWEST))
    emoji = [each for each in emoji if each.subgroup in class_names]
    pairs, words = [], []
    drawn = dict(zip(emoji, drawn_splits([each.subgroup for each in emoji]), strict=True))
    by_code_point = {each.code_point: each for each in emoji}
    for each in emoji:
        model = by_code_point.get(ALIKE.get(each.code_point, -1), each)
        for style, picture, segments in sources.pairs(each):
            id_ = f"{style}/{each.code_point:x}"
            pairs.append(RawPair(id_, picture, segments, class_names.index(each.subgroup)))
            words.append(drawn[model])
    if splits is None:
        return RawDataset(NAME, *sorted_out(pairs, words), class_names, CARD, "drawn by emoji, seed 0")
    given = read_splits(splits)
    return RawDataset(NAME, *divided(pairs, given), class_names, CARD.with_split_given(), given.origin)


class Sources:
    """The files of all packages in a folder, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, problems = folder, Problems(f"raw dataset {NAME!r}")
        self.places: dict[str, Path] = {}
        for source, (package, name) in PACKAGES.items():
            found = sorted(folder.glob(f"**/{name}"))
            if found:
                self.places[source] = found[0]
            else:
                problems.add(f"no {name} below {folder}; fetch {package} and unpack it there")
        problems.settle()

    @cached_property
    def emoji(self) -> list[Emoji]:
        """The emoji of one code point, in the order of Unicode, without flags and parts of others."""
        emoji, subgroup, group = [], "", ""
        for line in self._text("groups").splitlines():
            heading = re.match(r"# (group|subgroup): (.*)", line)
            if heading:
                group = heading[2] if heading[1] == "group" else group
                subgroup = heading[2] if heading[1] == "subgroup" else subgroup
            entry = re.match(r"([0-9A-F]+)(?: FE0F)?\s*; fully-qualified\s*# \S+ E[\d.]+ (.*)", line)
            if entry and group != "Component":
                emoji.append(Emoji(int(entry[1], 16), entry[2], subgroup))
        return emoji

    def has_all(self, emoji: Emoji) -> bool:
        """Return whether each style draws it, and each text describes it."""
        return (
            emoji.code_point in self._glyphs
            and self._drawing("twemoji", emoji).exists()
            and self._drawing("fluent", emoji).exists()
            and all(emoji.character in texts for texts in (self._cldr, self._emojilib, self._emojibase))
        )

    def pairs(self, emoji: Emoji) -> Iterator[tuple[str, Picture, tuple[str, ...]]]:
        """Yield style, picture and the segments of the text of the three pairs of an emoji."""
        glyph = GlyphPicture(f"{self.places['noto']}:{emoji.code_point:x}", self._glyphs[emoji.code_point])
        yield "noto", glyph, self._cldr[emoji.character]
        for style, texts in (("twemoji", self._emojilib), ("fluent", self._emojibase)):
            yield style, DrawnPicture(self._drawing(style, emoji)), texts[emoji.character]

    def check(self) -> None:
        """Raise ``DatasetError`` naming every file that is not there, or not of the version that is known."""
        problems = Problems(f"raw dataset {NAME!r}")
        for source, expected in CHECKSUMS.items():
            with problems.noted():
                _compare(source, self.places[source], expected)
        for line in DRAWINGS.read_text("utf-8").splitlines():
            expected, source, name = line.split()
            with problems.noted():
                _compare(source, self.places[source].with_name(name), expected)
        problems.settle()

    def _drawing(self, style: str, emoji: Emoji) -> Path:
        folder = self.places[style].parent
        if style == "twemoji":
            return folder / f"{emoji.code_point:x}.svg"
        name = re.sub(r"[^a-z0-9]+", "-", emoji.name.lower().replace(APOSTROPHE, "")).strip("-")
        plain = folder / f"{name}.svg"
        return plain if plain.exists() else folder / f"{name}-default.svg"  # where skin may have a tone

    @cached_property
    def _glyphs(self) -> Mapping[int, bytes]:
        """The PNG of each code point in the font of Noto."""
        fonts = installed("fontTools.ttLib", "fonttools", EXTRA)
        font = fonts.TTFont(self.places["noto"], lazy=True)
        names, glyphs = font.getBestCmap(), font["CBDT"].strikeData[0]
        return {
            code_point: bytes(glyphs[name].imageData) for code_point, name in names.items() if name in glyphs
        }

    @cached_property
    def _cldr(self) -> Mapping[str, tuple[str, ...]]:
        names, keywords = {}, {}
        for entry in ElementTree.parse(self.places["cldr"]).getroot().iter("annotation"):
            character, text = entry.get("cp", ""), entry.text or ""
            if entry.get("type") == "tts":
                names[character] = text
            else:
                keywords[character] = [word.strip() for word in text.split("|")]
        return {character: _segments(name, keywords.get(character, ())) for character, name in names.items()}

    @cached_property
    def _emojilib(self) -> Mapping[str, tuple[str, ...]]:
        entries = json.loads(self._text("emojilib"))
        return {
            character.replace(VARIATION, ""): _segments(words[0].replace("_", " "), words[1:])
            for character, words in entries.items()
        }

    @cached_property
    def _emojibase(self) -> Mapping[str, tuple[str, ...]]:
        entries = json.loads(self._text("emojibase"))
        return {
            entry["emoji"].replace(VARIATION, ""): _segments(entry["label"], entry.get("tags", ()))
            for entry in entries
        }

    def _text(self, source: str) -> str:
        return self.places[source].read_text(encoding="utf-8")


def _segments(name: str, keywords: Any) -> tuple[str, ...]:
    """Return a name and, if there are any, the other words in one segment."""
    others = [word.replace("_", " ") for word in keywords if word != name]
    return (name, ", ".join(others)) if others else (name,)


def _compare(source: str, path: Path, expected: str) -> None:
    """Raise ``DatasetError`` where the SHA-256 of a file does not begin as ``expected``."""
    package, _ = PACKAGES[source]
    try:
        digest = sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise DatasetError(f"no {path.name} in {path.parent}; fetch {package} and unpack it there") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); fetch {package} again") from error
    if not digest.startswith(expected):
        raise DatasetError(f"{path} is not that of {package}; fetch this version")


@dataclass(frozen=True)
class GlyphPicture:
    """The picture of a character in a font of bitmaps, a PNG."""

    name: str
    png: bytes

    @property
    def identity(self) -> str:
        """The SHA-256 of the PNG."""
        return sha256(self.png).hexdigest()

    def read(self) -> Pixels:
        """Return uint8 (height, width, 3)."""
        return decoded(self.png, self.name)


class DrawnPicture(PictureFile):
    """An SVG, drawn on a square of ``SIDE`` pixels."""

    def read(self) -> Pixels:
        """Return uint8 (SIDE, SIDE, 3)."""
        renderer = installed("resvg_py", "resvg-py", EXTRA)
        try:
            text = self.path.read_text(encoding="utf-8")
            png = renderer.svg_to_bytes(svg_string=text, width=SIDE, height=SIDE, skip_system_fonts=True)
        except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            raise DatasetError(f"{self.name}: cannot be drawn ({error}); get the file again") from error
        return decoded(bytes(png), self.name)
