"""CCL: cross-modal correlation learning with multi-grained fusion."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.contract import Parts, Split
from cmbench.methods.ccl_coarse import CCLCoarse, Grains
from cmbench.methods.ccl_stages import GrainedMap
from cmbench.methods.contract import Representations
from cmbench.methods.item_parts import PartMap, WholeMap, completed, items_of
from cmbench.methods.training.device import Place
from cmbench.methods.training.stages import Run, Stages, Trainings
from cmbench.methods.views.inputs import MODALITIES, row_blocks
from cmbench.methods.views.scaling import PREPROCESSING, Scaling, Scalings, learned_scalings


class CCL(CCLCoarse):
    """Cross-modal correlation learning with multi-grained fusion: wholes and parts of images and texts.

    Stage 1 of ``CCLCoarse`` is run twice up to the correspondence autoencoder: on items as wholes, and on
    their parts (regions of an image, segments of a text), where the RBMs learn from all parts as rows of
    their own, and the codes of an item's parts are averaged. A joint RBM over the codes of both grains takes
    the place of the RBM over one. The rest is as in ``CCLCoarse``, whose parameters and attributes it has.

    Splits must have parts, ``image_parts`` and ``text_parts``, and so must items to be mapped: give
    ``transform_images`` and ``transform_texts`` their parts. An item that has none counts as its only
    part, as in the released program. Parts are scaled by statistics of training parts.

    Raises
    ------
    MethodError
        From ``fit``, ``transform_images`` and ``transform_texts``, when parts are missing.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> def parts(width):
    ...     return Parts(rng.normal(size=(80, width)).astype(np.float32), np.arange(0, 81, 2))
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) + labels[:, None] for d in (6, 4)]
    >>> pairs = Split(*views, labels, np.arange(40).astype(str), parts(6), parts(4))
    >>> sizes = {"hidden_image": 8, "hidden_text": 8, "code": 8, "joint": 8, "width": 8}
    >>> small = CCL(8, **sizes, rbm_epochs=8, rbm_batch_size=8, correlation_epochs=2, epochs=2)
    >>> small.fit(pairs, pairs).transform_images(views[0], pairs.image_parts).shape
    (40, 8)
    """

    name: ClassVar[str] = "ccl"
    paper_name: ClassVar[str] = "CCL"
    uses_parts: ClassVar[bool] = True
    without_parts: ClassVar[str] = CCLCoarse.name

    image_map_: GrainedMap
    text_map_: GrainedMap

    def transform_images(self, images: NDArray[np.float32], parts: Parts | None = None) -> Representations:
        """Map images (n, d_image) with their parts to (n, embedding)."""
        self._check_fitted()
        return self.image_map_(images, parts)

    def transform_texts(self, texts: NDArray[np.float32], parts: Parts | None = None) -> Representations:
        """Map texts (n, d_text) with their parts to (n, embedding)."""
        self._check_fitted()
        return self.text_map_(texts, parts)

    def _learn(self, train: Split, validation: Split, stages: Stages) -> None:
        for split in (train, validation):
            for name, items in items_of(split).items():
                completed(items, f"{name}s")  # raises where there are none, before hours of training
        super()._learn(train, validation, stages)

    def _judge(self, validation: Split) -> None:
        maps, parts = (self.image_map_, self.text_map_), (validation.image_parts, validation.text_parts)
        try:
            self.image_map_, self.text_map_ = (
                replace(each, parts=own) for each, own in zip(maps, parts, strict=True)
            )
            super()._judge(validation)
        finally:
            self.image_map_, self.text_map_ = maps

    def _checkpoint_path(self, train: Split, validation: Split) -> Path | None:
        path = super()._checkpoint_path(train, validation)
        return path and path.with_stem(f"{path.stem}-{_parts_digest(train, validation)}")

    def _grains(self, train: Split, place: Place, run: Run) -> tuple[Grains, Trainings]:
        coarse = WholeMap, learned_scalings(train, self.preprocessing)
        fine = PartMap, self._part_scalings(train)
        return self._learned({"coarse": coarse, "fine": fine}, train, place, run)

    def _part_scalings(self, train: Split) -> Scalings:
        mode, normalise_rows = PREPROCESSING[self.preprocessing]
        views = items_of(train)
        return {
            name: Scaling.fit(
                completed(views[name], f"{name}s").values,
                f"parts of {name}s",
                mode=mode,
                normalise_rows=normalise_rows,
            )
            for name in MODALITIES
        }


def _parts_digest(*splits: Split) -> str:
    digest = sha256()
    for split in splits:
        for name, items in items_of(split).items():
            parts = completed(items, f"{name}s")
            digest.update(parts.offsets.tobytes())
            for rows in row_blocks(parts.values):
                digest.update(rows.tobytes())
    return digest.hexdigest()[:8]
