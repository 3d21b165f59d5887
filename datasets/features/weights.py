"""Weights of networks: read without unpickling, given to a network, hashed and written.

A file of weights is a state dict: names of tensors, and the tensors. Files of PyTorch are read with
``weights_only=True``, so that nothing in them is executed, and safetensors files hold nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from cmbench import neural
from cmbench.disk import DAMAGE, kind_of
from cmbench.errors import DatasetError, installed, listed
from cmbench.neural import read_state, write_state

State: TypeAlias = Mapping[str, Tensor]
STATE_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")
"""Under which of these a checkpoint holds the state dict of its network."""


NAMED = 3  # of the keys that are wrong, so many stand in the error
BLOCK = 2**20  # bytes


def versioned(library: str) -> str:
    """Return the name of an installed library with its version."""
    return f"{library} {import_module(library).__version__}"


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Return the state dict in a file of PyTorch or, ending in .safetensors, of safetensors; on the CPU.

    Numbers with a fraction become float32. Raises ``DatasetError`` where the file is missing, damaged,
    or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file of weights; check the path")
    state = _inner_state(_safetensors(path) if path.suffix == ".safetensors" else _torch_file(path))
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DatasetError(
            f"{path}: holds no state dict but {_kind(state)}; save network.state_dict() alone with torch.save"
        )
    return {
        str(key): value.float() if value.is_floating_point() else value.detach()
        for key, value in state.items()
    }


def _inner_state(content: Any) -> Any:
    """Return the state dict of a checkpoint that holds one among numbers and settings, else the content."""
    while isinstance(content, dict):
        states = [content[key] for key in STATE_KEYS if _is_state(content.get(key))]
        if len(states) != 1:
            break
        content = states[0]
    return content


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, dict) and bool(value) and any(isinstance(item, Tensor) for item in value.values())
    )


def without_prefix(
    weights: State, expected: Collection[str], source: Path | str = "weights"
) -> tuple[State, str]:
    """Return weights without the prefix before the names ``expected``, and the prefix or "".

    Programs put such prefixes before the names of a network that they wrap: ``module.`` by ``DataParallel``,
    ``_orig_mod.`` by ``torch.compile``, ``model.`` by Lightning, and any of them after others. Taken away is
    the one by which most names become expected ones. Weights of other parts, without it, are left out. Two
    networks in one file, as of a teacher and a student, raise ``DatasetError``, which names ``source``.

    >>> state, prefix = without_prefix({"module.a": torch.ones(1), "loss.b": torch.ones(1)}, ["a"])
    >>> list(state), prefix
    (['a'], 'module.')
    """
    fitting = Counter(
        name[: len(name) - len(ending)] for name in weights for ending in _endings(name) if ending in expected
    )
    prefix = max(fitting, key=lambda prefix: (fitting[prefix], not prefix), default="")
    if not prefix:
        return weights, ""
    alike = [other for other in fitting if fitting[other] == fitting[prefix]]
    if len(alike) > 1:
        raise DatasetError(
            f"{source}: its names have the prefixes {' and '.join(map(repr, alike[:NAMED]))}, as of two "
            "networks; save the state dict of one alone"
        )
    return {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }, prefix


def _endings(name: str) -> list[str]:
    """Return what is left of a name without its first parts.

    >>> _endings("a.b.c")
    ['a.b.c', 'b.c', 'c']
    """
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _torch_file(path: Path) -> Any:
    try:
        return read_state(path)
    except DAMAGE as error:
        raise DatasetError(f"{path}: is {_what_else(path, error)}") from error


def _what_else(path: Path, error: Exception) -> str:
    """Return what a file is that PyTorch cannot read as weights, with the remedy."""
    save = "save network.state_dict() with torch.save or safetensors"
    object_ = re.search(r"GLOBAL (\S+)", str(error))
    if object_:
        saved = f"no state dict but a {object_[1]}, as whole networks are saved"
        return f"{saved}; reading that could run code, so {save}"
    if "TorchScript" in str(error):
        return f"a network of TorchScript; give it as --backbone, or {save}"
    kind = kind_of(path)
    if kind and not kind.startswith(("a ZIP archive", "a Python pickle")):  # which files of PyTorch are
        return kind
    return f"not a file of weights that can be read safely ({type(error).__name__}); get it again, or {save}"


def _safetensors(path: Path) -> Any:
    library = installed("safetensors.torch", "safetensors", f"reading {path}")
    damage = import_module("safetensors").SafetensorError
    try:
        return library.load_file(path)
    except (OSError, damage) as error:
        raise DatasetError(f"{path}: is no readable safetensors file ({error}); get it again") from error


def _kind(value: Any) -> str:
    if not isinstance(value, dict):
        return f"a {type(value).__name__}"
    return f"a dictionary of {', '.join(map(repr, list(value)[:NAMED]))} ..."


def give_weights(network: nn.Module, weights: State, source: Path | str) -> None:
    """Make ``weights`` those of ``network``, without a copy; it may have been built on the meta device.

    Raises ``DatasetError`` naming ``source``, the key and the shapes where they do not fit.
    """
    expected = network.state_dict()
    weights, prefix = without_prefix(weights, expected, source)
    problems = [f"{key} is missing" for key in expected if key not in weights]
    problems += [f"{key} is not one of its keys" for key in weights if key not in expected]
    problems += [
        f"{key} {problem}"
        for key, value in expected.items()
        if key in weights and (problem := _unusable(weights[key], value))
    ]
    problems += [
        f"{key} is {tuple(weights[key].shape)} and should be {tuple(value.shape)}"
        for key, value in expected.items()
        if key in weights and weights[key].shape != value.shape
    ]
    if problems:
        raise DatasetError(
            f"{source}: these are not weights of {type(network).__name__}: "
            f"{listed(problems, NAMED, between='; ')}{without(prefix)}; "
            f"give the file of a {type(network).__name__}"
        )
    network.load_state_dict(weights, assign=True)


def _unusable(weights: Tensor, expected: Tensor) -> str:
    """Return what keeps weights from being numbers like those expected; nothing where all is well."""
    if weights.is_quantized or weights.is_meta or weights.layout != torch.strided:
        return "is quantised, sparse or without values; save ordinary numbers"
    if weights.is_complex() or weights.is_floating_point() != expected.is_floating_point():
        return f"holds {weights.dtype} and should hold {expected.dtype}"
    return "" if bool(torch.isfinite(weights).all()) else "holds NaN or infinity"


def without(prefix: str) -> str:
    """Return what an error says of a prefix that was taken away."""
    return f" (after the prefix {prefix!r} of its names was taken away)" if prefix else ""


def hash_of_weights(network: nn.Module) -> str:
    """Return the SHA-256 (hexadecimal) over names, types, shapes and bytes of the network's state."""
    digest = sha256(b"cmbench weights 1\n")
    for key, value in sorted(network.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def hash_of_file(path: Path) -> str:
    """Return the SHA-256 (hexadecimal) of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_weights(path: Path | str, weights: State) -> None:
    """Write a state dict for ``read_weights``, beside its place, and move it there."""
    write_state(Path(path), dict(weights))


def device_called(name: str) -> torch.device:
    """Return a device of PyTorch by its name; one that cannot be used raises ``DatasetError``."""
    return neural.device_called(name, raising=DatasetError)
