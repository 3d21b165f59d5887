"""Anyone's feature files as datasets: ``.npz``, MATLAB ``.mat``, or a folder of ``.npy``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Draft
from cmbench.datasets.formats.feature_file import FeatureFile, draft_of
from cmbench.datasets.formats.matlab import read_mat
from cmbench.datasets.formats.numpy_files import read_folder, read_npz
from cmbench.datasets.rules import RULES, TYPES, broken_rules
from cmbench.errors import DatasetError

READERS: dict[str, Callable[[Path], FeatureFile]] = {".npz": read_npz, ".mat": read_mat}

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
    """The result of ``check_file``: every rule in order, and the keys that no dataset has a place for."""

    path: Path
    rules: tuple[CheckedRule, ...]
    unused: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every rule was checked and holds."""
        return all(rule.holds for rule in self.rules)


def load_file(path: Path | str, *, unseen_categories: bool = False) -> Dataset:
    """Return the dataset in a ``.npz`` or ``.mat`` file or a folder of ``.npy`` files.

    ``cmbench.datasets.formats.feature_file`` has the keys. ``DatasetError`` names the file and all that is
    wrong with it. With ``unseen_categories``, test pairs may be of categories that no training pair has.
    """
    path = Path(path)
    draft, problems = draft_of(read_file(path))
    if draft is None:
        raise DatasetError(f"{path}: " + "; ".join(problems))
    draft = replace(draft, unseen_categories=unseen_categories)
    try:
        return Dataset(*(getattr(draft, field.name) for field in fields(draft)))
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def check_file(path: Path | str) -> FileCheck:
    """Return every rule with all that breaks it in the file; a broken file is a result, not an error."""
    path = Path(path)
    try:
        file = read_file(path)
    except DatasetError as error:
        return FileCheck(path, _verdicts(None, [str(error)]))
    return FileCheck(path, _verdicts(*draft_of(file)), file.unused)


def read_file(path: Path) -> FeatureFile:
    """Return the arrays under known keys in ``path``, whatever its format."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist; name a .npz file, a .mat file or a folder of .npy files")
    if not path.is_dir() and path.suffix.lower() not in READERS:
        raise DatasetError(
            f"{path} is neither .npz nor .mat nor a folder of .npy files; save it as one of them"
        )
    try:
        return read_folder(path) if path.is_dir() else READERS[path.suffix.lower()](path)
    except OSError as error:
        raise DatasetError(f"{path} cannot be opened ({error}); check its permissions") from error


def _verdicts(draft: Draft | None, problems: list[str]) -> tuple[CheckedRule, ...]:
    broken = {} if draft is None else dict(broken_rules(draft))
    return (
        CheckedRule(READABLE, tuple(problems)),
        *(CheckedRule(rule, tuple(broken.get(rule, ())), rule in broken) for rule, _ in (TYPES, *RULES)),
    )
