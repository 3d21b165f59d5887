"""How the parameters of settings were chosen: what was spent on each search, and what a footer says of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cmbench.current import code_of
from cmbench.limits import duration_text
from cmbench.records import split_of
from cmbench.report.settings import Setting, knows_test_labels


def tuning_note(settings: Sequence[Setting]) -> str:
    """Return how many trials the parameters were chosen from, or that no search has chosen any."""
    shown = [each for each in settings if each.finished and not knows_test_labels(each)]
    searches = (search for each in shown for search in searches_of(each) if search)
    profiles = sorted({search["profile"] for search in searches})
    if not profiles:
        return _untuned(shown)
    profile = f"profile{'s' if len(profiles) > 1 else ''} {', '.join(profiles)}"
    if any(is_short(each, shown) for each in shown):
        text = f"Unequal budgets: parameters chosen on validation pairs, {profile}; trials: {_trials(shown)}."
    else:
        text = f"Parameters chosen on validation pairs, {profile}, {_equal_budget(shown)}."
    more = [_failed_trials(shown), *_of_splits(shown), *_lent(shown), _tuned_before(shown)]
    return " ".join(filter(None, [text, *more]))


def trials_of(setting: Setting) -> int:
    """Return from how many trials the parameters were chosen; 0 where no profile was used."""
    return int(tuning_of(setting).get("trials", 0))


def tuning_of(setting: Setting) -> Mapping[str, Any]:
    """Return how a profile chose the parameters; empty where no profile was used.

    Of searches on several splits it is what each of them has had: the fewest trials, the failed ones of all,
    and the budget where it is the same.
    """
    searches = searches_of(setting)
    return searches[0] if len(searches) == 1 else _united(searches, code_of(setting.records[0]))


def searches_of(setting: Setting) -> list[Mapping[str, Any]]:
    """Return the searches by which parameters were chosen, an empty one where no profile was used.

    It is one for each split where they were chosen on each by itself, else as many as came to them.
    """
    if setting.is_chosen_on_each_split:
        return list({split_of(record): record["method"]["tuning"] for record in setting.records}.values())
    searches = filter(None, (record["method"].get("tuning") for record in setting.records))
    return list({json.dumps(search, sort_keys=True): search for search in searches}.values()) or [{}]


def _united(searches: Sequence[Mapping[str, Any]], code: str) -> dict[str, Any]:
    """Return several searches with a method as one, with a version other than ``code`` if one has such."""
    named = next((each for each in searches if each.get("version", code) != code), searches[0])
    budgets = [each.get("budget") for each in searches]
    united = {
        **named,
        "trials": min(int(each["trials"]) for each in searches),
        "exhausted": all(each.get("exhausted") for each in searches),
        "failed": sum(each.get("failed", 0) for each in searches),
        "budget": budgets[0] if all(each == budgets[0] for each in budgets) else None,
    }
    return {name: value for name, value in united.items() if value or name == "trials"}


def is_short(setting: Setting, settings: Iterable[Setting]) -> bool:
    """Return whether a larger budget than that of this setting was spent on one of the others.

    A method whose every setting was tried could not have spent more, and what knows the test labels is no
    method. Of the same budget, which may be a time, one method may have more trials than another.
    """
    tuning = tuning_of(setting)
    if tuning.get("exhausted") or knows_test_labels(setting):
        return False
    return any(_is_larger(tuning_of(each), tuning) for each in settings)


def _is_larger(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Return whether more was spent on one choice: by budgets of one kind, else by trials."""
    larger, budget = theirs.get("budget") or {}, ours.get("budget") or {}
    if budget and larger.keys() == budget.keys():
        return all(larger[kind] > budget[kind] for kind in budget)
    return int(theirs.get("trials", 0)) > int(ours.get("trials", 0))


def fewer_trials_note(settings: Sequence[Setting]) -> str:
    """Return the sentence that names the settings on which less was spent than on others; empty for none."""
    short = [each for each in settings if is_short(each, settings)]
    if not short:
        return ""
    most = max(map(trials_of, settings))
    if all(trials_of(each) < most for each in short):
        fewer = ", ".join(f"{each.label} {trials_of(each) or 'none'}" for each in short)
        return f"Parameters chosen from fewer trials than the {most} of others: {fewer}."
    spent = (f"{each.label} {_spent(tuning_of(each))}" for each in settings if trials_of(each))
    return f"Parameters chosen with unequal budgets: {', '.join(spent)}."


def _spent(tuning: Mapping[str, Any]) -> str:
    """Return a budget, and how many trials were made within it."""
    budget, trials = budget_text(tuning.get("budget") or {}), f"{tuning['trials']} trials"
    return trials if budget in ("", trials) else f"{budget} ({trials})"


