"""Train CM-GANs against the bare matrix products of the same shapes; run by hand.

    python tests/speed/rounds.py --train 32000 --d-image 4096 --d-text 300 --embedding 1024

For each batch size, times of one round (the four discriminators once, K times both generators) in
the training as it is, and of nothing but the matrix products that such a round cannot do without,
alternating in the same run. Printed are both, their ratio, and pairs per second: K · batch
pairs a round. Then whole epochs are trained, printing the memory held after each, which must
stay flat. On a GPU, if there is one, the same in float32 and in mixed precision.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import psutil
import torch

from cmbench.datasets.draft import Split
from cmbench.methods.cmgans.method import CMGANs
from cmbench.methods.cmgans.training import AdversarialFitting

GIB = 2**30


def main() -> None:
    options = parsed_options()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    train, validation = generated(options.train, options, seed=1), generated(256, options, seed=2)
    print(f"{torch.get_num_threads()} CPU threads; {memory():.2f} GiB held with the features in memory")
    places = [("cpu", "float32")]
    if torch.cuda.is_available():
        places = [("cuda", "float32"), ("cuda", "bfloat16")]
    header = f"{'device':6} {'precision':9} {'batch':>5} {'round s':>9} {'products s':>10}"
    print(f"{header} {'ratio':>6} {'pairs/s':>9}", flush=True)
    for device, precision in places:
        for batch in options.batches:
            fitting = prepared(options, train, validation, batch, device, precision)
            rounds, products = timed(fitting, options, batch)
            rate = options.steps * batch / rounds
            numbers = f"{rounds:9.4f} {products:10.4f} {rounds / products:6.2f} {rate:9.0f}"
            print(f"{device:6} {precision:9} {batch:5} {numbers}", flush=True)
    print_memory(options, train, validation, *places[-1])


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=32_000)
    parser.add_argument("--d-image", type=int, default=4_096)
    parser.add_argument("--d-text", type=int, default=300)
    parser.add_argument("--embedding", type=int, default=1_024)
    parser.add_argument("--steps", type=int, default=5, help="K, generator steps a round")
    parser.add_argument("--batches", type=int, nargs="*", default=(64, 512))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="for the memory; short ones of 4 rounds")
    parser.add_argument("--threads", type=int, default=None)
    return parser.parse_args()


def generated(n: int, options: argparse.Namespace, *, seed: int) -> Split:
    random = np.random.default_rng(seed)
    images = random.standard_normal((n, options.d_image), dtype=np.float32)
    texts = random.standard_normal((n, options.d_text), dtype=np.float32)
    return Split(np.maximum(images, 0, out=images), texts, np.arange(n) % 20, np.arange(n).astype(str))


def prepared(options, train, validation, batch, device, precision) -> AdversarialFitting:
    method = CMGANs(
        embedding=options.embedding,
        hidden=options.embedding,
        generator_steps=options.steps,
        batch_size=batch,
        device=device,
        precision=precision,
    )
    return AdversarialFitting(method, train, validation, method._run(train, validation))


def timed(fitting: AdversarialFitting, options, batch: int) -> tuple[float, float]:
    """Return the median seconds of a round and of its bare products, each timed in turn with the other."""
    products = BareProducts(options, batch, fitting.run)
    draws = fitting.sampler.epoch(0, batches=1 + options.steps)
    times: dict[str, list[float]] = {"round": [], "products": []}
    for number in range(options.repeat + 1):
        draw = next(draws)
        round_seconds = seconds(lambda draw=draw: fitting.train_round(draw, False))
        products_seconds = seconds(products)
        if number:  # the first is for warming up
            times["round"].append(round_seconds)
            times["products"].append(products_seconds)
    return float(np.median(times["round"])), float(np.median(times["products"]))


def seconds(action) -> float:
    synchronise()
    start = time.perf_counter()
    action()
    synchronise()
    return time.perf_counter() - start


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class BareProducts:
    """The matrix products of one round, each on matrices that are there already.

    A full connection of n_in and n_out on a batch takes one product forward, one backward for its
    weights if they learn, and one backward for its input if something before it learns.
    """

    def __init__(self, options, batch: int, run) -> None:
        image, text, e, d_hidden = options.d_image, options.d_text, options.embedding, 512
        type_ = torch.bfloat16 if run.mixed else torch.float32
        self.counts = dict.fromkeys(
            [
                (image, e),
                (text, e),
                (e, e),
                (e, image),
                (e, text),
                (e, d_hidden),
                (image, d_hidden),
                (text, d_hidden),
            ],
            (0, 0, 0),
        )
        self._count_discriminators(image, text, e, d_hidden)
        for _ in range(options.steps):
            self._count_generator(image, text, e, d_hidden)
            self._count_generator(text, image, e, d_hidden)
        self.matrices = {
            shape: tuple(
                torch.randn(size, device=run.device, dtype=type_)
                for size in ((batch, shape[0]), shape, (batch, shape[1]))
            )
            for shape in self.counts
        }

    def __call__(self) -> None:
        for shape, (forward, for_weights, for_input) in self.counts.items():
            rows, weights, gradient = self.matrices[shape]
            for _ in range(forward):
                rows @ weights
            for _ in range(for_weights):
                rows.T @ gradient
            for _ in range(for_input):
                gradient @ weights.T

    def _add(self, *shapes: tuple[int, int], forward: int = 1, weights: int = 0, inputs: int = 0) -> None:
        for shape in shapes:
            old = self.counts[shape]
            self.counts[shape] = (old[0] + forward, old[1] + weights, old[2] + inputs)

    def _count_discriminators(self, image: int, text: int, e: int, d_hidden: int) -> None:
        self._add((image, e), (text, e), (e, e), (e, e), forward=2)  # anchors and mismatched pairs
        self._add((e, e), (e, e), (e, image), (e, text))  # decoders
        self._add((e, d_hidden), (e, d_hidden), (image, d_hidden), (text, d_hidden), forward=3, weights=3)

    def _count_generator(self, own: int, other: int, e: int, d_hidden: int) -> None:
        self._add((own, e), weights=1)
        self._add((e, e), (e, e), (e, own), weights=1, inputs=1)
        self._add((e, d_hidden), inputs=1)
        self._add((other, d_hidden))


def print_memory(options, train: Split, validation: Split, device: str, precision: str) -> None:
    fitting = prepared(options, train, validation, 64, device, precision)
    for epoch in range(options.epochs):
        draws = fitting.sampler.epoch(epoch, batches=1 + options.steps)
        for draw, _ in zip(draws, range(4), strict=False):
            fitting.train_round(draw, False)
        print(f"epoch {epoch}: {memory():.2f} GiB held", flush=True)


def memory() -> float:
    """Return the memory of this process in GiB."""
    return float(psutil.Process().memory_info().rss / GIB)


if __name__ == "__main__":
    main()
