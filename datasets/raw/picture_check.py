"""Whether every picture of a raw dataset can be read."""

from __future__ import annotations

from cmbench.datasets.raw.contract import RawDataset
from cmbench.datasets.raw.problems import Problems


def checked_pictures(dataset: RawDataset) -> RawDataset:
    """Return ``dataset`` after reading each picture; one ``DatasetError`` tells of all that cannot be read.

    Loaders do not open pictures; this finds a broken one before hours of features are spent.
    """
    problems = Problems(f"raw dataset {dataset.name!r}")
    for _, pairs in dataset.splits:
        for pair in pairs:
            with problems.noted():
                pair.picture.read()
    problems.settle()
    return dataset
