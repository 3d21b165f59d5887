"""Cells that ask for a GPU, on machines with none, one and two of them; tests stand in for the GPUs."""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from cmbench.execution import gpus, local
from cmbench.execution.gpus import VISIBLE, Queue, asks_for_gpu, visible_gpus
from cmbench.runner import finished
from cmbench.store import Store

PLUGIN = """
import os, time
from cmbench.methods.contract import Method

class Busy(Method):
    device: str = "auto"
    random_state: int = 0
    def fit(self, train, validation):
        began = time.time()
        time.sleep(1.5)
        print(self.device, began, time.time(), os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
        return self
    def transform_images(self, images):
        return images[:, :2]
    def transform_texts(self, texts):
        return texts[:, :2]
"""


@dataclass(eq=False)
class FakeCell:
    device: str | None
    parameters: dict = field(init=False)

    def __post_init__(self):
        self.parameters = {} if self.device is None else {"device": self.device}


@pytest.mark.parametrize(
    ("device", "asks"),
    [("auto", True), ("cuda", True), ("cuda:1", True), ("cpu", False), (None, False), ("mps", False)],
)
def test_a_cell_asks_for_a_gpu_by_its_device(device, asks):
    assert asks_for_gpu(FakeCell(device)) is asks


def taken(queue, number, stop=None):
    """Take as many cells as there are without waiting, and return them with their environments."""
    contexts = [queue.next(stop or threading.Event()) for _ in range(number)]
    return contexts, [context.__enter__() for context in contexts]


def test_one_gpu_has_one_cell_at_a_time_and_cells_without_go_past():
    queue = Queue(["0"])
    first, second, plain = FakeCell("auto"), FakeCell("cuda"), FakeCell("cpu")
    queue.extend([first, second, plain])
    contexts, found = taken(queue, 2)
    assert found == [(first, {}), (plain, {})]
    got = []

    def take():
        with queue.next(threading.Event()) as entry:
            got.append(entry)

    waiting = threading.Thread(target=take)
    waiting.start()
    waiting.join(0.2)
    assert not got
    contexts[0].__exit__(None, None, None)
    waiting.join(5)
    assert got == [(second, {})]


def test_several_gpus_are_shown_to_one_cell_each():
    queue = Queue(["GPU-a", "GPU-b"])
    cells = [FakeCell("cuda:0"), FakeCell("auto"), FakeCell(None)]
    queue.extend(cells)
    _, found = taken(queue, 3)
    assert found == [(cells[0], {}), (cells[1], {VISIBLE: "GPU-b"}), (cells[2], {})]


def test_without_gpus_nothing_waits_and_a_stopped_run_gets_no_cell():
    queue, stop = Queue([]), threading.Event()
    cells = [FakeCell("auto"), FakeCell("auto"), FakeCell("auto")]
    queue.extend(cells)
    assert taken(queue, 2)[1] == [(cells[0], {}), (cells[1], {})]
    stop.set()
    assert taken(queue, 1, stop)[1] == [None]


def test_the_gpus_are_those_that_pytorch_sees(monkeypatch):
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 2)
    monkeypatch.setitem(gpus.sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.delenv(VISIBLE, raising=False)
    assert visible_gpus([FakeCell("auto")]) == ("0", "1")
    monkeypatch.setenv(VISIBLE, "GPU-a,GPU-b")
    assert visible_gpus([FakeCell("auto")]) == ("GPU-a", "GPU-b")
    assert visible_gpus([FakeCell("cpu")]) == ()


def test_cells_of_a_run_do_not_meet_on_a_gpu_and_do_on_the_processors(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "visible_gpus", lambda cells: ("7",))
    plugin = tmp_path / "busy.py"
    plugin.write_text(PLUGIN)
    for device in ("auto", "cpu"):
        parameters = {"busy": {"device": device}}
        options = {"seeds": 2, "jobs": 2, "threads": 1, "memory": "none", "parameters": parameters}
        finished(toy, ["busy"], plugins=[plugin], store=tmp_path / device, **options)
    assert not overlap(Store(tmp_path / "auto"))
    assert overlap(Store(tmp_path / "cpu"))


def overlap(store):
    logs = [(store.folder / record["log"]).read_text().split() for record in store.records()]
    (first, second) = sorted((float(began), float(ended)) for _, began, ended, _ in logs)
    return second[0] < first[1]
