"""What records show, in plain words: sentences in which every figure comes from the records themselves.

They are about one method, by default CM-GANs: whether it is the best or cannot be told apart from the best,
whether it is better than its variants, and how far the order of methods is that of published tables; and
about the methods beyond the paper: whether they are above chance, CCA and Deep-SM. What cannot be said is
said too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cmbench.errors import EvaluationError, StoreError
from cmbench.evaluation.measures import MAP
from cmbench.evaluation.nesting import nested_in_pairs
from cmbench.evaluation.statistics import (
    LEVEL,
    MOST_RESAMPLES,
    RESAMPLES,
    Difference,
    difference,
    holm,
)
from cmbench.records import Record
from cmbench.report.ablation import FULL, VARIANTS, parts_of
from cmbench.report.footer import chance_of
from cmbench.report.layout import AVERAGE, printed
from cmbench.report.published import collection_of
from cmbench.report.records import Group, groups
from cmbench.report.searches import is_short
from cmbench.report.settings import Setting, competes, settings
from cmbench.report.shape import P_NOTE, shapes
from cmbench.report.significance import Arrays, Reading, best_groups, reading, runs_of

BEYOND = (
    "sm",
    "scm",
    "ridge",
    "lcfs",
    "jfssl",
    "acmr",
    "acmr-released",
    "dscmr",
    "contrastive",
    "triplet",
)
"""The methods beyond the paper; reports import no methods, which know their groups."""
YARDSTICKS = ("cca", "deep-sm")
"""What methods beyond the paper are measured by: the plainest method, and the plainest that uses labels."""


@dataclass(frozen=True)
class Finding:
    """What records of one dataset show of a method.

    ``in_first`` says whether it is the best or cannot be told apart from it, ``in_first_of_paper`` the same
    without the methods beyond the paper, and ``above_variants`` whether it is above each of its variants, by
    more than chance; each is None where that was not tested. ``beyond`` says
    of each method beyond the paper whether its mean is above chance and above the methods of ``YARDSTICKS``,
    by the names of these.
    """

    group: Group
    in_first: bool | None
    in_first_of_paper: bool | None
    above_variants: bool | None
    sentences: tuple[str, ...]
    beyond: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        """The name and version of the protocol of the group."""
        return f"{self.group.protocol['name']} {self.group.protocol['version']}"


def render(records: Iterable[Record], *, arrays: Arrays | None = None, method: str = FULL.name) -> str:
    """Return what the records show of a method as Markdown: a line on all datasets, and some on each."""
    found = findings(records, arrays=arrays, method=method)
    lines = [f"* {sentence}" for sentence in summary(found, method)]
    for finding in found:
        lines += ["", f"**{finding.group.title}**", ""]
        lines += [f"* {sentence}" for sentence in finding.sentences]
    return "\n".join(lines) + "\n"


def findings(
    records: Iterable[Record], *, arrays: Arrays | None = None, method: str = FULL.name
) -> list[Finding]:
    """Return what the records of each dataset and protocol show of a method, by bi-modal averages.

    Datasets without a finished cell are left out. ``arrays`` gives the values per query that tests need.
    """
    once = reading(arrays)
    return [_finding(group, method, once) for group in groups(records) if group.finished]


def summary(found: Sequence[Finding], method: str = FULL.name) -> list[str]:
    """Return on how many datasets a method is in the first group, and on how many above its variants."""
    label = _paper_name(found, method)
    first = [finding for finding in found if finding.in_first is not None]
    above = [finding for finding in found if finding.above_variants is not None]
    told = [
        f"{label} is the best, or cannot be told apart from the best, {where}."
        for where in _shares([bool(finding.in_first) for finding in first], first)
    ]
    alone = [finding for finding in found if finding.in_first_of_paper is not None]
    if any(finding.beyond for finding in alone):
        told += [
            f"Without the methods beyond the paper it is so {where}."
            for where in _shares([bool(finding.in_first_of_paper) for finding in alone], alone)
        ]
    told += [
        f"It is above each of its ablations, tuned for themselves, by more than chance {where}."
        for where in _shares([bool(finding.above_variants) for finding in above], above)
    ]
    untested = [
        finding.group.name
        for finding in found
        if finding.in_first is None
        and any(each["method"]["name"] == method for each in finding.group.records)
    ]
    if untested:
        told.append(f"Of {', '.join(untested)} this cannot be said, for the reasons given there.")
    return [*told, *_summary_of_beyond(found)]


def _summary_of_beyond(found: Sequence[Finding]) -> Iterator[str]:
    """Yield for each protocol and yardstick, chance among them, on which datasets methods are above it."""
    for protocol in dict.fromkeys(finding.protocol for finding in found):
        of_protocol = [finding for finding in found if finding.protocol == protocol]
        for name in dict.fromkeys(name for finding in of_protocol for name in finding.beyond):
            above: dict[str, dict[str, bool]] = {}
            for finding in of_protocol:
                for label, is_above in finding.beyond.get(name, {}).items():
                    above.setdefault(label, {})[finding.group.name] = is_above
            parts = {
                "on every dataset that has them": [
                    label for label, each in above.items() if all(each.values())
                ],
                "on some": [
                    f"{label} ({_where(each)})"
                    for label, each in above.items()
                    if 0 < sum(each.values()) < len(each)
                ],
                "on none": [label for label, each in above.items() if not any(each.values())],
            }
            told = "; ".join(f"{where}: {', '.join(labels)}" for where, labels in parts.items() if labels)
            yield f"Protocol {protocol}, methods beyond the paper above {name}, by their means: {told}."


def _where(above: Mapping[str, bool]) -> str:
    """Return on which of some datasets a method is above another, by naming the fewer."""
    return _which([on for on in above if above[on]], [on for on in above if not above[on]])


def _shares(holds: Sequence[bool], found: Sequence[Finding]) -> Iterator[str]:
    """Yield on how many datasets of real pairs something holds, and on which; and the same of drawn ones."""
    for kind, is_drawn in (("real", False), ("drawn by a program", True)):
        of_kind = [at for at, finding in enumerate(found) if _is_drawn(finding.group) == is_drawn]
        if of_kind:
            names = ", ".join(found[at].group.name for at in of_kind if holds[at])
            datasets = f"dataset{'s that are' if len(of_kind) > 1 else ' that is'}"
            told = f"on {sum(holds[at] for at in of_kind)} of {len(of_kind)} {datasets} {kind}"
            yield f"{told} ({names})" if names else told


def _is_drawn(group: Group) -> bool:
    """Return whether the pairs of a dataset were drawn by a program."""
    return str(group.dataset.get("source", "")).startswith("generated by ")


def _paper_name(found: Sequence[Finding], method: str) -> str:
    names = {
        record["method"]["name"]: str(record["method"]["paper_name"])
        for finding in found
        for record in finding.group.records
    }
    return names.get(method, method)


def _finding(group: Group, method: str, arrays: Reading) -> Finding:
    """Return what one table shows; ablations are compared apart, and neither they nor controls compete."""
    ablations = {name for name in VARIANTS if name != FULL.name}
    measured = [
        each
        for each in settings(group.records)
        if each.score(AVERAGE.key) and each.method["name"] not in ablations and competes(each)
    ]
    ranked = sorted(measured, key=lambda setting: -_mean(setting))
    place, in_first = _place(ranked, method, arrays)
    alone, in_first_of_paper = _without_beyond(ranked, method, arrays) or ([], in_first)
    variants, above = _against_variants(group, arrays) if method == FULL.name else ([], None)
    others, beyond = _beyond_the_paper(group, measured)
    sentences = [*place, *alone, *variants, *others, *_order(group, arrays), *_reservations(group, measured)]
    return Finding(group, in_first, in_first_of_paper, above, tuple(sentences), beyond)


def _place(ranked: Sequence[Setting], method: str, arrays: Reading) -> tuple[list[str], bool | None]:
    """Return which methods are in the first group, where the method stands, and whether it is one of them."""
    if len(ranked) < 2:
        return ["Fewer than two methods have numbers, so that nothing is compared."], None
    best, untested = _first_group(ranked, arrays)
    told = [f"Highest {AVERAGE.alone}: {_named(ranked[0])}."]
    if untested:
        return [*told, *_place_of(ranked, method), f"Not tested: {untested}."], None
    told.append(f"Not told apart from it: {_listed(best[1:])} (of {len(ranked)} methods).")
    own = [each for each in ranked if each.method["name"] == method]
    is_first = any(each in best for each in own) if own else None
    return [*told, *_place_of(ranked, method), *_margin(ranked, own, arrays)], is_first


def _first_group(ranked: Sequence[Setting], arrays: Reading) -> tuple[list[Setting], str]:
    """Return the highest and what cannot be told apart from it, in order, or why that was not tested."""
    standing = best_groups(ranked, [AVERAGE], arrays)[AVERAGE.key]
    best = [each for each, mark in zip(ranked, standing.marks, strict=True) if mark.best]
    return best, "" if standing.pairs else standing.untested


def _listed(chosen: Sequence[Setting]) -> str:
    return ", ".join(_named(each) for each in chosen) or "none"


def _without_beyond(
    ranked: Sequence[Setting], method: str, arrays: Reading
) -> tuple[list[str], bool | None] | None:
    """Return the first group without the methods beyond the paper, and whether the method is in it.

    None where there are none of them, or fewer than two others.
    """
    others = [each for each in ranked if each.method["name"] not in BEYOND]
    if not 2 <= len(others) < len(ranked):
        return None
    best, untested = _first_group(others, arrays)
    own = [each for each in others if each.method["name"] == method]
    if untested or not own:
        return [], None
    told = f"Without the methods beyond the paper: highest {_named(best[0])}; not told apart from it"
    return [f"{told}: {_listed(best[1:])} (of {len(others)} methods)."], any(each in best for each in own)


def _margin(ranked: Sequence[Setting], own: Sequence[Setting], arrays: Reading) -> Iterator[str]:
    """Yield how a method differs from the highest, or where it is that from the next, tested alone.

    It is what a correction for all comparisons of a table hides: with many methods a difference has to be
    larger to be told from chance.
    """
    for each in own:
        other = ranked[0] if each is not ranked[0] else ranked[1]
        found = _difference(each, other, arrays, resamples=MOST_RESAMPLES)
        chance = f"p = {found.p:.2g}" if found.p >= 0.001 else "p < 0.001"
        yield (
            f"{_named(each)} less {_named(other)}: {found.mean:+.3f} (95 % interval {found.low:+.3f} to "
            f"{found.high:+.3f}; {chance} if these two alone had been compared)."
        )


def _place_of(ranked: Sequence[Setting], method: str) -> list[str]:
    places = [(at, each) for at, each in enumerate(ranked, 1) if each.method["name"] == method]
    return [f"{_named(each)} has place {at} of {len(ranked)}." for at, each in places]


def _against_variants(group: Group, arrays: Reading) -> tuple[list[str], bool | None]:
    """Return how CM-GANs differs from its ablations, each tuned for itself, and whether it is above all.

    While some were not run, it is not known to be above all.
    """
    records = tuple(record for record in group.records if record["method"]["name"] in VARIANTS)
    own = [part for part in parts_of(Group(records)) if part.which == "own"] if records else []
    if not own:
        return [], None
    shown = [each for each in settings(own[0].group.records) if each.score(AVERAGE.key)]
    full = [each for each in shown if each.method["name"] == FULL.name]
    variants = [each for each in shown if each.method["name"] != FULL.name]
    if len(full) != 1 or not variants:
        return [], None
    try:
        tested = [_difference(full[0], each, arrays) for each in variants]
    except (StoreError, EvaluationError) as error:
        return [f"Not tested against ablations: {error}."], None
    corrected = holm([found.p for found in tested])
    told = [
        f"{each.label} ({printed(_mean(each))}): {found.mean:+.3f}, p = {p:.3g}"
        for each, found, p in zip(variants, tested, corrected, strict=True)
    ]
    sentence = f"{full[0].label} ({printed(_mean(full[0]))}) less its ablations, each tuned for itself: "
    above = all(found.mean > 0 and p <= LEVEL for found, p in zip(tested, corrected, strict=True))
    lacking = [name for name in VARIANTS if name not in {each.method["name"] for each in shown}]
    without = f" Not run: {', '.join(VARIANTS[name].paper_name for name in lacking)}." if lacking else ""
    return [f"{sentence}{'; '.join(told)} (Holm).{without}"], None if above and lacking else above


def _difference(
    first: Setting, second: Setting, arrays: Reading, *, resamples: int = RESAMPLES
) -> Difference:
    nested = nested_in_pairs([runs_of(each, AVERAGE, arrays) for each in (first, second)])
    return difference(*nested.in_units(), resamples=resamples)


def _beyond_the_paper(
    group: Group, measured: Sequence[Setting]
) -> tuple[list[str], Mapping[str, Mapping[str, bool]]]:
    """Return which methods beyond the paper are above chance and the yardsticks, by their means."""
    beyond = [each for each in measured if each.method["name"] in BEYOND]
    if not beyond:
        return [], {}
    found, told = {}, []
    for name, value in _yardsticks(group, measured):
        found[name] = {each.label: _mean(each) > value for each in beyond}
        above = [_named(each) for each in beyond if found[name][each.label]]
        below = [_named(each) for each in beyond if not found[name][each.label]]
        told.append(f"above {name} {printed(value)}: {_which(above, below)}")
    return [f"Of {len(beyond)} methods beyond the paper, {'; '.join(told)}."], found


def _which(chosen: Sequence[str], others: Sequence[str]) -> str:
    """Return which were chosen, by naming the fewer: these, or those that were not."""
    if not chosen or not others:
        return "all" if chosen else "none"
    return ", ".join(chosen) if len(chosen) <= len(others) else f"all but {', '.join(others)}"


def _yardsticks(group: Group, measured: Sequence[Setting]) -> Iterator[tuple[str, float]]:
    """Yield chance and the methods of ``YARDSTICKS`` that have one row, by name, with their numbers."""
    chance = chance_of(group).get(MAP.name, {}).get(AVERAGE.key)
    if chance is not None:
        yield "chance", chance
    for name in YARDSTICKS:
        rows = [each for each in measured if each.method["name"] == name]
        if len(rows) == 1:
            yield str(rows[0].method["paper_name"]), _mean(rows[0])


def _order(group: Group, arrays: Reading) -> list[str]:
    collection = collection_of(group)
    found = shapes(group, collection, arrays) if collection else []
    told = "; ".join(f"{shape.heading} {shape.text}" for shape in found)
    return [f"Order of methods, Kendall's tau with published tables ({P_NOTE}): {told}."] if found else []


def _reservations(group: Group, measured: Sequence[Setting]) -> list[str]:
    """Return what keeps these numbers from showing more."""
    short = [each.label for each in measured if is_short(each, measured)]
    once = [each.label for each in measured if each.is_random and each.seeds == 1]
    failed = _failed(group)
    reasons = {
        "Tuned with a smaller budget than others": short,
        "With one finished seed, of whose chance nothing is known": once,
        "With cells that gave no result": failed,
    }
    return [f"{reason}: {', '.join(labels)}." for reason, labels in reasons.items() if labels]


def _failed(group: Group) -> list[str]:
    counts: Mapping[str, int] = {each.label: len(each.unfinished) for each in settings(group.records)}
    return [f"{label} ({count})" for label, count in counts.items() if count]


def _mean(setting: Setting) -> float:
    score = setting.score(AVERAGE.key)
    return float("nan") if score is None else score.mean


def _named(setting: Setting) -> str:
    return f"{setting.label} {printed(_mean(setting))}"
