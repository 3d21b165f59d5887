"""Datasets that commands write: where they may, and what is printed of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cmbench.datasets.contract import Dataset

OTHER_FILES = (
    *(".csv", ".h5", ".hdf5", ".json", ".mat", ".npy"),
    *(".parquet", ".pkl", ".pt", ".pth", ".txt", ".zip"),
)
"""Ends of names of files that no dataset is written as."""


def check_output(output: Path) -> None:
    """Raise an error where no dataset can be written, or a folder would be named like a file; make none."""
    from cmbench.disk import check_writable
    from cmbench.output import check_parent

    if os.path.lexists(output):
        raise click.UsageError(f"{output} exists already; name another file, or remove it")
    if output.suffix.lower() in OTHER_FILES:
        raise click.UsageError(
            "a dataset is written as one file .npz, or as a folder of .npy files, and not as "
            f"{output.suffix}; name {output.with_suffix('.npz')}, or {output.with_suffix('')} for a folder"
        )
    check_parent(output)
    check_writable(output.parent)


def write_dataset(output: Path, dataset: Dataset) -> None:
    """Write a dataset to a ``.npz`` file, or to a folder, and print its fingerprint."""
    from cmbench.datasets.formats.numpy_files import save_folder, save_npz
    from cmbench.disk import writing_to

    with writing_to(output):
        (save_npz if output.suffix == ".npz" else save_folder)(output, dataset)
    click.echo(f"{output}: fingerprint {dataset.fingerprint}")
