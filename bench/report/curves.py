"""The curves of trainings: read from a store, and arranged in the panels of a figure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import ReportError, StoreError
from cmbench.records import Record
from cmbench.report.looks import DASHED, HUES
from cmbench.report.records import Group, groups
from cmbench.report.settings import Setting, failure_text, settings
from cmbench.schema import OK
from cmbench.store import Store

ITERATION = "iteration"


@dataclass(frozen=True, eq=False)
class RecordedTraining:
    """A record, and by name the curves (points,) of its training, ``iteration`` among them; may be empty."""

    record: Record
    curves: Mapping[str, NDArray[np.float64]]

    @property
    def steps(self) -> NDArray[np.float64]:
        """The iteration of each point, or its number if the method did not say."""
        points = max(map(len, self.curves.values()))
        return self.curves.get(ITERATION, np.arange(1.0, points + 1))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the curves that have a value to draw."""
        measured = {name: values for name, values in self.curves.items() if name != ITERATION}
        return tuple(name for name, values in measured.items() if np.isfinite(values).any())

    @property
    def kept(self) -> float | None:
        """The iteration whose state was kept, if the method says so."""
        kept = self.record["fitted"].get("best_iteration_")
        return None if kept is None or ITERATION not in self.curves else float(kept)


def trainings(folder: str | Path, records: Sequence[Record]) -> list[RecordedTraining]:
    """Return the records with their curves, as the store in ``folder`` has them.

    Records of more than one setting, none with curves, or curves that differ in length raise ``ReportError``.
    """
    setting, group = one_setting(records)
    store = Store(folder)
    stored = [RecordedTraining(record, _stored_curves(store, record)) for record in setting.records]
    if not any(training.names for training in stored):
        with_curves = ", ".join(_methods_with_curves(store)) or "none"
        raise ReportError(
            f"{setting.label} on {group.name} has no training curves ({fates(stored)}); methods that have "
            f"some in this store: {with_curves}"
        )
    return stored


def one_setting(records: Sequence[Record]) -> tuple[Setting, Group]:
    """Return the one setting all records belong to; others raise ``ReportError`` with the keys of each."""
    pairs = [(setting, group) for group in groups(records) for setting in settings(group.records)]
    if not pairs:
        raise ReportError("there are no records of a training; run some cells first")
    if len(pairs) > 1:
        listed = [
            f"{setting.label} on {group.title}: {' '.join(record['key'] for record in setting.records)}"
            for setting, group in pairs
        ]
        raise ReportError(
            f"these records are of {len(pairs)} settings, and a figure shows the training of one; choose it "
            f"by its keys: {'; '.join(listed)}"
        )
    return pairs[0]


def fates(trainings: Sequence[RecordedTraining]) -> str:
    """Return why records have no curves, with their seeds if they have some."""
    reasons = []
    for training in trainings:
        record = training.record
        reason = "none stored" if record["status"] == OK else failure_text(record)
        reasons.append(reason if record["seed"] is None else f"seed {record['seed']}: {reason}")
    return "; ".join(dict.fromkeys(reasons))  # of several splits once


_SHARE = (-0.03, 1.03)  # what an axis of shares from 0 to 1 shows


@dataclass(frozen=True)
class Kind:
    """A kind of curves: the label, scale and limits of their axis, and the pattern of their names.

    The group in the pattern is the part of a name that tells curves of one kind apart.
    """

    label: str
    pattern: str
    scale: str = "linear"
    limits: tuple[float, float] | None = None


KINDS = (
    Kind("validation MAP", r"validation_map()"),
    Kind("discriminator loss", r"D_(.*_)?loss"),
    Kind("generator loss", r"G_(.*_)?loss"),
    Kind("loss", r"(.*_)?loss"),
    Kind("discriminator accuracy", r"D_(.*_)?accuracy", limits=_SHARE),
    Kind("accuracy", r"(.*_)?accuracy", limits=_SHARE),
    Kind("gradient norm", r"(.*_)?gradient", "log"),
    Kind("magnitude", r"(.*_)?magnitude", "log"),
)


@dataclass(frozen=True)
class Line:
    """How a curve is drawn: its name, its label in the legend (empty if the axis says enough), its look."""

    name: str
    label: str
    colour: str
    style: Any


