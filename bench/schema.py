"""What a record must look like, checked when it is read: a file may have been edited, cut or copied badly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

SCHEMA = 1
STATUSES = ("ok", "failed", "crashed", "timeout", "out-of-memory", "left-out", "pruned")
VALIDATION = " (validation)"
"""The end of the name of a dataset in which validation pairs stand in the place of test pairs."""
REMEDY = "'cmbench clean' moves it aside, and the next run after that fits the cell again"

Rule: TypeAlias = tuple[Callable[[Any], bool], str]
"""Whether a value is right, and what it should be, in words."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all(values: object, right: Callable[[Any], bool]) -> bool:
    return isinstance(values, dict) and all(map(right, values.values()))


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _or_none(right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or right(value)


TEXT: Rule = lambda value: isinstance(value, str), "a text"
WHOLE: Rule = _is_whole, "a whole number"
OBJECT: Rule = lambda value: isinstance(value, dict), "an object"
SEED: Rule = _or_none(_is_whole), "a whole number or null"
MAPS: Rule = (
    _or_none(lambda value: _all(value, lambda each: _is_number(each) and 0 <= each <= 1 + 1e-9)),
    ("an object of numbers from 0 to 1, or null"),
)
NUMBERS: Rule = _or_none(lambda value: _all(value, _or_none(_is_number))), "an object of numbers, or null"
COUNTS: Rule = _or_none(lambda value: _all(value, _is_whole)), "an object of whole numbers, or null"
ERROR: Rule = _or_none(lambda value: isinstance(value, dict)), "an object or null"
STATUS: Rule = lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"

RULES: Mapping[tuple[str, ...], Rule] = {
    ("key",): TEXT,
    ("status",): STATUS,
    ("dataset",): OBJECT,
    ("dataset", "name"): TEXT,
    ("dataset", "fingerprint"): TEXT,
    ("dataset", "sizes"): OBJECT,
    ("method",): OBJECT,
    ("method", "name"): TEXT,
    ("method", "paper_name"): TEXT,
    ("method", "version"): WHOLE,
    ("method", "parameters"): OBJECT,
    ("protocol",): OBJECT,
    ("protocol", "name"): TEXT,
    ("protocol", "version"): WHOLE,
    ("seed",): SEED,
    ("map",): MAPS,
    ("queries",): COUNTS,
    ("gallery",): COUNTS,
    ("durations",): NUMBERS,
    ("error",): ERROR,
    ("fitted",): OBJECT,
    ("peak_memory_bytes",): WHOLE,
    ("log",): TEXT,
    ("provenance",): OBJECT,
}
"""The fields that reports and runs rely on, in the order in which they are checked."""
OPTIONAL: Mapping[str, Rule] = {
    "weights": (_or_none(_is_whole), "a whole number or null"),
    "warnings": (_or_none(_are_texts), "a list of texts or null"),
}
"""Fields that records of earlier versions lack."""
NUMBERS_OF_A_RESULT = ("map", "queries", "gallery")


def parsed(text: str) -> dict[str, Any]:
    """Return the record in a text of JSON; raises ``ValueError`` with what is wrong with it."""
    try:
        record = json.loads(text, parse_constant=_refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError(f"it is {type(record).__name__}, not an object")
    if record.get("schema") != SCHEMA:
        schema = record.get("schema")
        newer = isinstance(schema, int) and schema > SCHEMA
        whose = ": a newer cmbench wrote it and reads it" if newer else ""
        raise ValueError(f"it has schema {schema!r}, and this cmbench reads {SCHEMA}{whose}")
    for problem in problems(record):
        raise ValueError(problem)
    return record


def problems(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the content of a record, a few words each."""
    for names, (is_right, words) in RULES.items():
        held: Any = record
        for name in names:
            if name not in held:
                yield f"{'.'.join(names)} is missing"
                return
            held = held[name]
        if not is_right(held):
            yield f"{'.'.join(names)} is {_short(held)}; it must be {words}"
            return
    for name, (is_right, words) in OPTIONAL.items():
        if not is_right(record.get(name)):
            yield f"{name} is {_short(record[name])}; it must be {words}"
            return
    if record["status"] == "ok":
        yield from (
            f"{name} is null though the cell is ok" for name in NUMBERS_OF_A_RESULT if not record[name]
        )


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number of JSON")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
