"""Signs behind the label of a row, and the lines under the table that say what they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from cmbench.errors import listed
from cmbench.report.records import run_name, run_names
from cmbench.report.searches import changed, fewer_trials_note, is_short
from cmbench.report.settings import Setting, knows_test_labels
from cmbench.report.warned import said_once

CHANGED, FEWER, BOUND, DOUBTFUL = "†", "‡", "§", "!"
ORDER = CHANGED + FEWER + BOUND + DOUBTFUL
KEYS = {
    CHANGED: "not at its defaults",
    FEWER: "fewer trials than others",
    BOUND: "a bound, not a method",
    DOUBTFUL: "with warnings",
}
"""What each sign stands for, in a few words."""
MOST_CHANGED = 8
"""Parameters of a row that its line names."""


def signs_of(setting: Setting, settings: Sequence[Setting]) -> str:
    """Return the signs of a row: not at defaults, tuned with fewer trials, a bound, with warnings."""
    signs = {
        CHANGED: bool(changed(setting)),
        FEWER: is_short(setting, settings),
        BOUND: knows_test_labels(setting),
        DOUBTFUL: bool(_warnings(setting)),
    }
    return "".join(sign for sign, stands in signs.items() if stands)


def sign_notes(settings: Sequence[Setting]) -> list[str]:
    """Return a line for each sign that stands in a table of these settings."""
    shown = [setting for setting in settings if setting.finished]
    given = {setting.label: changed(setting) for setting in shown}
    differing = [f"{label} ({_values(names, label, shown)})" for label, names in given.items() if names]
    fewer = fewer_trials_note(shown)
    bounds = [each.label for each in shown if knows_test_labels(each)]
    doubts = [
        f"{each.label}: {text.removeprefix(each.method['name'] + ': ')}"
        for each in shown
        for text in _warnings(each)
    ]
    lines = (
        f"{CHANGED} Not at the defaults of the method, which stand in brackets: {'; '.join(differing)}.",
        f"{FEWER} {fewer}",
        f"{BOUND} No method, but the categories of the test items themselves, as the most that knowing them "
        f"can give; it takes no part in marks: {', '.join(bounds)}.",
        f"{DOUBTFUL} Warnings: {'; '.join(doubts)}.",
    )
    held = (differing, fewer, bounds, doubts)
    return [line for line, names in zip(lines, held, strict=True) if names]


def _values(names: Mapping[str, object], label: str, settings: Sequence[Setting]) -> str:
    """Return parameters with their values and, in brackets, their defaults."""
    defaults = next(each for each in settings if each.label == label).defaults or {}
    texts = [f"{name}={_text(value)} [{_text(defaults[name])}]" for name, value in sorted(names.items())]
    return listed(texts, MOST_CHANGED)


def _text(value: object) -> str:
    if isinstance(value, dict):  # by split
        return "/".join(map(_text, value.values()))
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _warnings(setting: Setting) -> list[str]:
    """Return the warnings of a setting, with the runs that have them where not all have."""
    every = len(setting.finished)
    told = said_once((run_name(record), record.get("warnings") or ()) for record in setting.finished)
    return [
        text if len(runs) == every else f"{text} (in {len(runs)} of {every} runs: {run_names(runs)})"
        for text, runs in told
    ]
