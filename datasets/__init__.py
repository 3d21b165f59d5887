"""The dataset contract, the registry, and loaders for anyone's feature files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "cmbench.datasets":
    raise ImportError(
        f"this folder is the package 'cmbench.datasets', but it was imported as {__name__!r}: "
        "the root of the cmbench repository is on sys.path. Install cmbench "
        "(pip install -c constraints.txt .) and run from another folder, or use the 'cmbench' command."
    )

if TYPE_CHECKING:
    from cmbench.datasets.contract import Dataset
    from cmbench.datasets.draft import Card, Parts, Split
    from cmbench.datasets.formats.files import FileCheck, check_file, load_file
    from cmbench.datasets.formats.numpy_files import load_array, load_split, save_folder, save_npz, save_split
    from cmbench.datasets.registry import (
        Description,
        dataset_names,
        dataset_summaries,
        describe,
        load_dataset,
    )

__all__ = [
    "Card",
    "Dataset",
    "Description",
    "FileCheck",
    "Parts",
    "Split",
    "check_file",
    "dataset_names",
    "dataset_summaries",
    "describe",
    "load_array",
    "load_dataset",
    "load_file",
    "load_split",
    "save_folder",
    "save_npz",
    "save_split",
]

# Imported on use, so that the command line starts fast.
_HOMES = {
    "contract": ("Dataset",),
    "draft": ("Card", "Parts", "Split"),
    "formats.files": ("FileCheck", "check_file", "load_file"),
    "formats.numpy_files": ("load_array", "load_split", "save_folder", "save_npz", "save_split"),
    "registry": ("Description", "dataset_names", "dataset_summaries", "describe", "load_dataset"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"cmbench.datasets.{module}"), name)
    raise AttributeError(f"module 'cmbench.datasets' has no attribute {name!r}")
