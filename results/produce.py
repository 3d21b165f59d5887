"""Make the results of a study: ``python results/produce.py STUDY [PART ...] [--from FOLDER]``.

STUDY is ``traditional``, ``deep``, ``cmgans``, ``features``, ``scenes`` or ``tuned``, each a folder beside
this file; or ``searches``, which keeps what ``cmbench tune`` tried for ``tuned``; or ``leaderboard``, which
writes one page of the records of ``tuned``, with those of the first three below them, and runs nothing; or
``typical``, which writes how long methods take with their defaults, for ``cmbench plan`` where nothing has
run yet. FOLDER holds the feature files, for ``features`` the raw pairs, for ``tuned`` the store of runs with
``--profile``, for ``searches`` that of ``cmbench tune``, and for ``typical`` that of a run on ``scenes`` with
the defaults; ``scenes`` is built in and needs none. A PART is one of these; by default all are made, in this
order:

* ``choose`` searches the settings of the methods that do not choose them by themselves, with one seed, for
  the highest MAP on the validation pairs. What is chosen is written to ``chosen.json`` in the study's folder,
  by dataset and method, and is not chosen again while it is there. The trials are kept apart, and nothing
  looks at their test numbers.
* ``final`` runs every method in its setting, with several seeds, and writes the records to one file for each
  dataset. What is there already is not run again.
* ``render`` writes the tables, and of ``scenes`` the figures. It needs no FOLDER.
"""

import argparse
import json
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tabulate import tabulate

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.datasets.registry import dataset_names
from cmbench.errors import ReportError
from cmbench.methods.parameters import parameters_of
from cmbench.methods.registry import DEFAULT_METHODS, registry
from cmbench.report import ablation, findings, overview, shape
from cmbench.report.layout import View
from cmbench.report.significance import reading
from cmbench.report.table import render
from cmbench.schema import VALIDATION, finished_at
from cmbench.store import Store

HERE = Path(__file__).parent
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
    """How the results in a folder are made.

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

    @property
    def folder(self) -> Path:
        return HERE / self.name

    @property
    def chosen_path(self) -> Path:
        return self.folder / "chosen.json"

    def chosen(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what was chosen, by dataset and method: ``setting`` and, where known, ``validation_map``."""
        return json.loads(self.chosen_path.read_text("utf-8")) if self.chosen_path.exists() else {}


def make(study: Study, parts: Iterable[str], datasets: Iterable[str], folder: Path) -> None:
    """Make the parts of a study."""
    study.folder.mkdir(exist_ok=True)
    for name in datasets if {"choose", "final"} & set(parts) else ():
        dataset = cmbench.load_dataset(folder / f"{name}.npz")
        if "choose" in parts and name not in study.like:
            choose(study, dataset)
        if "final" in parts:
            for final in study.finals(name, settings_chosen(study, name)):
                run(dataset, final, study.folder, study.options)
            Store(study.folder).pack()
    if "render" in parts:
        records = Store(study.folder).records()
        for file, text in study.tables.items():
            (study.folder / file).write_text(text(records), encoding="utf-8")


def settings_chosen(study: Study, name: str) -> dict[str, Setting]:
    """Return the settings chosen for a dataset, by method."""
    chosen = study.chosen().get(study.like.get(name, name))
    if chosen is None:
        raise SystemExit(f"nothing is chosen for {name} in {study.chosen_path}; make the part 'choose' first")
    return {method: choice["setting"] for method, choice in chosen.items()}


def choose(study: Study, dataset: Dataset) -> None:
    """Search what is not chosen yet on a dataset, and write it down."""
    for method, (start, rounds) in study.searches(dataset).items():
        chosen = study.chosen()
        if method not in chosen.get(dataset.name, {}):
            setting, validation_map = best_of(study, dataset, method, start, rounds)
            choice = {"setting": dict(setting), "validation_map": validation_map}
            chosen.setdefault(dataset.name, {})[method] = choice
            study.chosen_path.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")


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


