"""What the defaults of CM-GANs were chosen by: some settings on all datasets, on validation pairs alone.

Every setting is given in full, so that it stays what it is when defaults move.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from equal_searches import to_show
from studies import UNDISTURBED
from tabulate import tabulate

import cmbench
from cmbench.datasets.registry import dataset_names
from cmbench.report.facts import MISSING
from cmbench.schema import VALIDATION
from cmbench.store import Store
from cmbench.tuning import validation_only

Setting = Mapping[str, Any]
TABLE = "table.md"
METHOD = "cmgans"
DATASETS = {
    "scenes": "scenes",
    "emoji": "emoji",
    "pascal_sentence_mnv2_lsa300": "Pascal Sentence",
    "wikipedia_cnn128_lda50": "Wikipedia (CNN)",
    "wikipedia_sift128_lda10": "Wikipedia (SIFT)",
    "fashion_mnv2_lsa300": "fashion products",
}
SMALL = tuple(name for name in DATASETS if name != "fashion_mnv2_lsa300")

NAMES = {
    "generator_steps": "K",
    "learning_rate": "rate",
    "halve_every": "halved every",
    "patience": "patience",
    "weight_decay": "decay",
    "preprocessing": "features",
    "post": "representation",
}
FIXED = {"dropout": 0.5, "w_inter": 1.0, "w_intra": 1.0, "w_semantic": 1.0, "mismatch": "own"}


def setting(*values: Any) -> Setting:
    """Return the setting with these values of ``NAMES``."""
    return {**FIXED, **dict(zip(NAMES, values, strict=True))}


BEFORE = setting(1, 1e-3, 100, 10, 3e-3, "none", "none")
CHOSEN = setting(5, 5e-4, 10, 10, 3e-3, "rownorm", "none")
SETTINGS = (
    BEFORE,
    setting(1, 1e-3, 100, 10, 3e-3, "rownorm", "none"),
    setting(1, 1e-3, 100, 10, 3e-3, "rownorm", "zscore_train"),
    setting(1, 5e-4, 20, 15, 1e-3, "rownorm", "none"),
    setting(5, 5e-4, 10, 10, 1e-3, "none", "none"),
    setting(5, 5e-4, 10, 10, 1e-3, "none", "zscore_train"),
    setting(5, 5e-4, 10, 10, 1e-3, "global", "none"),
    setting(5, 5e-4, 10, 10, 1e-3, "rownorm", "none"),
    setting(5, 5e-4, 10, 10, 1e-3, "rownorm", "zscore_train"),
    setting(5, 1e-3, 6, 8, 1e-3, "rownorm", "none"),
    setting(5, 5e-4, 10, 10, 3e-3, "none", "zscore_train"),
    CHOSEN,
)
"""In the order in which they were tried."""

RUNS: tuple[tuple[tuple[Setting, ...], tuple[str, ...], tuple[int, ...]], ...] = (
    (SETTINGS, SMALL, (0,)),
    ((BEFORE, CHOSEN), tuple(DATASETS), (0,)),
    ((BEFORE, CHOSEN), SMALL, (1, 2)),
)
"""Settings, datasets and seeds."""


def make_defaults(parts: Iterable[str], source: Path, results: Path) -> None:
    """Run the settings that have no record, with the feature files in ``source``, and write the tables."""
    folder = results / "defaults"
    if "final" in parts:
        for settings, datasets, seeds in RUNS:
            for name in datasets:
                run_settings(path_of(name, source), settings, seeds, folder)
        keep(Store(folder))
    if "render" in parts:
        (folder / TABLE).write_text(tables(Store(folder).records()), encoding="utf-8")


def path_of(name: str, source: Path) -> str | Path:
    """Return the feature file of a dataset; its name where it is built in."""
    return name if name in dataset_names() else source / f"{name}.npz"


def run_settings(path: str | Path, settings: Iterable[Setting], seeds: tuple[int, ...], store: Path) -> None:
    """Run settings on the validation pairs of a dataset, which stand in the place of its test pairs."""
    held_out = validation_only(cmbench.load_dataset(path))
    for each in settings:
        cmbench.run(
            held_out,
            [METHOD],
            parameters={METHOD: dict(each)},
            seeds=seeds,
            store=store,
            allow_repeated=True,
            **UNDISTURBED,
        )


def keep(store: Store) -> None:
    """Put what can be shown of the records into one file for each dataset, without arrays."""
    for record in store.records():
        store.put(to_show(record), None)
    store.pack()


def tables(records: Iterable[Mapping[str, Any]]) -> str:
    """Return MAP on validation pairs by setting and dataset: one seed of all, then all seeds of two."""
    maps: dict[tuple[int, str], dict[int, float]] = {}
    for record in records:
        (number,) = (
            number
            for number, each in enumerate(SETTINGS)
            if each.items() <= record["method"]["parameters"].items()
        )
        name = record["dataset"]["name"].removesuffix(VALIDATION)
        maps.setdefault((number, name), {})[record["seed"]] = record["fitted"]["validation_map_"]
    head = [*NAMES.values(), *DATASETS.values()]
    first = [
        [*values(each), *(maps.get((number, name), {}).get(0) for name in DATASETS)]
        for number, each in enumerate(SETTINGS)
    ]
    several = [
        [*values(each), *(spread(maps.get((SETTINGS.index(each), name), {}).values()) for name in SMALL)]
        for each in (BEFORE, CHOSEN)
    ]
    parts = (
        f"One seed; the first row has the defaults before, the last those of today:\n\n{pipe(first, head)}\n",
        f"Mean ± deviation of three seeds:\n\n{pipe(several, head[:-1])}\n",
    )
    return "\n".join(parts)


def values(each: Setting) -> list[Any]:
    return [each[name] for name in NAMES]


def spread(found: Iterable[float]) -> str | None:
    maps = list(found)
    return f"{fmean(maps):.3f} ± {stdev(maps):.3f}" if len(maps) > 1 else None


def pipe(rows: list[list[Any]], head: list[str]) -> str:
    formats = ["g"] * len(NAMES) + [".3f"] * (len(head) - len(NAMES))
    return tabulate(rows, head, "pipe", formats, missingval=MISSING)
