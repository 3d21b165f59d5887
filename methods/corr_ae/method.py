"""Corr-AE: correspondence autoencoders on codes of restricted Boltzmann machines."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias

from torch import nn

from cmbench.datasets.draft import Modality, Split
from cmbench.errors import MethodError
from cmbench.methods.corr_ae.correspondence import CorrespondenceFitting, CorrespondenceSettings, Variant
from cmbench.methods.networks.pretraining import PretrainedMethod, Stack, train_stack
from cmbench.methods.parameters import AddedLater, Count, Number, SearchRange, SearchSpace, Words
from cmbench.methods.training.batches import Index
from cmbench.methods.training.device import DeviceRows, NetworkMap
from cmbench.methods.training.loop import Run, Training
from cmbench.methods.training.pairs import PairCodes
from cmbench.methods.views.inputs import MODALITIES
from cmbench.methods.views.maps import Chain
from cmbench.methods.views.scaling import Scaling, Scalings, learned_scalings

ALPHAS = (0.2, 0.5, 0.8)

RELEASED: Mapping[str, Any] = {
    "gaussian_rate": 1e-3,
    "rbm_epochs": 20_000,
    "rbm_steps": 20_000,
    "rbm_patience": None,
    "rbm_batch_size": 231,
    "optimizer": "sgd",
    "epochs": 1_000,
    "eval_epochs": 20,
    "patience": 1_000,
    "post": "none",
    "preprocessing": "zscore",
}
"""Of the deepnet fork, but for alpha; see Notes of ``CorrAE``."""


class Trial(NamedTuple):
    """A variant and a weight of the correlation."""

    variant: Variant
    alpha: float

    def __str__(self) -> str:
        return f"{self.variant} {self.alpha:g}"


Scores: TypeAlias = dict[Trial, float]
NOTHING_TO_COMPARE = {"variant_steps": 240}
"""What a variant alone fixes: the steps after which variants are compared."""
Pauses: TypeAlias = tuple[int | None, int | None]
"""Epochs after which values of alpha, and then variants, are compared; None for the end of training."""


class CorrAE(PretrainedMethod):
    """Correspondence autoencoder, the best of its three variants on validation.

    Stage 1 learns codes u of images and v of texts, in (0, 1), each modality alone: a Gaussian RBM on
    the features and a binary RBM on its hidden units, by contrastive divergence. Stage 2 encodes them
    as a = s(uW + b) and b = s(vW' + b'), s the logistic function, and minimises ::

        L = (1 - alpha) Σ_decoders ½‖reconstruction - target‖² + alpha ½‖a - b‖²

    summed over units, mean over pairs, with decoders a to u and b to v in Corr-AE (``corr``), a to v
    and b to u in Corr-Cross-AE (``cross``), and all four in Corr-Full-AE (``full``). Stage 1 is trained once
    and then stays as it is. The representation of an item is its a or b.

    Attributes
    ----------
    variant_, alpha_ : what was chosen by MAP on validation
    trials_ : str, each variant and alpha with the MAP of its trial; empty if there is one alpha
    finals_ : str, each variant with its alpha, and its MAP when they were compared; empty if there is one
    validation_map_ : MAP on validation of the choice; None without validation
    curves_ : float64 arrays by name, one value for each point: ``iteration``, which counts steps of all
        RBMs one after another and then those of the chosen autoencoder; errors of reconstruction of each
        RBM; ``loss`` and its terms, unweighted; ``validation_map``
    iterations_, best_iteration_ : steps run, on that count, and the one whose state is kept
    code_deviation_ : mean standard deviation of the units of a, or of b if less, over validation items
    resumed_at_ : steps, of all trainings together, that checkpoints spared; 0 for none
    spread_, mean_cosine_, collapsed_ : of both modalities' validation representations, the worse
    threads_, device_ : what was used

    Raises
    ------
    DivergenceError
        From ``fit``, when a loss or a weight becomes NaN or infinite.
    MethodError
        From ``fit``, when the lower RBM reconstructs features no better than by their mean, and when codes of
        all items become the same.

    Notes
    -----
    Sizes, rates and decays are those of the deepnet fork with which Corr-AE was released (F. Feng, X. Wang,
    R. Li, Cross-modal retrieval with correspondence autoencoder, ACM MM 2014). RBMs: G. Hinton, Training
    products of experts by minimizing contrastive divergence, Neural Computation 14, 2002; details in the
    modules ``networks.rbm`` and ``networks.unsupervised``. Ours, and why:

    * Texts have a Gaussian lower RBM like images, where the release counts words with a replicated
      softmax: text features of today are real vectors. Their upper RBM learns at the rate of images.
    * RBMs run 15 epochs or 3,000 steps, not 20,000 steps, with the momentum's time constant scaled
      along; the released growth of the number of Gibbs steps begins after 15,000 steps. In so few steps
      the lower RBM hardly moves at the released rate of 0.001, and so learns as fast as is stable.
    * 60 epochs of stage 2, which are to fit into a quick look at ``scenes``; MAP on its validation pairs
      still rises slowly there (.509 after 60, .531 after 100, ``full``). The release takes 10,000 to 20,000
      steps; ``results/deep`` has 4,000.
    * Nine settings are halved successively (K. Jamieson, A. Talwalkar, AISTATS 2016), each going on where it
      paused: all for 24 steps, one of each variant to the 144th, the best to the end: 1,152 steps on
      ``scenes``, where nine trials of 100 steps and three full trainings took 3,132. On ``scenes`` alpha had
      the same order at every look from the 24th step to the 108th. Variants have not always: compared after
      240 steps, they came to a validation MAP that was .002 higher, a mean of two seeds, in a fifth more
      time. They are compared by the last look, since MAP starts high on random projections of the codes
      (.43), falls (.37), and only then rises above it (.48).
    * Adam in stage 2: on synthetic data it reached the best score that SGD reached with the best alpha, with
      one rate for all variants. It keeps the sums over units, on which the balance with alpha depends.
    * alpha was tried from 0.01 to 0.99 by the authors, and is 0.8, 0.2 and 0.8 for the variants in the fork.
      On synthetic data 0.8 was worse than 0.5 and below, hence the choice.
    * The state is chosen on validation by the MAP of full rankings; the fork looks at MAP@50.

    The preset ``paper`` has the lengths, rates and, of a variant alone, alpha of the fork; ``corr-ae``
    compares alphas after 20,000 steps, or full training if that is shorter. 1,000 epochs are 8,000 steps with
    800 pairs and 21,000 with 2,173, for the fork's 10,000 to 20,000. Not in it: replicated softmax, the rate
    of 0.01 of the upper RBM of texts, and a number of Gibbs steps that grows.

    Examples
    --------
    >>> import numpy as np
    >>> from cmbench.datasets.contract import Split
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) + labels[:, None] for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(40).astype(str))
    >>> small = CorrAE(embedding=8, alpha=0.5, hidden=8, code=8, rbm_epochs=4, epochs=2, rbm_batch_size=8)
    >>> small.fit(pairs, pairs).transform_images(views[0]).shape
    (40, 8)
    """

    name: ClassVar[str] = "corr-ae"
    paper_name: ClassVar[str] = "Corr-AE"
    citation: ClassVar[str] = (
        "F. Feng, X. Wang, R. Li, Cross-modal retrieval with correspondence autoencoder, ACM MM 2014"
    )
    uses_labels: ClassVar[bool] = False
    version: ClassVar[int] = 4
    advice: ClassVar[str] = "lower alpha or weight_decay, or set post to 'zscore_train'"
    variants: ClassVar[tuple[Variant, ...]] = ("corr", "cross", "full")
    """The variants to choose from."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {**RELEASED, "trial_steps": 20_000, "variant_steps": 20_000}
    }

    embedding: Annotated[int, Count(1), SearchSpace(128, 1024)] = 1024
    """Size of a and b."""
    alpha: Annotated[float | str, Number(0, 1, words=("validation",))] = "validation"
    """Weight alpha of the correlation. ``"validation"`` tries 0.2, 0.5 and 0.8."""
    trial_steps: Annotated[int, Count(1)] = 24
    """Values of alpha are compared, in each variant, after so many steps, made up to whole looks at
    validation, by the MAP of the last look, and each variant goes on with its best alpha; if training ends
    sooner, they are compared by their highest MAP.
    """
    variant_steps: Annotated[int, Count(1)] = 144
    """Variants are compared after so many steps, made up to whole looks at validation, by the MAP of the last
    look, and the best of them alone is trained to the end; if that is sooner, all are, and compared by their
    highest MAP.
    """
    hidden: Annotated[int, Count(1)] = 1024
    """Hidden units of the lower RBM of each modality."""
    optimizer: Annotated[str, Words("adam", "sgd")] = "adam"
    """Optimiser of stage 2. ``"sgd"`` is as released: the rate falls as 1 / (1 + t / 10,000) and momentum
    grows from 0.5 to 0.9.
    """
    learning_rate: Annotated[
        float | str, Number(0, open_ends=True, words=("auto",)), SearchRange(1e-4, 1e-2, log=True)
    ] = "auto"
    """Learning rate of stage 2. ``"auto"`` is 0.001 for Adam; for SGD 0.05, and 0.01 for Corr-Cross-AE, as
    released.
    """
    weight_decay: Annotated[float, Number(0), SearchRange(1e-6, 1e-2, log=True)] = 1e-4
    """Weight decay in stage 2, as released."""
    dropout: Annotated[float, Number(0, 0.99), SearchRange(0.0, 0.5), AddedLater(0.0)] = 0.0
    """Share of the units of u and v that a step of stage 2 leaves out where it encodes them; they are
    reconstructed in full. Neither paper nor fork has any.
    """
    batch_size = 100
    """Pairs in a batch of stage 2, cut to their number. The incomplete last batch of an epoch is left out."""
    epochs: Annotated[int, Count(1), SearchSpace(60, 200)] = 60
    """Passes over the training pairs in stage 2, at most. With 60, training ends on ``scenes`` and Pascal
    Sentence while MAP on validation still rises.
    """
    stopping = "validation"
    """Which state of stage 2 is kept: that with the highest mean of the two bi-modal MAPs on validation, or
    with ``"none"`` the last one, which leaves nothing else to be chosen on validation either. On few pairs it
    takes 200 steps and more until representations of a pair begin to agree, and in the variant ``cross`` ten
    times as many.
    """
    eval_epochs = 2
    """Epochs from one look at validation to the next."""
    patience = 50
    """Epochs to wait for a better state on validation before stage 2 ends."""

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        alphas = self._alphas()
        scalings = learned_scalings(train, self.preprocessing)
        stacks = self._stacks(train, validation, scalings, run)
        encode = {name: NetworkMap(stacks[name].network, f"{name}s", scalings[name]) for name in MODALITIES}
        codes = PairCodes.of(train, encode), PairCodes.of(validation, encode)
        settings = CorrespondenceSettings.of(self)
        trials = [Trial(*each) for each in product(self.variants, alphas)]
        fittings = {trial: CorrespondenceFitting(*trial, settings, *codes, run) for trial in trials}
        trainings, best = self._halved(fittings, self._pauses(len(alphas), settings, len(train)), run)
        self._keep(fittings[best], trainings[best], stacks, scalings)

    def _halved(
        self, fittings: Mapping[Trial, CorrespondenceFitting], pauses: Pauses, run: Run
    ) -> tuple[dict[Trial, Training[Index]], Trial]:
        """Train all to the first pause, the best of each variant to the second, and the best to the end.

        A training goes on where it paused. Return all of them, and which is the best.
        """
        first, second = pauses
        trainings = {trial: fitting.trained(pause=first) for trial, fitting in fittings.items()}
        tried = _scores(trainings, first)
        finals = [_best(variant, tried) for variant in self.variants]
        if second != first:
            for trial in finals:
                run.go_on(trainings[trial], pause=second)
        compared = _scores({trial: trainings[trial] for trial in finals}, second)
        best = max(finals, key=compared.__getitem__)
        if second is not None:
            run.go_on(trainings[best])
        self.trials_ = _listed(tried) if len(tried) > len(finals) else ""
        self.finals_ = _listed(compared)
        return trainings, best

    def _pauses(self, n_alphas: int, settings: CorrespondenceSettings, n_pairs: int) -> Pauses:
        """Return after how many epochs values of alpha are compared, and variants; None is at the end."""

        def after(steps: int) -> int | None:
            # A whole number of looks at validation, so that a pause makes no look of its own
            looks = -(-settings.epochs_of(steps, n_pairs) // self.eval_epochs)
            epochs = looks * self.eval_epochs
            return epochs if epochs < self.epochs else None

        second = after(self.variant_steps) if len(self.variants) > 1 else None
        first = after(self.trial_steps) if n_alphas > 1 else second
        return first, None if first is None else second

    def _alphas(self) -> tuple[float, ...]:
        alphas = ALPHAS if isinstance(self.alpha, str) else (float(self.alpha),)
        combinations = len(self.variants) * len(alphas)
        if combinations > 1 and self.stopping == "none":
            raise MethodError(
                f"{self.name}: {combinations} combinations of variant and alpha are to be compared on "
                "validation, but stopping is 'none'; give a number for alpha and take one variant, "
                "corr-ae-full say, or use stopping 'validation'"
            )
        return alphas

    def _stacks(self, train: Split, validation: Split, scalings: Scalings, run: Run) -> dict[Modality, Stack]:
        stacks = {}
        for name in MODALITIES:
            rows, held_out = (
                DeviceRows(split.views[name], scalings[name], run.device) for split in (train, validation)
            )
            stacks[name] = train_stack(rows, self.hidden, self, name, run, validation=held_out)
        return stacks

    def _keep(
        self,
        fitting: CorrespondenceFitting,
        training: Training[Index],
        stacks: Mapping[Modality, Stack],
        scalings: Scalings,
    ) -> None:
        self.variant_, self.alpha_ = fitting.variant, fitting.alpha
        self.code_deviation_ = fitting.code_deviation()
        self.image_map_, self.text_map_ = (
            _from_features(stacks[name], scalings[name], representation)
            for name, representation in fitting.maps().items()
        )
        before = [each for stack in stacks.values() for each in stack.trainings]
        self._record([*before, training], training)


class CorrAECorr(CorrAE):
    """Corr-AE alone: each code reconstructs its own modality; alpha is chosen as in ``CorrAE``."""

    name: ClassVar[str] = "corr-ae-corr"
    paper_name: ClassVar[str] = "Corr-AE (plain)"
    version: ClassVar[int] = 2
    variants: ClassVar[tuple[Variant, ...]] = ("corr",)
    fixed: ClassVar[Mapping[str, Any]] = NOTHING_TO_COMPARE
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {**RELEASED, "alpha": 0.8}}


