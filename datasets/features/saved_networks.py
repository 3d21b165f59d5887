"""Networks that an extraction has trained, as files for those who make features of other items by them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cmbench.datasets.features.image_fine_tuning import FineTuned
from cmbench.datasets.features.image_weights import hash_of_file, write_weights
from cmbench.datasets.features.text_features import TextExtractor
from cmbench.disk import replacing
from cmbench.errors import DatasetError

IMAGE, TEXT, CARD = "image.pth", "text.npz", "networks.json"


def check_folder(folder: Path) -> None:
    """Raise ``DatasetError`` unless the folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} is no empty folder; name a new one for the weights")


def save_networks(folder: Path, images: FineTuned | None, texts: TextExtractor, said: dict[str, Any]) -> None:
    """Write what was trained to a folder; nothing in it needs to be unpickled.

    * ``image.pth``, where the backbone has learnt: the state dict of the whole network, under the keys it
      came with, for ``load_backbone`` and others;
    * ``text.npz``: the state dict of the word CNN, and ``vocabulary``, whose word i has row i + 2 of
      ``words.weight`` (row 0 is padding, row 1 that of all other words);
    * ``networks.json``: ``said``, the sizes of the word CNN, and the SHA-256 of both files.
    """
    if images is not None:
        write_weights(folder / IMAGE, images.weights())
    state = {key: value.numpy() for key, value in texts.trained.network.state_dict().items()}
    words = np.array(list(texts.vocabulary.rows), dtype=np.str_)
    with replacing(folder / TEXT) as beside:
        np.savez(beside, vocabulary=words, **state)
    files = {path.name: hash_of_file(path) for path in (folder / IMAGE, folder / TEXT) if path.exists()}
    card = {**said, "text shape": asdict(texts.settings.shape), "SHA-256": files}
    with replacing(folder / CARD) as beside:
        beside.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
