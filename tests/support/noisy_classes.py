"""Pairs of three classes, whose views lie around a centre of each class."""

import numpy as np

from cmbench.datasets.draft import Split


def sample(rng, n=60, widths=(8, 6)):
    """Return n pairs; the centres are the same each time, and the noise around them is drawn from ``rng``."""
    labels = np.arange(n) % 3
    centres = np.random.default_rng(9)
    x, y = (centres.normal(size=(3, d))[labels] + 1.5 * rng.normal(size=(n, d)) for d in widths)
    return Split(x, y, labels, np.arange(n).astype(str))
