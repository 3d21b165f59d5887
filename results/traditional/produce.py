"""Make the results in this folder: python results/traditional/produce.py FOLDER_OF_FEATURE_FILES

Every parameter is chosen on the validation pairs: by the methods themselves, and for KCCA, whose width,
penalty and rank have no certain defaults, by the grid below. The trials of that grid are kept apart, and
nothing looks at their test numbers.
"""

import sys
from itertools import product
from pathlib import Path

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.report.table import render
from cmbench.store import Store

HERE = Path(__file__).parent
FILES = (
    "wikipedia_sift128_lda10",
    "wikipedia_cnn128_lda50",
    "pascal_sentence_mnv2_lsa300",
    "fashion_mnv2_lsa300",
)
METHODS = ["cca", "rcca", "cfa", "jrl", "jrl-release", "lgcfl"]
KCCA_GRID = {"kappa": (0.01, 0.1, 0.5, 0.9), "sigma_scale": (0.5, 1.0, 2.0, 4.0), "rank": (1000, 2000)}


def main(features: Path) -> None:
    trials = Store("results/runs/kcca-grid")
    for name in FILES:
        dataset = cmbench.load_dataset(features / f"{name}.npz")
        cmbench.run(dataset, METHODS, store=HERE)
        chosen = best_on_validation(dataset, trials)
        cmbench.run(dataset, ["kcca"], parameters={"kcca": chosen}, store=HERE)
    tables = render(Store(HERE).records(), spread="queries")
    (HERE / "table.md").write_text(tables, encoding="utf-8")


def best_on_validation(dataset: Dataset, trials: Store) -> dict[str, float]:
    """Return the setting of KCCA with the highest MAP on the validation pairs; the first of equals."""
    found = {}
    for values in product(*KCCA_GRID.values()):
        setting = dict(zip(KCCA_GRID, values, strict=True))
        if setting["rank"] > max(1000, len(dataset.train)):
            continue  # the same as with a rank of 1000
        frame = cmbench.run(dataset, ["kcca"], parameters={"kcca": setting}, store=trials.folder)
        record = trials.find(frame["key"][0])
        found.setdefault(record["fitted"]["validation_map_"], setting)
        print(dataset.name, setting, f"{record['fitted']['validation_map_']:.4f}", flush=True)
    best = max(found)
    print(f"{dataset.name}: chosen {found[best]} with {best:.4f} on validation", flush=True)
    return found[best]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
