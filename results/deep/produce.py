"""Make the results in this folder: python results/deep/produce.py FEATURES [PART ...] [DATASET ...]

FEATURES is the folder of the feature files. A part is ``choose``, ``final``, ``variants`` or ``render``; all
of them in this order by default, on all four datasets. ``choose`` takes one parameter after the other, of
those in ``SEARCHED``, and the values in the method's tuning space, with one seed: the value with the highest
MAP on the validation pairs stays while the next parameter is tried. The fashion products, where a fit takes
longest, take what was chosen on Pascal Sentence, which has the same kind of features. What was chosen
stands in ``chosen-DATASET.json``, and is not chosen again while that is there; the trials are kept apart, and
nothing looks at their test numbers. ``final`` fits each method in its setting with several seeds, and
``variants`` the three variants of Corr-AE in that of Corr-AE. Whatever is in the store already is not run
again.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.methods.registry import registry
from cmbench.report.table import render
from cmbench.store import Store

HERE = Path(__file__).parent
TRIALS = "results/runs/deep-trials"
PARTS = ("choose", "final", "variants", "render")
SEEDS = {
    "pascal_sentence_mnv2_lsa300": (0, 1, 2),
    "wikipedia_cnn128_lda50": (0, 1, 2),
    "wikipedia_sift128_lda10": (0, 1, 2),
    "fashion_mnv2_lsa300": (0,),
}
LIKE = {"fashion_mnv2_lsa300": "pascal_sentence_mnv2_lsa300"}
SEARCHED = {
    "deep-sm": ("hidden_image", "hidden_text", "learning_rate", "weight_decay", "dropout", "preprocessing"),
    "dcca": ("n_components", "ridge"),
    "ccl-coarse": ("pretrain",),
    "cmdn": ("pretrain",),
    "corr-ae": (),  # every fit chooses the variant and the weight of the correlation
}
CORRESPONDENCE = {"steps": 2000, "batch": 100}  # about so many, since few pairs need many epochs
VARIANTS = ("corr-ae-corr", "corr-ae-cross", "corr-ae-full")
CELLS: dict[str, Any] = {"threads": 1, "deadline": "none"}

Setting = dict[str, Any]


def main(features: Path, parts: Iterable[str], names: Iterable[str]) -> None:
    for name in names:
        if "choose" in parts and not chosen_path(name).exists():
            choose(cmbench.load_dataset(features / f"{name}.npz"))
        if "final" in parts:
            finish(cmbench.load_dataset(features / f"{name}.npz"), SEARCHED)
        if "variants" in parts:
            finish(cmbench.load_dataset(features / f"{name}.npz"), VARIANTS)
    if "render" in parts:
        (HERE / "table.md").write_text(render(Store(HERE).records()), encoding="utf-8")


def choose(dataset: Dataset) -> None:
    found = {method: searched(dataset, method) for method in SEARCHED}
    chosen_path(dataset.name).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def finish(dataset: Dataset, methods: Iterable[str]) -> None:
    chosen = json.loads(chosen_path(dataset.name).read_text(encoding="utf-8"))
    for method in methods:
        setting = chosen["corr-ae" if method in VARIANTS else method]
        cmbench.run(
            dataset, [method], parameters={method: setting}, seeds=SEEDS[dataset.name], store=HERE, **CELLS
        )


def chosen_path(name: str) -> Path:
    return HERE / f"chosen-{LIKE.get(name, name)}.json"


def searched(dataset: Dataset, method: str) -> Setting:
    """Return the setting found by going through the parameters, one after the other."""
    best = start(dataset, method)
    score = validation_map(dataset, method, best)
    space = registry()[method].load().tuning_space
    for name in SEARCHED[method]:
        tried = {value: validation_map(dataset, method, {**best, name: value}) for value in space[name]}
        value = max(tried, key=tried.__getitem__)
        if tried[value] > score:
            best, score = {**best, name: value}, tried[value]
    return best


def start(dataset: Dataset, method: str) -> Setting:
    """Return what is set before the search."""
    if method == "corr-ae":
        rounds = max(1, len(dataset.train) // CORRESPONDENCE["batch"])
        return {"epochs": CORRESPONDENCE["steps"] // rounds, "trial_steps": 300}
    return {"depth": "validation"} if method == "cmdn" else {}


def validation_map(dataset: Dataset, method: str, setting: Setting) -> float:
    """Return the MAP of a method on the validation pairs in a setting, with one seed."""
    record = trial(dataset, method, setting)
    found = record["fitted"]["validation_map_"] if record["status"] == "ok" else float("-inf")
    print(f"{dataset.name} {method} {setting} {found:.4f}", flush=True)
    return float(found)


def trial(dataset: Dataset, method: str, setting: Setting) -> dict[str, Any]:
    frame = cmbench.run(dataset, [method], parameters={method: setting}, store=TRIALS, **CELLS)
    record = Store(TRIALS).find(frame["key"][0])
    assert record is not None
    return record


if __name__ == "__main__":
    given = sys.argv[2:]
    main(
        Path(sys.argv[1]),
        [part for part in PARTS if part in given] or PARTS,
        [name for name in SEEDS if name in given] or SEEDS,
    )
