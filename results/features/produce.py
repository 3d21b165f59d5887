"""Make the tables in this folder: python results/features/produce.py FOLDER

FOLDER holds the raw pairs of Pascal Sentence (``pascal_sentence*.zip`` and ``.json``) and word vectors
(``glove_twitter_25d_12k.npz``). Features are extracted from them by ``cmbench features extract``, as anybody
would, with three seeds. ``accuracy.md`` says how well a linear classifier tells the categories by them, with
its penalty chosen on validation; ``table.md`` how CCL does on the features of the first seed, with parts and
without, beside others. The small CNN of pictures stands in for VGG-19, whose public weights are not fetched.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tabulate import tabulate

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.report.table import render
from cmbench.store import Store

HERE = Path(__file__).parent
MADE = Path("results/runs/features")
SEEDS = (0, 1, 2)
PICTURES = ("--backbone", "small-cnn", "--weights", "random", "--training", "scratch")
TEXTS = ("--vectors", "glove_twitter_25d_12k.npz", "--sentences")
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
METHODS = ("ccl", "ccl-coarse", "deep-sm", "jrl", "cca")


def main(folder: Path) -> None:
    MADE.mkdir(parents=True, exist_ok=True)
    datasets = [extracted(folder, seed) for seed in SEEDS]
    rows = [(f"seed {seed}", *accuracies(dataset)) for seed, dataset in zip(SEEDS, datasets, strict=True)]
    rows.append(("mean", *np.mean([row[1:] for row in rows], axis=0)))
    sides = [f"{side}, {part}" for side in ("pictures", "texts") for part in ("validation", "test")]
    table = tabulate(rows, ["accuracy of", *sides], tablefmt="pipe", floatfmt=".3f")
    (HERE / "accuracy.md").write_text(table + "\n", encoding="utf-8")
    cmbench.run(datasets[0], METHODS, store=HERE, threads=1)
    (HERE / "table.md").write_text(render(Store(HERE).records()), encoding="utf-8")


def extracted(folder: Path, seed: int) -> Dataset:
    """Return the features that the command makes of the pairs in ``folder``."""
    output = MADE / f"pascal_sentence_{seed}.npz"
    if not output.exists():
        vectors = [str(folder / each) if each.endswith(".npz") else each for each in TEXTS]
        command = ["cmbench", "features", "extract", "pascal_sentence", "--from", str(folder)]
        command += [*PICTURES, *vectors, "--parts", "--seed", str(seed), "--threads", "1", "-o", str(output)]
        print(*command, flush=True)
        subprocess.run(command, check=True)
    return cmbench.load_dataset(output)


def accuracies(dataset: Dataset) -> list[float]:
    """Return those on validation and test of a linear classifier of pictures, and of one of texts."""
    return [score for side in ("images", "texts") for score in linear_accuracies(dataset, side)]


def linear_accuracies(dataset: Dataset, side: str) -> list[float]:
    train, *others = (getattr(split, side) for _, split in dataset.splits)
    labels = [split.labels for _, split in dataset.splits[1:]]
    classifiers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=500)).fit(
            train, dataset.train.labels
        )
        for penalty in PENALTIES
    ]
    best = max(classifiers, key=lambda each: each.score(others[0], labels[0]))
    return [best.score(*each) for each in zip(others, labels, strict=True)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
