"""``cmbench check``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmbench.cli.options import settings_of

if TYPE_CHECKING:
    from cmbench.methods.contract import Method

MARKS = {"passed": "ok", "failed": "FAILED", "expected": "expected", "skipped": "-"}


_FORM = "PARAMETER=VALUE, such as epochs=3"


def _parameters(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    for text in texts:
        if "=" not in text:
            raise click.BadParameter(f"{text!r} is not {_FORM}")
    return settings_of([f"method.{text}" for text in texts], _FORM).get("method", {})


@click.command()
@click.argument("method")
@click.option(
    "--set",
    "parameters",
    multiple=True,
    callback=_parameters,
    metavar="PARAMETER=VALUE",
    help="A parameter in place of its default, such as epochs=3 for a quick check. Repeatable.",
)
def check(method: str, parameters: dict[str, Any]) -> None:
    """Check that a method keeps what every method has to keep.

    METHOD is the name of a method, or a Python file, all of whose methods are checked. Each is fitted some
    ten times on 80 easy pairs, and again for each parameter: seeds, global random numbers, rows alone and in
    a batch, bad input, pickling, checkpoints, parameters without effect and more. The exit
    status is 1 if a check failed.
    """
    from cmbench.methods.conformance import check as results_of
    from cmbench.methods.parameters import as_given, check_values
    from cmbench.methods.registry import check_names

    failed = 0
    given = {kind: as_given(kind, parameters) for kind in _methods(method)}
    for kind, values in given.items():
        check_names(kind, values)
        check_values(kind, values)
    for kind, values in given.items():
        click.echo(f"{kind.name}:")
        statuses: list[str] = []
        earlier: dict[str, str] = {}
        for result in results_of(kind, values):
            told = result.check.replace("_", " ")
            again = earlier.setdefault(result.message, told) if result.status == "failed" else told
            message = result.message if again == told else f"as in '{again}'"
            click.echo(f"  {MARKS[result.status]:<9}{told}{': ' if message else ''}{message}")
            statuses.append(result.status)
        failed += statuses.count("failed")
        click.echo(_total(statuses))
    sys.exit(1 if failed else 0)


def _total(statuses: Sequence[str]) -> str:
    """Return how many checks came out how.

    >>> _total(["passed", "failed", "skipped", "passed"])
    '1 of 3 checks failed'
    >>> _total(["passed", "passed", "skipped"]), _total(["passed", "expected"])
    ('all 2 checks passed', '1 check(s) passed, and 1 failed as expected')
    """
    applied = len(statuses) - statuses.count("skipped")
    failed, expected = statuses.count("failed"), statuses.count("expected")
    if failed:
        return f"{failed} of {applied} checks failed"
    if expected:
        return f"{applied - expected} check(s) passed, and {expected} failed as expected"
    return f"all {applied} checks passed"


def _methods(method: str) -> list[type[Method]]:
    from cmbench.methods.registry import file_entries, registry

    if method.endswith(".py") or Path(method).is_file():
        return [entry.load() for entry in file_entries(Path(method))]
    return [registry()[method].load()]
