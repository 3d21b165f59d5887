"""The first studies: methods in settings that searches of unequal length chose.

A study is a folder of records with what was chosen in ``chosen.json``; ``make`` makes its parts.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.methods.parameters import parameters_of
from cmbench.methods.registry import registry
from cmbench.report import ablation
from cmbench.report.layout import View
from cmbench.report.table import render
from cmbench.store import Store

CHOSEN = "chosen.json"
PARTS = ("choose", "final", "render")
UNDISTURBED = {"threads": 1, "deadline": "none"}

Setting = Mapping[str, Any]
Round = Callable[[Setting], Iterable[Setting]]
"""The settings to try next, from the best so far."""


@dataclass(frozen=True)
class Final:
    """A method, its setting, and the seeds it is run with for the tables."""

    method: str
    setting: Setting = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Study:
    """How the results in a folder are made: that of its name, in ``results``.

    ``searches`` are, for a dataset, the start and the rounds of the search by method; ``finals`` are, for the
    name of a dataset, what is run with the settings chosen, by method. A dataset of ``like`` takes what was
    chosen on another. ``options`` are of ``cmbench.run``.
    """

    name: str
    datasets: tuple[str, ...]
    searches: Callable[[Dataset], Mapping[str, tuple[Setting, Iterable[Round]]]]
    finals: Callable[[str, Mapping[str, Setting]], Iterable[Final]]
    tables: Mapping[str, Callable[[list[dict[str, Any]]], str]]
    like: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=lambda: UNDISTURBED)


def chosen_in(folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what was chosen, by dataset and method: ``setting`` and, where known, ``validation_map``."""
    path = folder / CHOSEN
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def make(study: Study, parts: Iterable[str], datasets: Iterable[str], *, source: Path, results: Path) -> None:
    """Make the parts of a study in ``results`` with the feature files in ``source``."""
    folder = results / study.name
    folder.mkdir(exist_ok=True)
    for name in datasets if {"choose", "final"} & set(parts) else ():
        dataset = cmbench.load_dataset(source / f"{name}.npz")
        if "choose" in parts and name not in study.like:
            choose(study, dataset, folder)
        if "final" in parts:
            for final in study.finals(name, settings_chosen(study, name, folder)):
                run(dataset, final, folder, study.options)
            Store(folder).pack()
    if "render" in parts:
        records = Store(folder).records()
        for file, text in study.tables.items():
            (folder / file).write_text(text(records), encoding="utf-8")


def settings_chosen(study: Study, name: str, folder: Path) -> dict[str, Setting]:
    """Return the settings chosen for a dataset, by method."""
    chosen = chosen_in(folder).get(study.like.get(name, name))
    if chosen is None:
        raise SystemExit(f"nothing is chosen for {name} in {folder / CHOSEN}; make the part 'choose' first")
    return {method: choice["setting"] for method, choice in chosen.items()}


def choose(study: Study, dataset: Dataset, folder: Path) -> None:
    """Search what is not chosen yet on a dataset, and write it down."""
    for method, (start, rounds) in study.searches(dataset).items():
        chosen = chosen_in(folder)
        if method not in chosen.get(dataset.name, {}):
            setting, validation_map = best_of(study, dataset, method, start, rounds)
            choice = {"setting": dict(setting), "validation_map": validation_map}
            chosen.setdefault(dataset.name, {})[method] = choice
            (folder / CHOSEN).write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")


def best_of(
    study: Study, dataset: Dataset, method: str, start: Setting, rounds: Iterable[Round]
) -> tuple[Setting, float]:
    """Return the setting with the highest MAP on the validation pairs, the first of equals, and that MAP.

    Each round tries what follows from the best setting so far.
    """
    best, highest = start, float("-inf")
    for candidates in rounds:
        tried = [(setting, validation_map(study, dataset, method, setting)) for setting in candidates(best)]
        setting, score = max(tried, key=lambda pair: pair[1])
        if score > highest:
            best, highest = setting, score
    return best, highest