# What are the features worth that ``cmbench features extract`` makes of raw pairs? FOLDER holds the raw
# pairs of Pascal Sentence (``pascal_sentence*.zip`` and ``.json``) and word vectors. ``accuracy.md`` says
# how well a linear classifier tells the categories by the features, its penalty chosen on validation;
# ``table.md`` how CCL does on those of the first seed, with parts and without, beside others. The small CNN
# of pictures stands in for VGG-19, whose public weights are not fetched.

EXTRACTION_SEEDS = (0, 1, 2)
PICTURES = ("--backbone", "small-cnn", "--weights", "random", "--training", "scratch")
VECTORS = "glove_twitter_25d_12k.npz"
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)


def make_features(parts: Iterable[str], folder: Path) -> None:
    """Make the parts of the study of features; there is nothing to choose."""
    results = HERE / "features"
    if "final" in parts:
        datasets = [extracted(folder, seed) for seed in EXTRACTION_SEEDS]
        (results / "accuracy.md").write_text(accuracy_table(datasets) + "\n", encoding="utf-8")
        cmbench.run(datasets[0], ("ccl", "ccl-coarse", "deep-sm", "jrl", "cca"), store=results, threads=1)
        Store(results).pack()
    if "render" in parts:
        (results / "table.md").write_text(render(Store(results).records()), encoding="utf-8")


def extracted(folder: Path, seed: int) -> Dataset:
    """Return the features that the command makes of the pairs in ``folder``."""
    output = Path(f"results/runs/features/pascal_sentence_{seed}.npz")
    output.parent.mkdir(parents=True, exist_ok=True)
    if not output.exists():
        command = ["cmbench", "features", "extract", "pascal_sentence", "--from", str(folder), *PICTURES]
        command += ["--vectors", str(folder / VECTORS), "--sentences", "--parts"]
        command += ["--seed", str(seed), "--threads", "1", "-o", str(output)]
        print(*command, flush=True)
        subprocess.run(command, check=True)
    return cmbench.load_dataset(output)


def accuracy_table(datasets: list[Dataset]) -> str:
    """Return a row for each seed and one for their mean, as Markdown."""
    accuracies = [
        [*linear_accuracies(dataset, "images"), *linear_accuracies(dataset, "texts")] for dataset in datasets
    ]
    rows = [(f"seed {seed}", *row) for seed, row in zip(EXTRACTION_SEEDS, accuracies, strict=True)]
    rows.append(("mean", *np.mean(accuracies, axis=0)))
    sides = [f"{side}, {split}" for side in ("pictures", "texts") for split in ("validation", "test")]
    return tabulate(rows, ["accuracy of", *sides], tablefmt="pipe", floatfmt=".3f")


def linear_accuracies(dataset: Dataset, side: str) -> list[float]:
    """Return the accuracy on validation and on test of a linear classifier of one side."""
    train, *others = ((getattr(split, side), split.labels) for _, split in dataset.splits)
    classifiers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=500)).fit(*train)
        for penalty in PENALTIES
    ]
    best = max(classifiers, key=lambda classifier: classifier.score(*others[0]))
    return [best.score(*split) for split in others]


# What do figures look like? Three methods on the built-in dataset, whose pictures may be shown, with the
# arrays of their records, so that every figure can be drawn from what is committed, each by one command.

SCENES_METHODS = ("cca", "jrl", "cmgans")
SCENES_SEEDS = (0, 1)
SCENES_FIGURES = {
    "examples.png": ("examples", "--contrast", "cmgans,cca", "--number", "1"),
    "categories.png": ("categories", "--width", "page"),
    "precision-recall.png": ("precision-recall",),
    "costs.png": ("costs",),
    "sizes.png": ("sizes",),
    "space.png": ("space", "--width", "page"),
    "training.png": ("training", "cmgans"),
}


