"""The number of weights of a fitted method: how large what it has learned is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.datasets.draft import Parts, Split

if TYPE_CHECKING:
    from cmbench.methods.contract import Method

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, ModuleType, Split, Parts)


def weights_of(method: Method) -> int:
    """Return how many numbers a fitted method has learned.

    That is the sum of the sizes of all arrays and tensors of floating-point numbers that are reachable from
    the attributes which ``fit`` has set: those that are no parameters of the constructor, whatever their
    names, but not ``curves_``. Of a torch module it is its parameters, without buffers such as running means.
    Arrays at the same place in memory, tied weights for one, count once. Means and deviations of a scaling
    count, and so do the training rows that a kernel method keeps a copy of; a ``Split`` that is kept as
    it was handed over does not, and neither do whole numbers and the state of an optimiser.

    >>> from cmbench.methods.registry import load_method
    >>> weights_of(load_method("cca"))
    0
    """
    parameters = method.get_params(deep=False)
    fitted = [value for name, value in vars(method).items() if name not in parameters and name != "curves_"]
    sizes = {_place(values): _size(values) for values in _arrays(fitted, leave=method)}
    return sum(sizes.values())


def _arrays(start: Iterable[object], *, leave: object) -> Iterator[Any]:
    """Yield the arrays and tensors of floating-point numbers that are reachable from some objects.

    ``leave`` is what they lead back to, as a bound method does, and whose own attributes are not looked at.
    """
    torch = sys.modules.get("torch")
    waiting = list(start)
    seen = {id(leave): leave}  # the objects too, so that no number is given to another one
    while waiting:
        value = waiting.pop()
        if isinstance(value, _PLAIN) or id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "fc":
                yield value
            elif value.dtype.kind == "O":
                waiting += value.ravel().tolist()
        elif torch is not None and isinstance(value, torch.Tensor):
            if value.is_floating_point() or value.is_complex():
                yield value
        elif torch is not None and isinstance(value, torch.nn.Module):
            waiting += value.parameters()
        elif torch is None or not isinstance(value, torch.optim.Optimizer):
            waiting += _held_by(value)


def _held_by(value: Any) -> list[object]:
    """Return what an object refers to: items of a collection, attributes, what a function is bound to."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
    slots = [name for kind in type(value).__mro__ for name in _listed(getattr(kind, "__slots__", ()))]
    own = [getattr(value, name) for name in slots if name != "__dict__" and hasattr(value, name)]
    return [*own, *getattr(value, "__dict__", {}).values()]


def _listed(slots: str | Iterable[str]) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - a variable that has no value yet raises
    except ValueError:
        return False
    return True


def _place(values: Any) -> tuple[int, int]:
    """Return where an array lies, and its bytes: the same of two that are one."""
    if isinstance(values, np.ndarray):
        return int(values.__array_interface__["data"][0]), values.nbytes
    return int(values.data_ptr()), values.numel() * values.element_size()


def _size(values: Any) -> int:
    return int(values.size) if isinstance(values, np.ndarray) else int(values.numel())
