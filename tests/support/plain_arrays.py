"""The arrays of a small dataset by their keys, to be written into files of any layout, and read back."""

import numpy as np

PAIRS = {"train": 60, "val": 24, "test": 20}
WIDTHS = {"images": 9, "texts": 5}


def plain_arrays():
    random = np.random.default_rng(3)
    made = {
        f"{kind}_{name}": random.standard_normal((pairs, width)).astype(np.float32)
        for name, pairs in PAIRS.items()
        for kind, width in WIDTHS.items()
    }
    return made | {f"labels_{name}": np.arange(pairs) % 4 for name, pairs in PAIRS.items()}


def assert_same(dataset, arrays):
    for name, split in dataset.splits:
        for kind in ("images", "texts", "labels"):
            np.testing.assert_array_equal(getattr(split, kind), arrays[f"{kind}_{name}"])