class CorrAECross(CorrAE):
    """Corr-Cross-AE: each code reconstructs the other modality; alpha is chosen as in ``CorrAE``."""

    name: ClassVar[str] = "corr-ae-cross"
    paper_name: ClassVar[str] = "Corr-Cross-AE"
    version: ClassVar[int] = 2
    variants: ClassVar[tuple[Variant, ...]] = ("cross",)
    fixed: ClassVar[Mapping[str, Any]] = NOTHING_TO_COMPARE
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {**RELEASED, "alpha": 0.2}}


class CorrAEFull(CorrAE):
    """Corr-Full-AE: each code reconstructs both modalities; alpha is chosen as in ``CorrAE``."""

    name: ClassVar[str] = "corr-ae-full"
    paper_name: ClassVar[str] = "Corr-Full-AE"
    version: ClassVar[int] = 2
    variants: ClassVar[tuple[Variant, ...]] = ("full",)
    fixed: ClassVar[Mapping[str, Any]] = NOTHING_TO_COMPARE
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {**RELEASED, "alpha": 0.8}}


def _scores(trainings: Mapping[Trial, Training[Index]], pause: int | None) -> Scores:
    """Return the MAP of each at its last look before a pause, or the highest of trainings that have ended."""
    return {
        trial: training.best.score[0] if pause is None else training.score_at(pause)
        for trial, training in trainings.items()
    }


def _best(variant: Variant, tried: Scores) -> Trial:
    """Return the variant with the alpha that was best in the trials, the first of equals."""
    return max((trial for trial in tried if trial.variant == variant), key=tried.__getitem__)


def _listed(scores: Scores) -> str:
    """Return a line about more than one score."""
    return ", ".join(f"{trial} {score:.4f}" for trial, score in scores.items() if len(scores) > 1)


def _from_features(stack: Stack, scaling: Scaling, representation: Chain) -> Chain:
    """Return the map of features to what ``representation`` makes of their codes in the stack."""
    encoder, standardise = representation.steps
    assert isinstance(encoder, NetworkMap)
    network = nn.Sequential(*stack.network.children(), *encoder.network.children())
    return Chain(NetworkMap(network, encoder.view, scaling), standardise)