def make_scenes(parts: Iterable[str]) -> None:
    """Make the parts of the study of figures; there is nothing to choose."""
    results = HERE / "scenes"
    if "final" in parts:
        cmbench.run("scenes", SCENES_METHODS, seeds=SCENES_SEEDS, store=results, **UNDISTURBED)
        Store(results).pack()
    if "render" in parts:
        for file, words in SCENES_FIGURES.items():
            command = ["cmbench", "plot", *words, "--store", str(results), "-o", str(results / file)]
            print(*command, flush=True)
            subprocess.run(command, check=True)


# What comes out where every method had the same search? The runs are made by commands, which the README of
# the folder has, since they may take days and several machines. Here their records are brought together, with
# AP of each query, of which tests are made, and without other arrays.


def collect_tuned(source: Path) -> None:
    """Bring the records of a store of tuned runs into the study's folder, in place of earlier ones.

    What an earlier search chose for a method goes from a dataset on which a later one chose otherwise.
    """
    store, results = Store(source), Store(HERE / "tuned")
    brought = store.records()
    leave_out_earlier(results, brought)
    for record in brought:
        arrays = store.arrays(record) if record["status"] == "ok" else None
        is_shipped = record["dataset"]["name"] in dataset_names()
        if not is_shipped:
            record = without_names(record)
        results.put(without_places(record), None if arrays is None else per_query(arrays, named=is_shipped))
    results.pack()


def leave_out_earlier(results: Store, brought: Iterable[dict[str, Any]]) -> None:
    """Remove the records of rows that are brought with other parameters."""
    settings: dict[Row, list[Setting]] = {}
    for record in brought:
        settings.setdefault(row_of(record), []).append(setting_of(record))
    for path in results.folder.glob("*.jsonl"):
        kept = []
        for line in path.read_text("utf-8").splitlines(keepends=True):
            record = json.loads(line)
            new, old = settings.get(row_of(record)), setting_of(record)
            if new is None or any(
                all(old[name] == each[name] for name in old if name in each) for each in new
            ):
                kept.append(line)
            else:
                results.arrays_path(record).unlink(missing_ok=True)
        path.write_text("".join(kept), encoding="utf-8")


Row = tuple[str, str, str | None]


def row_of(record: Mapping[str, Any]) -> Row:
    """Return what is one row of a table: the pairs, the method, and whose parameters it has."""
    method = record["method"]
    return record["dataset"]["fingerprint"], method["name"], (method.get("tuning") or {}).get("like")


def setting_of(record: Mapping[str, Any]) -> Setting:
    return {name: value for name, value in record["method"]["parameters"].items() if name != "random_state"}


PLACE = re.compile(r"""(?<![\w.:/])/(?:[^/\s'"]+/)+([^/\s'"]*)""")
"""An absolute path in a text, and its last part."""


def without_places(value: Any) -> Any:
    """Return a record that has names in place of the paths of the machine that ran it."""
    if isinstance(value, dict):
        return {name: without_places(held) for name, held in value.items()}
    if isinstance(value, list):
        return [without_places(held) for held in value]
    return PLACE.sub(r"\1", value) if isinstance(value, str) else value


REPEATED = re.compile(r"( too(?:, (?:by their names, with other features|with other texts))?): .*(?=; keep )")
"""The names of pairs in a warning of those that stand in two splits."""


