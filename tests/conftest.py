"""Fixtures for all tests: real data where there is some, and a small dataset that always is."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

# ``python -m pytest`` puts the current folder on sys.path; from the root of the repository its folders
# would hide other packages called ``datasets`` and ``methods``, and the wheel under test.
sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != ROOT]

from cmbench.datasets.contract import Dataset  # noqa: E402 - after sys.path is put right
from cmbench.datasets.draft import Split  # noqa: E402 - after sys.path is put right

REAL_DATA = Path(os.environ.get("CMBENCH_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real feature files; tests that need it are skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set CMBENCH_DATA to its folder")
    return REAL_DATA


def toy_split(name: str, pairs: int, *, seed: int, classes: int = 4) -> Split:
    """Two noisy linear views of a class prototype and of something the pair shares."""
    prototypes = np.random.default_rng(7).standard_normal((classes, 6))
    mixing = np.random.default_rng(8)
    to_image, to_text = mixing.standard_normal((6, 12)), mixing.standard_normal((6, 8))
    noise = np.random.default_rng(seed)
    labels = np.arange(pairs) % classes
    meaning = prototypes[labels] + 0.7 * noise.standard_normal((pairs, 6))
    images = meaning @ to_image + noise.standard_normal((pairs, 12))
    texts = meaning @ to_text + noise.standard_normal((pairs, 8))
    ids = np.array([f"{name}-{i}" for i in range(pairs)])
    return Split(images.astype(np.float32), texts.astype(np.float32), labels.astype(np.int64), ids)


@pytest.fixture(scope="session")
def toy() -> Dataset:
    """A dataset of 4 classes, 12-d images and 8-d texts, 80/40/48 pairs."""
    return Dataset(
        "toy",
        toy_split("train", 80, seed=1),
        toy_split("val", 40, seed=2),
        toy_split("test", 48, seed=3),
        ("ant", "bee", "cat", "dog"),
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--exactly-the-wheel", action="store_true", help="fail, not skip, when cmbench is installed editable"
    )
