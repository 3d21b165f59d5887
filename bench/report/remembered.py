"""Tests of significance that a store remembers, so that a table of thousands of records is there at once.

What is remembered is found by the records' arrays as they lie in the store, size and times of each file, and
by the code of the test: it counts for nothing else, and can be deleted at any time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cmbench.disk import DAMAGE, replacing
from cmbench.evaluation import nesting, statistics
from cmbench.index import stamp_of
from cmbench.report import significance
from cmbench.report.layout import Column
from cmbench.report.settings import Setting
from cmbench.report.significance import Reading, Verdict
from cmbench.store import Store

_WORTH_REMEMBERING = 100  # runs; the arrays of fewer are read anew faster than anybody notices
_MOST = 500  # verdicts that are kept, the latest
_NOT_TESTED = ("component_", "curve_", "first_", "precision_", "query_rows_", "recall_")
"""What the names of arrays begin with that only figures need."""


class Remembering(Reading):
    """Reads the arrays of a store, and keeps the verdicts of larger tests in its ``.work/verdicts.json``."""

    def __init__(self, store: Store) -> None:
        super().__init__(lambda record: store.arrays_without(record, _NOT_TESTED))
        self._store = store
        self._place = store.folder / ".work" / "verdicts.json"
        self._states: dict[tuple[str, ...], str | None] = {}

    def verdict(self, settings: Sequence[Setting], column: Column) -> Verdict | None:
        """Return what an earlier test of the same arrays found, or None."""
        name = self._name(settings, column)
        return self._known.get(name) if name is not None else None

    def note(self, settings: Sequence[Setting], column: Column, verdict: Verdict) -> None:
        """Remember what a test has found; in a store that cannot be written to it is made again each time."""
        name = self._name(settings, column)
        if name is None:
            return
        self._known[name] = verdict
        latest = dict([*self._known.items()][-_MOST:])
        content = {each: astuple(found) for each, found in latest.items()}
        with suppress(OSError), replacing(self._place, durable=False) as beside:
            beside.write_text(json.dumps(content), encoding="ascii")

    @cached_property
    def _known(self) -> dict[str, Verdict]:
        try:
            content = json.loads(self._place.read_bytes())
            return {name: _verdict(*found) for name, found in content.items()}
        except DAMAGE:  # they are found again from the arrays
            return {}

    def _name(self, settings: Sequence[Setting], column: Column) -> str | None:
        """Return what a test is remembered by: all that its verdict follows from; None for small ones."""
        if sum(len(each.finished) for each in settings) <= _WORTH_REMEMBERING:
            return None
        states = [self._state(each) for each in settings]
        if None in states:
            return None
        return sha256(json.dumps([_code(), column.key, states]).encode()).hexdigest()[:32]

    def _state(self, setting: Setting) -> str | None:
        """Return a digest of the arrays' files of a setting, None where one is not where it belongs."""
        keys = tuple(record["key"] for record in setting.finished)
        if keys not in self._states:
            self._states[keys] = _digest(map(self._store.arrays_path, setting.finished), keys)
        return self._states[keys]


def _digest(paths: Any, keys: Sequence[str]) -> str | None:
    try:
        stamps = [stamp_of(os.stat(path)) for path in paths]
    except OSError:
        return None
    return sha256(repr((keys, stamps)).encode()).hexdigest()


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a digest of the code that a verdict follows from."""
    files = [Path(str(module.__file__)) for module in (nesting, statistics, significance)]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _verdict(best: Sequence[bool], groups: Sequence[str], pairs: int, units: int) -> Verdict:
    return Verdict(tuple(best), tuple(groups), pairs, units)
