"""CMDN: cross-media multiple deep networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from cmbench.datasets.draft import Labels, Modality, Split
from cmbench.errors import MethodError
from cmbench.methods.cmdn.bimodal import Level, stacked, train_levels
from cmbench.methods.cmdn.separate_codes import learn_separate_codes
from cmbench.methods.networks.class_codes import ClassCodedMethod, ClassCodes, learn_class_codes
from cmbench.methods.parameters import AddedLater, Count, Number, SearchRange, SearchSpace, Words
from cmbench.methods.training.curves import collapse
from cmbench.methods.training.loop import Run, Trainings
from cmbench.methods.training.pairs import PairCodes
from cmbench.methods.views.inputs import MODALITIES, class_numbers
from cmbench.methods.views.maps import Chain
from cmbench.methods.views.scaling import UnitScaling, learned_scalings

DEEPEST = 4  # levels


class CMDN(ClassCodedMethod):
    """Cross-media multiple deep networks: hierarchical learning of a shared representation.

    Stage 1 learns two codes of each modality. The ``intra`` code is that of a stacked autoencoder of the
    modality. The ``inter`` code is the hidden units of a joint RBM above the RBMs of both modalities; the
    modality that is not given is inferred by ten steps of mean field. Stage 2 learns class codes: an RBM
    above the intra and the inter code, and above that a classifier, whose last hidden layer is the class
    code, p of an image and q of a text, scaled into [0, 1].

    A stack of bimodal autoencoders brings p and q into one space. With s the logistic function, each level
    minimises ::

        z = s(pA + qB + b)
        L = ½‖s(zC + c) - p‖² + ½‖s(zD + d) - q‖² + label_weight · CE of a linear classifier on z

    as a mean over rows. Each pair makes three rows: its inputs are (p, 0), (0, q) and (p, q), and the target
    of all three is (p, q). The codes s(pA + b) and s(qB + b) of one side alone are p and q of the next level.
    Whatever has been trained stays as it is while the next is trained. The representation of an item is its
    code of level ``depth``.

    Attributes
    ----------
    depth_ : the level that was taken
    levels_ : str, all levels that were trained, with the MAP of each on validation
    validation_map_ : MAP on validation of the level taken; None without validation
    curves_ : float64 arrays by name, one value for each point: ``iteration``, which counts the steps of all
        trainings one after another; errors of reconstruction of each RBM; of the first level
        ``level1_loss``, and its terms ``level1_image_loss``, ``level1_text_loss`` and
        ``level1_class_loss``, unweighted; the same of the other levels; ``validation_map``
    iterations_, best_iteration_ : steps run, on that count, and the one whose state is kept
    code_deviation_ : mean standard deviation of the units of the code over validation items, before they are
        standardised, of images or of texts, whichever is lower
    resumed_at_ : steps, of all trainings together, that checkpoints spared; 0 for none
    spread_, mean_cosine_, collapsed_ : of validation representations, each for the modality where it is worse
    threads_, device_ : what was used

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

    * Gaussian lower RBMs for texts too, since text features of today are real vectors, where the release
      counts words; and fewer steps everywhere: the release makes 100,000 steps in most trainings and a
      million in all.
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
    >>> sizes |= {"first_level": 16, "joint": 8, "fusion": 8, "width": 8}
    >>> small = CMDN(**sizes, rbm_epochs=9, rbm_batch_size=8, sae_rate=0.02)
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
    version: ClassVar[int] = 2
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "gaussian_rate": 1e-3,
            "rbm_epochs": 100_000,
            "rbm_steps": 100_000,
            "rbm_patience": None,
            "rbm_batch_size": 128,
            "batch_size": 231,
            "joint_rate": 0.01,
            "joint_epochs": None,
            "sae_epochs": None,
            "patience": 10,
            "preprocessing": "zscore",
            "optimizer": "sgd",
            "epochs": 2_000,
            "stopping": "none",
        }
    }

    first_level: Annotated[int, Count(1)] = 512
    """Size of z at the first level. Each level has half as many units as the one before: 64 at the fourth."""
    depth: Annotated[
        int | str, Words(*range(1, DEEPEST + 1), "validation"), SearchSpace("validation", DEEPEST)
    ] = DEEPEST
    """How many levels. ``"validation"`` trains four and takes that of the highest MAP on validation."""
    sae_hidden: Annotated[int, Count(1)] = 1024
    """Units of the layers of the stacked autoencoder beside its code."""
    sae_code: Annotated[int, Count(1)] = 512
    """Size of the code of the stacked autoencoder."""
    sae_epochs: Annotated[int | None, Count(1, optional=True), AddedLater(None)] = 20
    """Passes of the stacked autoencoder over the training items, once with one layer and once with both, with
    ``rbm_steps`` at most; None for as many as an RBM has.
    """
    rbm_epochs = 20
    """Passes over the training items of each RBM; ``rbm_steps`` may end it sooner."""
    joint_epochs = 14
    """Passes of RBMs above two groups of codes over the training items, with ``rbm_steps`` at most; None for
    as many as the others have. Fewer were worse on the 640 training pairs of Pascal Sentence.
    """
    sae_rate: Annotated[float, Number(0, open_ends=True)] = 3e-4
    """Learning rate of the stacked autoencoder. At 0.001 the second pass ends with all outputs at 0 where a
    text is a distribution over topics.
    """
    joint: Annotated[int, Count(1)] = 2048
    """Hidden units of the joint RBM of both modalities."""
    fusion: Annotated[int, Count(1)] = 1024
    """Hidden units of the RBM above both codes of a modality."""
    dropout: Annotated[float, Number(0, 0.99), SearchRange(0.0, 0.5), AddedLater(0.0)] = 0.0
    """Share of hidden units that a step leaves out: of the classifier, and of p and q where a level encodes
    them, which are reconstructed in full. Neither paper nor release has any.
    """
    label_weight: Annotated[float, Number(0), SearchRange(0.3, 30.0, log=True)] = 1.0
    """Weight of the classification in the loss of each level; 1 as released."""
    optimizer: Annotated[str, Words("adam", "sgd")] = "adam"
    """Optimiser of the bimodal autoencoders. ``"sgd"`` is as released: the rate falls as 1 / (1 + t / 10,000)
    and momentum grows from 0.5 to 0.9.
    """
    learning_rate: Annotated[
        float | str, Number(0, open_ends=True, words=("auto",)), SearchRange(3e-4, 1e-2, log=True)
    ] = "auto"
    """Learning rate of the bimodal autoencoders. ``"auto"`` is 0.003 for Adam, and 0.05 for SGD as released.
    """
    weight_decay: Annotated[float, Number(0), SearchRange(1e-6, 1e-2, log=True)] = 1e-4
    """Weight decay of the bimodal autoencoders, as released."""
    batch_size = 100
    """Pairs in a batch of the bimodal autoencoders, cut to their number; 231 as released. Smaller batches
    come as far in fewer passes. The incomplete last batch of an epoch is left out.
    """
    epochs = 200
    """Passes of each bimodal autoencoder over the training pairs, at most."""
    stopping = "validation"
    """Which state of each bimodal autoencoder is kept: that with the highest mean of the two bi-modal MAPs on
    validation, or with ``"none"`` the last one. The same goes for the classifier, by its accuracy.
    """
    eval_epochs = 2
    """Epochs of a bimodal autoencoder from one look at validation to the next."""
    patience = 6
    """Epochs to wait for a better state on validation before a bimodal autoencoder, or the classifier, ends.
    """
    preprocessing = "global"
    """Features that RBMs learn from: as stored (``"none"``); standardised column by column by training
    statistics (``"zscore"``); centred and divided by one number for each view
    (``"global"``), so that their mean variance is 1; or scaled to unit norm row by row (``"rownorm"``). In
    each case columns that are constant in training become 0. The stacked autoencoder has features in [0, 1],
    column by column.
    """

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        n_levels = self._n_levels()
        classes = class_numbers(train, validation, self.name)
        # Stage 1: two codes of each modality, side by side
        scalings = learned_scalings(train, self.preprocessing)
        separate, trainings = learn_separate_codes(train.views, validation.views, scalings, self, run)
        # Stage 2: class codes, p of images and q of texts
        class_codes: dict[Modality, ClassCodes] = {}
        for name in MODALITIES:
            codes = separate[name](train.views[name]), separate[name](validation.views[name])
            widths = {"intra": self.sae_code, "inter": self.joint}
            class_codes[name] = learn_class_codes(codes, widths, classes, self, self.fusion, name, run)
            trainings += class_codes[name].trainings
        with collapse("class codes of images or texts"):
            unit_scalings = {
                name: UnitScaling.of_columns(codes.train, f"{name}s") for name, codes in class_codes.items()
            }
        # The stack of bimodal autoencoders, and the level whose codes are the representation
        levels = self._levels(n_levels, class_codes, unit_scalings, classes, run)
        best = max(levels, key=lambda level: level.score) if self.depth == "validation" else levels[-1]
        self._keep(levels, best, trainings)
        self.image_map_, self.text_map_ = (
            Chain(
                separate[name],
                class_codes[name].map,
                stacked(levels[: self.depth_], name, unit_scalings[name]),
            )
            for name in MODALITIES
        )

    def _n_levels(self) -> int:
        """Return how many levels are to be trained."""
        if not isinstance(self.depth, str):
            return self.depth
        if self.stopping == "none":
            raise MethodError(
                f"{self.name}: depth is to be chosen on validation, but stopping is 'none'; give a number "
                "for depth, or use stopping 'validation'"
            )
        return DEEPEST

    def _levels(
        self,
        n_levels: int,
        class_codes: Mapping[Modality, ClassCodes],
        scalings: Mapping[Modality, UnitScaling],
        classes: tuple[Labels, Labels],
        run: Run,
    ) -> list[Level]:
        """Train the levels on class codes in [0, 1] of training pairs, judged on those of validation."""
        train = {name: scalings[name].encode(codes.train) for name, codes in class_codes.items()}
        validation = {name: scalings[name].encode(codes.validation) for name, codes in class_codes.items()}
        pairs = PairCodes(train, classes[0]), PairCodes(validation, classes[1])
        return train_levels(n_levels, self, *pairs, run)

    def _keep(self, levels: Sequence[Level], best: Level, before: Trainings) -> None:
        """Set the attributes that tell of the levels, and of the trainings ``before`` them."""
        self.depth_, self.code_deviation_ = best.number, best.code_deviation
        self.levels_ = ", ".join(map(str, levels))
        self._record([*before, *(level.training for level in levels)], best.training)
