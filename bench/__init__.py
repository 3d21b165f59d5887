"""Compare CM-GANs and its baselines for image-text retrieval, under one evaluator."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmbench.datasets.registry import load_dataset
    from cmbench.evaluation.evaluator import evaluate
    from cmbench.methods.registry import load_method
    from cmbench.report.cells import load_results
    from cmbench.runner import run

    __version__: str

__all__ = ["evaluate", "load_dataset", "load_method", "load_results", "run"]

# Imported on use: torch alone takes two seconds, and reading results needs none of it.
_HOMES = {
    "evaluate": "cmbench.evaluation.evaluator",
    "load_dataset": "cmbench.datasets.registry",
    "load_method": "cmbench.methods.registry",
    "load_results": "cmbench.report.cells",
    "run": "cmbench.runner",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("cmbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'cmbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
