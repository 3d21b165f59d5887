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
    from cmbench.datasets.contract import Card, Dataset, Parts, Split
    from cmbench.datasets.description import Description, describe
    from cmbench.datasets.files import FileCheck, check_file, load_file
    from cmbench.datasets.npy_folder import load_array, load_split, save_folder, save_split
    from cmbench.datasets.npz import save_npz
    from cmbench.datasets.registry import dataset_names, dataset_summaries, load_dataset

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
    "contract": ("Card", "Dataset", "Parts", "Split"),
    "description": ("Description", "describe"),
    "files": ("FileCheck", "check_file", "load_file"),
    "npy_folder": ("load_array", "load_split", "save_folder", "save_split"),
    "npz": ("save_npz",),
    "registry": ("dataset_names", "dataset_summaries", "load_dataset"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"cmbench.datasets.{module}"), name)
    raise AttributeError(f"module 'cmbench.datasets' has no attribute {name!r}")
