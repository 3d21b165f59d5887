"""Fit the eleven methods, and ridge CCA, at the size of XMediaNet on generated features; run by hand.

    python tests/speed/scale.py --train 32000 --test 4000 --d-image 4096 --d-text 300 --categories 200

Each method runs in a process of its own. Printed are the time of ``fit``, the most memory it held
above its inputs, the mean of the two bi-modal MAPs on the test part, and the ratio of its time to
that of the bare float32 Gram matrices XᵀX + YᵀY, taken in the same process just before and after,
so that other work on the machine slows both. The nearest-neighbour graph of JRL and its quadratic
form XᵀLX are timed apart and not counted in the ratio.

Deep methods run ``--epochs`` epochs in each of their stages, with the looks at validation that belong to
them; for them the seconds of an epoch of all stages are printed too. Two by default, since after a single
one the stacked autoencoder of CMDN is no better than the mean, and CMDN says so.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from cmbench.errors import CmbenchError

TRADITIONAL = ("cca", "rcca", "cfa", "kcca", "jrl", "lgcfl")
LENGTHS = {
    "cmgans": ("epochs",),
    "dcca": ("epochs",),
    "deep-sm": ("epochs",),
    "corr-ae": ("rbm_epochs", "epochs"),
    "cmdn": ("rbm_epochs", "class_epochs", "epochs"),
    "ccl-coarse": ("rbm_epochs", "correlation_epochs", "class_epochs", "epochs"),
}
"""The parameters of each deep method that say how many epochs its stages have."""
PARTS = ("train", "validation", "test")
MIB = 2**20


def main() -> None:
    options = parsed_options()
    refused: list[str] = []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        generate(options, Path(folder))
        with context.Pool(1, maxtasksperchild=1) as pool:
            print(f"MAP by chance: {chance_map(options.test, options.categories):.4f}")
            print("method        fit s  graph s  bare s  ratio  s/epoch  MiB above    MAP", flush=True)
            for name in options.methods:
                try:
                    measured = pool.apply(measure, (name, folder, options.epochs))
                except CmbenchError as error:
                    refused.append(name)
                    print(f"{name:11} refused: {error}", flush=True)
                    continue
                seconds, graph_seconds, bare, peak, score = measured
                times = f"{seconds:7.1f} {graph_seconds:8.1f} {bare:7.2f}"
                ratio = (seconds - graph_seconds) / bare
                epoch = f"{seconds / options.epochs:8.1f}" if name in LENGTHS else " " * 8
                print(f"{name:11} {times} {ratio:6.1f} {epoch} {peak / MIB:10.0f} {score:6.3f}", flush=True)
    if refused:
        raise SystemExit(f"without a result: {', '.join(refused)}")


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=32_000)
    parser.add_argument("--validation", type=int, default=4_000)
    parser.add_argument("--test", type=int, default=4_000)
    parser.add_argument("--d-image", type=int, default=4_096)
    parser.add_argument("--d-text", type=int, default=300)
    parser.add_argument("--categories", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=2, help="of each stage of a deep method")
    everything = (*TRADITIONAL, *LENGTHS)
    parser.add_argument("--methods", nargs="*", default=everything, choices=everything)
    return parser.parse_args()


def generate(options: argparse.Namespace, folder: Path) -> None:
    """Write rectified random projections of a noisy latent space with one centre a category."""
    rng = np.random.default_rng(0)
    latent_width = 64
    centres = rng.normal(size=(options.categories, latent_width)).astype(np.float32)
    mixings = [
        rng.normal(size=(latent_width, d)).astype(np.float32) / 8 for d in (options.d_image, options.d_text)
    ]
    for part in PARTS:
        n = getattr(options, part)
        labels = np.arange(n) % options.categories
        np.save(folder / f"labels_{part}.npy", labels)
        latent = centres[labels] + 1.2 * rng.standard_normal((n, latent_width), dtype=np.float32)
        for view, mixing in zip(("images", "texts"), mixings, strict=True):
            own = latent + 0.6 * rng.standard_normal(latent.shape, dtype=np.float32)
            features = own @ mixing
            features += 0.7 * rng.standard_normal(features.shape, dtype=np.float32)
            np.save(folder / f"{view}_{part}.npy", np.maximum(features, 0, out=features))


def load(folder: str, part: str):
    from cmbench.datasets.draft import Split

    images, texts, labels = (
        np.load(Path(folder) / f"{key}_{part}.npy") for key in ("images", "texts", "labels")
    )
    return Split(images, texts, labels, np.char.add(part, np.arange(len(labels)).astype(str)))


def bare_gram_seconds(train) -> float:
    start = time.perf_counter()
    train.images.T @ train.images
    train.texts.T @ train.texts
    return time.perf_counter() - start


def measure(name: str, folder: str, epochs: int) -> tuple[float, float, float, float, float]:
    """Return seconds of fit, of the graph in it and of bare products, peak bytes above inputs, test MAP."""
    from cmbench.evaluation.evaluator import bimodal_map
    from cmbench.methods.jrl import curvature
    from cmbench.methods.registry import load_method

    warnings.simplefilter("ignore")
    train, validation, test = (load(folder, part) for part in PARTS)
    method = load_method(name, **dict.fromkeys(LENGTHS.get(name, ()), epochs))
    curvature.knn_graph, curvature.smoothness = graph = (
        Stopwatch(curvature.knn_graph),
        Stopwatch(curvature.smoothness),
    )
    bare = [bare_gram_seconds(train) for _ in range(3)][1:]  # the first one starts the threads
    with peak_memory() as peak:
        start = time.perf_counter()
        method.fit(train, validation)
        seconds = time.perf_counter() - start
    bare += [bare_gram_seconds(train) for _ in range(2)]
    images, texts = method.transform_images(test.images), method.transform_texts(test.texts)
    graph_seconds = sum(part.seconds for part in graph)
    return seconds, graph_seconds, float(np.median(bare)), peak[0], bimodal_map(images, texts, test.labels)


class Stopwatch:
    """A function that adds up the seconds spent in it."""

    def __init__(self, function) -> None:
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments):
        start = time.perf_counter()
        result = self.function(*arguments)
        self.seconds += time.perf_counter() - start
        return result


@contextmanager
def peak_memory():
    """Yield a list whose item becomes the most memory (bytes) the process held above that at entry."""
    process, stop, peak = psutil.Process(), threading.Event(), [0.0]
    before = process.memory_info().rss

    def watch() -> None:
        while not stop.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def chance_map(n_items: int, n_categories: int) -> float:
    relevant, harmonic = n_items / n_categories, np.sum(1 / np.arange(1, n_items + 1))
    return ((relevant - 1) / (n_items - 1) * (n_items - harmonic) + harmonic) / n_items


if __name__ == "__main__":
    main()
