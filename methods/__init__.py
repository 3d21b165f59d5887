"""The method contract, the registry, and one entry a method.

What a method of one's own needs can be imported from here: ``Method`` or, for two matrices of weights,
``LinearMethod``, or for networks that are trained, ``TrainedMethod`` with ``Loss`` and ``Finding``; and for
its parameters ``Annotated``, ``Count``, ``Number``, ``Words``, ``SearchSpace``, ``SearchRange`` and
``check_parameters``.
PyTorch is imported with ``TrainedMethod`` alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "cmbench.methods":
    raise ImportError(
        f"this folder is the package 'cmbench.methods', but it was imported as {__name__!r}: "
        "the root of the cmbench repository is on sys.path. Install cmbench "
        "(pip install -c constraints.txt .) and run from another folder, or use the 'cmbench' command."
    )

if TYPE_CHECKING:
    from typing import Annotated

    from cmbench.methods.contract import Method, Unlabelled
    from cmbench.methods.parameters import (
        Count,
        Number,
        SearchRange,
        SearchSpace,
        When,
        Words,
        check_parameters,
    )
    from cmbench.methods.training.loop import Finding
    from cmbench.methods.training.trained_method import Loss, TrainedMethod
    from cmbench.methods.views.linear_method import LinearMethod

__all__ = [
    "Annotated",
    "Count",
    "Finding",
    "LinearMethod",
    "Loss",
    "Method",
    "Number",
    "SearchRange",
    "SearchSpace",
    "TrainedMethod",
    "Unlabelled",
    "When",
    "Words",
    "check_parameters",
]

_MODULES = {
    "Annotated": "typing",
    "Count": "cmbench.methods.parameters",
    "Finding": "cmbench.methods.training.loop",
    "LinearMethod": "cmbench.methods.views.linear_method",
    "Loss": "cmbench.methods.training.trained_method",
    "Method": "cmbench.methods.contract",
    "Number": "cmbench.methods.parameters",
    "SearchRange": "cmbench.methods.parameters",
    "SearchSpace": "cmbench.methods.parameters",
    "TrainedMethod": "cmbench.methods.training.trained_method",
    "Unlabelled": "cmbench.methods.contract",
    "When": "cmbench.methods.parameters",
    "Words": "cmbench.methods.parameters",
    "check_parameters": "cmbench.methods.parameters",
}


def __getattr__(name: str) -> Any:
    """Import what is exported on its first use, since PyTorch takes two seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
