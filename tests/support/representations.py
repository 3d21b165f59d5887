"""What a fitted method makes of a split, in one matrix."""

import numpy as np

from cmbench.methods.conformance.subject import mapped


def represented(method, split):
    """Return the representations of images and texts side by side, (n, 2k)."""
    return np.hstack(mapped(method, split))


def cosine(x, y):
    """The cosines (n, m) of rows (n, d) and (m, d)."""
    return (x / np.linalg.norm(x, axis=1, keepdims=True)) @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T
