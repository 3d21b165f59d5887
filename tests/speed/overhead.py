"""What 10,000 tiny cells cost beside their methods: planning, running and reporting, in milliseconds a cell.

Run by hand: ``python tests/speed/overhead.py [--cells 10000] [--methods 20] [--real 40]``. The cells are
those of so many methods with equally many seeds each. Planning, evaluating, writing records and reporting are
measured on all cells. A child process takes most of a second whatever the number of cells, so that only
``--real`` of them are started, on the store that is full by then.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != ROOT]
sys.path.append(str(ROOT / "tests"))

from conftest import toy_split  # noqa: E402 - after sys.path is put right

from cmbench.agenda import planned  # noqa: E402
from cmbench.datasets.contract import Dataset  # noqa: E402
from cmbench.estimates import estimates  # noqa: E402
from cmbench.execution.child_process import Ended  # noqa: E402
from cmbench.execution.job import hand_out  # noqa: E402
from cmbench.execution.ledger import Ledger, judged  # noqa: E402
from cmbench.execution.progress import Progress  # noqa: E402
from cmbench.execution.record import Outcome  # noqa: E402
from cmbench.limits import Limits  # noqa: E402
from cmbench.methods.registry import Registry, registry  # noqa: E402
from cmbench.report.cells import load_results, stored_records  # noqa: E402
from cmbench.report.layout import View  # noqa: E402
from cmbench.report.page.document import document, write  # noqa: E402
from cmbench.report.page.sources import studies_of  # noqa: E402
from cmbench.report.records import select  # noqa: E402
from cmbench.report.table import render  # noqa: E402
from cmbench.runner import finished  # noqa: E402
from cmbench.store import Store  # noqa: E402

TINY = """
from cmbench.methods.contract import Method

class Tiny{number}(Method):
    name = "tiny-{number:03d}"
    random_state: int = 0
    def fit(self, train, validation):
        return self
    def transform_images(self, images):
        return images[:, :4]
    def transform_texts(self, texts):
        return texts[:, :4]
"""
DURATIONS = {"fit": 0.1, "transform": 0.1, "processor": 0.2}
LIMITS = Limits(None, None, 1)


class Timing:
    """Prints how long steps take, in all and for each cell."""

    def __init__(self, cells: int) -> None:
        self.cells = cells

    @contextmanager
    def of(self, what: str, cells: int | None = None):
        start, processor = time.perf_counter(), time.process_time()
        yield
        own = time.process_time() - processor
        self.tell(what, time.perf_counter() - start, cells or self.cells, processor=own)

    def tell(self, what: str, seconds: float, cells: int, *, processor: float | None = None) -> None:
        own = "" if processor is None else f"; of processor time {1000 * processor / cells:7.3f} ms"
        print(f"{what:50} {seconds:8.1f} s, {1000 * seconds / cells:8.3f} ms a cell{own}", flush=True)


def toy_dataset() -> Dataset:
    splits = (toy_split("train", 80, seed=1), toy_split("val", 40, seed=2), toy_split("test", 48, seed=3))
    return Dataset("toy", *splits, ("ant", "bee", "cat", "dog"))


def write_records(cells, store: Store, folder: Path) -> None:
    """Do for each cell what a run does beside its child process: claim, evaluate, write, tell."""
    features = hand_out(cells[0].dataset, folder)
    ledger = Ledger(store, Progress(), {})
    random = np.random.default_rng(0)
    for cell in cells:
        with ledger.turn_of(cell) as is_wanted:
            assert is_wanted
            representations = {name: random.standard_normal((48, 4)) for name in ("images", "texts")}
            child = {"durations": DURATIONS, "fitted": {}, "transductive": False, "weights": 0}
            ended = Ended("exited", 0, 0.3, 30_000_000, {"files": None, "processes": None})
            outcome = Outcome("ok", ended, child, representations=representations)
            ledger.keep(cell, judged(cell, outcome, features, LIMITS), limits=LIMITS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--methods", type=int, default=20)
    parser.add_argument("--real", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where the store goes, in place of a temporary folder")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="overhead-", dir=given.folder))
    try:
        measure(given.cells, given.methods, given.real, folder)
    finally:
        shutil.rmtree(folder)


def measure(number: int, methods: int, real: int, folder: Path) -> None:
    plugins = tiny_plugins(methods, folder)
    names, place, seeds = list(plugins.plugin_names), folder / "store", number // methods
    timing, toy = Timing(seeds * methods), toy_dataset()
    options = {"seeds": seeds, "store": place, "plugins": plugins}
    with timing.of("planning, nothing stored"):
        cells = planned(toy, names, **options).cells
    assert len(cells) == seeds * methods
    (folder / "features").mkdir()
    with timing.of("claiming, evaluating, writing records"):
        write_records(cells, Store(place), folder / "features")
    time.sleep(2.5)  # an index remembers what has been still for two seconds
    with timing.of("planning, all stored, no index yet"):
        assert not planned(toy, names, **options).pending
    with timing.of("planning, all stored, with an index"):
        agenda = planned(toy, names, **options)
    with timing.of("estimates of times"):
        assert len(estimates(agenda.cells, agenda.earlier.values())) == len(cells)
    with timing.of("a run that has nothing to do"):
        finished(toy, names, **options)
    report(timing, place, folder)
    more = {**options, "seeds": range(seeds, seeds + real), "jobs": 1, "threads": 1, "memory": "none"}
    with timing.of(f"{real} real cells beside them, one after another", real):
        ran = finished(toy, names[:1], **more)
    inside = sum(record["durations"]["total"] for record in ran)
    timing.tell("  of which their processes and their evaluation", inside, real)


def tiny_plugins(methods: int, folder: Path) -> Registry:
    for number in range(methods):
        (folder / f"tiny{number:03d}.py").write_text(TINY.format(number=number))
    return registry(sorted(folder.glob("tiny*.py")))


def report(timing: Timing, place: Path, folder: Path) -> None:
    """Time what shows the results of a store, each as a command of its own would make it."""
    for what, view in (("the table", View()), ("the table as CSV", None)):
        with timing.of(what):
            records = select(stored_records(str(place)))
            shown = {"view": view} if view else {"format": "csv"}
            text = render(records, arrays=Store(place).arrays, **shown)
        assert text
    with timing.of("all results as a frame"):
        assert len(load_results(place)) == timing.cells
    for figures in (False, True):
        with timing.of(f"the page {'with' if figures else 'without'} figures"):
            study, _ = studies_of((place,))
            page = write(document(study, figures=figures), folder / "page")
        print(f"  of {page.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