@dataclass(frozen=True)
class Panel:
    """Curves that share an axis."""

    kind: Kind
    lines: tuple[Line, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What the legend says."""
        return tuple(line.label for line in self.lines if line.label)


def panels(names: Iterable[str]) -> list[Panel]:
    """Return the panels of the curves of these names, those on validation first.

    Every other measure on validation has a panel of its own; names that no pattern fits share a panel with
    those that have the same last word. Curves of images and of texts that are otherwise alike have one
    colour, and those of texts are dashed. A panel has no more colours than can be told apart; further curves
    go to a further panel.

    >>> for panel in panels(["G_image_gradient", "D_text_loss", "D_image_loss", "validation_map"]):
    ...     print(panel.kind.label, panel.labels)
    validation MAP ()
    discriminator loss ('image', 'text')
    gradient norm ('G image',)
    """
    members: dict[Kind, list[str]] = {}
    for name in sorted(names):
        members.setdefault(_kind(name), []).append(name)
    return [panel for kind in sorted(members, key=_rank) for panel in _panels_of(kind, members[kind])]


_PREFIX = "curve_"  # of the names of curves among the arrays of a record


def _stored_curves(store: Store, record: Record) -> dict[str, NDArray[np.float64]]:
    """Return the curves of a record's training, by name; a failed cell has none."""
    if record["status"] != OK:
        return {}
    arrays = store.arrays(record)
    curves = {name.removeprefix(_PREFIX): values for name, values in arrays.items() if _is_curve(name)}
    if len({values.shape for values in curves.values()}) > 1:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in curves.items())
        raise ReportError(
            f"the training curves of {record['key']} differ in length ({shapes}); run it again with --force"
        )
    return curves


def _methods_with_curves(store: Store) -> list[str]:
    return sorted({record["method"]["name"] for record in store.records() if _has_curves(store, record)})


def _has_curves(store: Store, record: Record) -> bool:
    try:
        return record["status"] == OK and any(map(_is_curve, store.arrays(record)))
    except StoreError:  # the file is missing, but nobody asked for this record
        return False


def _is_curve(name: str) -> bool:
    return name.startswith(_PREFIX)


_MODALITIES: Mapping[str, Any] = {"image": "solid", "text": DASHED}


def _kind(name: str) -> Kind:
    if name.startswith("validation_") and not re.fullmatch(KINDS[0].pattern, name):
        return Kind(name.replace("_", " "), f"{re.escape(name)}()")
    last = name.rpartition("_")[2]
    other = Kind(last, rf"(.*_)?{re.escape(last)}")
    return next((kind for kind in KINDS if re.fullmatch(kind.pattern, name)), other)


def _rank(kind: Kind) -> tuple[bool, int, str]:
    number = KINDS.index(kind) if kind in KINDS else len(KINDS)
    return not kind.label.startswith("validation"), number, kind.label


def _panels_of(kind: Kind, names: Sequence[str]) -> list[Panel]:
    words = {name: _words(kind, name) for name in names}
    families = list(dict.fromkeys(map(_family, words.values())))
    rows: dict[int, list[Line]] = {}
    for name, words_of_curve in words.items():
        row, colour = divmod(families.index(_family(words_of_curve)), len(HUES))
        label = " ".join(words_of_curve) or (name if len(names) > 1 else "")
        rows.setdefault(row, []).append(Line(name, label, HUES[colour], _style(words_of_curve)))
    return [Panel(kind, tuple(lines)) for lines in rows.values()]


def _words(kind: Kind, name: str) -> list[str]:
    """Return the words that tell a curve from others of its kind."""
    match = re.fullmatch(kind.pattern, name)
    return (match[1] or "").split("_")[:-1] if match else []


def _family(words: Sequence[str]) -> tuple[str | None, ...]:
    """Return the words with a gap for the modality, so that an image and a text curve are one family."""
    at = _modality(words)
    return tuple(None if number == at else word for number, word in enumerate(words))


def _style(words: Sequence[str]) -> Any:
    at = _modality(words)
    return "solid" if at is None else _MODALITIES[words[at]]


def _modality(words: Sequence[str]) -> int | None:
    """Return the number of the first word that names a modality."""
    return next((at for at, word in enumerate(words) if word in _MODALITIES), None)