def without_names(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose warnings of pairs in two splits say how many, and not which."""
    dataset = record["dataset"]
    told = [REPEATED.sub(r"\1", text) for text in dataset.get("warnings", ())]
    return record | {"dataset": dataset | ({"warnings": told} if told else {})}


def per_query(arrays: Mapping[str, Any], *, named: bool) -> dict[str, Any]:
    """Return the AP of each query, with the names and categories of test pairs if they are cmbench's own.

    Of others, which nobody has licensed for redistribution, categories are left out, and a digest stands for
    each name, by which tests find the queries of one pair.
    """
    kept = {name: held for name, held in arrays.items() if name.startswith("ap_")}
    if named:
        return kept | {name: arrays[name] for name in ("ids", "labels") if name in arrays}
    return kept | {"ids": np.array([sha256(str(id_).encode()).hexdigest()[:16] for id_ in arrays["ids"]])}


# What did the searches try? The records of their trials are kept without arrays, packed, since there are
# hundreds of each dataset. Unpacked they are a store again, in which ``cmbench tune`` goes on.


def keep_searches(source: Path) -> None:
    """Bring the records of a store of searches into an archive for each dataset, beside those it has."""
    folder = HERE / "tuned" / "searches"
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[Path, dict[str, bytes]] = {}
    for path in sorted(source.glob("cells/*/*.json")):
        record = json.loads(path.read_text("utf-8"))
        archive = folder / f"{validated(record)}.tar.xz"
        if archive not in kept:
            kept[archive] = unpacked(archive) if archive.exists() else {}
        text = json.dumps(without_places(record), separators=(",", ":"))
        kept[archive][str(path.relative_to(source))] = text.encode()
    for archive, files in kept.items():
        pack(files, archive)


def validated(record: Mapping[str, Any]) -> str:
    """Return the name of the dataset on whose validation pairs a trial of a search was ranked."""
    name = str(record["dataset"]["name"])
    if not name.endswith(VALIDATION):
        raise SystemExit(f"the record {record['key']} of {name} was not ranked on validation pairs")
    return name.removesuffix(VALIDATION)


def unpacked(archive: Path) -> dict[str, bytes]:
    """Return the files of an archive, by name."""
    with tarfile.open(archive) as tar:
        return {member.name: held.read() for member in tar if (held := tar.extractfile(member))}


def pack(files: Mapping[str, bytes], archive: Path) -> None:
    """Write an archive of files, the same bytes whenever and by whom it is written."""
    with tarfile.open(archive, "w:xz") as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))


# How long do methods take where nothing has run yet? What a run with the defaults took here comes with the
# package: cells start by it, the longest first, and ``cmbench plan`` shows it.

TYPICAL = HERE.parent / "bench" / "typical.toml"
TYPICAL_HEAD = """\
# Seconds that methods took from start to end with their defaults, on the training pairs of `scenes`.
# `python results/produce.py typical --from STORE` writes this file.
"""


def write_typical(source: Path) -> None:
    """Write the seconds of the cells of a run on ``scenes`` with the defaults."""
    records = Store(source).summaries()
    finished = [record for record in records if record["status"] == "ok"]
    (pairs,) = {record["dataset"]["sizes"]["train"] for record in finished}
    seconds = {
        record["method"]["name"]: round(record["durations"]["total"], 1)
        for record in sorted(finished, key=lambda record: record["method"]["name"])
    }
    lines = (f"{name} = {value}\n" for name, value in seconds.items())
    TYPICAL.write_text(f"{TYPICAL_HEAD}pairs = {pairs}\n\n[seconds]\n{''.join(lines)}", encoding="utf-8")


LEADERBOARD = """\
# Leaderboard

How well methods find, among the texts of all test pairs, those of an image's category (image→text), and the
reverse, with numbers from 0 to 1: mean average precision (MAP), the higher the better. Bold marks the best of
a column and all that cannot be told apart from it. What else a number depends on stands below its table:
features, protocol, seeds, budgets of searches, and what a random ranking would have.

This page is written by `python results/produce.py leaderboard` from the records in this folder; no figure on
it is written by hand. [tuned](tuned/README.md) has the commands that made the records of its first part, in
which every method had the same search on validation pairs, and says where that was not quite so. A row can be
looked up and run again:

    cmbench show scenes/cca --store results/tuned
    cmbench reproduce scenes/cca --store results/tuned

`emoji` and `scenes` come with cmbench. Pictures and captions of `scenes` are drawn by a program; the other
datasets are real. The features of the others do not come along, since nobody has licensed them: whoever has
a file of them adds `--dataset FILE` to `reproduce`.
"""
EARLIER = """\
## Earlier studies, with searches of unequal length

Here methods had searches of unequal length, which the READMEs of [traditional](traditional/README.md),
[deep](deep/README.md) and [cmgans](cmgans/README.md) describe. Their records come without values per query,
which would repeat labels of data that nobody has licensed, and so no difference is tested.
"""
NOT_YET = "There are no records of tuned runs in this folder yet.\n"
FACTS_SHOWN = View(columns=("trials", "seeds", "seconds", "memory"))


def make_leaderboard() -> None:
    """Write the page over all datasets: equal searches first, and below them those of earlier studies."""
    ends = [finished_at(record) for record in Store(HERE / "tuned").records()]
    dated = [f"The newest record of its first part is of {max(ends)[:10]}.\n"] if any(ends) else []
    page = [LEADERBOARD, *dated, *(tuned_sections() or [NOT_YET]), EARLIER, *earlier_tables()]
    (HERE / "leaderboard.md").write_text("\n".join(page), encoding="utf-8")


def earlier_tables() -> list[str]:
    """Return tables of the first studies: over all sets of features, of each, and beside published ones."""
    methods = {*DEFAULT_METHODS, "ccl-coarse"}  # which stands in for CCL where there are no parts
    records = [
        record
        for study in ("cmgans", "deep", "traditional")
        for record in Store(HERE / study).records()
        if record["method"]["name"] in methods
    ]
    return [overview.render(records), render(records), shape.render(records)]


def tuned_sections() -> list[str]:
    """Return the parts of the page that are made of tuned runs, each with its heading; or none."""
    store = Store(HERE / "tuned")
    every = store.records()
    arrays = reading(store.arrays)
    ablations = set(ablation.VARIANTS) - {ablation.FULL.name}
    methods = [record for record in every if record["method"]["name"] not in ablations]
    with_ablations = {
        record["dataset"]["fingerprint"] for record in every if record["method"]["name"] in ablations
    }
    ablated = [record for record in every if record["dataset"]["fingerprint"] in with_ablations]
    parts: dict[str, Callable[[], str]] = {
        "What the records show": lambda: findings.render(every, arrays=arrays),
        "All datasets": lambda: overview.render(methods, arrays=arrays),
        "Each dataset": lambda: render(methods, arrays=arrays, view=FACTS_SHOWN),
        "Ablations of CM-GANs": lambda: ablation.render(ablated, arrays=arrays),
        "Beside published tables": lambda: shape.render(methods, arrays=arrays),
    }
    texts = {heading: text for heading, part in parts.items() if (text := made_or_none(part))}
    return [f"## {heading}\n\n{text}" for heading, text in texts.items()] if every else []


def made_or_none(part: Callable[[], str]) -> str | None:
    """Return the text of a part of the page; None where the records hold nothing for it."""
    try:
        return part()
    except ReportError:  # one dataset alone has no overview, and not every one has published values
        return None


OTHERS = ("features", "scenes", "tuned", "searches", "leaderboard", "typical")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=[*STUDIES, *OTHERS])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--from", dest="folder", type=Path, metavar="FOLDER")
    parser.add_argument("--dataset", action="append", metavar="NAME", help="default: all of the study")
    given = parser.parse_args()
    parts = given.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {unknown.pop()!r}; the parts are {', '.join(PARTS)}")
    if (
        given.study not in ("scenes", "leaderboard")
        and given.folder is None
        and {"choose", "final"} & set(parts)
    ):
        parser.error("'choose' and 'final' need --from FOLDER")
    if given.study == "leaderboard":
        make_leaderboard()
    elif given.study == "typical":
        write_typical(given.folder)
    elif given.study == "searches":
        keep_searches(given.folder)
    elif given.study == "tuned":
        if "final" in parts:
            collect_tuned(given.folder)
        make_leaderboard()
    elif given.study == "scenes":
        make_scenes(parts)
    elif given.study == "features":
        make_features(parts, given.folder)
    else:
        study = STUDIES[given.study]
        make(study, parts, given.dataset or study.datasets, given.folder)


if __name__ == "__main__":
    main()
