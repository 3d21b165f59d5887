"""What a record must look like, checked when it is read: a file may have been edited, cut or copied badly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from cmbench.evaluation.protocol import AVERAGES, BIMODAL_TASKS, TASKS

SCHEMA = 1
OK = "ok"
FAILURES = ("failed", "crashed", "timeout", "out-of-memory")
LEFT_OUT = "left-out"
"""The status of a cell whose method cannot run on the dataset."""
PRUNED = "pruned"
"""The status of a trial whose training was given up as it fell behind, which is no failure of a method."""
STATUSES = (OK, *FAILURES, LEFT_OUT, PRUNED)
RANDOM_STATE = "random_state"
"""The parameter that takes the seed."""
VALIDATION = " (validation)"
"""The end of the name of a dataset in which validation pairs stand in the place of test pairs."""
_KEY = re.compile("[0-9a-f]+")
REMEDY = "'cmbench clean' moves it aside, and the next run after that fits the cell again"

MOST_DIGITS = 308
"""Digits of a whole number that a float can stand for, as reports need."""

REMEDY_FOR_NOTES = "'cmbench clean' moves it aside, and the next run on the dataset writes it again"

Rule: TypeAlias = tuple[Callable[[Any], bool], str]
"""Whether a value is right, and what it should be, in words."""


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)  # finite, as ``parsed`` sees to


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _all_of(right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a value is an object all of whose values are right."""
    return lambda values: isinstance(values, dict) and all(map(right, values.values()))


