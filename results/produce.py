"""Make the results of a study: ``python results/produce.py STUDY [PART ...] [--from FOLDER]``.

STUDY is ``traditional``, ``deep``, ``cmgans``, ``defaults``, ``features``, ``scenes`` or ``tuned``, each a
folder beside this file; or ``searches``, which keeps what ``cmbench tune`` tried for ``tuned``, and apart
from it ``unchosen``, what it tried again without finding better, and ``begun``, what is not finished; or
``leaderboard``, which writes one page of the records of ``tuned``, with those of the first three below them,
and runs nothing; or ``evidence``, which holds the profiles, trials and runs of ``tuned`` against each other;
or ``typical``, which writes how long methods take with their defaults, for ``cmbench plan``
where nothing has run yet. FOLDER holds the feature files, for ``features`` the raw pairs, for ``tuned`` the
store of runs with ``--profile``, for ``searches``, ``unchosen`` and ``begun`` that of ``cmbench tune``, and
for ``typical`` that of a run on ``scenes`` with the defaults; ``scenes`` is built in and needs none. A PART
is one of these; by default all are made, in this order:

* ``choose`` searches the settings of the methods that do not choose them by themselves, with one seed, for
  the highest MAP on the validation pairs. What is chosen is written to ``chosen.json`` in the study's folder,
  by dataset and method, and is not chosen again while it is there. The trials are kept apart, and nothing
  looks at their test numbers.
* ``final`` runs every method in its setting, with several seeds, and writes the records to one file for each
  dataset. What is there already is not run again.
* ``render`` writes the tables, and of ``scenes`` the figures. It needs no FOLDER.
"""

import argparse
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from defaults import make_defaults
from equal_searches import collect_tuned, keep_searches
from evidence import write_evidence
from leaderboard import make_leaderboard
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from studies import PARTS, STUDIES, UNDISTURBED, make
from tabulate import tabulate

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.report.table import render
from cmbench.store import Store

HERE = Path(__file__).parent

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


SEARCHES = {"searches": "searches", "unchosen": "searches/unchosen", "begun": "searches/begun"}
OTHERS = ("defaults", "features", "scenes", "tuned", *SEARCHES, "leaderboard", "evidence", "typical")


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
        given.study not in ("scenes", "leaderboard", "evidence")
        and given.folder is None
        and {"choose", "final"} & set(parts)
    ):
        parser.error("'choose' and 'final' need --from FOLDER")
    if given.study == "leaderboard":
        make_leaderboard(HERE)
    elif given.study == "evidence":
        write_evidence(HERE, HERE.parent / "bench" / "tuned")
    elif given.study == "typical":
        write_typical(given.folder)
    elif given.study in SEARCHES:
        keep_searches(given.folder, HERE / "tuned" / SEARCHES[given.study])
    elif given.study == "tuned":
        if "final" in parts:
            collect_tuned(given.folder, HERE / "tuned")
        make_leaderboard(HERE)
    elif given.study == "defaults":
        make_defaults(parts, given.folder, HERE)
    elif given.study == "scenes":
        make_scenes(parts)
    elif given.study == "features":
        make_features(parts, given.folder)
    else:
        study = STUDIES[given.study]
        make(study, parts, given.dataset or study.datasets, source=given.folder, results=HERE)


if __name__ == "__main__":
    main()
