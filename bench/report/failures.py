"""How a cell without numbers is spelled out."""

from collections.abc import Sequence

from cmbench.limits import duration_text
from cmbench.report.groups import Record
from cmbench.report.settings import Setting


def failure_text(record: Record) -> str:
    """Return what became of a failed cell, in a few words: ``crashed (signal 11)``.

    A timeout names the deadline, or the time measured where the record has none.
    """
    match record["status"]:
        case "timeout":
            return _timeout(record)
        case "crashed":
            return _crash(record)
        case "out-of-memory":
            return "out of memory"
        case "failed":
            return _with_detail("failed: ", (record["error"] or {}).get("type"), "failed")
        case other:
            return str(other)


def failures_text(setting: Setting) -> str:
    """Return what became of the failed cells of a setting, seeds with one fate together.

    The seeds are named where the setting has several: ``seeds 0, 2: out of memory; seed 1: timeout``.
    """
    fates: dict[str, list[str]] = {}
    for record in setting.failed:
        fates.setdefault(failure_text(record), []).append(str(record["seed"]))
    if len(setting.records) == 1:
        return next(iter(fates))
    return "; ".join(f"{_seeds(seeds)}: {fate}" for fate, seeds in fates.items())


def _seeds(seeds: Sequence[str]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def _timeout(record: Record) -> str:
    seconds = (record.get("limits") or {}).get("deadline") or (record["durations"] or {}).get("total")
    return "timeout" if seconds is None else f"timeout after {duration_text(seconds)}"


def _crash(record: Record) -> str:
    status = (record["error"] or {}).get("exit_status")
    if status is not None and status < 0:
        return f"crashed (signal {-status})"
    return _with_detail("crashed (exit status ", status, "crashed", end=")")


def _with_detail(start: str, detail: object, otherwise: str, *, end: str = "") -> str:
    return otherwise if detail is None else f"{start}{detail}{end}"
