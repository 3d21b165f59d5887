"""What a training tells of itself while it goes on: a line a look at validation, in a file that grows.

Whoever runs a fit chooses the file (``reporting_to``); the trainer reports each look (``report``), which
without a file does nothing. A line is one look, as JSON, in the order in which looks happen::

    {"stage": "full_0.5", "epoch": 4.0, "score": 0.213, "epochs": 60}

``stage`` is the name of the stage within the fit, ``epoch`` how many epochs the stage has come, fractions
included, of ``epochs`` at most, and ``score`` what early stopping looks at, the higher the better: the mean
of the two bi-modal MAPs of the validation pairs, unless the method says otherwise (an accuracy in Deep-SM and
in classifiers of class codes, the total correlation in DCCA with ``stopping="correlation"``). Scores of
different stages need not be comparable. Stages that do not look at validation, RBMs for one, report nothing.
A fit that goes on from a checkpoint first reports again what it had come to. The runner reads the file by
``cmbench.execution.outcome.read_looks``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from pathlib import Path

_file: ContextVar[Path | None] = ContextVar("file of reports", default=None)


@dataclass(frozen=True)
class Look:
    """One look of a stage at validation, after so many ``epoch`` s of the stage, of ``epochs`` at most."""

    stage: str
    epoch: float
    score: float
    epochs: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True)
class Seconds:
    """Seconds by the clock, and of the processors that this process had."""

    clock: float = 0.0
    processor: float = 0.0

    @classmethod
    def now(cls) -> Seconds:
        return cls(time.monotonic(), time.process_time())

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.clock + other.clock, self.processor + other.processor)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.clock - other.clock, self.processor - other.processor)


@contextmanager
def reporting_to(file: Path) -> Iterator[None]:
    """Append what trainings report within the block to ``file``.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "looks.jsonl")
    ...     with reporting_to(file):
    ...         report(Look("pairs", 2.0, 0.5, epochs=60))
    ...     print(file.read_text().strip())
    {"stage": "pairs", "epoch": 2.0, "score": 0.5, "epochs": 60}
    """
    token = _file.set(file)
    try:
        yield
    finally:
        _file.reset(token)


def report(look: Look) -> None:
    """Append a look to the file of the block that this is called in; outside of one, do nothing."""
    file = _file.get()
    if file is None:
        return
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(look)) + "\n")
