"""Make the results in this folder: python results/cmgans/produce.py FOLDER_OF_FEATURE_FILES [PART ...]

A part is ``choose``, ``final``, ``release`` or ``render``; all of them in this order by default. ``choose``
trains CM-GANs in each of a few settings on each file, one seed, on three also in variations of the best
until none is better or some rounds are over; the setting with the highest MAP on the validation pairs is
written to ``chosen.json``. The trials are kept apart, and nothing looks at their test numbers.
``final`` trains CM-GANs and its five ablations in the setting chosen for the file, with several seeds;
``release`` trains the preset of the released program.
Whatever is in the stores already is not run again.
"""

import json
import sys
from pathlib import Path

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.methods.registry import registry
from cmbench.report import ablation
from cmbench.report.table import render
from cmbench.store import Store

HERE = Path(__file__).parent
TRIALS = "results/runs/cmgans-trials"
CHOSEN = HERE / "chosen.json"
SEEDS = {
    "wikipedia_cnn128_lda50": (0, 1, 2, 3, 4),
    "wikipedia_sift128_lda10": (0, 1, 2, 3, 4),
    "pascal_sentence_mnv2_lsa300": (0, 1, 2, 3, 4),
    "fashion_mnv2_lsa300": (0, 1),
}
ABLATIONS = ("cmgans-none", "cmgans-ws", "cmgans-sc", "cmgans-inter", "cmgans-cae")
COMMON = {"generator_steps": 1, "post": "zscore_train", "patience": 6, "eval_every": 5}
LARGE = {"fashion_mnv2_lsa300": {"patience": 2, "eval_every": 20}}  # of the large file
SETTINGS = (
    {},
    {"weight_decay": 1e-3},
    {"weight_decay": 1e-3, "w_inter": 3.0},
    {"weight_decay": 1e-3, "w_inter": 0.1, "w_intra": 0.1},
    {"weight_decay": 1e-3, "preprocessing": "zscore"},
    {"weight_decay": 1e-3, "preprocessing": "rownorm"},
)
ROUNDS = {"wikipedia_sift128_lda10": 5, "pascal_sentence_mnv2_lsa300": 5, "fashion_mnv2_lsa300": 2}
RELEASE_FILES = ("pascal_sentence_mnv2_lsa300", "wikipedia_cnn128_lda50")
RELEASE = {"epochs": 400, "eval_every": 24}
CELLS = {"threads": 1, "deadline": "none"}


def main(features: Path, parts: list[str]) -> None:
    datasets = {name: cmbench.load_dataset(features / f"{name}.npz") for name in SEEDS}
    if "choose" in parts:
        found = {name: chosen(dataset) for name, dataset in datasets.items()}
        CHOSEN.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if "final" in parts:
        settings = json.loads(CHOSEN.read_text(encoding="utf-8"))
        for name, dataset in datasets.items():
            run(dataset, ["cmgans", *ABLATIONS], settings[name]["setting"], HERE, seeds=SEEDS[name])
    if "release" in parts:
        for name in RELEASE_FILES:
            run(datasets[name], ["cmgans-release"], RELEASE, HERE, seeds=(0, 1, 2))
    if "render" in parts:
        records = Store(HERE).records()
        (HERE / "table.md").write_text(render(records), encoding="utf-8")
        (HERE / "ablation.md").write_text(ablation.render(records), encoding="utf-8")


def chosen(dataset: Dataset) -> dict[str, object]:
    """Return the setting with the highest MAP on the validation pairs, the first of equals, and that MAP."""
    common = {**COMMON, **LARGE.get(dataset.name, {})}
    score, best = best_of(dataset, [{**common, **values} for values in SETTINGS])
    for _ in range(ROUNDS.get(dataset.name, 0)):
        further, other = best_of(dataset, variations(best))
        if further <= score:
            break
        score, best = further, other
    return {"validation_map": score, "setting": best}


def variations(setting: dict[str, object]) -> list[dict[str, object]]:
    """Return the setting with one thing changed at a time."""
    weights = [setting.get(name, 1.0) for name in ("w_inter", "w_intra")]
    scaled = [
        {"w_inter": round(weights[0] * by, 6), "w_intra": round(weights[1] * by, 6)} for by in (0.3, 3.0)
    ]
    changes = [*scaled, {"learning_rate": 5e-4}, {"w_semantic": 3.0}, {"mismatch": "anchor"}]
    return [{**setting, **change} for change in changes]


def best_of(dataset: Dataset, tried: list[dict[str, object]]) -> tuple[float, dict[str, object]]:
    """Return the highest validation MAP of CM-GANs in these settings, one seed, and its setting."""
    found = {}
    for setting in tried:
        (record,) = run(dataset, ["cmgans"], setting, TRIALS, seeds=(0,))
        found.setdefault(record["fitted"]["validation_map_"], setting)
        print(dataset.name, setting, f"{record['fitted']['validation_map_']:.4f}", flush=True)
    return max(found), found[max(found)]


def run(
    dataset: Dataset,
    methods: list[str],
    setting: dict[str, object],
    store: Path | str,
    *,
    seeds: tuple[int, ...],
) -> list[dict[str, object]]:
    """Return the records of the methods in a setting, run where the store has none."""
    fixed = {name: set(registry()[name].load().switches) for name in methods}
    parameters = {
        name: {key: value for key, value in setting.items() if key not in fixed[name]} for name in methods
    }
    frame = cmbench.run(dataset, methods, parameters=parameters, seeds=seeds, store=store, **CELLS)
    return [Store(store).find(key) for key in frame["key"]]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["choose", "final", "release", "render"])
