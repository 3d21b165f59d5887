"""What ``--set NAME.SETTING=VALUE`` means, the same for every command."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click


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
