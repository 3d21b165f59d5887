"""What a raw dataset is: three splits of pictures and texts, class names and a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cmbench.datasets.raw.pictures import Picture
from cmbench.errors import DatasetError


@dataclass(frozen=True, eq=False)
class RawPair:
    """A picture and the text that belongs to it.

    Parameters
    ----------
    id : str, unique over the dataset
    picture : Picture
    segments : the sentences of the text, in their order; at least one that says something
    label : int, the category, from 0; of several, the first that its source names
    further : further categories, where the pair has several
    """

    id: str
    picture: Picture
    segments: tuple[str, ...]
    label: int
    further: tuple[int, ...] = ()

    @property
    def labels(self) -> tuple[int, ...]:
        """All categories of the pair."""
        return (self.label, *self.further)

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n".join(self.segments)


@dataclass(frozen=True)
class RawCard:
    """Where raw pairs come from, what may be done with them, and how many there should be.

    Parameters
    ----------
    source : str, who published it and where
    terms : str, on which it may be used
    citation : str
    obtaining : str, how to get it, in a sentence or two
    division : str, where the splits and their sizes come from
    sizes : numbers of training, validation and test pairs, if known; verified
    categories : number of categories, if known; verified
    class_sizes : where known, pairs of each category by the name of the split, or of two, as ``val and
        test``; verified
    notes : what was done to the files of the source, and what is strange about them; a sentence each
    shared_after : what precedes the common end of the ids of pairs that belong together, if some do
    """

    source: str = "unknown"
    terms: str = "unknown"
    citation: str = ""
    obtaining: str = ""
    division: str = ""
    sizes: tuple[int, int, int] | None = None
    categories: int | None = None
    class_sizes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    shared_after: str = ""

    def with_split_given(self) -> RawCard:
        """Return the card without what holds for its own split only."""
        return replace(self, division="", sizes=None, class_sizes={})


@dataclass(frozen=True, eq=False)
class RawDataset:
    """Three splits of raw pairs that keep the rules; breaking one raises ``DatasetError``.

    No split is empty, ids are unique, no text is empty, labels lie within the classes, each class of
    validation and test is in training, and numbers are those of the card. Pictures are not opened here.
    ``split_origin`` says in a few words where the split comes from, ``split_sha256`` which one it is.
    """

    name: str
    train: Sequence[RawPair]
    validation: Sequence[RawPair]
    test: Sequence[RawPair]
    class_names: tuple[str, ...]
    card: RawCard = field(default_factory=RawCard)
    split_origin: str = "unknown"

    def __post_init__(self) -> None:
        broken = [*self._broken_rules(), *self._other_sizes(), *self._other_class_sizes()]
        if broken:
            raise DatasetError(f"raw dataset {self.name!r}: " + "; ".join(broken))

    @property
    def splits(self) -> tuple[tuple[str, Sequence[RawPair]], ...]:
        """The splits with the names the file formats use: train, val, test."""
        return (("train", self.train), ("val", self.validation), ("test", self.test))

    @property
    def is_multi_label(self) -> bool:
        """Whether some pair has several categories."""
        return any(pair.further for _, pairs in self.splits for pair in pairs)

    @property
    def shares_pictures(self) -> bool:
        """Whether several pairs have one picture."""
        names = [pair.picture.name for _, pairs in self.splits for pair in pairs]
        return len(set(names)) < len(names)

    @property
    def split_sha256(self) -> str:
        """SHA-256, hexadecimal, of the lines ``<id>,<train, val or test>``, sorted, each with a line feed."""
        lines = sorted(f"{pair.id},{split}\n" for split, pairs in self.splits for pair in pairs)
        return sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

    def _broken_rules(self) -> list[str]:
        broken = []
        pairs = [pair for _, split in self.splits for pair in split]
        for id_, count in Counter(pair.id for pair in pairs).items():
            if count > 1:
                broken.append(f"the id {id_!r} stands {count} times; give each pair an id of its own")
        for pair in pairs:
            if not pair.text.strip():
                broken.append(f"the text of {pair.id!r} is empty; leave the pair out")
            if not all(0 <= label < len(self.class_names) for label in pair.labels):
                categories = len(self.class_names)
                broken.append(
                    f"{pair.id!r} has the label {_shown(pair.labels)}, and there are {categories} categories"
                )
        broken += [f"{split} has no pair; change the split" for split, pairs in self.splits if not pairs]
        learnt = {label for pair in self.train for label in pair.labels}
        asked = {label for pair in (*self.validation, *self.test) for label in pair.labels}
        for label in sorted(asked - learnt):
            name = self.class_names[label] if 0 <= label < len(self.class_names) else label
            broken.append(f"the category {name!r} has no training pair; change the split")
        return broken

    def _other_sizes(self) -> list[str]:
        broken = []
        sizes = tuple(len(split) for _, split in self.splits)
        if self.card.sizes is not None and sizes != self.card.sizes:
            broken.append(
                "train/val/test have {}/{}/{} pairs".format(*sizes)
                + " and should have {}/{}/{}; ".format(*self.card.sizes)
                + "get the copy again, or give a split of your own (--splits)"
            )
        if self.card.categories not in (None, len(self.class_names)):
            broken.append(
                f"there are {len(self.class_names)} categories and should be {self.card.categories}"
            )
        return broken

    def _other_class_sizes(self) -> list[str]:
        broken = []
        parts = dict(self.splits)
        for names, sizes_known in self.card.class_sizes.items():
            counts = Counter(pair.label for name in names.split(" and ") for pair in parts[name])
            for label, expected in enumerate(sizes_known):
                if counts[label] != expected:
                    name = self.class_names[label] if label < len(self.class_names) else label
                    broken.append(
                        f"{names} has {counts[label]} pairs of {name!r} and should have {expected}; "
                        "the copy is not complete"
                    )
        return broken


def _shown(labels: Sequence[int]) -> str:
    return ", ".join(map(str, labels))