def validation_map(study: Study, dataset: Dataset, method: str, setting: Setting) -> float:
    """Return the MAP of a method on the validation pairs, with one seed; minus infinity if it fails."""
    trials = Path(f"results/runs/{study.name}-trials")
    (record,) = run(dataset, Final(method, setting), trials, study.options)
    score = record["fitted"]["validation_map_"] if record["status"] == "ok" else float("-inf")
    print(f"{dataset.name} {method} {dict(setting)} {score:.4f}", flush=True)
    return float(score)


def run(dataset: Dataset, final: Final, store: Path, options: Setting) -> list[dict[str, Any]]:
    """Return the records of a method, run where the store has none."""
    fixed = {
        parameter.name for parameter in parameters_of(registry()[final.method].load()) if parameter.fixed
    }
    parameters = {name: value for name, value in final.setting.items() if name not in fixed}  # of an ablation
    frame = cmbench.run(
        dataset,
        [final.method],
        parameters={final.method: parameters},
        seeds=final.seeds,
        store=store,
        **options,
    )
    return [record for key in frame["key"] if (record := Store(store).find(key)) is not None]


def fixed_round(*settings: Setting) -> Round:
    """Return the round that tries the best setting so far with each of these changes."""
    return lambda best: [{**best, **setting} for setting in settings]


# The traditional methods choose on validation by themselves, all but KCCA, whose width, penalty and rank
# have no defaults that suit all features.

KCCA_GRID = {"kappa": (0.01, 0.1, 0.5, 0.9), "sigma_scale": (0.5, 1.0, 2.0, 4.0), "rank": (1000, 2000)}


def traditional_searches(dataset: Dataset) -> dict[str, tuple[Setting, Iterable[Round]]]:
    settings = [dict(zip(KCCA_GRID, values, strict=True)) for values in product(*KCCA_GRID.values())]
    largest_rank = max(min(KCCA_GRID["rank"]), len(dataset.train))  # a higher one is cut to the pairs
    return {"kcca": ({}, [fixed_round(*(each for each in settings if each["rank"] <= largest_rank))])}


def traditional_finals(name: str, chosen: Mapping[str, Setting]) -> Iterator[Final]:
    yield from map(Final, ("cca", "rcca", "cfa", "jrl", "jrl-release", "lgcfl"))
    yield Final("kcca", chosen["kcca"])


# Of the deep methods, one parameter after the other is searched, with the values of the method's tuning
# space; the best value stays while the next parameter is tried.

DEEP_SEEDS = {
    "pascal_sentence_mnv2_lsa300": (0, 1, 2),
    "wikipedia_cnn128_lda50": (0, 1, 2),
    "wikipedia_sift128_lda10": (0, 1, 2),
    "fashion_mnv2_lsa300": (0,),
}
SEARCHED = {
    "deep-sm": ("hidden_image", "hidden_text", "learning_rate", "weight_decay", "dropout", "preprocessing"),
    "dcca": ("n_components", "ridge"),
    "ccl-coarse": ("pretrain",),
    "cmdn": ("pretrain",),
    "corr-ae": (),  # every fit chooses the variant and the weight of the correlation
}
CORR_AE_STEPS, CORR_AE_BATCH = 2000, 100  # about so many, since few pairs need many epochs
CORR_AE_VARIANTS = ("corr-ae-corr", "corr-ae-cross", "corr-ae-full")


