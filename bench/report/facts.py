"""What a table can say of a row beside its measures (cost, seeds, tuning), and the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from cmbench.errors import EvaluationError, ReportError, either
from cmbench.evaluation.measures import get_measure
from cmbench.evaluation.protocol import BIMODAL_AVERAGE
from cmbench.records import Record
from cmbench.report.layout import Column, View
from cmbench.report.searches import changed, trials_of, tuning_of
from cmbench.report.settings import Setting

MISSING = "\u2013"  # an en dash


@dataclass(frozen=True)
class Fact:
    """A column beside those of measures: its name on the command line, its heading, what it says.

    ``value`` gives it of a setting, None where it is not known.
    """

    name: str
    heading: str
    definition: str
    value: Callable[[Setting], Any]
    written: Callable[[Any], str] = str

    def printed(self, setting: Setting) -> str:
        """Return the value as the table prints it; a dash for none."""
        value = self.value(setting)
        return MISSING if value is None else self.written(value)


def duration(setting: Setting, *names: str) -> float | None:
    """Return the mean over the finished records of the sum of these durations, in seconds."""
    taken: list[float] = []
    for record in setting.finished:
        seconds = [value for name in names if (value := (record["durations"] or {}).get(name)) is not None]
        if len(seconds) < len(names):
            return None
        taken.append(sum(seconds))
    return fmean(taken) if taken else None


def largest(setting: Setting, field: str) -> int | None:
    """Return the largest value of a field of the finished records; None where one lacks it."""
    values = [record.get(field) for record in setting.finished]
    return None if not values or None in values else max(values)  # type: ignore[type-var]


def _profile(setting: Setting) -> str | None:
    tuning, preset, given = tuning_of(setting), setting.method.get("preset"), changed(setting)
    if tuning:
        return f"{tuning['profile']}, as {tuning['like']}" if "like" in tuning else str(tuning["profile"])
    if preset:
        return f"preset {preset}"
    return None if given is None else "given" if given else "defaults"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


FACTS = {
    fact.name: fact
    for fact in (
        Fact(
            "seconds",
            "seconds",
            "seconds of fitting and mapping, mean over seeds",
            lambda setting: duration(setting, "fit", "transform"),
            _seconds,
        ),
        Fact(
            "processor",
            "CPU s",
            "CPU s: seconds of a processor that a cell used, mean over seeds",
            lambda setting: duration(setting, "processor"),
            _seconds,
        ),
        Fact(
            "memory",
            "MB",
            "MB: the most memory that a cell used, in 10^6 bytes",
            lambda setting: largest(setting, "peak_memory_bytes"),
            lambda value: f"{value / 1e6:,.0f}",
        ),
        Fact(
            "weights",
            "weights",
            "weights: the numbers that a fitted method maps with",
            lambda setting: largest(setting, "weights"),
            lambda value: f"{value:,}",
        ),
        Fact(
            "seeds",
            "seeds",
            "seeds: finished seeds, 1 for a method without randomness",
            lambda setting: setting.seeds,
        ),
        Fact(
            "splits",
            "splits",
            "splits: ways of dividing the pairs that have finished, 1 for the dataset's own",
            lambda setting: len(setting.splits),
        ),
        Fact("trials", "trials", "trials: settings tried before the parameters were chosen", trials_of),
        Fact("profile", "profile", "profile: where the parameters come from", _profile),
        Fact("family", "family", "family: of the method", lambda setting: setting.method["family"]),
    )
}
"""The facts a table can show, by name."""
TIMES = ("seconds", "processor")
"""Those of them that are times."""


def columns_of(view: View) -> tuple[Sequence[str] | None, list[Fact]]:
    """Return the measures that a view asks for, None for those of the protocol, and its facts.

    A measure among ``view.columns`` comes beside the others. Raises ``ReportError`` for an unknown column.
    """
    facts = [FACTS[name] for name in dict.fromkeys(view.columns) if name in FACTS]
    others = [name for name in view.columns if name not in FACTS]
    for name in others:
        try:
            get_measure(name)
        except EvaluationError as error:
            averages = "; --averages shows the averages alone" if name.endswith("_average") else ""
            raise ReportError(
                f"unknown column {name!r}: there are {', '.join(FACTS)}, and measures ({error}){averages}"
            ) from None
    return view.measures, facts


def added_measures(view: View) -> list[str]:
    """Return the measures among ``view.columns``."""
    return [name for name in view.columns if name not in FACTS]


def in_order(settings: Sequence[Setting], view: View, columns: Iterable[Column]) -> list[Setting]:
    """Return the settings in the order that a view asks for, by default as they are.

    The best comes first in the order of a measure, the smallest in that of a fact; those without a value
    come last. Raises ``ReportError`` for a column that there is not.
    """
    if view.sort is None:
        return list(settings)
    if view.sort in FACTS:
        values = {id(each): FACTS[view.sort].value(each) for each in settings}
        return sorted(settings, key=lambda each: _rank(values[id(each)], 1))
    column = _sorted_by(view.sort, list(columns))
    sign = 1 if column.measure.lower_is_better else -1
    scores = {id(each): each.score(column.key) for each in settings}
    means = {at: None if score is None else score.mean for at, score in scores.items()}
    return sorted(settings, key=lambda each: _rank(means[id(each)], sign))


def _rank(value: Any, sign: int) -> tuple[int, float, str]:
    if value is None:
        return (1, 0.0, "")
    return (0, 0.0, value) if isinstance(value, str) else (0, sign * float(value), "")


def _sorted_by(name: str, columns: Sequence[Column]) -> Column:
    """Return the column of that key or heading; of a measure by its name, the average or else the first."""
    wanted = name.casefold().strip()
    named = [each for each in columns if wanted in (each.key.casefold(), each.alone.casefold())]
    of_measure = [each for each in columns if wanted == each.measure.name]
    averages = [each for each in of_measure if each.key.endswith(BIMODAL_AVERAGE)]
    found = [*named, *averages, *of_measure]
    if not found:
        keys = ", ".join([*(each.key for each in columns), *FACTS])
        raise ReportError(f"there is no column {name!r} to sort by; there are {keys}")
    return found[0]


def fact_notes(facts: Sequence[Fact], settings: Sequence[Setting]) -> list[str]:
    """Return the lines that say what the columns of facts hold, and where their times are not alike."""
    if not facts:
        return []
    told = [f"Columns: {'; '.join(fact.definition for fact in facts)}."]
    if any(fact.name in TIMES for fact in facts) and (unequal := unequal_times(settings, named=True)):
        told.append(unequal)
    return told


def unequal_times(settings: Sequence[Setting], *, named: bool = False) -> str:
    """Return the sentence that tells where times are of several processors, numbers of threads or libraries.

    A library is one of LD_PRELOAD, which may be faster; ``named`` says which settings had it.
    """
    records = [record for setting in settings for record in setting.finished]
    known = (record["provenance"].get("processor") for record in records)
    machines = {processor for processor in known if processor}  # one that is not known may be any of these
    threads = sorted({record["threads"] for record in records})
    told = [f"on {len(machines)} kinds of processors"] if len(machines) > 1 else []
    told += [f"with {either(threads)} threads"] if len(threads) > 1 else []
    if len({_preloaded(record) for record in records}) > 1:
        with_one = ", ".join(each.label for each in settings if any(map(_preloaded, each.finished)))
        which = f"; {with_one} had one" if named else ""
        told.append(f"with different libraries loaded first (LD_PRELOAD{which})")
    return f"Times are of runs {' and '.join(told)}." if told else ""


def _preloaded(record: Record) -> str:
    return str(record["provenance"].get("preloaded") or "")