def _list_of(right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a value is a list all of whose items are right."""
    return lambda values: isinstance(values, list) and all(map(right, values))


def _with(**fields: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return what says whether a value is an object that has these fields, all of them right."""
    return lambda value: (
        isinstance(value, dict)
        and all(name in value and right(value[name]) for name, right in fields.items())
    )


def _or_none(right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or right(value)


def _is_tuning(value: Any) -> bool:
    """Return whether a value tells of a choice, and of earlier ones; an empty object tells of none."""
    return _is_choice(value) and _list_of(_is_choice)(value.get("earlier", []))


def _is_choice(value: Any) -> bool:
    if value == {}:
        return True
    told = {"budget": {}, "failed": 0, "version": "", "like": "", "each_split": ""}
    is_right = {
        "profile": _is_text,
        "trials": _is_whole,
        "budget": _all_of(_is_number),
        "failed": _is_whole,
        "version": _is_text,
        "like": _is_text,
        "each_split": lambda digest: isinstance(digest, str | bool),
    }
    return _with(**is_right)({**told, **value}) if isinstance(value, dict) else False


def _is_key(value: Any) -> bool:
    return isinstance(value, str) and bool(_KEY.fullmatch(value))


def _within(folder: str) -> Callable[[Any], bool]:
    """Return what says whether a value is a path below a folder of the store; empty it is no path at all."""

    def is_within(value: Any) -> bool:
        if value == "":
            return True
        if not isinstance(value, str) or not value.isprintable() or "\\" in value:
            return False
        first, *others = value.split("/")
        return first == folder and bool(others) and not {"", ".", ".."}.intersection(others)

    return is_within


TEXT: Rule = _is_text, "a text"
TEXT_OR_NULL: Rule = _or_none(_is_text), "a text or null"
TEXTS: Rule = _list_of(_is_text), "a list of texts"
WHOLE: Rule = _is_whole, "a whole number"
WHOLE_OR_NULL: Rule = _or_none(_is_whole), "a whole number or null"
BOOLEAN: Rule = lambda value: isinstance(value, bool), "true or false"
OBJECT: Rule = _is_object, "an object"
OBJECT_OR_NULL: Rule = _or_none(_is_object), "an object or null"
MAPS: Rule = (
    _or_none(_all_of(lambda each: _is_number(each) and 0 <= each <= 1 + 1e-9)),
    ("an object of numbers from 0 to 1, or null"),
)
NUMBERS: Rule = _or_none(_all_of(_or_none(_is_number))), "an object of numbers, or null"
DURATIONS: Rule = _all_of(_or_none(_is_number)), "an object of numbers"
COUNTS: Rule = _or_none(_all_of(_is_whole)), "an object of whole numbers, or null"
WHOLES: Rule = _or_none(_list_of(_is_whole)), "a list of whole numbers or null"
BY_CATEGORY: Rule = (
    _or_none(_all_of(_list_of(_or_none(_is_number)))),
    "an object of lists of numbers, or null",
)
BY_MEASURE: Rule = _all_of(_all_of(_is_number)), "an object with an object of numbers for each measure"
BY_MEASURE_OR_NULL: Rule = _or_none(BY_MEASURE[0]), f"{BY_MEASURE[1]}, or null"
ERRORS_BY_MEASURE: Rule = _all_of(_all_of(_or_none(_is_number))), BY_MEASURE[1]
SPLIT: Rule = (
    _or_none(_with(name=_is_text, fingerprint=_is_text, seed=_is_whole)),
    "an object with name, fingerprint and seed, or null",
)
TUNING: Rule = (
    _or_none(_is_tuning),
    "an object with profile, trials and, if they are there, a budget of numbers and earlier ones, or null",
)
KEY: Rule = _is_key, "a text of hexadecimal digits"
LOG: Rule = _within("logs"), "a path below the folder logs of the store, or an empty text"
SOURCE: Rule = _or_none(_within("sources")), "a path below the folder sources of the store, or null"
GIT: Rule = (
    _or_none(_with(commit=_is_text, dirty=lambda value: isinstance(value, bool))),
    "an object with commit and dirty, or null",
)
ACCELERATOR: Rule = _or_none(_with(name=_is_text)), "an object with a name, or null"
ERROR: Rule = (
    _or_none(_with(type=_is_text, message=_is_text, traceback=_is_text)),
    "an object with type, message and traceback, or null",
)
STATUS: Rule = lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"

RULES: Mapping[tuple[str, ...], Rule] = {
    ("key",): KEY,
    ("status",): STATUS,
    ("dataset",): OBJECT,
    ("dataset", "name"): TEXT,
    ("dataset", "fingerprint"): KEY,
    ("dataset", "sizes"): OBJECT,
    ("dataset", "sizes", "train"): WHOLE,
    ("dataset", "sizes", "validation"): WHOLE,
    ("dataset", "sizes", "test"): WHOLE,
    ("dataset", "image_feature"): TEXT,
    ("dataset", "text_feature"): TEXT,
    ("dataset", "image_dimension"): WHOLE,
    ("dataset", "text_dimension"): WHOLE,
    ("dataset", "class_names"): TEXTS,
    ("method",): OBJECT,
    ("method", "name"): TEXT,
    ("method", "paper_name"): TEXT,
    ("method", "family"): TEXT,
    ("method", "version"): WHOLE,
    ("method", "parameters"): OBJECT,
    ("protocol",): OBJECT,
    ("protocol", "name"): TEXT,
    ("protocol", "version"): WHOLE,
    ("protocol", "similarity"): TEXT,
    ("protocol", "cutoff"): WHOLE_OR_NULL,
    ("protocol", "denominator"): TEXT,
    ("protocol", "keep_query"): BOOLEAN,
    ("protocol", "normalisation"): TEXT,
    ("protocol", "ties"): TEXT,
    ("seed",): WHOLE_OR_NULL,
    ("map",): MAPS,
    ("queries",): COUNTS,
    ("gallery",): COUNTS,
    ("durations",): DURATIONS,
    ("error",): ERROR,
    ("fitted",): OBJECT,
    ("peak_memory_bytes",): WHOLE,
    ("threads",): WHOLE,
    ("log",): LOG,
    ("provenance",): OBJECT,
}
"""The fields that reports and runs rely on, in the order in which they are checked."""
OPTIONAL: Mapping[tuple[str, ...], Rule] = {
    ("dataset", "sizes", "retrieval"): WHOLE,
    ("dataset", "warnings"): TEXTS,
    ("dataset", "notes"): TEXTS,
    ("dataset", "test_counts"): WHOLES,
    ("dataset", "split_of"): SPLIT,
    ("dataset", "unseen_categories"): TEXTS,
    ("method", "defaults"): OBJECT,
    ("method", "practical"): TEXTS,
    ("method", "source"): SOURCE,
    ("method", "tuning"): TUNING,
    ("configuration",): OBJECT,
    ("configuration", "dataset"): TEXT_OR_NULL,
    ("configuration", "plugin"): TEXT_OR_NULL,
    ("standard_error",): NUMBERS,
    ("category_map",): BY_CATEGORY,
    ("measures",): BY_MEASURE,
    ("measure_errors",): ERRORS_BY_MEASURE,
    ("chance",): BY_MEASURE_OR_NULL,
    ("dimension",): WHOLE_OR_NULL,
    ("weights",): WHOLE_OR_NULL,
    ("warnings",): TEXTS,
    ("repeats",): BOOLEAN,
    ("fence",): OBJECT_OR_NULL,
    ("provenance", "command"): TEXTS,
    ("provenance", "packages"): OBJECT,
    ("provenance", "git"): GIT,
    ("provenance", "accelerator"): ACCELERATOR,
}
"""Fields that not every record has, because earlier versions lack them or there is nothing to say."""
NUMBERS_OF_A_RESULT = ("map", "queries", "gallery")
_RULES = (*RULES.items(), *OPTIONAL.items())
_TASKS_OF_RESULTS = (set(TASKS), set(BIMODAL_TASKS))
_ABSENT = object()


_OF_ARRAYS = ("fingerprint", "sizes", "image_dimension", "text_dimension", "class_names", "test_counts")
_RULES_OF_CARDS = [
    (names[1], rule)
    for names, rule in _RULES
    if names[0] == "dataset" and len(names) == 2 and names[1] not in _OF_ARRAYS
]


@dataclass(frozen=True)
class Problem:
    """A file of a store, or a line of it from 1, that cannot be read, and what is wrong with it."""

    path: Path
    reason: str
    line: int | None = None
    kind: str = "record"
    remedy: str = REMEDY

    def __str__(self) -> str:
        where = f"{self.path}" if self.line is None else f"{self.path}, line {self.line}"
        return f"{where}: not a readable {self.kind} ({self.reason}); {self.remedy}"


def has_failed(record: Mapping[str, Any]) -> bool:
    """Return whether a cell failed: neither one that was left out nor one that was given up has."""
    return record["status"] in FAILURES


def finished_at(record: Mapping[str, Any]) -> str:
    """Return when a record was made, as text that sorts by time; empty where it does not say."""
    finished = (record.get("provenance") or {}).get("finished")
    return finished if isinstance(finished, str) else ""


def parsed(text: str) -> dict[str, Any]:
    """Return the record in a text of JSON; raises ``ValueError`` with what is wrong with it."""
    try:
        record = json.loads(text, parse_constant=_refused, parse_int=_whole, parse_float=_finite)
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
    for names, (is_right, words) in _RULES:
        held = _held(record, names)
        if held is _ABSENT and names in OPTIONAL:
            continue
        if held is _ABSENT:
            yield f"{'.'.join(names)} is missing"
            return
        if not is_right(held):
            yield f"{'.'.join(names)} is {_short(held)}; it must be {words}"
            return
    method = record["method"]
    unknown = [name for name in method.get("defaults", ()) if name not in method["parameters"]]
    yield from (f"method.parameters has no {name!r}, of which method.defaults has one" for name in unknown)
    if record["status"] == OK:
        yield from _problems_of_result(record)


def _problems_of_result(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the numbers of a cell that is ok lack: each task, and the averages of all."""
    for name in NUMBERS_OF_A_RESULT:
        if not record[name]:
            yield f"{name} is null though the cell is ok"
            return
    tasks = record["queries"].keys()
    if tasks not in _TASKS_OF_RESULTS:
        yield f"queries is {_short(record['queries'])}; it must have the tasks {', '.join(TASKS)}"
        return
    averages = [average for average, members in AVERAGES.items() if tasks >= {*members}]
    by_category = record.get("category_map")
    lacking = [
        *(f"map has no {name}" for name in (*tasks, *averages) if name not in record["map"]),
        *(f"gallery has no {name}" for name in tasks if name not in record["gallery"]),
        *(f"category_map has no {name}" for name in tasks if by_category and name not in by_category),
    ]
    yield from lacking
    categories = len(record["dataset"]["class_names"])
    if any(len(values) != categories for values in (by_category or {}).values()):
        yield f"category_map has not one number for each of the {categories} categories"


def problems_of_note(note: object) -> Iterator[str]:
    """Yield what is wrong with what a store notes of a dataset: its card, and the code of each method."""
    if not isinstance(note, dict):
        yield f"it is {type(note).__name__}, not an object"
        return
    card, code = note.get("dataset", {}), note.get("code", {})
    if not isinstance(card, dict):
        yield f"dataset is {_short(card)}; it must be an object"
        return
    if not _all_of(_is_text)(code):
        yield f"code is {_short(code)}; it must be an object of texts"
    yield from (
        f"dataset.{name} stands in it, which records alone say" for name in _OF_ARRAYS if name in card
    )
    for name, (is_right, words) in _RULES_OF_CARDS:
        if name in card and not is_right(card[name]):
            yield f"dataset.{name} is {_short(card[name])}; it must be {words}"


def _held(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the value of a field, or of a field of fields; ``_ABSENT`` where there is none."""
    held: Any = record
    for name in names:
        if name not in held:
            return _ABSENT
        held = held[name]
    return held


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits; {MOST_DIGITS} are the most")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"it holds {_short(text)}, which is larger than any number here")
    return number


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number of JSON")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