def deep_searches(dataset: Dataset) -> dict[str, tuple[Setting, Iterable[Round]]]:
    rounds_of_epoch = max(1, len(dataset.train) // CORR_AE_BATCH)
    starts = {
        "corr-ae": {"epochs": CORR_AE_STEPS // rounds_of_epoch, "trial_steps": 300},
        "cmdn": {"depth": "validation"},
    }
    return {
        method: (starts.get(method, {}), [fixed_round({}), *parameter_rounds(method, names)])
        for method, names in SEARCHED.items()
    }


def parameter_rounds(method: str, names: Iterable[str]) -> Iterator[Round]:
    space = registry()[method].load().tuning_space
    for name in names:
        yield fixed_round(*({name: value} for value in space[name]))


def deep_finals(name: str, chosen: Mapping[str, Setting]) -> Iterator[Final]:
    for method in SEARCHED:
        yield Final(method, chosen[method], DEEP_SEEDS[name])
    for method in CORR_AE_VARIANTS:
        yield Final(method, chosen["corr-ae"], DEEP_SEEDS[name])


# CM-GANs is tried in a few settings, and then in variations of the best, one thing at a time. Its ablations
# run in the setting that was chosen for the full model.

CMGANS_SEEDS = {
    "wikipedia_cnn128_lda50": (0, 1, 2, 3, 4),
    "wikipedia_sift128_lda10": (0, 1, 2, 3, 4),
    "pascal_sentence_mnv2_lsa300": (0, 1, 2, 3, 4),
    "fashion_mnv2_lsa300": (0, 1),
}
CMGANS_ABLATIONS = ("cmgans-none", "cmgans-ws", "cmgans-sc", "cmgans-inter", "cmgans-cae")
CMGANS_START = {"generator_steps": 1, "post": "zscore_train", "patience": 6, "eval_every": 5}
CMGANS_START_OF_LARGE = {"fashion_mnv2_lsa300": {"patience": 2, "eval_every": 20}}
CMGANS_SETTINGS = (
    {},
    {"weight_decay": 1e-3},
    {"weight_decay": 1e-3, "w_inter": 3.0},
    {"weight_decay": 1e-3, "w_inter": 0.1, "w_intra": 0.1},
    {"weight_decay": 1e-3, "preprocessing": "zscore"},
    {"weight_decay": 1e-3, "preprocessing": "rownorm"},
)
CMGANS_VARIATIONS = {  # rounds of them, at most; none where a training takes longest
    "wikipedia_sift128_lda10": 5,
    "pascal_sentence_mnv2_lsa300": 5,
    "fashion_mnv2_lsa300": 2,
}
RELEASE_FILES = ("pascal_sentence_mnv2_lsa300", "wikipedia_cnn128_lda50")
RELEASE = Final("cmgans-release", {"epochs": 400, "eval_every": 24}, (0, 1, 2))


def cmgans_searches(dataset: Dataset) -> dict[str, tuple[Setting, Iterable[Round]]]:
    start = {**CMGANS_START, **CMGANS_START_OF_LARGE.get(dataset.name, {})}
    further = [cmgans_variations] * CMGANS_VARIATIONS.get(dataset.name, 0)
    return {"cmgans": (start, [fixed_round(*CMGANS_SETTINGS), *further])}


def cmgans_variations(best: Setting) -> list[Setting]:
    """Return the setting with one thing changed at a time."""
    weights = {name: best.get(name, 1.0) for name in ("w_inter", "w_intra")}
    scaled = [{name: round(weight * by, 6) for name, weight in weights.items()} for by in (0.3, 3.0)]
    changes = [*scaled, {"learning_rate": 5e-4}, {"w_semantic": 3.0}, {"mismatch": "anchor"}]
    return [{**best, **change} for change in changes]


def cmgans_finals(name: str, chosen: Mapping[str, Setting]) -> Iterator[Final]:
    for method in ("cmgans", *CMGANS_ABLATIONS):
        yield Final(method, chosen["cmgans"], CMGANS_SEEDS[name])
    if name in RELEASE_FILES:
        yield RELEASE


STUDIES = {
    "traditional": Study(
        "traditional",
        (
            "wikipedia_sift128_lda10",
            "wikipedia_cnn128_lda50",
            "pascal_sentence_mnv2_lsa300",
            "fashion_mnv2_lsa300",
        ),
        traditional_searches,
        traditional_finals,
        {"table.md": lambda records: render(records, view=View(spread="queries"))},
        options={},
    ),
    "deep": Study(
        "deep",
        tuple(DEEP_SEEDS),
        deep_searches,
        deep_finals,
        {"table.md": render},
        like={"fashion_mnv2_lsa300": "pascal_sentence_mnv2_lsa300"},  # the same kind of features
    ),
    "cmgans": Study(
        "cmgans",
        tuple(CMGANS_SEEDS),
        cmgans_searches,
        cmgans_finals,
        {"table.md": render, "ablation.md": ablation.render},
    ),
}
