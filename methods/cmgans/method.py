"""CM-GANs: cross-modal generative adversarial networks for common representation learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from cmbench.datasets.draft import Split
from cmbench.methods.cmgans.training import Fitting, Settings
from cmbench.methods.parameters import Count, Number, SearchSpace, Words, check_parameters, parameters_of
from cmbench.methods.training.deep_method import DeepMethod
from cmbench.methods.training.loop import Run
from cmbench.methods.views.scaling import learned_scalings

CITATION = (
    "Y. Peng, J. Qi, CM-GANs: cross-modal generative adversarial networks for common representation "
    "learning, ACM TOMM 15, 2019"
)


class CMGANs(DeepMethod):
    """Cross-modal GANs: two autoencoders with a shared layer against four discriminators.

    Each generator G_I, G_T encodes its modality into s (two full connections, the second shared),
    decodes s into a reconstruction r, and classifies s; D_I and D_T tell originals h from r, and
    D_Ci and D_Ct tell, given h of their modality, matched s from those of the other modality and
    from mismatched pairs ::

        minimise over D   L_DI + L_DT + L_DCi + L_DCt                    (equations 5 to 8)
        minimise over G   w_inter (-log D_Ct(s_i, h_t)) + w_intra (-log D_I(r_i))
                          + w_semantic CE(head(s_i), y), and alike for texts     (9, 10)

    in turn: each discriminator once, then ``generator_steps`` times the image and the text
    generator (Algorithm 1). The modules ``objective`` and ``training`` beside this one spell
    out the losses and what each update touches. The representation of an item is its s in evaluation mode.

    Attributes
    ----------
    curves_ : float64 arrays by name, one value for each look at validation: ``iteration``, means
        since the last look of each loss and each discriminator's accuracy, the ratio of norms of
        reconstruction and original, gradient norms, and ``validation_map``
    validation_map_ : MAP on validation of the representations kept; None without validation
    iterations_, best_iteration_ : rounds run, and the one whose state is kept
    resumed_at_ : the round after which a checkpoint was gone on from; 0 for none
    spread_, mean_cosine_, collapsed_ : of both modalities' validation representations, the worse
    threads_, device_, mixed_precision_ : what was used

    Raises
    ------
    DivergenceError
        From ``fit``, when a term becomes NaN or infinite; it names the term and the iteration.

    Notes
    -----
    Ours, where paper and release are silent: the state is chosen on validation, at intervals shorter
    than an epoch, and ``patience`` is short: the best state comes within the first few epochs.
    ``torch.compile`` is not used: nearly all of a round is matrix products already.

    Examples
    --------
    >>> import numpy as np
    >>> from cmbench.datasets.contract import Split
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) + labels[:, None] for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(40).astype(str))
    >>> small = CMGANs(embedding=8, hidden=8, discriminator_width=4, epochs=2, batch_size=8)
    >>> small.fit(pairs, pairs).transform_images(views[0]).shape
    (40, 8)
    """

    name: ClassVar[str] = "cmgans"
    paper_name: ClassVar[str] = "CM-GANs"
    citation: ClassVar[str] = CITATION
    uses_labels: ClassVar[bool] = True
    version: ClassVar[int] = 2
    advice: ClassVar[str] = "lower learning_rate or w_inter"
    fixed: ClassVar[Mapping[str, Any]] = {"eval_epochs": 1}  # looks are counted in iterations: eval_every

    embedding: Annotated[int, Count(1)] = 1024
    """Size of s."""
    hidden: Annotated[int, Count(1)] = 1024
    """Size of the other layers of the autoencoders."""
    discriminator_width: Annotated[int, Count(1)] = 512
    """Size of the layers of the inter-modality discriminators."""
    w_inter: Annotated[float, Number(0), SearchSpace(0.1, 1.0)] = 1.0
    """Weight of the inter-modality term. Of a term of weight 0 the networks are not even built."""
    w_intra: Annotated[float, Number(0), SearchSpace(0.1, 1.0)] = 1.0
    """Weight of the intra-modality term. Of a term of weight 0 the networks are not even built."""
    w_semantic: Annotated[float, Number(0), SearchSpace(1.0, 10.0)] = 1.0
    """Weight of the class term. Of a term of weight 0 the networks are not even built."""
    generator_loss: Annotated[str, Words("non-saturating", "saturating", "literal")] = "non-saturating"
    """(A1) The paper prints +log D and says "descending"; -log D is what the authors' code does."""
    loss_scale: Annotated[str, Words("log", "linear")] = "log"
    """(A2) Equations 3 and 4 lack the logarithm that the equations 5 to 10 have."""
    fake_weight: Annotated[float, Number(0)] = 0.5
    """(A3) Weight of each of the two fakes of D_Ci and D_Ct; with 0.5 real and fake weigh the same."""
    w_reconstruction: Annotated[float, Number(0)] = 0.0
    """(A4) Weight of a reconstruction error. CM-GANs proper has none; only its ablation CM-GANs-CAE has."""
    reconstruction: Annotated[str, Words("mse", "l1")] = "mse"
    """(A4) Which error, where ``w_reconstruction`` is not 0: the mean square over elements, or the mean
    absolute value.
    """
    head: Annotated[str, Words("shared", "separate")] = "shared"
    """(A5) One softmax layer for both modalities, as written, or two, as released. Matters much."""
    shared_norm: Annotated[str, Words("affine", "none", "all")] = "affine"
    """(A6) What is shared besides weight and bias: scale and shift of the batch normalisation, nothing, or
    its running statistics too.
    """
    tie: Annotated[str, Words("tied", "init_only", "none")] = "tied"
    """(A7) Whether the second encoder layers share their weights, share their initial values only (what the
    released program does), or nothing.
    """
    activation: Annotated[str, Words("relu", "leaky")] = "relu"
    """(A8) ReLU as written, or with slope 0.2 below 0 as released; in discriminators too."""
    generator_steps: Annotated[int, Count(1), SearchSpace(1, 5)] = 5
    """(A9) K, the generator updates in a round, of which the paper gives no value; 5 as released."""
    resample: Annotated[bool, Words(True, False)] = True
    """(A10) Whether each of the K steps draws a fresh batch, as in Algorithm 1."""
    sampler: Annotated[str, Words("classes", "uniform")] = "classes"
    """(A11) How mismatched pairs are drawn: two categories uniformly, with a member of each, or pairs
    uniformly.
    """
    mismatch: Annotated[str, Words("own", "anchor"), SearchSpace("own", "anchor")] = "own"
    """(A11) Whether a mismatched s comes with its own h, as written, though then that term carries no
    information (see the module ``objective``), or with that of the anchor.
    """
    learning_rate: Annotated[float, Number(0, open_ends=True), SearchSpace(2e-4, 1e-3)] = 1e-3
    """(A12) Learning rate of Adam, of which each network has one, as released."""
    beta1: Annotated[float, Number(0, 1)] = 0.5
    """(A12) Decay of Adam's mean of gradients, by update."""
    beta2: Annotated[float, Number(0, 1)] = 0.999
    """(A12) Decay of Adam's mean of squared gradients, by update."""
    weight_decay: Annotated[float, Number(0), SearchSpace(0.0, 1e-3)] = 0.0
    """(A12) Weight decay, in the gradient."""
    halve_every: Annotated[int, Count(1)] = 100
    """(A12) Epochs after which the learning rate is halved, each time; as released."""
    batch_size = 64
    """(A12) Pairs in a batch, as released."""
    joint_optimizer: Annotated[bool, Words(True, False)] = False
    """(A12) Whether one Adam moves both generators, on the sum of their losses, instead of one for each."""
    update_order: Annotated[str, Words("discriminators-first", "generators-first")] = "discriminators-first"
    """(A13) Which networks are updated first in each round."""
    epochs = 200
    """(A14) Passes over the training pairs, at most."""
    stopping = "validation"
    """(A14) Which state is kept: that with the highest mean of the two bi-modal MAPs on validation, or with
    ``"none"`` the last one, in which case validation pairs are not looked at.
    """
    eval_every: Annotated[int, Count(1)] = 10
    """(A14) Iterations from one look at validation, and one point of the curves, to the next."""
    patience = 6
    """(A14) Epochs to wait for a better state on validation before the training ends."""
    representation: Annotated[str, Words("common", "softmax")] = "common"
    """(A15) What represents an item: s, or its class probabilities."""
    batch_norm: Annotated[str, Words("separate", "joined")] = "separate"
    """(A16) Whether the three inputs of D_Ci are a batch each to its normalisation, or one."""
    preprocessing: Annotated[
        str, Words("none", "zscore", "rownorm"), SearchSpace("none", "zscore", "rownorm")
    ] = "none"
    post: Annotated[str, Words("none", "zscore_train"), SearchSpace("none", "zscore_train")] = "none"
    """Whether representations are standardised by statistics of the training items."""
    gradient_clip: Annotated[float | str, Number(0, open_ends=True, words=("off",))] = "off"
    """Largest norm of the gradient of an update; a longer one is cut to it."""
    precision: Annotated[str, Words("auto", "float32", "bfloat16")] = "auto"
    """Precision of matrix products. ``"auto"`` is bfloat16 on a GPU, where all features stay if they fit, and
    float32 on a CPU.
    """

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        settings = self.settings()
        scalings = learned_scalings(train, settings.preprocessing)
        fitting = Fitting(settings, train, validation, scalings, run)
        training = fitting.trained()
        for generator in fitting.networks.generators.values():
            generator.cpu().eval()
        maps = fitting.maps()
        self.image_map_, self.text_map_ = maps["image"], maps["text"]
        self.curves_ = training.curves.curves()
        self.iterations_, self.best_iteration_ = training.iteration, training.best_iteration
        self.mixed_precision_ = run.mixed

    def settings(self) -> Settings:
        """Return what the parameters amount to, with those that this class fixes."""
        check_parameters(self)
        values = {parameter.name: getattr(self, parameter.name) for parameter in parameters_of(CMGANs)}
        return Settings.of(self.name, values)


