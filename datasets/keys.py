"""The keys of feature files, the same in every format: ``.npz``, a folder of ``.npy``, MATLAB ``.mat``.

For each split, one of ``train``, ``val`` and ``test``, with n pairs:

* ``images_train``, ``texts_train``: the features, (n, d), a row for each pair; required;
* ``labels_train``: the category of each pair, n integers; required;
* ``ids_train``: a name for each pair; without it ``train-0``, ``train-1``, …;
* ``image_parts_train`` and ``image_parts_train_offsets``, ``text_parts_train`` and
  ``text_parts_train_offsets``: parts of each item, see ``cmbench.datasets.contract.Parts``.

Once for the dataset, all optional:

* ``class_names``: a text for each category; without it ``0``, ``1``, …;
* ``image_groups``, ``text_groups``: the block each feature belongs to, d integers. The features are
  the same in all splits, so the grouping is one for the dataset, and each split carries it;
* ``first_label``: what the labels count from, 0 or (often in MATLAB) 1. Labels are never shifted on
  a guess: a file whose smallest label is not 0 is refused until ``first_label`` says what it means;
* ``name``, ``source``, ``licence``, ``citation``, ``image_feature``, ``text_feature``, ``sizes``
  (pairs in train, val and test), ``fingerprint`` and ``recipe`` (JSON): the card. Without ``name`` the
  dataset is called like its file.

Other keys are left alone. Features may be any real type and labels may be whole floats, as long as
every value survives the cast to float32 or int64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from cmbench.datasets.arrays import ARRAY_TYPES, file_key
from cmbench.datasets.casting import float_matrix, int_vector, single_int, single_text, text_vector

Cast = Callable[[str, NDArray[Any]], Any]

SPLIT_NAMES = ("train", "val", "test")
REQUIRED = ("images", "texts", "labels")
PARTS = ("image_parts", "text_parts")
GROUPS = ("image_groups", "text_groups")
CARD_TEXTS = ("source", "licence", "citation", "image_feature", "text_feature", "fingerprint", "recipe")

_CASTS: dict[str, Cast] = {"float32": float_matrix, "int64": int_vector, "str": text_vector}
_SPLIT_CASTS: dict[str, Cast] = {
    file_key(key, name): _CASTS[kind]
    for name in SPLIT_NAMES
    for key, (kind, _) in ARRAY_TYPES.items()
    if key not in GROUPS
}
CASTS: dict[str, Cast] = {
    **_SPLIT_CASTS,
    **dict.fromkeys(GROUPS, int_vector),
    "class_names": text_vector,
    "first_label": single_int,
    "sizes": int_vector,
    **dict.fromkeys(("name", *CARD_TEXTS), single_text),
}
"""What makes a value of the contract from the array under each known key."""
