"""Fit CCA side by side with cca-zoo and scikit-learn; run by hand.

    python tests/speed/peers.py

Prints the time of each, the largest difference of the canonical correlations on the training part
from ours, and how many times slower the peer is. scikit-learn's components come out one after the
other by power iteration: its correlations are those of its transformed views, and take minutes. The
last line is what no method that needs the covariances can be faster than: the bare float64 products.
With cca-zoo below 3 the script runs too; its CCA is several times slower than that of version 4.
"""

from __future__ import annotations

import argparse
import time
import warnings
from importlib.metadata import version

import numpy as np
from cca_zoo.linear import CCA as ZooCCA
from sklearn.cross_decomposition import CCA as ScikitCCA

from cmbench.datasets.draft import Split
from cmbench.methods.cca import CCA


def main() -> None:
    options = parsed_options()
    images, texts = correlated_views(options)
    warnings.simplefilter("ignore")
    ours, seconds = best_of(3, lambda: fit_ours(images, texts, options.components))
    print(f"{'':15} {'seconds':>9} {'times ours':>11} {'largest difference':>19}")
    print(f"{'cmbench':15} {seconds:9.3f}")
    peers = {f"cca-zoo {version('cca-zoo')}": (fit_zoo, 3), "scikit-learn": (fit_scikit, 1)}
    for name in peers if options.peers is None else [name for name in peers if options.peers in name]:
        fit, repeats = peers[name]
        theirs, peer_seconds = best_of(repeats, lambda fit=fit: fit(images, texts, options.components))
        difference = np.abs(theirs - ours).max()
        print(f"{name:15} {peer_seconds:9.3f} {peer_seconds / seconds:11.1f} {difference:19.1e}", flush=True)
    _, bare = best_of(3, lambda: (images.T @ images, texts.T @ texts, images.T @ texts))
    print(f"{'bare products':15} {bare:9.3f} {bare / seconds:11.2f}")


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4_000)
    parser.add_argument("--d-image", type=int, default=1_024)
    parser.add_argument("--d-text", type=int, default=300)
    parser.add_argument("--components", type=int, default=50)
    parser.add_argument("--peers", help="only those whose name has this in it")
    return parser.parse_args()


def correlated_views(options: argparse.Namespace):
    """Return two noisy linear views of 60 latent variables, float64."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(options.rows, 60)) * np.linspace(2, 0.5, 60)
    return [
        latent @ rng.normal(size=(60, d)) / 8 + rng.normal(size=(options.rows, d))
        for d in (options.d_image, options.d_text)
    ]


def fit_ours(images, texts, components):
    n = len(images)
    pairs = Split(images, texts, np.zeros(n, np.int64), np.arange(n).astype(str))
    cca = CCA(n_components=components, ridge=0.0, solver="cholesky")
    return cca.fit(pairs, pairs).correlations_[:components]


def fit_zoo(images, texts, components):
    scores = ZooCCA(components).fit([images, texts]).transform([images, texts])
    return correlations(*scores)


def fit_scikit(images, texts, components):
    scores = (
        ScikitCCA(n_components=components, scale=False, max_iter=20_000, tol=1e-11)
        .fit(images, texts)
        .transform(images, texts)
    )
    return correlations(*scores)


def correlations(left, right):
    left, right = left - left.mean(axis=0), right - right.mean(axis=0)
    norms = np.linalg.norm(left, axis=0) * np.linalg.norm(right, axis=0)
    return np.sort(np.abs(np.sum(left * right, axis=0) / norms))[::-1]


def best_of(repeats, function):
    """Return the result and the shortest time of calling ``function`` a few times."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return result, min(times)


if __name__ == "__main__":
    main()
