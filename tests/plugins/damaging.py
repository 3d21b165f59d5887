"""A method that writes to the features that all cells of a dataset read."""

import os
from pathlib import Path

import numpy as np

from cmbench.methods.contract import Method


class Damaging(Method):
    def fit(self, train, validation):
        path = Path(train.texts.filename)
        os.chmod(path, 0o644)
        np.lib.format.open_memmap(path, mode="r+")[:] = 0
        return self

    def transform_images(self, images):
        return images[:, :2]

    def transform_texts(self, texts):
        return texts[:, :2]
