"""Where the records of a page come from: a store, or records files, and the arrays that belong to them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cmbench.current import newest_code
from cmbench.errors import DamagedRecordWarning, ReportError
from cmbench.records import Record
from cmbench.report.cells import stored_records
from cmbench.report.records import select
from cmbench.report.significance import Arrays
from cmbench.schema import Problem, finished_at
from cmbench.store import DEFAULT_STORE, Store, lines_of


@dataclass(frozen=True)
class Choice:
    """Which records of all are shown, in the words of the command line; empty ones choose all."""

    datasets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    protocol: str | None = None
    all_versions: bool = False

    @property
    def options(self) -> list[str]:
        """The options of ``cmbench report`` that say so."""
        words = [word for name in self.datasets for word in ("--dataset", name)]
        words += ["--methods", ",".join(self.methods)] if self.methods else []
        words += ["--protocol", self.protocol] if self.protocol else []
        return [*words, "--all-versions"] if self.all_versions else words


@dataclass(frozen=True)
class Study:
    """Records, and what gives their arrays; ``names`` are the folder or the files they were read from.

    ``folder_of`` gives the store that a record is of, ``choice`` says which records of all these are.
    """

    records: tuple[Record, ...]
    arrays: Arrays
    names: tuple[str, ...]
    folder_of: Callable[[Record], Path] = lambda record: Path(DEFAULT_STORE)
    choice: Choice = Choice()

    def store_of(self, records: Sequence[Record]) -> str | None:
        """Return what ``--store`` has to name for these records, None where it may be left out."""
        folder = self.folder_of(records[0])
        return None if folder == Path(DEFAULT_STORE) else str(folder)

    def chosen(
        self, *, datasets: Sequence[str] = (), methods: Sequence[str] = (), protocol: str | None = None
    ) -> Study:
        """Return the study with the records that ``cmbench.report.records.select`` keeps."""
        kept = select(self.records, datasets=datasets, methods=methods, protocol=protocol)
        choice = replace(self.choice, datasets=tuple(datasets), methods=tuple(methods), protocol=protocol)
        return replace(self, records=tuple(kept), choice=choice)

    def chosen_like(self, whole: Study, chosen: Study) -> Study:
        """Return the study without what was not chosen from another; what only this one has stays."""
        left_out = {_scope(record) for record in whole.records} - {
            _scope(record) for record in chosen.records
        }
        kept = tuple(record for record in self.records if _scope(record) not in left_out)
        return replace(self, records=kept)


def _scope(record: Record) -> tuple[str, str, str]:
    """Return what records are chosen by: the data, the method and the protocol."""
    protocol = json.dumps(dict(record["protocol"]), sort_keys=True)
    return record["dataset"]["fingerprint"], record["method"]["name"], protocol


def studies_of(sources: Sequence[Path], *, all_versions: bool = False) -> tuple[Study, Study | None]:
    """Return the study that these places hold, and the one to compare it with where two stores are named.

    They are one store, two stores, of which the second is reported, or any number of records files, which
    count as one study. ``ReportError`` for anything else.
    """
    stores = [source for source in sources if source.is_dir() or not source.exists()]
    if not stores:
        return study_of_files(sources, all_versions=all_versions), None
    if len(stores) < len(sources) or len(stores) > 2:
        raise ReportError(
            f"cannot report {', '.join(map(str, sources))} together; name one store, two to compare, or "
            "records files only"
        )
    *earlier, last = (study_of_store(store, all_versions=all_versions) for store in stores)
    return last, earlier[0] if earlier else None


def study_of_store(folder: Path, *, all_versions: bool = False) -> Study:
    """Return the records of a store; an empty one raises ``ReportError``."""
    records = stored_records(folder, all_versions=all_versions)
    choice = Choice(all_versions=all_versions)
    return Study(tuple(records), Store(folder).arrays, (str(folder),), lambda record: folder, choice)


def study_of_files(files: Sequence[Path], *, all_versions: bool = False) -> Study:
    """Return the records of these records files; of a cell in several, the one finished last.

    The arrays are looked for where a store has them: in ``cells`` beside the file. A line that is no record
    is left out with a ``DamagedRecordWarning``; a file that cannot be read, or in which no line is a record,
    raises ``ReportError``.
    """
    newest: dict[str, tuple[str, Record, Path]] = {}
    for file in files:
        read = _records_of(file)
        for record in read if all_versions else newest_code(file.parent, read):
            finished = finished_at(record)
            if record["key"] not in newest or finished >= newest[record["key"]][0]:
                newest[record["key"]] = finished, record, file.parent
    if not newest:
        raise ReportError(f"no records in {', '.join(map(str, files))}; name a file that has a record a line")
    folders = {key: folder for key, (_, _, folder) in newest.items()}

    def arrays(record: Record) -> Mapping[str, NDArray[Any]]:
        return Store(folders[record["key"]]).arrays(record)

    records = tuple(record for _, record, _ in newest.values())
    choice = Choice(all_versions=all_versions)
    return Study(records, arrays, tuple(map(str, files)), lambda record: folders[record["key"]], choice)


def _records_of(file: Path) -> list[Record]:
    read = list(lines_of(file))
    records: list[Record] = [each for each in read if isinstance(each, dict)]
    problems = [each for each in read if isinstance(each, Problem)]
    for problem in problems:
        if problem.line is None:
            raise ReportError(f"{file}: cannot be read ({problem.reason}); name a records file")
    if problems and not records:
        raise ReportError(f"{file} is no records file (.jsonl): none of its lines is a record")
    for problem in problems:
        warnings.warn(str(problem), DamagedRecordWarning, stacklevel=4)
    return records
