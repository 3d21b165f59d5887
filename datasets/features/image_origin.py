"""What features of pictures, and networks that learn from pictures, depend on.

An origin is a mapping from names to what JSON can hold. It stands beside unfinished work, so that nothing
goes on from the work of another network, other settings or other pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any, TypeAlias

from cmbench.datasets.features.backbones import Backbone
from cmbench.datasets.raw.pictures import Picture

Origin: TypeAlias = Mapping[str, Any]


def origin_of_backbone(backbone: Backbone, *, mixed: bool) -> dict[str, Any]:
    """Return what the features of any picture depend on; ``mixed`` as in ``Backbone.features``."""
    return {
        "backbone": backbone.name,
        "weights": backbone.weights_hash,
        "preprocessing": {key: _plain(value) for key, value in asdict(backbone.preprocessing).items()},
        "precision": "bfloat16" if mixed else "float32",
    }


def hash_of_pictures(pictures: Sequence[Picture]) -> str:
    """Return the SHA-256 (hexadecimal) over the identities of pictures in their order."""
    identities = sha256()
    for identity in (picture.identity for picture in pictures):
        identities.update(f"{len(identity)}:{identity}".encode("utf-8", "surrogatepass"))
    return identities.hexdigest()


def key_of(value: Any) -> str:
    """Return the SHA-256 (hexadecimal) of what JSON can hold."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def difference(there: Origin, here: Origin) -> str:
    """Return in words what differs between the origin of a file and the one that is wanted."""
    return "; ".join(
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in dict.fromkeys((*here, *there))
        if there.get(name) != here.get(name)
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
