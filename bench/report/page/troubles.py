"""What a reader should know before believing the numbers: warnings, failed cells, how to get them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cmbench.command import command
from cmbench.records import Record, commit_text
from cmbench.report.description import packages_text
from cmbench.report.page.content import Board, Entry
from cmbench.report.page.sources import Study
from cmbench.report.records import run_names
from cmbench.report.settings import failure_text
from cmbench.report.warned import said_once
from cmbench.schema import LEFT_OUT, OK


@dataclass(frozen=True, eq=False)
class Trouble:
    """A cell that has no numbers, or a warning: of which row, which runs, what, and what was said."""

    board: Board
    entry: Entry
    runs: str
    what: str
    message: str


def failures(boards: Sequence[Board]) -> list[Trouble]:
    """Return the cells that failed and those that were left out."""
    return [
        Trouble(board, entry, run.name, failure_text(run.record), _message(run.record))
        for board in boards
        for entry in board.entries
        for run in entry.runs
        if run.record["status"] != OK
    ]


def doubts(boards: Sequence[Board]) -> list[Trouble]:
    """Return the warnings of methods and of their results, those that several runs share once."""
    return [
        Trouble(board, entry, run_names(runs), "warning", text)
        for board in boards
        for entry in board.entries
        for text, runs in said_once((run.name, run.warnings) for run in entry.runs)
    ]


def dataset_warnings(board: Board) -> list[str]:
    """Return what makes numbers on the dataset questionable."""
    return list(
        dict.fromkeys(
            sentence for record in board.group.records for sentence in record["dataset"].get("warnings", ())
        )
    )


@dataclass(frozen=True)
class Recipe:
    """How the cells of a board were run, and with what: commands, commits, packages and machines.

    ``again`` are the commands that run them again, one for each row; ``commands`` those that made them.
    """

    again: tuple[str, ...]
    commands: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def recipe(board: Board) -> Recipe:
    """Return how to get the numbers of a board again."""
    records = board.group.records
    facts = {
        "commits": _distinct(commit_text(_origin(record)) for record in records),
        "packages": _distinct(packages_text(_origin(record)) for record in records),
        "Python": _distinct(str(_origin(record).get("python") or "") for record in records),
        "processors": _distinct(str(_origin(record).get("processor") or "") for record in records),
        "LD_PRELOAD": _distinct(str(_origin(record).get("preloaded") or "") for record in records),
        "accelerators": _distinct(_accelerator(record) for record in records),
        "fingerprint": [str(board.group.dataset["fingerprint"])],
    }
    told = tuple((name, "; ".join(values)) for name, values in facts.items() if values)
    again = tuple(command(entry.setting.records) for entry in board.entries)
    return Recipe(again, tuple(_distinct(map(_command, records))), told)


def storing_commands(entries: Sequence[Entry], study: Study) -> tuple[str, ...]:
    """Return the commands that run these rows again, and store beside their records what these lack."""
    records = [entry.setting.records for entry in entries]
    commands = [command(each, store=study.store_of(each)) for each in records]
    return tuple(_distinct(f"{each} --force" for each in commands if each))


def _message(record: Record) -> str:
    error = record["error"] or {}
    return "" if record["status"] == LEFT_OUT else str(error.get("message") or "")


def _origin(record: Record) -> Record:
    return record.get("provenance") or {}


def _command(record: Record) -> str:
    """Return the command line that made a record, as a user writes it."""
    first, *others = map(str, _origin(record).get("command") or [""])
    words = ["cmbench"] if first == "__main__.py" else ["python", first] if first.endswith(".py") else [first]
    return shlex.join([*words, *others]) if first else ""


def _accelerator(record: Record) -> str:
    return str((_origin(record).get("accelerator") or {}).get("name") or "")


def _distinct(texts: Iterator[str]) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]