def budget_text(budget: Mapping[str, float]) -> str:
    """Return a budget in words.

    >>> budget_text({"trials": 40}), budget_text({"seconds": 600.0})
    ('40 trials', '10 min of processor time')
    """
    trials = f"{budget['trials']} trials" if "trials" in budget else ""
    seconds = f"{duration_text(budget['seconds'])} of processor time" if "seconds" in budget else ""
    return " or ".join(part for part in (trials, seconds) if part)


def changed(setting: Setting) -> dict[str, Any] | None:
    """Return the parameters that are not at their defaults, by name; None where the record does not say."""
    if setting.defaults is None:
        return None
    practical, parameters = set(setting.method.get("practical", ())), setting.parameters
    return {name: parameters[name] for name in setting.defaults if name not in practical}


def _failed_trials(settings: Sequence[Setting]) -> str:
    """Return whose trials did not all end with a number, where records say so."""
    told = []
    for each in settings:
        searches = searches_of(each)
        if failed := sum(search.get("failed", 0) for search in searches):
            told.append(f"{each.label} {failed} of {sum(search['trials'] for search in searches)}")
    return f"Trials that failed: {', '.join(told)}." if told else ""


def _of_splits(settings: Sequence[Setting]) -> Iterator[str]:
    """Yield on which splits parameters were chosen, where there are several, and whether others test that."""
    several = [each for each in settings if tuning_of(each).get("trials") and {*each.splits} - {0}]
    of_each = ", ".join(each.label for each in several if each.is_chosen_on_each_split)
    of_own = ", ".join(each.label for each in several if not each.is_chosen_on_each_split)
    mixed = bool(of_each and of_own)
    if of_each:
        whose = f" ({of_each})" if mixed else ""
        yield f"They were chosen on each split for itself{whose}; values stand in the order of splits."
    if of_own:
        whose = f" ({of_own})" if mixed else ""
        yield f"They were chosen on the dataset's own split{whose}, whose validation pairs other splits test."


def _untuned(settings: Sequence[Setting]) -> str:
    """Return where parameters come from that no search has chosen; empty where a record does not say."""
    changes = [changed(each) for each in settings]
    if not settings or None in changes:
        return ""
    rows = list(zip(settings, changes, strict=True))
    given = [each.label for each, change in rows if change and not each.method.get("preset")]
    preset = [each.label for each, _ in rows if each.method.get("preset")]
    told = [f"given for {', '.join(given)}"] * bool(given)
    told += [f"of a preset for {', '.join(preset)}"] * bool(preset)
    if len(rows) > len(given) + len(preset):
        told += [f"the defaults of {'the others' if told else 'each method'}"]
    return f"Parameters: {', '.join(told)}; none was chosen by a search (no trials)."


def _lent(settings: Sequence[Setting]) -> list[str]:
    """Return which rows have what was chosen for another method."""
    labels: dict[str, list[str]] = {}
    for setting in settings:
        if "like" in tuning_of(setting):
            labels.setdefault(tuning_of(setting)["like"], []).append(setting.label)
    return [f"Chosen for {name}, and not for itself: {', '.join(of)}." for name, of in labels.items()]


def _equal_budget(settings: Sequence[Setting]) -> str:
    """Return what was spent on each setting, and which of them had no more to try."""
    ended = [each for each in settings if tuning_of(each).get("exhausted")]
    others = [each for each in settings if each not in ended]
    counts = {search.get("trials", 0) for each in others for search in searches_of(each)}
    if not others:
        return f"from all settings that each method has (trials: {_trials(settings)})"
    if len(counts) > 1:
        budget = tuning_of(others[0]).get("budget")
        spent = f"within {budget_text(budget)} each" if budget else "with budgets that differ"
        return f"{spent} (trials: {_trials(settings)})"
    most = counts.pop()
    fewer = [f"{each.label} {trials_of(each) or 'none'}" for each in ended if trials_of(each) < most]
    rest = f"; where a method has fewer settings, from all of them ({', '.join(fewer)})" if fewer else ""
    return f"from {most} trials each{rest}"


def _trials(settings: Sequence[Setting]) -> str:
    """Return the number of trials of each setting."""
    return ", ".join(f"{each.label} {_count_of_trials(each)}" for each in settings)


def _count_of_trials(setting: Setting) -> str:
    counts = [search.get("trials", 0) for search in searches_of(setting)]
    fewest, most = min(counts), max(counts)
    ended = tuning_of(setting).get("exhausted")
    if not most:
        return "none to choose" if ended else "none (defaults or given)"
    text = str(most) if fewest == most else f"{fewest} to {most}"
    return f"{text} (all there are)" if ended else text


def _tuned_before(settings: Sequence[Setting]) -> str:
    """Return whose parameters were chosen with another version of the method than that of the row."""
    told = [
        f"{each.label} (with {tuning_of(each)['version']}, the row is of {code_of(each.records[0])})"
        for each in settings
        if tuning_of(each).get("version", code_of(each.records[0])) != code_of(each.records[0])
    ]
    return f"Chosen with another version of the method: {', '.join(told)}." if told else ""
