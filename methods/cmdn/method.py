"""CMDN: cross-media multiple deep networks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cmbench.datasets.draft import Modality, Split
from cmbench.errors import MethodError
from cmbench.methods.cmdn.bimodal import BimodalTraining, Level, stacked, train_levels
from cmbench.methods.cmdn.separate_codes import (
    InterTraining,
    IntraTraining,
    StackedTraining,
    learn_separate_codes,
)
from cmbench.methods.networks.class_codes import ClassCodedMethod, ClassCodes, learn_class_codes
from cmbench.methods.networks.pretraining import PRETRAINING, Pretraining
from cmbench.methods.parameters import Constraints, Count, Number, Words
from cmbench.methods.training.curves import collapse
from cmbench.methods.training.deep_method import TRAINING
from cmbench.methods.training.loop import Run, Trainings
from cmbench.methods.training.pairs import PairCodes
from cmbench.methods.views.inputs import MODALITIES, Labels, class_numbers
from cmbench.methods.views.maps import Chain, SideBySide
from cmbench.methods.views.scaling import UnitScaling, learned_scalings

DEEPEST = 4  # levels


class CMDN(ClassCodedMethod):
    """Cross-media multiple deep networks: hierarchical learning of a shared representation.

    Stage 1 learns two codes of each modality: ``intra``, of a stacked autoencoder (``StackedAutoencoder``)
    of its own, and ``inter``, the hidden units of a joint RBM above the RBMs of both modalities, where the
    other one is inferred by ten steps of mean field. Stage 2 joins these two by an RBM, and takes the last
    hidden layer of a classifier on it: p of images and q of texts, brought into [0, 1].

    A stack of bimodal autoencoders makes them alike. With s the logistic function, each level minimises ::

        z = s(pA + qB + b)
        L = ½‖s(zC + c) - p‖² + ½‖s(zD + d) - q‖² + label_weight · CE of a linear classifier on z

    summed over units, mean over rows, of which each pair has three: (p, 0), (0, q) and (p, q) go in, and
    (p, q) is always to come out. The codes s(pA + b) and s(qB + b) of either side alone are p and q
    of the next level. Each stage is trained once and then stays as it is. The representation of an item
    is its code of level ``depth``.

    Parameters
    ----------
    first_level : int
        Size of z at the first level. Each level has half as many units as the one before: 64 at the fourth.
    depth : 1 to 4, or "validation"
        How many levels. ``"validation"`` trains four and takes that of the best MAP on validation.
    sae_hidden, sae_code : int
        Layers of the stacked autoencoder beside its code, and the code.
    sae_rate : float
        Its learning rate. It runs as long as an RBM, once with one layer and once with both. At 0.001 the
        second of these ends with all outputs at 0 where a text is a distribution over topics.
    hidden_image, hidden_text, code, joint : int
        Hidden units of the lower RBMs, of the upper ones, and of the joint RBM of both modalities.
    fusion, width : int
        Hidden units of the RBM above both codes of a modality, and of each of the three layers of the
        classifier, which have ReLU.
    pretrain, gaussian_rate, binary_rate, rbm_l2, rbm_epochs, rbm_steps, rbm_batch_size, cd_steps,
    corruption, dae_rate
        As in ``CorrAE``. RBMs above two groups also run ``rbm_epochs``, at ``joint_rate``.
    joint_rate : float
    class_epochs, class_batch : int
        Length and batch of the classifier, of which the state of the highest accuracy on validation is kept.
    label_weight : float
        1 as released.
    optimizer : "adam" or "sgd"
        Of the bimodal autoencoders. ``"sgd"`` is as released: the rate falls as 1 / (1 + t / 10,000) and
        momentum grows from 0.5 to 0.9.
    learning_rate : float or "auto"
        ``"auto"`` is 0.003 for Adam, and 0.05 for SGD as released.
    weight_decay, batch_size : of the bimodal autoencoders, as released
    epochs, stopping, eval_epochs, patience
        Of each bimodal autoencoder, as in ``CorrAE``; ``stopping`` and ``patience`` also of the classifier.
    preprocessing : "none", "zscore" or "rownorm"
        Of the features that RBMs learn from. The stacked autoencoder has them in [0, 1], column by column.
    post, device, threads, checkpoint, checkpoint_seconds, random_state
        As in ``CorrAE``.

    Attributes
    ----------
    depth_ : the level that was taken
    levels_ : str, all levels that were trained, with the MAP of each on validation
    validation_map_ : MAP on validation of the level taken; None without validation
    curves_ : float64 arrays by name, as of ``CorrAE``: of all trainings one after another, with
        ``level1_loss``, ``level1_image_loss``, ``level1_text_loss`` and ``level1_class_loss`` of the first
        level, unweighted but for the first, and so on
    iterations_, best_iteration_ : steps run, on that count, and the one whose state is kept
    code_deviation_ : mean standard deviation of the units of the code over validation items, before they are
        standardised, of images or of texts if less
    resumed_at_, spread_, mean_cosine_, collapsed_, threads_, device_ : as of ``CorrAE``

    Raises
    ------
    DivergenceError
        From ``fit``, when a loss or a weight becomes NaN or infinite.
    MethodError
        From ``fit``, when the lower RBM or the stacked autoencoder reconstructs features no better than by
        their mean, when codes of all items become the same, and for a category that only validation has.

    Notes
    -----
    Y. Peng, X. Huang, J. Qi, Cross-media shared representation by hierarchical learning with multiple deep
    networks, IJCAI 2016. Sizes, rates and decays are those of the released program. Ours, and why:

    * Gaussian lower RBMs for texts too, and fewer steps everywhere, as in ``CorrAE``; the release makes
      100,000 steps in most trainings and a million in all.
    * Adam, but for RBMs. On synthetic data it was better at every level of the stack than the released SGD.
      The classifier has a tenth of the released decay with it.
    * Features, and p and q of the first level, are brought into [0, 1] column by column, by the
      range of training rows: logistic units have to reconstruct them. The release does so with the codes of
      the stacked autoencoder alone, by one range, as here.
    * The state of the classifier and of each level is chosen on validation, where the release keeps the
      last; later levels learn from the state that was kept.
    * Representations are standardised by training statistics, where the release takes those of the test set.

    The preset ``paper`` has the released RBMs of 100,000 steps and levels by SGD, keeping the last state:
    2,000 epochs are the 20,000 steps of the upper levels with 800 pairs. Not in it: SGD of the stacked
    autoencoder and the classifier, other lengths of the latter, the first level and the joint RBM, the rate
    of 0.01 of the upper RBM of texts, a momentum of RBMs that grows within 10,000 steps (here 50,000), and a
    number of Gibbs steps that grows.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) + labels[:, None] for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(40).astype(str))
    >>> sizes = {"sae_hidden": 8, "sae_code": 8, "hidden_image": 8, "hidden_text": 8, "code": 8}
    >>> small = CMDN(16, **sizes, joint=8, fusion=8, width=8, rbm_epochs=9, rbm_batch_size=8, sae_rate=0.02)
    >>> small.fit(pairs, pairs).transform_images(views[0]).shape
    (40, 2)
    """

    name: ClassVar[str] = "cmdn"
    paper_name: ClassVar[str] = "CMDN"
    citation: ClassVar[str] = (
        "Y. Peng, X. Huang, J. Qi, Cross-media shared representation by hierarchical learning with multiple "
        "deep networks, IJCAI 2016"
    )
    uses_labels: ClassVar[bool] = True
    version: ClassVar[int] = 1
    constraints: ClassVar[Constraints] = {
        **PRETRAINING,
        **TRAINING,
        "first_level": Count(1),
        "depth": Words(*range(1, DEEPEST + 1), "validation"),
        "sae_hidden": Count(1),
        "sae_code": Count(1),
        "sae_rate": Number(0, open_ends=True),
        "hidden_image": Count(1),
        "hidden_text": Count(1),
        "joint": Count(1),
        "fusion": Count(1),
        "width": Count(1),
        "joint_rate": Number(0, open_ends=True),
        "class_epochs": Count(1),
        "class_batch": Count(2),
        "label_weight": Number(0),
        "optimizer": Words("adam", "sgd"),
        "learning_rate": Number(0, open_ends=True, words=("auto",)),
        "post": Words("none", "zscore_train"),
    }
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "post": ("none", "zscore_train"),
        "depth": ("validation", DEEPEST),
        "label_weight": (1.0, 10.0),
        "learning_rate": (1e-3, 3e-3),
        "pretrain": ("rbm", "dae"),
        "gaussian_rate": ("auto", 1e-3),
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "gaussian_rate": 1e-3,
            "rbm_epochs": 100_000,
            "rbm_steps": 100_000,
            "optimizer": "sgd",
            "epochs": 2_000,
            "stopping": "none",
        }
    }

    def __init__(
        self,
        first_level: int = 512,
        *,
        depth: int | str = DEEPEST,
        sae_hidden: int = 1024,
        sae_code: int = 512,
        sae_rate: float = 3e-4,
        hidden_image: int = 2048,
        hidden_text: int = 1024,
        code: int = 1024,
        joint: int = 2048,
        fusion: int = 1024,
        width: int = 1024,
        pretrain: str = "rbm",
        gaussian_rate: float | str = "auto",
        binary_rate: float = 0.05,
        rbm_l2: float = 1e-3,
        rbm_epochs: int = 40,
        rbm_steps: int = 3000,
        rbm_batch_size: int = 128,
        cd_steps: int = 1,
        corruption: float = 0.2,
        dae_rate: float = 1e-3,
        joint_rate: float = 0.01,
        class_epochs: int = 50,
        class_batch: int = 100,
        label_weight: float = 1.0,
        optimizer: str = "adam",
        learning_rate: float | str = "auto",
        weight_decay: float = 1e-4,
        batch_size: int = 231,
        epochs: int = 200,
        stopping: str = "validation",
        eval_epochs: int = 2,
        patience: int = 10,
        preprocessing: str = "zscore",
        post: str = "zscore_train",
        device: str = "auto",
        threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 60.0,
        random_state: int = 0,
    ) -> None:
        self.first_level = first_level
        self.depth = depth
        self.sae_hidden = sae_hidden
        self.sae_code = sae_code
        self.sae_rate = sae_rate
        self.hidden_image = hidden_image
        self.hidden_text = hidden_text
        self.code = code
        self.joint = joint
        self.fusion = fusion
        self.width = width
        self.pretrain = pretrain
        self.gaussian_rate = gaussian_rate
        self.binary_rate = binary_rate
        self.rbm_l2 = rbm_l2
        self.rbm_epochs = rbm_epochs
        self.rbm_steps = rbm_steps
        self.rbm_batch_size = rbm_batch_size
        self.cd_steps = cd_steps
        self.corruption = corruption
        self.dae_rate = dae_rate
        self.joint_rate = joint_rate
        self.class_epochs = class_epochs
        self.class_batch = class_batch
        self.label_weight = label_weight
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.stopping = stopping
        self.eval_epochs = eval_epochs
        self.patience = patience
        self.preprocessing = preprocessing
        self.post = post
        self.device = device
        self.threads = threads
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.random_state = random_state

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        n_levels = self._n_levels()
        numbers = class_numbers(train, validation, self.name)
        # Stage 1: two codes of each modality, side by side
        separate, trainings = self._separate_codes(train, run)
        # Stage 2: class codes, p of images and q of texts
        class_codes: dict[Modality, ClassCodes] = {}
        for name in MODALITIES:
            codes = separate[name](train.views[name]), separate[name](validation.views[name])
            widths = {"intra": self.sae_code, "inter": self.joint}
            settings = self._class_training(self.fusion)
            class_codes[name] = learn_class_codes(codes, widths, numbers, settings, name, run)
            trainings += class_codes[name].trainings
        with collapse("class codes of images or texts"):
            units = {
                name: UnitScaling.of_columns(codes.train, f"{name}s") for name, codes in class_codes.items()
            }
        # The stack of bimodal autoencoders, and the level whose codes are the representation
        levels = self._levels(n_levels, class_codes, units, numbers, run)
        best = max(levels, key=lambda level: level.score) if self.depth == "validation" else levels[-1]
        self._keep(levels, best, trainings)
        self.image_map_, self.text_map_ = (
            Chain(separate[name], class_codes[name].map, stacked(levels[: self.depth_], name, units[name]))
            for name in MODALITIES
        )

    def _n_levels(self) -> int:
        if not isinstance(self.depth, str):
            return self.depth
        if self.stopping == "none":
            raise MethodError(
                f"{self.name}: depth is to be chosen on validation, but stopping is 'none'; give a number "
                "for depth, or use stopping 'validation'"
            )
        return DEEPEST

    def _separate_codes(self, train: Split, run: Run) -> tuple[dict[Modality, SideBySide], Trainings]:
        pretraining = Pretraining(**self._values(Pretraining))
        budget = pretraining.budget
        intra = IntraTraining(self.sae_hidden, self.sae_code, StackedTraining(budget, self.sae_rate))
        hidden: dict[Modality, int] = {"image": self.hidden_image, "text": self.hidden_text}
        inter = InterTraining(hidden, pretraining, self.joint, self._joint_training())
        scalings = learned_scalings(train, self.preprocessing)
        return learn_separate_codes(train.views, scalings, intra, inter, run)

    def _levels(
        self,
        n_levels: int,
        class_codes: Mapping[Modality, ClassCodes],
        units: Mapping[Modality, UnitScaling],
        numbers: tuple[Labels, Labels],
        run: Run,
    ) -> list[Level]:
        seen = {name: units[name].encode(codes.train) for name, codes in class_codes.items()}
        unseen = {name: units[name].encode(codes.validation) for name, codes in class_codes.items()}
        settings = BimodalTraining(**self._values(BimodalTraining))
        pairs = PairCodes(seen, numbers[0]), PairCodes(unseen, numbers[1])
        return train_levels(n_levels, settings, *pairs, run)

    def _keep(self, levels: Sequence[Level], best: Level, before: Trainings) -> None:
        self.depth_, self.code_deviation_ = best.number, best.code_deviation
        self.levels_ = ", ".join(map(str, levels))
        self._record([*before, *(level.training for level in levels)], best.training)
