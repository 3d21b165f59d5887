"""The processor time of each deep method's training against the bare matrix products it consists of; by hand.

    python tests/speed/training.py --dataset scenes

Every product of matrices that a fit makes is counted with its shape, by PyTorch itself. The same products are
then made alone, on matrices that are there already, in the same run and on one thread. Printed are the
seconds of the fit, those of the products, their ratio, and the share of the fit that looks at validation
take. The ratio is what a training costs beyond its products: updates of weights, activations,
decompositions, copies.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import cmbench
from cmbench.methods.training.loop import Training

METHODS = ("cmgans", "deep-sm", "dcca", "corr-ae", "cmdn", "ccl-coarse")
PRODUCTS = {"aten::mm": 0, "aten::addmm": 1, "aten::bmm": 0}
"""Operations that multiply matrices, and the place of the first factor among their arguments."""


class CountedProducts(TorchDispatchMode):
    """Counts the shapes and precisions of all products of matrices made within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        place = PRODUCTS.get(function.name().partition(".")[0])
        if place is not None:
            left, right = args[place], args[place + 1]
            self.counts[tuple(left.shape), tuple(right.shape), left.dtype] += 1
        return function(*args, **(kwargs or {}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="scenes")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    data = cmbench.load_dataset(options.dataset)
    print(f"{'method':12} {'fit s':>8} {'products s':>10} {'ratio':>6} {'looks':>6}", flush=True)
    for name in options.methods:
        with CountedProducts() as counted:
            cmbench.load_method(name).fit(data.train, data.validation)
        looks: list[float] = []
        fit = with_timed_looks(
            looks, lambda name=name: cmbench.load_method(name).fit(data.train, data.validation)
        )
        products = seconds_of(counted.counts)
        print(
            f"{name:12} {fit:8.1f} {products:10.1f} {fit / products:6.2f} {sum(looks) / fit:6.0%}", flush=True
        )


def with_timed_looks(looks: list[float], action: Callable[[], Any]) -> float:
    """Return the processor seconds of ``action``; those of each look at validation go into ``looks``."""
    original = Training._look

    def timed(training: Training[Any]) -> bool:
        start = time.process_time()
        try:
            return original(training)
        finally:
            looks.append(time.process_time() - start)

    Training._look = timed  # type: ignore[method-assign]
    try:
        return seconds(action)
    finally:
        Training._look = original  # type: ignore[method-assign]


def seconds_of(counts: Counter[tuple[Any, ...]]) -> float:
    """Return the processor seconds that these products take, from a few of each shape."""
    total = 0.0
    for (left, right, kind), number in counts.items():
        a, b = torch.randn(left).to(kind), torch.randn(right).to(kind)
        repeated = min(number, 10)
        a @ b
        total += number / repeated * seconds(lambda a=a, b=b, n=repeated: [a @ b for _ in range(n)])
    return total


def seconds(action: Callable[[], Any]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


if __name__ == "__main__":
    main()
