"""Make the results in this folder: python results/deep/produce.py FOLDER_OF_FEATURE_FILES [PART ...]

A part is ``choose``, ``final`` or ``render``; all of them in this order by default. ``choose`` goes through
the tuning space that each method declares, one parameter after the other, with one seed: the value with the
highest MAP on the validation pairs stays while the next parameter is tried. On the fashion products, where a
fit takes longest, it compares the defaults and what was chosen on Pascal Sentence, which has the same kind of
features. What was chosen stands in ``chosen.json``; the trials are kept apart, and nothing looks at
their test numbers. ``final`` fits each method in its setting with several seeds, and the three variants of
Corr-AE in that of Corr-AE. Whatever is in the stores already is not run again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.methods.registry import registry
from cmbench.report.table import render
from cmbench.store import Store

HERE = Path(__file__).parent
TRIALS = "results/runs/deep-trials"
CHOSEN = HERE / "chosen.json"
SEEDS = {
    "wikipedia_cnn128_lda50": (0, 1, 2),
    "wikipedia_sift128_lda10": (0, 1, 2),
    "pascal_sentence_mnv2_lsa300": (0, 1, 2),
    "fashion_mnv2_lsa300": (0,),
}
LIKE = {"fashion_mnv2_lsa300": "pascal_sentence_mnv2_lsa300"}
METHODS = ("deep-sm", "dcca", "corr-ae", "ccl-coarse", "cmdn")
VARIANTS = ("corr-ae-corr", "corr-ae-cross", "corr-ae-full")
CELLS: dict[str, Any] = {"threads": 1, "deadline": "none"}

Setting = dict[str, Any]


def main(features: Path, parts: list[str]) -> None:
    datasets = {name: cmbench.load_dataset(features / f"{name}.npz") for name in SEEDS}
    settings: dict[str, dict[str, Setting]] = (
        json.loads(CHOSEN.read_text(encoding="utf-8")) if CHOSEN.exists() else {}
    )
    if "choose" in parts:
        for name, dataset in datasets.items():
            known = settings.get(LIKE.get(name, ""), {})
            for method in METHODS:
                found = compared(dataset, method, known[method]) if known else searched(dataset, method)
                settings.setdefault(name, {})[method] = found
                CHOSEN.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    if "final" in parts:
        for name, dataset in datasets.items():
            chosen = settings[name]
            parameters = {**chosen, **dict.fromkeys(VARIANTS, chosen["corr-ae"])}
            cmbench.run(
                dataset, list(parameters), parameters=parameters, seeds=SEEDS[name], store=HERE, **CELLS
            )
    if "render" in parts:
        (HERE / "table.md").write_text(render(Store(HERE).records()), encoding="utf-8")


def searched(dataset: Dataset, method: str) -> Setting:
    """Return the setting found by going through the tuning space, one parameter after the other."""
    best: Setting = {}
    score = validation_map(dataset, method, best)
    for name, values in registry()[method].load().tuning_space.items():
        tried = {value: validation_map(dataset, method, {**best, name: value}) for value in values}
        value = max(tried, key=tried.__getitem__)
        if tried[value] > score:
            best, score = {**best, name: value}, tried[value]
    return best


def compared(dataset: Dataset, method: str, known: Setting) -> Setting:
    """Return the defaults or a known setting, whichever has the higher MAP on validation."""
    return max(({}, known), key=lambda setting: validation_map(dataset, method, setting))


def validation_map(dataset: Dataset, method: str, setting: Setting) -> float:
    """Return the MAP of a method on the validation pairs in a setting, with one seed."""
    frame = cmbench.run(dataset, [method], parameters={method: setting}, store=TRIALS, **CELLS)
    record = Store(TRIALS).find(frame["key"][0])
    found = record["fitted"]["validation_map_"] if record["status"] == "ok" else float("-inf")
    print(f"{dataset.name} {method} {setting} {found:.4f}", flush=True)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["choose", "final", "render"])
