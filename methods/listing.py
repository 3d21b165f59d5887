"""What there is to say of every method, for a table."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cmbench.errors import MethodError
from cmbench.methods.contract import Method
from cmbench.methods.registry import MethodEntry, registry

Row = dict[str, str]


def method_rows(plugins: Iterable[Path | str] = ()) -> tuple[list[Row], list[str]]:
    """Return a row for each method that can be imported, and a sentence for each that cannot."""
    known = registry(plugins)
    rows: list[Row] = []
    problems = list(known.problems)
    for entry in known.entries.values():
        try:
            rows.append(_row(entry, entry.load()))
        except MethodError as error:
            problems.append(str(error))
    return rows, problems


def readme_table() -> str:
    """Return the built-in methods as a Markdown table."""
    rows = [row for row in method_rows()[0] if row["origin"] == "built in"]
    lines = [
        f"| `{row['name']}` | {row['paper name']} | {row['labels']} | {row['citation']} |" for row in rows
    ]
    return "\n".join(["| name | method | uses labels | reference |", "|---|---|---|---|", *lines])


def _row(entry: MethodEntry, method: type[Method]) -> Row:
    parameters = inspect.signature(method).parameters.values()
    return {
        "name": entry.name,
        "paper name": method.paper_name,
        "family": method.family,
        "labels": "yes" if method.uses_labels else "no",
        "origin": "built in" if entry.origin == "built-in" else entry.location,
        "parameters": _listed({parameter.name: parameter.default for parameter in parameters}),
        "presets": "; ".join(f"{name}: {_listed(preset)}" for name, preset in method.presets.items()),
        "citation": method.citation,
    }


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
