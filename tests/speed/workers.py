"""How much faster a run is on several Dask workers than on one, all of them processes on this machine.

Run by hand: ``python tests/speed/workers.py [--cells 16] [--seconds 4] [--workers 1 2 4]``. The method of
the cells waits instead of computing, so that workers do not take each other's processors: what is measured
is what the scheduler, the workers and the run itself add. A method that computes gains as many times as there
are idle processors, on this machine or on others, less that.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != ROOT]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from conftest import toy_split  # noqa: E402 - after sys.path is put right
from dask_cluster import dask_cluster  # noqa: E402

from cmbench.datasets.contract import Dataset  # noqa: E402
from cmbench.runner import finished  # noqa: E402

WAITING = """
import time
from cmbench.methods.contract import Method

class Waiting(Method):
    random_state: int = 0
    seconds: float = 1.0
    def fit(self, train, validation):
        time.sleep(self.seconds)
        return self
    def transform_images(self, images):
        return images[:, :4]
    def transform_texts(self, texts):
        return texts[:, :4]
"""


def toy_dataset() -> Dataset:
    splits = (toy_split("train", 80, seed=1), toy_split("val", 40, seed=2), toy_split("test", 48, seed=3))
    return Dataset("toy", *splits, ("ant", "bee", "cat", "dog"))


def seconds_on(workers: int, cells: int, seconds: float, folder: Path) -> float:
    """Return how long a run takes on so many workers, after one cell on each that is not counted."""
    plugin = folder / "waiting.py"
    plugin.write_text(WAITING)
    options = {"plugins": [plugin], "threads": 1, "memory": "none", "executor": "dask"}
    with dask_cluster(folder / f"cluster-{workers}", workers) as cluster:
        options |= {"scheduler": str(cluster.file), "store": folder / f"store-{workers}"}
        short = {"parameters": {"waiting": {"seconds": 0.0}}}
        finished(toy_dataset(), ["waiting"], seeds=workers, jobs=workers, **options, **short)
        start = time.perf_counter()
        whole = {"parameters": {"waiting": {"seconds": seconds}}}
        finished(toy_dataset(), ["waiting"], seeds=cells, jobs=workers, **options, **whole)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    print(f"{given.cells} cells that wait {given.seconds:g} s, on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        one = None
        for workers in given.workers:
            taken = seconds_on(workers, given.cells, given.seconds, Path(folder))
            one = one or taken * workers
            print(
                f"{workers:3} worker(s): {taken:7.1f} s, {one / taken:5.2f} times as fast as one", flush=True
            )


if __name__ == "__main__":
    main()
