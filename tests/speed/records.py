"""How long a run with nothing to do and a table take with many records, and the start of a cell; run by hand.

    python tests/speed/records.py --records 100 1000 10000 --rounds 3

A store is made of one real record of the built-in dataset, for as many seeds of a small plugin. Printed
are, for each count, the least wall and processor time of a few rounds of

* ``cmbench run`` of all these cells, of which none is left to be run,
* ``cmbench table``,

each as a command of its own, imports counted, and of their first round, in which the store has no index; and
the processor time (user and system) of the process of one cell whose method does nothing, from its start to
its end. With ``--rows N`` the seeds are those of N settings, and each record has arrays, so that the table
tests which of its rows differ. The targets are 2 s of wall time with 10,000 records, and 0.5 s of processor
time. On a machine with other work the wall time says little; the processor time is what it would be at most
on a quiet one.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import cmbench
from cmbench.datasets.registry import load_dataset
from cmbench.evaluation.protocol import get_protocol
from cmbench.methods.registry import registry
from cmbench.plan import plan
from cmbench.store import Store

PLUGIN = '''
from cmbench.methods import Method

class Seeded(Method):
    """Takes both views as they are, as far as they have equally many columns."""

    random_state: int = 0
    row: int = 0

    def fit(self, train, validation):
        self.width_ = min(train.images.shape[1], train.texts.shape[1])
        return self

    def transform_images(self, images):
        return images[:, : self.width_]

    def transform_texts(self, texts):
        return texts[:, : self.width_]
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, nargs="*", default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1)
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds takes 2 or more: in the first the store has no index")
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "seeded.py"
        plugin.write_text(PLUGIN)
        print(
            f"start of a cell: {processor_seconds(lambda: run_one(plugin, Path(folder) / 'one')):.2f} s",
            flush=True,
        )
        print("records  command     wall s  processor s   first: wall s  processor s")
        for records in options.records:
            store = Path(folder) / f"store-{records}"
            fill(store, plugin, records, rows=options.rows)
            for command in commands(plugin, records)[options.rows > 1 :]:
                (store / ".work" / "index.json").unlink(missing_ok=True)
                rounds = [timed([*command, "--store", str(store)]) for _ in range(options.rounds)]
                least = [min(each) for each in zip(*rounds[1:], strict=True)]
                columns = "{:11.2f} {:11.2f} {:16.2f} {:12.2f}".format(*least, *rounds[0])
                print(f"{records:7}  {command[0]:6} {columns}", flush=True)


def run_one(plugin: Path, folder: Path) -> None:
    cmbench.run("scenes", ["seeded"], store=folder, plugins=[plugin], jobs=1, threads=1)


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of the processes that ``work`` starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fill(folder: Path, plugin: Path, records: int, *, rows: int = 1) -> None:
    """Write the record of a real cell for as many seeds, with arrays if these are of several rows."""
    run_one(plugin, folder)
    store, random = Store(folder), np.random.default_rng(0)
    (real,) = store.records()
    arrays = store.arrays(real)
    methods = [(registry([plugin])["seeded"], {"row": row}) for row in range(rows)]
    datasets, protocol = [load_dataset("scenes")], get_protocol("paper")
    cells = plan(datasets, methods, seeds=range(records // rows), protocol=protocol)
    (path,) = store.paths()
    for cell in cells:
        method = {**real["method"], "parameters": cell.parameters}
        record = {**real, "key": cell.key, "seed": cell.seed, "method": method}
        path.with_name(f"seeded-{cell.key}.json").write_text(json.dumps(record, indent=1, sort_keys=True))
        if rows > 1:
            np.savez_compressed(store.arrays_path(record), **noisy(arrays, cell.parameters["row"], random))
    time.sleep(2.1)  # a file that has just changed may change again, and is not indexed


def noisy(arrays, row: int, random: np.random.Generator):
    """Return arrays with other AP of each query, the further from those given the higher the row."""
    changed = {
        name: np.clip(values - random.random(values.shape) * row / 100, 0, 1)
        for name, values in arrays.items()
        if name.startswith("ap_")
    }
    return {**arrays, **changed}


def commands(plugin: Path, records: int) -> list[list[str]]:
    seeds = ",".join(map(str, range(records)))
    return [["run", "--plugin", str(plugin), "--methods", "seeded", "--seeds", seeds], ["table"]]


def timed(command: list[str]) -> tuple[float, float]:
    """Return the wall and the processor time of a command."""
    start = time.perf_counter()
    arguments = [sys.executable, "-P", "-m", "cmbench", *command]
    processor = processor_seconds(lambda: subprocess.run(arguments, capture_output=True, check=True))
    return time.perf_counter() - start, processor


if __name__ == "__main__":
    main()
