"""From raw pairs to a feature dataset: the whole way."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, Draft, Labels, Parts, Split
from cmbench.datasets.features.fine_tuning import FineTuned
from cmbench.datasets.features.image_features import is_mixed
from cmbench.datasets.features.recipe import Recipe, recipe_text
from cmbench.datasets.features.sides import Report, Side, labels_of, load_vectors, picture_side, text_side
from cmbench.datasets.features.text_features import TextExtractor
from cmbench.datasets.features.weights import device_called, hash_of_file, write_weights
from cmbench.datasets.features.word_cnn import check_settings
from cmbench.datasets.formats.labels import tag_matrix
from cmbench.datasets.raw.contract import RawDataset, RawPair
from cmbench.disk import alone_in, check_writable, replacing, writing_to
from cmbench.errors import DatasetError

IMAGE, TEXT, CARD = "image.pth", "text.npz", "networks.json"

FIRST_CATEGORY = (
    "networks that learn from categories learnt the first category of each pair, as its source names them"
)


def extract_features(
    raw: RawDataset,
    recipe: Recipe,
    work: Path,
    report: Report | None = None,
    *,
    save_weights: Path | None = None,
) -> Dataset:
    """Return the feature dataset that a recipe makes of raw pairs.

    ``work`` is a folder for what is finished: features of pictures, and states of networks that learn. A
    second call with the same folder goes on from there, whatever ended the first, and on a CPU with the
    same number of threads gives the same features as an uninterrupted one. Features of pictures are
    memory-mapped files in it: delete it after they have been saved elsewhere. Texts come last, and from the
    beginning.

    The networks that learn are written to the new folder ``save_weights`` if there is one, see
    ``cmbench.datasets.features.extraction``; not those of a cross-fitted extraction, which make the
    features together with linear maps.

    Networks learn from training pairs, and stop by validation pairs; test pairs have no part in it.

    Raises ``DatasetError`` for a picture or file that cannot be read, weights that do not fit, a training
    that diverges, a folder with features of another recipe, one that cannot be written, or one in which
    another process extracts.
    """
    tell = report or _silent
    _check(raw, recipe)  # and the rest below: before hours of work, not after them
    _check_saving(recipe, save_weights)
    vectors = load_vectors(raw, recipe.text)
    with writing_to(work), alone_in(work):
        images = picture_side(raw, recipe, work / "images", tell)
    texts = text_side(raw, recipe, vectors, tell)
    train, validation, test = (
        _split(pairs, rows, images, texts, raw)
        for (_, pairs), rows in zip(raw.splits, _rows_of_splits(raw), strict=True)
    )
    card = Card(
        source=raw.card.source,
        licence=raw.card.terms,
        citation=raw.card.citation,
        image_feature=images.description,
        text_feature=texts.description,
        sizes=(len(train), len(validation), len(test)),
        recipe=recipe_text(recipe, raw, {"image": images.details, "text": texts.details}),
        notes=(*raw.card.notes, *((FIRST_CATEGORY,) if raw.is_multi_label else ())),
        shared_after=raw.card.shared_after,
    )
    if save_weights is not None:
        with writing_to(save_weights):
            said = {"class names": raw.class_names, "recipe": json.loads(card.recipe)}
            save_networks(save_weights, images.trained, texts.trained, said)
    draft = Draft(raw.name, train, validation, test, raw.class_names, card)
    card = replace(card, fingerprint=draft.fingerprint)
    return Dataset(raw.name, train, validation, test, raw.class_names, card)


def _check(raw: RawDataset, recipe: Recipe) -> None:
    check_settings(recipe.text.settings)
    device_called(recipe.text.settings.device)
    is_mixed(recipe.image.precision, device_called(recipe.image.device))
    category, pairs = min(Counter(pair.label for pair in raw.train).items(), key=lambda count: count[1])
    if recipe.folds is not None and recipe.folds > pairs:
        raise DatasetError(
            f"folds (--cross-fit) is {recipe.folds}, and the category {raw.class_names[category]!r} has "
            f"{pairs} training pairs; use 3 folds or more, at most as many, or none"
        )


def _check_saving(recipe: Recipe, folder: Path | None) -> None:
    if folder is None:
        return
    if recipe.folds is not None:
        raise DatasetError(
            "weights of a cross-fitted extraction (--cross-fit) make no features without linear maps, so "
            "they are not saved; leave --save-weights out, or extract without --cross-fit"
        )
    check_folder(folder)
    check_writable(folder)


def _rows_of_splits(raw: RawDataset) -> list[slice]:
    """Return where the pairs of training, validation and test are among all."""
    edges = [0, *accumulate(len(pairs) for _, pairs in raw.splits)]
    return [slice(*ends) for ends in pairwise(edges)]


def _split(
    pairs: Sequence[RawPair], rows: slice, images: Side[Any], texts: Side[Any], raw: RawDataset
) -> Split:
    return Split(
        images.made.rows[rows],
        texts.made.rows[rows],
        _labels(pairs, raw),
        np.array([pair.id for pair in pairs], dtype=np.str_),
        image_parts=_parts(images.made.parts, rows),
        text_parts=_parts(texts.made.parts, rows),
        image_groups=images.groups,
        text_groups=texts.groups,
        image_ids=_image_ids(pairs, raw),
    )


def _image_ids(pairs: Sequence[RawPair], raw: RawDataset) -> NDArray[np.str_] | None:
    """Return for each pair the id of the first pair that has its picture; None where none share one."""
    if not raw.shares_pictures:
        return None
    first: dict[str, str] = {}
    for _, others in raw.splits:
        for pair in others:
            first.setdefault(pair.picture.name, pair.id)
    return np.array([first[pair.picture.name] for pair in pairs], dtype=np.str_)


def _labels(pairs: Sequence[RawPair], raw: RawDataset) -> Labels:
    """Return the category of each pair (n,), or where some have several a matrix (n, c) of 0 and 1."""
    if not raw.is_multi_label:
        return labels_of(pairs)
    return tag_matrix([[raw.class_names[label] for label in pair.labels] for pair in pairs], raw.class_names)


def _parts(parts: Parts | None, rows: slice) -> Parts | None:
    if parts is None:
        return None
    offsets = parts.offsets[rows.start : rows.stop + 1]
    return Parts(parts.values[offsets[0] : offsets[-1]], offsets - offsets[0])


def _silent(what: str, done: int, of: int) -> None: ...


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


def check_folder(folder: Path) -> None:
    """Raise ``DatasetError`` unless the folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} is no empty folder; name a new one for the weights")
