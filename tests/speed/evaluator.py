"""Time the evaluator beside a bare similarity product and its peers, all in one run.

    python tests/speed/evaluator.py             # 4,000 x 4,000, and ours at 40,000 x 40,000
    python tests/speed/evaluator.py --quick     # without the large one

Needs the extra ``speed`` (torchmetrics). Each figure is the median of several runs taken in turn, so
that a machine that slows down slows everything. Ours starts from the representations; the peers'
times hold the product too. torchmetrics is timed twice: as the metric object its users call, and as
a loop over its function for one query.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch
from sklearn.metrics import average_precision_score
from torchmetrics.functional.retrieval import retrieval_average_precision
from torchmetrics.retrieval import RetrievalMAP

from cmbench.evaluation.evaluator import average_precision

DIMENSIONS = 1024
GOAL_PRODUCT, GOAL_PEER, GOAL_MEMORY = 2.0, 10.0, 2 * 2**30
GOAL_MULTI_LABEL = 2.0
TAGS = 24


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="leave out 40,000 x 40,000")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for categories in (200, 10):
        compare(4000, categories, options.rounds)
    for density in (0.05, 0.2):
        compare_multi_label(4000, density, options.rounds)
    if not options.quick:
        large(40_000, 200)


def compare(items: int, categories: int, rounds: int) -> None:
    """Time a product, ours and the peers on the same random pairs, and check that they agree."""
    images, texts, labels = pairs(items, categories)
    scores = unit(images) @ unit(texts).T
    few = np.arange(0, items, items // 200)  # peers are asked 200 queries, and their time is scaled up
    timings = take_turns(
        {
            "bare float32 product (NumPy)": lambda: images @ texts.T,
            "bare float32 product (torch)": lambda: torch.from_numpy(images) @ torch.from_numpy(texts).T,
            "cmbench": lambda: average_precision(images, texts, labels, labels),
        },
        rounds,
    )
    peers = {
        "scikit-learn, query by query": lambda: scikit_learn(scores, labels, few),
        "torchmetrics, query by query": lambda: torchmetrics(scores, labels, few),
        "Python loop over the ranking": lambda: python_loop(scores, labels, few),
    }
    product = min(timings["bare float32 product (NumPy)"], timings["bare float32 product (torch)"])
    per_query = take_turns(peers, 3)
    timings |= {name: product + seconds * items / len(few) for name, seconds in per_query.items()}
    whole = take_turns({"torchmetrics, RetrievalMAP": lambda: retrieval_map(scores, labels)}, 1)
    timings |= {name: product + seconds for name, seconds in whole.items()}
    ours = timings["cmbench"]
    print(f"\n{items:,} x {items:,} x {DIMENSIONS:,}, {categories} categories, float32")
    for name, seconds in timings.items():
        print(f"  {name:<32}{seconds:9.3f} s {seconds / product:9.2f} x product {seconds / ours:9.1f} x ours")
    verdict("ours against the product", ours / product, GOAL_PRODUCT, at_most=True)
    fastest_peer = min(timings[name] for name in (*peers, *whole))
    verdict("the fastest peer against ours", fastest_peer / ours, GOAL_PEER, at_most=False)
    ap = average_precision(images, texts, labels, labels)[few]
    difference = np.abs(ap - scikit_learn(scores, labels, few)).max()
    print(f"  largest difference from scikit-learn: {difference:.1e}")


def compare_multi_label(items: int, density: float, rounds: int) -> None:
    """Time items of several tags beside items of one category."""
    images, texts, labels = pairs(items, 10)
    tags = (np.random.default_rng(1).random((items, TAGS)) < density).astype(np.int64)
    timings = take_turns(
        {
            "one category an item": lambda: average_precision(images, texts, labels, labels),
            "several tags an item": lambda: average_precision(images, texts, tags, tags),
        },
        rounds,
    )
    one, several = timings.values()
    share = float((tags @ tags.T > 0).mean())
    print(f"\n{items:,} x {items:,} x {DIMENSIONS:,}, {TAGS} tags, {share:.0%} of pairs relevant")
    for name, seconds in timings.items():
        print(f"  {name:<32}{seconds:9.3f} s")
    verdict("several tags against one category", several / one, GOAL_MULTI_LABEL, at_most=True)


def large(items: int, categories: int) -> None:
    """Time ours against a product done in slices, and watch its memory."""
    images, texts, labels = pairs(items, categories)

    def product() -> None:
        for start in range(0, items, 4000):
            images[start : start + 4000] @ texts.T

    bare = take_turns({"product": product}, 1)["product"]
    before = psutil.Process().memory_info().rss
    with PeakMemory() as peak:
        ours = take_turns({"ours": lambda: average_precision(images, texts, labels, labels)}, 1)["ours"]
    print(f"\n{items:,} x {items:,} x {DIMENSIONS:,}, {categories} categories, float32")
    print(f"  bare product, in slices {bare:9.1f} s")
    print(f"  cmbench                 {ours:9.1f} s {ours / bare:9.2f} x product")
    print(f"  memory above the inputs {(peak.bytes - before) / 2**20:9.0f} MiB")
    verdict("ours against the product", ours / bare, GOAL_PRODUCT, at_most=True)
    verdict("memory in GiB", (peak.bytes - before) / 2**30, GOAL_MEMORY / 2**30, at_most=True)


def take_turns(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each task, run in turn, after one run of each that does not count."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for count in range(rounds + (rounds > 1)):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if count or rounds == 1:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def scikit_learn(scores: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return np.array([average_precision_score(labels == labels[q], scores[q]) for q in queries])


def torchmetrics(scores: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    rows, targets = torch.from_numpy(scores), torch.from_numpy(labels)
    positive = rows + 2  # it drops items with a score of 0 or below
    return np.array(
        [float(retrieval_average_precision(positive[q], targets == targets[q])) for q in queries.tolist()]
    )


def retrieval_map(scores: np.ndarray, labels: np.ndarray) -> float:
    metric = RetrievalMAP()
    indexes = torch.arange(len(scores))[:, None].expand(scores.shape)
    relevant = torch.from_numpy(labels)[:, None] == torch.from_numpy(labels)
    metric.update(torch.from_numpy(scores) + 2, relevant, indexes=indexes)
    return float(metric.compute())


def python_loop(scores: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The scoring loop that papers' code repositories share, in our words."""
    result = []
    for q in queries:
        hits, total = 0, 0.0
        for rank, item in enumerate(np.argsort(-scores[q]), start=1):
            if labels[item] == labels[q]:
                hits += 1
                total += hits / rank
        result.append(total / hits)
    return np.array(result)


class PeakMemory:
    """The largest resident memory of this process while a block runs, sampled every 10 ms."""

    def __enter__(self) -> PeakMemory:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.01):
            self.bytes = max(self.bytes, process.memory_info().rss)


def pairs(items: int, categories: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    images, texts = (random.standard_normal((items, DIMENSIONS), dtype=np.float32) for _ in range(2))
    return images, texts, random.permutation(np.arange(items) % categories)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def verdict(what: str, value: float, goal: float, *, at_most: bool) -> None:
    met = value <= goal if at_most else value >= goal
    print(f"  {'met' if met else 'MISSED'}: {what} {value:.2f}, goal {'<=' if at_most else '>='} {goal:g}")


if __name__ == "__main__":
    main()
