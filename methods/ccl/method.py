"""CCL, cross-modal correlation learning with multi-grained fusion, and its coarse grain alone."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Labels, Modality, Parts, Split
from cmbench.errors import MethodError
from cmbench.methods.ccl.common_space import CommonFitting
from cmbench.methods.ccl.grains import (
    Grain,
    Items,
    PartMeans,
    completed,
    features_of,
    items_of,
    learn_grain,
)
from cmbench.methods.contract import Representations
from cmbench.methods.networks.class_codes import ClassCodedMethod, ClassCodes, learn_class_codes
from cmbench.methods.parameters import AddedLater, Count, Number, SearchRange, Words
from cmbench.methods.training.curves import collapse
from cmbench.methods.training.loop import Run, Trainings
from cmbench.methods.training.pairs import PairCodes
from cmbench.methods.views.inputs import MODALITIES, class_numbers, row_blocks
from cmbench.methods.views.maps import Chain, SideBySide
from cmbench.methods.views.scaling import PREPROCESSING, Scaling, learned_scalings


class CCLCoarse(ClassCodedMethod):
    """The coarse grain of CCL, for datasets without parts; its results must not be reported as those of CCL.

    Stage 1 learns codes of each modality by four networks, each from the codes of the one before: two RBMs; a
    correspondence autoencoder (variant ``corr``), which draws the codes of a pair together; an RBM of
    ``joint`` hidden units; and a classifier with three hidden layers with ReLU. The last hidden layer,
    standardised by training statistics, is the class code h.

    Stage 2 maps h of a modality to g = s(hA + a)B + b and f = s(g), with s the logistic function. Over
    batches of n pairs, with d_ij the distance of f of image i and f of text j, it minimises ::

        w_inter / n  ( Σ_ij of one class d_ij² + Σ_ij of two classes max(0, margin - d_ij)² )
        + w_intra (CE of a linear classifier on g of images + CE of one on g of texts)

    Each modality has networks and a classifier of its own. The representation of an item is its f.

    Attributes
    ----------
    validation_map_ : MAP on validation of the state kept; None without validation
    curves_ : float64 arrays by name, one value for each point: ``iteration``, which counts the steps of all
        trainings one after another; errors of reconstruction of each RBM; losses of autoencoder and
        classifier; ``inter_loss``, ``image_intra_loss`` and ``text_intra_loss`` of stage 2, unweighted;
        ``validation_map``
    iterations_, best_iteration_ : steps run, on that count, and the one whose state is kept
    code_deviation_ : mean standard deviation of the units of f over validation items, before they are
        standardised, of images or of texts, whichever is lower
    resumed_at_ : steps, of all trainings together, that checkpoints spared; 0 for none
    spread_, mean_cosine_, collapsed_ : of validation representations, each for the modality where it is worse
    threads_, device_ : what was used

    Raises
    ------
    DivergenceError
        From ``fit``, when a loss or a weight becomes NaN or infinite.
    MethodError
        From ``fit``, when the lower RBM reconstructs features no better than by their mean, when codes of all
        items become the same, for a category that only validation has, and when both weights are 0.

    Notes
    -----
    Y. Peng, J. Qi, X. Huang, Y. Yuan, CCL: cross-modal correlation learning with multi-grained fusion by
    hierarchical network, IEEE Trans. Multimedia 20, 2018. Sizes are those of the released programs. Ours:

    * Gaussian lower RBMs for texts too, since text features of today are real vectors, where the release
      counts words; and fewer steps everywhere.
    * Adam in stage 2. On synthetic data it reached in 2,000 steps what the released SGD had not after 6,000;
      the score falls later, so the state is chosen on validation.
    * Adam in the classifier, with a tenth of the released decay, and in the autoencoder, which runs 25 epochs
      where the release makes 10,000 steps. Of the classifier the state most accurate on validation is kept,
      and the codes that go into it are standardised: in so few steps it would hardly learn.
    * Representations are standardised by training statistics, where the release takes those of the test set.

    The preset ``paper`` has the released RBMs of 50,000 steps, autoencoder (1,250 epochs are its 10,000 steps
    with 800 pairs) and stage 2 of 2,000 epochs, by SGD, keeping the last state. Not in it: SGD of autoencoder
    and classifier, the 50,000 steps of the latter, the rate of 0.01 of the upper RBM of texts, a momentum of
    RBMs that grows within 10,000 steps (here 25,000), and a number of Gibbs steps that grows.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) + labels[:, None] for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(40).astype(str))
    >>> sizes = {"hidden_image": 8, "hidden_text": 8, "code": 8, "joint": 8, "width": 8}
    >>> brief = {"rbm_epochs": 8, "rbm_batch_size": 8, "correlation_epochs": 2, "epochs": 2}
    >>> small = CCLCoarse(embedding=8, **sizes, **brief)
    >>> small.fit(pairs, pairs).transform_images(views[0]).shape
    (40, 8)
    """

    name: ClassVar[str] = "ccl-coarse"
    paper_name: ClassVar[str] = "CCL (coarse only)"
    citation: ClassVar[str] = (
        "Y. Peng, J. Qi, X. Huang, Y. Yuan, CCL: cross-modal correlation learning with multi-grained fusion "
        "by hierarchical network, IEEE Transactions on Multimedia 20, 2018"
    )
    uses_labels: ClassVar[bool] = True
    version: ClassVar[int] = 2
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "gaussian_rate": 1e-3,
            "rbm_epochs": 50_000,
            "rbm_steps": 50_000,
            "rbm_patience": None,
            "rbm_batch_size": 128,
            "joint_rate": 0.01,
            "joint_epochs": None,
            "preprocessing": "zscore",
            "correlation_epochs": 1_250,
            "optimizer": "sgd",
            "epochs": 2_000,
            "stopping": "none",
        }
    }

    embedding: Annotated[int, Count(1)] = 1024
    """Size of g and f."""
    joint: Annotated[int, Count(1)] = 2048
    """Hidden units of the RBM above the codes of the autoencoder."""
    width: Annotated[int, Count(1)] = 1024
    """Units of each of the three layers of the classifier, which have ReLU, and between h and g."""
    alpha: Annotated[float, Number(0, 1)] = 0.7
    """Weight of the correlation in the correspondence autoencoder; 0.7 as released."""
    correlation_epochs: Annotated[int, Count(1)] = 25
    """Passes of the correspondence autoencoder over the training pairs; ``rbm_steps`` may end it sooner."""
    correlation_batch: Annotated[int, Count(2)] = 100
    """Pairs in a batch of the correspondence autoencoder."""
    dropout: Annotated[float, Number(0, 0.99), SearchRange(0.0, 0.5), AddedLater(0.0)] = 0.0
    """Share of hidden units that a step leaves out: of the classifier, and of the layer between h and g.
    Neither paper nor release has any.
    """
    w_inter: Annotated[float, Number(0)] = 1.0
    """Weight of the distances between modalities; 1 as released, where no weight is learned."""
    w_intra: Annotated[float, Number(0), SearchRange(0.1, 10.0, log=True)] = 1.0
    """Weight of the classification within modalities; 1 as released."""
    margin: Annotated[float, Number(0, open_ends=True), SearchRange(0.5, 10.0, log=True)] = 1.0
    """Distance that an image and a text of two classes are to have at least; 1 as released."""
    optimizer: Annotated[str, Words("adam", "sgd")] = "adam"
    """Optimiser of stage 2. ``"sgd"`` has momentum 0.9 and twice the rate for biases, as released but for the
    biases of B, which have the single rate there.
    """
    learning_rate: Annotated[
        float | str, Number(0, open_ends=True, words=("auto",)), SearchRange(1e-4, 3e-3, log=True)
    ] = "auto"
    """Learning rate of stage 2. ``"auto"`` is 0.001 for Adam, and 0.0001 for SGD as released."""
    weight_decay: Annotated[float | str, Number(0, words=("auto",)), SearchRange(1e-6, 1e-2, log=True)] = (
        "auto"
    )
    """Weight decay in stage 2. ``"auto"`` is 0 for Adam, and 0.004 for SGD as released. Biases do not decay;
    in the release they do.
    """
    batch_size = 80
    """Pairs in a batch of stage 2, cut to their number. The incomplete last batch of an epoch is left out."""
    epochs = 200
    """Passes over the training pairs in stage 2, at most."""
    stopping = "validation"
    """Which state of stage 2 is kept: that with the highest mean of the two bi-modal MAPs on validation, or
    with ``"none"`` the last one. The same goes for the classifier, by its accuracy.
    """
    eval_epochs = 2
    """Epochs of stage 2 from one look at validation to the next."""
    patience = 10
    """Epochs to wait for a better state on validation before stage 2, or the classifier, ends."""

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        if not (self.w_inter or self.w_intra):
            raise MethodError(f"{self.name}: both weights are 0, so there is nothing to learn; raise w_inter")
        classes = class_numbers(train, validation, self.name)
        # Stage 1: codes of each grain, and from those of all grains together class codes
        codes_of, trainings = self._learn_grain_codes(train, validation, run)
        train_items, validation_items = self._items(train), self._items(validation)
        class_codes = {}
        for name in MODALITIES:
            codes = codes_of[name](train_items[name]), codes_of[name](validation_items[name])
            widths = {str(grain): self.code for grain in range(len(codes_of[name].steps))}
            class_codes[name] = learn_class_codes(codes, widths, classes, self, self.joint, name, run)
            trainings += class_codes[name].trainings
        # Stage 2: the common space
        fitting = self._common_space(class_codes, classes, run)
        trainings.append(fitting.trained())
        common, self.code_deviation_ = fitting.maps(), fitting.code_deviation()
        self.image_map_, self.text_map_ = (
            Chain(codes_of[name], class_codes[name].map, common[name]) for name in MODALITIES
        )
        self._record(trainings, trainings[-1])

    def _learn_grain_codes(
        self, train: Split, validation: Split, run: Run
    ) -> tuple[dict[Modality, SideBySide], Trainings]:
        """Learn codes of each grain; return maps of items to those of all grains side by side."""
        maps: list[dict[Modality, Chain]] = []
        trainings: Trainings = []
        for grain_name, grain in self._grains(train, validation).items():
            grain_maps, more = learn_grain(grain, self._items(train), self, run.part(grain_name))
            maps.append(grain_maps)
            trainings += more
        return {name: SideBySide(*(of_grain[name] for of_grain in maps)) for name in MODALITIES}, trainings

    def _items(self, split: Split) -> Mapping[Modality, Any]:
        """Return what the maps to codes take, by modality: here features (n, d)."""
        return split.views

    def _grains(self, train: Split, validation: Split) -> Mapping[str, Grain]:
        """Return the grains by name."""
        scalings = learned_scalings(train, self.preprocessing)
        return {"coarse": Grain(train.views, validation.views, scalings, of_items=lambda codes: codes)}

    def _common_space(
        self, class_codes: Mapping[Modality, ClassCodes], classes: tuple[Labels, Labels], run: Run
    ) -> CommonFitting:
        """Return the networks of stage 2, not yet trained, with the class codes that they learn from."""
        train = PairCodes({name: codes.train for name, codes in class_codes.items()}, classes[0])
        validation = PairCodes({name: codes.validation for name, codes in class_codes.items()}, classes[1])
        with collapse("class codes of images or texts"):
            scalings = {name: Scaling.fit(train.views[name], f"{name}s") for name in MODALITIES}
        return CommonFitting(self, train, validation, scalings, run)


class CCL(CCLCoarse):
    """Cross-modal correlation learning with multi-grained fusion: wholes and parts of images and texts.

    Stage 1 learns codes of two grains: of items as wholes, and of their parts (regions of an image, segments
    of a text). For each grain two RBMs give codes; those of parts learn from each part as a row of its own,
    and the codes of an item's parts are averaged. A correspondence autoencoder then draws the codes of a pair
    together. A joint RBM over the codes of both grains, and a classifier above it, give class codes h.

    Stage 2 maps h of a modality to g = s(hA + a)B + b and f = s(g), with s the logistic function. Over
    batches of n pairs, with d_ij the distance of f of image i and f of text j, it minimises ::

        w_inter / n  ( Σ_ij of one class d_ij² + Σ_ij of two classes max(0, margin - d_ij)² )
        + w_intra (CE of a linear classifier on g of images + CE of one on g of texts)

    The representation of an item is its f. Parameters and attributes are those of ``CCLCoarse``, which learns
    from wholes alone.

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
    >>> small = CCL(embedding=8, **sizes, rbm_epochs=8, rbm_batch_size=8, correlation_epochs=2, epochs=2)
    >>> small.fit(pairs, pairs).transform_images(views[0], pairs.image_parts).shape
    (40, 8)
    """

    name: ClassVar[str] = "ccl"
    paper_name: ClassVar[str] = "CCL"
    uses_parts: ClassVar[bool] = True
    without_parts: ClassVar[str] = CCLCoarse.name

    def transform_images(self, images: NDArray[np.float32], parts: Parts | None = None) -> Representations:
        """Map images (n, d_image) with their parts to (n, embedding)."""
        self._check_fitted()
        return self.image_map_(Items(images, parts))

    def transform_texts(self, texts: NDArray[np.float32], parts: Parts | None = None) -> Representations:
        """Map texts (n, d_text) with their parts to (n, embedding)."""
        self._check_fitted()
        return self.text_map_(Items(texts, parts))

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        for split in (train, validation):
            for name, items in items_of(split).items():
                completed(items, f"{name}s")  # raises where there are none, before hours of training
        super()._learn(train, validation, run)

    def _represented(self, split: Split) -> tuple[Representations, Representations]:
        images = self.transform_images(split.images, split.image_parts)
        return images, self.transform_texts(split.texts, split.text_parts)

    def _checkpoint_path(self, train: Split, validation: Split) -> Path | None:
        path = super()._checkpoint_path(train, validation)
        return path and path.with_stem(f"{path.stem}-{_parts_digest(train, validation)}")

    def _items(self, split: Split) -> Mapping[Modality, Items]:
        return items_of(split)

    def _grains(self, train: Split, validation: Split) -> Mapping[str, Grain]:
        parts, validation_parts = _part_rows(train), _part_rows(validation)
        mode, normalise_rows = PREPROCESSING[self.preprocessing]
        part_scalings = {
            name: Scaling.fit(rows, f"parts of {name}s", mode=mode, normalise_rows=normalise_rows)
            for name, rows in parts.items()
        }
        coarse = Grain(
            train.views,
            validation.views,
            learned_scalings(train, self.preprocessing),
            of_items=lambda codes: Chain(features_of, codes),
        )
        fine = Grain(parts, validation_parts, part_scalings, of_items=PartMeans)
        return {"coarse": coarse, "fine": fine}


def _part_rows(split: Split) -> dict[Modality, NDArray[np.float32]]:
    """Return the parts of all items of a split, (m, d) by modality."""
    return {name: completed(items, f"{name}s").values for name, items in items_of(split).items()}


def _parts_digest(*splits: Split) -> str:
    """Return what tells a checkpoint of training on these parts from one on others."""
    digest = sha256()
    for split in splits:
        for name, items in items_of(split).items():
            parts = completed(items, f"{name}s")
            digest.update(parts.offsets.tobytes())
            for rows in row_blocks(parts.values):
                digest.update(rows.tobytes())
    return digest.hexdigest()[:8]
