"""A method that looks for the test labels wherever a process can look."""

import gc
import os
import sys
from pathlib import Path

import numpy as np

from cmbench.methods.contract import Method


class Thief(Method):
    """Looks through every object in its process and every file it was handed."""

    uses_labels = False

    def __init__(self, n_test: int = 48):
        self.n_test = n_test

    def fit(self, train, validation):
        self._look("fit")
        return self

    def transform_images(self, images):
        self._look("transform_images")
        np.save("seen_images.npy", images)
        return images[:, :2]

    def transform_texts(self, texts):
        self._look("transform_texts")
        return texts[:, :2]

    def _look(self, where):
        things = gc.get_objects()
        arrays = [
            part for thing in things for part in gc.get_referents(thing) if isinstance(part, np.ndarray)
        ]
        files = [path for root in (".", "..") for path in Path(root).rglob("*") if path.is_file()]
        labels = [a for a in arrays if a.dtype.kind in "iu" and a.shape == (self.n_test,)]
        named = [str(path) for path in files if "test" in path.name and "labels" in path.name]
        told = " ".join(
            [*sys.argv, *os.environ.values(), *(p.read_text() for p in files if p.suffix == ".json")]
        )
        print(where, "label-like arrays:", len(labels), "label files:", named, "dataset told:", "toy" in told)
        print("files:", sorted({path.name for path in files}))