class CMGANsNone(CMGANs):
    """CM-GANs without weight sharing and semantic constraint.

    The second encoder layers are two, with initial values of their own, and there is no class head.
    """

    name: ClassVar[str] = "cmgans-none"
    paper_name: ClassVar[str] = "CM-GANs without ws&sc"

    tie: Annotated[str, Words("none")] = "none"
    w_semantic: Annotated[float, Words(0.0)] = 0.0


class CMGANsWS(CMGANs):
    """CM-GANs with weight sharing, and without the semantic constraint: there is no class head."""

    name: ClassVar[str] = "cmgans-ws"
    paper_name: ClassVar[str] = "CM-GANs with ws"

    w_semantic: Annotated[float, Words(0.0)] = 0.0
    tie: Annotated[str, Words("tied")] = "tied"


class CMGANsSC(CMGANs):
    """CM-GANs with the semantic constraint, and without weight sharing in the encoders.

    The class head is one or two as ``head`` says, which weight sharing does not cover.
    """

    name: ClassVar[str] = "cmgans-sc"
    paper_name: ClassVar[str] = "CM-GANs with sc"

    tie: Annotated[str, Words("none")] = "none"


class CMGANsInter(CMGANs):
    """CM-GANs with inter-modality discrimination only: no intra-modality one, hence no decoders."""

    name: ClassVar[str] = "cmgans-inter"
    paper_name: ClassVar[str] = "CM-GANs only inter"

    w_intra: Annotated[float, Words(0.0)] = 0.0
    w_reconstruction: Annotated[float, Words(0.0)] = 0.0


