"""Anyone's feature files as datasets: ``.npz``, MATLAB ``.mat``, or a folder of ``.npy`` or ``.mat``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card
from cmbench.datasets.formats.division import Shares
from cmbench.datasets.formats.feature_file import FeatureFile, Reading, draft_of
from cmbench.datasets.formats.matlab import read_mat
from cmbench.datasets.formats.numpy_files import read_folder, read_npz, refuse_special
from cmbench.datasets.rules import RULES, TYPES, broken_rules
from cmbench.datasets.soundness import Finding, findings
from cmbench.disk import kind_of
from cmbench.errors import DatasetError

READERS: dict[str, Callable[[Path, Mapping[str, str] | None], FeatureFile]] = {
    ".npz": read_npz,
    ".mat": read_mat,
}

TABLES = (".csv", ".tsv", ".parquet")

READABLE = "every array can be read and cast"
"""The rule before those of the contract: nothing else can be checked while it is broken."""


@dataclass(frozen=True)
class CheckedRule:
    """A rule and what breaks it; ``checked`` is False where another rule had to hold first."""

    rule: str
    problems: tuple[str, ...] = ()
    checked: bool = True

    @property
    def holds(self) -> bool:
        """Whether the rule was checked and nothing breaks it."""
        return self.checked and not self.problems


@dataclass(frozen=True)
class FileCheck:
    """The result of ``check_file``.

    Parameters
    ----------
    path : of the file or folder
    rules : every rule, in order
    unused : keys that no dataset has a place for
    notes : what was done to read it
    findings : of a dataset that keeps the rules, what makes its numbers questionable
    by_pair : whether the pairs have no categories, so that the protocol ``pairs`` alone ranks them
    """

    path: Path
    rules: tuple[CheckedRule, ...]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    by_pair: bool = False

    @property
    def holds(self) -> bool:
        """Whether every rule was checked and holds, and nothing stops a run."""
        return all(rule.holds for rule in self.rules) and not any(finding.stops for finding in self.findings)


def load_file(
    path: Path | str,
    *,
    unseen_categories: bool = False,
    keys: Mapping[str, str] | None = None,
    shares: Shares | None = None,
    default_name: str = "",
) -> Dataset:
    """Return the dataset in a ``.npz`` or ``.mat`` file or a folder of ``.npy`` or ``.mat`` files.

    ``cmbench.datasets.formats.feature_file`` has the keys, and ``layouts`` what others are taken for.
    ``DatasetError`` names the file and all that is wrong with it.

    Parameters
    ----------
    path : of the file or folder
    unseen_categories : whether test pairs may be of categories that no training pair has
    keys : the key in the file of some arrays, by the key they have in a dataset: {"images_train": "I_tr"}
    shares : what part of the pairs is drawn for validation and test, where the file has none
    default_name : of the dataset, where the file says none; by default the name of the file
    """
    path = Path(path)
    reading = draft_of(read_file(path, keys), shares, default_name=default_name)
    if reading.draft is None:
        raise DatasetError(f"{path}: " + "; ".join(reading.problems))
    card = replace(reading.draft.card, loaded_from=path.absolute())
    draft = replace(reading.draft, card=card, unseen_categories=unseen_categories)
    try:
        return Dataset(*(getattr(draft, field.name) for field in fields(draft)))
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def check_file(path: Path | str, *, keys: Mapping[str, str] | None = None) -> FileCheck:
    """Return every rule with all that breaks it in the file; a broken file is a result, not an error."""
    path = Path(path)
    try:
        file = read_file(path, keys)
    except DatasetError as error:
        return FileCheck(path, _verdicts(Reading(None, (str(error),))))
    reading = draft_of(file)
    rules = _verdicts(reading)
    may_break = {rule.sentence for rule in RULES if rule.may_break}
    if reading.draft is None or not all(rule.holds for rule in rules if rule.rule not in may_break):
        return FileCheck(path, rules, file.unused, reading.notes)
    return FileCheck(
        path,
        rules,
        file.unused,
        (*reading.notes, *_hints(reading.draft.card)),
        findings(reading.draft, thorough=True),
        by_pair=not reading.draft.class_names,
    )


def _hints(card: Card) -> Iterator[str]:
    """Yield what would make the tables of a dataset say more."""
    features = {"image_feature": card.image_feature, "text_feature": card.text_feature}
    unknown = [key for key, feature in features.items() if feature == Card().image_feature]
    if unknown:
        yield (
            f"tables call the features unknown; say in {' and '.join(unknown)} what they are, such as "
            "'VGG-19 fc7'"
        )


def read_file(path: Path, keys: Mapping[str, str] | None = None) -> FeatureFile:
    """Return the arrays in ``path``, whatever its format; ``keys`` as in ``load_file``."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist; name a .npz file, a .mat file or a folder of .npy files")
    if not path.is_dir() and path.suffix.lower() not in READERS:
        raise DatasetError(f"{path} is neither .npz nor .mat nor a folder of .npy files; {_way(path)}")
    refuse_special(path)
    try:
        return read_folder(path, keys) if path.is_dir() else READERS[path.suffix.lower()](path, keys)
    except OSError as error:
        raise DatasetError(f"{path} cannot be opened ({error}); check its permissions") from error


def _way(path: Path) -> str:
    """Return how a file of another kind becomes a dataset."""
    if path.suffix.lower() in TABLES:
        return f"'cmbench features extract pairs_table --from {path}' makes features of pictures and texts"
    kind = kind_of(path)
    return f"it is {kind}" if kind else "save it as one of them"


def _verdicts(reading: Reading) -> tuple[CheckedRule, ...]:
    broken = {} if reading.draft is None else dict(broken_rules(reading.draft))
    sentences = [rule.sentence for rule in (TYPES, *RULES)]
    return (
        CheckedRule(READABLE, reading.problems),
        *(CheckedRule(rule, tuple(broken.get(rule, ())), rule in broken) for rule in sentences),
    )
