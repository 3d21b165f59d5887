"""What ``--set NAME.SETTING=VALUE`` means, the same for every command."""

from __future__ import annotations

import json
from collections.abc import Iterable
from sys import float_info
from typing import Any

import click

FORMS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of whole numbers",
    str: "a word",
}


def settings_of(texts: Iterable[str], form: str) -> dict[str, dict[str, Any]]:
    """Return the values by name and setting; what is not JSON is a text.

    ``form`` tells how such a text should look, for those that do not.

    >>> settings_of(["cca.n_components=50", "cca.post=none"], "METHOD.PARAMETER=VALUE")
    {'cca': {'n_components': 50, 'post': 'none'}}
    """
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        name, dot, setting = left.partition(".")
        if not (equals and dot):
            raise click.BadParameter(f"{text!r} is not {form}")
        try:
            settings.setdefault(name, {})[setting] = json.loads(value)
        except ValueError:
            settings.setdefault(name, {})[setting] = value
    return settings


def like_default(name: str, value: Any, default: Any) -> Any:
    """Return a value from ``settings_of`` as one of the type of ``default``.

    Numbers with a fraction may be given without one; tuples are of whole numbers. ``click.UsageError``
    names the setting, the value and what it should be.

    >>> like_default("image.augmented", "False", True), like_default("text.widths", [2, 3], (3, 4, 5))
    (False, (2, 3))
    """
    kind = type(default)
    if kind is bool and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if kind is float and type(value) in (int, float) and abs(value) <= float_info.max:
        return float(value)
    if kind is tuple and type(value) is list and all(type(each) is int for each in value):
        return tuple(value)
    if kind in (int, str) and type(value) is kind:
        return value
    raise click.UsageError(
        f"--set {name}={_written(value)}: it must be {FORMS[kind]}, such as {_written(default)}"
    )


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