class CMGANsCAE(CMGANs):
    """CM-GANs without an adversary: reconstruction error and class term with weight sharing.

    There are as many generator updates as in ``CMGANs``. The paper does not say which error; ours
    is the mean square over elements, or with ``reconstruction="l1"`` the mean absolute value.
    """

    name: ClassVar[str] = "cmgans-cae"
    paper_name: ClassVar[str] = "CM-GANs-CAE"

    w_inter: Annotated[float, Words(0.0)] = 0.0
    w_intra: Annotated[float, Words(0.0)] = 0.0
    w_reconstruction: Annotated[float, Words(1.0)] = 1.0


NOT_IN_THE_RELEASE = (
    *("generator_loss", "loss_scale", "fake_weight", "w_reconstruction", "reconstruction", "shared_norm"),
    *("sampler", "beta1", "beta2", "weight_decay", "joint_optimizer", "update_order", "patience"),
    *("representation", "batch_norm"),
)
"""Parameters of ``CMGANs`` that the released program does not have; they stay at their defaults."""


class CMGANsRelease(CMGANs):
    """CM-GANs with the choices of the released program (PKU-ICST-MIPL/CM-GANS_TOMM2019).

    Differs from ``CMGANs`` in LeakyReLU of slope 0.2, a class head for each modality, second
    encoder layers that are equal at the start only (the program asks for sharing, and then
    undoes it by moving each network to the GPU on its own), one batch for the discriminators and
    all generator steps of a round, and a fixed number of epochs without a look at validation,
    after which the last state is kept. The rest is as in ``CMGANs``: among it the learning rate
    halved every 100 epochs, so that little happens after the 1,000th of the 2,000.

    Examples
    --------
    >>> CMGANsRelease(epochs=400).tie
    'init_only'
    """

    name: ClassVar[str] = "cmgans-release"
    paper_name: ClassVar[str] = "CM-GANs (release)"
    fixed: ClassVar[Mapping[str, Any]] = {
        "activation": "leaky",
        "head": "separate",
        "tie": "init_only",
        "resample": False,
        "stopping": "none",
        **{name: getattr(CMGANs, name) for name in NOT_IN_THE_RELEASE},
    }

    epochs = 2000
    """Passes over the training pairs, after which the last state is kept."""
    eval_every = 10
    """Iterations from one point of the curves to the next."""
