"""Time every table of a store of generated records; run by hand.

    python tests/speed/tables.py --datasets 5 --seeds 5 --pairs 462

For eleven methods the store has a record for each dataset and seed, with the AP of every query. Printed is
the processor time of each command, start of the interpreter included, and which heavy modules it imported.
At 5 datasets and 5 seeds all together should take less than 20 s, and one dataset with one seed, as the
default run leaves it, less than 1 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from made_records import TASKS, made_dataset, made_record

from cmbench.report.settings import PAPER_ORDER
from cmbench.store import Store

HEAVY = ("torch", "sklearn", "matplotlib.pyplot", "pandas")
CODE = """
import sys
from cmbench.cli.main import main
sys.argv = ["cmbench", *sys.argv[1:]]
try:
    main()
finally:
    print("heavy:", *sorted(set({heavy}) & set(sys.modules)), file=sys.stderr)
"""
COMMANDS = (
    ("table",),
    ("table", "--format", "text", "--letters", "--columns", "seconds,memory,weights,seeds,trials,profile"),
    ("table", "--format", "latex"),
    ("table", "--format", "html"),
    ("table", "--dataset", "data0", "--format", "csv"),
    ("table", "--overview"),
    ("table", "--spread", "queries"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=462)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder) / "one", 1, 1, options.pairs)
        print(f"one dataset, one seed: {measured(Path(folder) / 'one', COMMANDS[0])}")
        generate(Path(folder) / "all", options.datasets, options.seeds, options.pairs)
        print(f"{options.datasets} datasets, {options.seeds} seeds:")
        before = os.times()
        for command in COMMANDS:
            print(f"  cmbench {' '.join(command)}: {measured(Path(folder) / 'all', command)}", flush=True)
        print(f"together: {spent(before):.1f} s")


def generate(folder: Path, datasets: int, seeds: int, pairs: int) -> None:
    """Put the records of eleven methods, each a little better than the one before, into a store."""
    store, random = Store(folder), np.random.default_rng(0)
    for number in range(datasets):
        data = made_dataset(f"data{number}", sizes={"train": 2173, "validation": 231, "test": pairs})
        base = random.uniform(0.1, 0.8, (4, pairs))
        for place, name in enumerate(PAPER_ORDER):
            for seed in range(seeds):
                ap = base - 0.01 * place + random.normal(0, 0.1, (4, pairs))
                arrays = {f"ap_{task}": values for task, values in zip(TASKS, ap, strict=True)}
                arrays["ids"] = np.array([f"pair{at}" for at in range(pairs)])
                record = made_record(
                    name.lower(),
                    ap.mean(axis=1).tolist(),
                    paper_name=name,
                    seed=seed,
                    dataset=data,
                    queries=dict.fromkeys(TASKS, pairs),
                )
                store.put(record, arrays)


def measured(store: Path, command: tuple[str, ...]) -> str:
    """Run a command, and return the processor time it took and the heavy modules it imported."""
    before = os.times()
    code = CODE.replace("{heavy}", repr(HEAVY))
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *command, "--store", str(store)],
        capture_output=True,
        text=True,
        check=True,
    )
    return f"{spent(before):.2f} s, {done.stderr.splitlines()[-1]}"


def spent(before: os.times_result) -> float:
    """Return the processor time of children since then, in seconds."""
    now = os.times()
    return now.children_user - before.children_user + now.children_system - before.children_system


if __name__ == "__main__":
    main()
