"""Write the page of 11 methods on 5 datasets with 5 seeds each, with all arrays; run by hand.

    python tests/speed/page.py --pairs 462 --categories 10

Printed are the processor time of ``cmbench report`` in all, start included, what its parts take, and the
size of the page. The records are made up: drawn APs, rankings, and training curves of deep methods.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from made_records import TASKS, made_dataset, made_record

from cmbench.report.settings import PAPER_ORDER
from cmbench.store import Store

DEEP = {"CM-GANs", "CCL", "CMDN", "Deep-SM", "DCCA", "Corr-AE"}


def main() -> None:
    options = parsed_options()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        for number in range(options.datasets):
            put_dataset(store, number, options)
        for words in ([], ["--no-figures"]):
            seconds, size = report(store, Path(folder) / "page", words)
            print(
                f"cmbench report {' '.join(words):13} {seconds:5.1f} s of processor time, {size / 1e6:.2f} MB"
            )


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("datasets", 5), ("seeds", 5), ("pairs", 462), ("categories", 20), ("points", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def report(store: Store, folder: Path, words: list[str]) -> tuple[float, int]:
    """Return the processor time of the command and its page's bytes."""
    before = os.times()
    command = [sys.executable, "-P", "-m", "cmbench", "report", str(store.folder), "-o", str(folder), *words]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return spent, (folder / "index.html").stat().st_size


def put_dataset(store: Store, number: int, options: argparse.Namespace) -> None:
    names = [f"category {at}" for at in range(options.categories)]
    sizes = {"train": 2000, "validation": 200, "test": options.pairs}
    labels = np.arange(options.pairs) % options.categories
    counts = np.bincount(labels).tolist()
    dataset = made_dataset(f"data {number}", class_names=names, sizes=sizes, test_counts=counts)
    random = np.random.default_rng(number)
    for paper_name in PAPER_ORDER:
        for seed in range(options.seeds) if paper_name in DEEP else (None,):
            put_cell(store, dataset, paper_name, seed, labels, random, options)


def put_cell(store, dataset, paper_name, seed, labels, random, options) -> None:
    pairs = options.pairs
    ap = {task: random.beta(1 + random.uniform(), 2, pairs) for task in TASKS}
    record = made_record(
        paper_name.lower(),
        [float(ap[task].mean()) for task in TASKS],
        paper_name=paper_name,
        dataset=dataset,
        seed=seed,
        family="deep" if paper_name in DEEP else "traditional",
        queries=dict.fromkeys(TASKS, pairs),
        category_map={
            task: [float(ap[task][labels == at].mean()) for at in range(options.categories)] for task in TASKS
        },
    )
    arrays = {"labels": labels, "ids": np.array([f"pair {at}" for at in range(pairs)])}
    for task in TASKS:
        arrays |= {
            f"ap_{task}": ap[task],
            f"first_{task}": random.integers(0, pairs, (pairs, 20)).astype(np.uint16),
            f"query_rows_{task}": np.arange(pairs, dtype=np.uint16),
            f"precision_by_recall_{task}": np.sort(random.uniform(size=100))[::-1].astype(np.float32),
            f"precision_{task}": random.uniform(size=pairs).astype(np.float32),
            f"recall_{task}": np.sort(random.uniform(size=pairs)).astype(np.float32),
        }
    if paper_name in DEEP:
        arrays["curve_iteration"] = np.arange(1.0, options.points + 1)
        arrays["curve_validation_map"] = np.sort(random.uniform(0.2, 0.5, options.points))
        arrays["curve_loss"] = np.sort(random.uniform(0.1, 3, options.points))[::-1]
    store.put(record, arrays)


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s in all")
