"""CM-GANs: cross-modal generative adversarial networks for common representation learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.cmgans.training import AdversarialFitting
from cmbench.methods.parameters import AddedLater, Count, Number, SearchRange, SearchSpace, When, Words
from cmbench.methods.training.deep_method import DeepMethod
from cmbench.methods.training.loop import Run
from cmbench.methods.views.scaling import PREPROCESSING

CITATION = (
    "Y. Peng, J. Qi, CM-GANs: cross-modal generative adversarial networks for common representation "
    "learning, ACM TOMM 15, 2019"
)


class CMGANs(DeepMethod):
    """Cross-modal GANs: two generators that share a layer, against four discriminators.

    An image with features h_i and a text with features h_t make a pair of class y. Each modality has a
    generator, G_I and G_T. It encodes features h into the common representation s by two fully connected
    layers, the second of which both generators share; it decodes s into reconstructed features r; and it
    classifies s. Four discriminators, two of each kind, learn to tell real from fake:

    * D_I and D_T (intra-modality): original features h are real, reconstructed features r are fake.
    * D_Ci and D_Ct (inter-modality) are given a common representation beside features h of their own
      modality. The s of these features is real. Fakes are the s of the partner in the other modality
      (crossed), and s and h of a pair of another category (mismatched).

    With all D as probabilities, the discriminators and the generators minimise in turn ::

        L_DI + L_DT + L_DCi + L_DCt                                 (equations 5 to 8)
        L_GI = -w_inter log D_Ct(s_i, h_t) - w_intra log D_I(r_i)
               + w_semantic CE(head(s_i), y)                        (equation 9)
        L_GT = the same with images and texts exchanged             (equation 10)

    where CE is the cross-entropy, and each loss of a discriminator is -log D of what is real and
    -log(1 - D) of fakes. An iteration is one round of Algorithm 1: each discriminator is updated once, then
    ``generator_steps`` times the generator of images and that of texts. The representation of an item is
    its s in evaluation mode.

    (A1) to (A16) number the points that the paper leaves open; at each the parameter says what can be chosen.

    Attributes
    ----------
    curves_ : float64 arrays by name, one value for each look at validation: ``iteration``; each loss, and
        the accuracy of each discriminator, as means since the last look; the norm of reconstructed features
        by that of original ones; norms of gradients; and ``validation_map``
    validation_map_ : MAP on validation of the representations; None without validation
    iterations_, best_iteration_ : iterations run, and the one after which the state was kept
    resumed_at_ : the iteration of the checkpoint from which the training went on; 0 for none
    spread_, mean_cosine_, collapsed_ : how far the representations of validation items lie apart, of the
        modality that fares worse
    threads_, device_, mixed_precision_ : what was used

    Raises
    ------
    DivergenceError
        From ``fit``, when a term becomes NaN or infinite; it names the term and the iteration.
    MethodError
        From ``fit``, when the weights of all terms are 0, and for ``representation="posterior"`` without the
        class term.

    Notes
    -----
    Where the paper and the released program are silent, the choices are ours: dropout and weight decay,
    without which layers of 1,024 units overfit a thousand pairs within a few epochs, rows of unit norm, and a
    rate that is halved sooner. They were chosen on the validation pairs of six datasets. The preset ``paper``
    has features as they are, neither dropout nor weight decay, and the rate of the released program. The
    state is chosen on validation, with looks at intervals shorter than an epoch.
    ``torch.compile`` is not used: nearly all of the time goes into matrix products already.

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
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "learning_rate": 1e-3,
            "halve_every": 100,
            "weight_decay": 0.0,
            "dropout": 0.0,
            "preprocessing": "none",
        }
    }
    fixed: ClassVar[Mapping[str, Any]] = {"eval_epochs": 1}  # looks are counted in iterations: eval_every

    embedding: Annotated[int, Count(1)] = 1024
    """Size of the common representation s."""
    hidden: Annotated[int, Count(1)] = 1024
    """Size of the first layer of the encoders, and of the hidden layer of the decoders."""
    discriminator_width: Annotated[int, Count(1), When(w_inter=1.0)] = 512
    """Size of the hidden layer of the inter-modality discriminators."""
    w_inter: Annotated[float, Number(0), SearchRange(0.1, 10.0, log=True)] = 1.0
    """Weight of the inter-modality term. With weight 0 its discriminators are not built."""
    w_intra: Annotated[float, Number(0), SearchRange(0.1, 10.0, log=True)] = 1.0
    """Weight of the intra-modality term. With weight 0 its discriminators are not built."""
    w_semantic: Annotated[float, Number(0), SearchRange(0.3, 10.0, log=True)] = 1.0
    """Weight of the class term, the paper's semantic constraint. With weight 0 there is no class head."""
    generator_loss: Annotated[str, Words("non-saturating", "saturating", "literal")] = "non-saturating"
    """(A1) The adversarial term that a generator minimises: -log D, as in the released program; log(1 - D)
    (``"saturating"``), as equations 2 to 4 imply; or log D (``"literal"``), as equations 9 and 10 are
    printed, which makes the generator worse.
    """
    loss_scale: Annotated[str, Words("log", "linear")] = "log"
    """(A2) Whether losses have logarithms, as equations 5 to 10 do, or none (``"linear"``), as 3 and 4."""
    fake_weight: Annotated[float, Number(0), When(w_inter=1.0)] = 0.5
    """(A3) Weight of each of the two kinds of fakes of D_Ci and D_Ct. With 0.5, what is real weighs as
    much as all fakes.
    """
    w_reconstruction: Annotated[float, Number(0)] = 0.0
    """(A4) Weight of a reconstruction error. CM-GANs proper has none; only its ablation CM-GANs-CAE has."""
    reconstruction: Annotated[str, Words("relative", "mse", "l1"), When(w_reconstruction=0.1)] = "relative"
    """(A4) The reconstruction error that ``w_reconstruction`` weighs: the mean of squares over all elements,
    divided by the mean variance of the training features of the modality (``"relative"``); without the
    division (``"mse"``); or the mean of absolute values (``"l1"``). The paper does not say which. Features of
    Wikipedia's images have a mean square of 169 and those of its texts .004, so that undivided errors of
    images, 161, leave a class term of 2.3 no say, and those of texts have none.
    """
    head: Annotated[str, Words("shared", "separate"), When(w_semantic=1.0)] = "shared"
    """(A5) One class head for both modalities, as the paper says, or one for each, as in the released
    program. This choice matters much.
    """
    shared_norm: Annotated[str, Words("affine", "none", "all"), When(tie="tied")] = "affine"
    """(A6) What the second encoder layers share besides weight and bias, if they are tied: scale and shift of
    their batch normalisation, nothing, or all of it, running statistics included.
    """
    tie: Annotated[str, Words("tied", "init_only", "none")] = "tied"
    """(A7) Whether the second encoder layers are one layer, are two with equal initial values (what the
    released program does), or are two with initial values of their own.
    """
    activation: Annotated[str, Words("relu", "leaky")] = "relu"
    """(A8) Activation of all hidden layers, those of discriminators too: ReLU, as the paper says, or
    LeakyReLU of slope 0.2, as in the released program.
    """
    generator_steps: Annotated[int, Count(1), SearchSpace(1, 5)] = 5
    """(A9) K, the updates of each generator in an iteration. The paper gives no value; the release has 5.
    Searches chose 5 on five datasets of seven, with rates of .0002 to .0006, a patience of 12 to 36 epochs
    and up to five times the time that the defaults take; ``--profile tuned`` takes what was chosen.
    """
    resample: Annotated[bool, Words(True, False)] = True
    """(A10) Whether each of the K updates has a batch of its own, as in Algorithm 1, or all updates of an
    iteration have the same, as in the released program.
    """
    sampler: Annotated[str, Words("classes", "uniform")] = "classes"
    """(A11) How pairs and mismatched pairs are drawn: first two categories and then a pair of each
    (``"classes"``), or first any pair and then any pair of another category (``"uniform"``).
    """
    mismatch: Annotated[str, Words("own", "anchor"), SearchSpace("own", "anchor"), When(w_inter=1.0)] = "own"
    """(A11) Whether the s of a mismatched pair stands beside its own features, as the paper says, or beside
    those of the pair for which it was drawn (``"anchor"``). Beside its own it is the s of a true item with
    its true features, just like what is real, so that the discriminator learns nothing from it.
    """
    learning_rate: Annotated[float, Number(0, open_ends=True), SearchRange(1e-4, 3e-3, log=True)] = 5e-4
    """(A12) Learning rate of Adam; .001 as released. Each network has an Adam of its own, as there."""
    beta1: Annotated[float, Number(0, 1)] = 0.5
    """(A12) Decay rate of Adam's running mean of gradients."""
    beta2: Annotated[float, Number(0, 1)] = 0.999
    """(A12) Decay rate of Adam's running mean of squared gradients."""
    weight_decay: Annotated[float, Number(0), SearchRange(1e-5, 1e-2, log=True)] = 0.003
    """(A12) Weight decay of all parameters, biases included: added to the gradient, per unit of weight.
    Neither paper nor released program has any. Where a gradient has become small, it is what is left of a
    step of Adam, and wears a network away: on 7,836 pairs, after 48 epochs with a decay of .003 and a rate of
    .001, 97 % of the weights of the hidden layer of the decoder of texts were below 1.2e-38, and two thirds
    of those of D_Ci.
    """
    dropout: Annotated[float, Number(0, 0.99), SearchRange(0.0, 0.8), AddedLater(0.0)] = 0.5
    """Share of the units of the encoders' first layer that an update leaves out. Neither paper nor released
    program has any; layers of 1024 units overfit a thousand pairs without.
    """
    halve_every: Annotated[int, Count(1), SearchRange(10, 400, log=True, whole=True)] = 10
    """(A12) The learning rate is halved each time after so many epochs; 100 as released."""
    batch_size = 64
    """(A12) Pairs in a batch, cut to the number of training pairs; 64 as released."""
    joint_optimizer: Annotated[bool, Words(True, False)] = False
    """(A12) Whether one Adam updates both generators on the sum of their losses, instead of one each."""
    update_order: Annotated[str, Words("discriminators-first", "generators-first")] = "discriminators-first"
    """(A13) Which networks are updated first in each iteration."""
    epochs = 200
    """(A14) Passes over the training pairs, at most."""
    stopping = "validation"
    """(A14) Which state is kept: that with the highest mean of the two bi-modal MAPs on validation, or with
    ``"none"`` the last one, in which case validation pairs are not looked at.
    """
    eval_every: Annotated[int, Count(1)] = 10
    """(A14) Iterations from one look at validation, and one point of the curves, to the next."""
    patience: Annotated[int, Count(1), SearchRange(6, 40, log=True, whole=True)] = 10
    """(A14) Epochs to wait for a better state on validation before the training ends. It is searched, as
    half of the default of other methods: what waits longer is better with slow halving, at several times the
    cost.
    """
    representation: Annotated[str, Words("common", "posterior")] = "common"
    """(A15) What represents an item: its s, or the class probabilities that the class head gives for s
    (``"posterior"``), as in Deep-SM. Report them under the name of ``cmgans-posterior``.
    """
    batch_norm: Annotated[str, Words("separate", "joined"), When(w_inter=1.0)] = "separate"
    """(A16) Over what D_Ci and D_Ct take the statistics of batch normalisation: over matched, crossed and
    mismatched inputs each for itself, or over all of them joined.
    """
    preprocessing: Annotated[
        str, Words(*PREPROCESSING), SearchSpace("none", "zscore", "global", "rownorm")
    ] = "rownorm"
    """Features as stored (``"none"``), as in the released program; standardised column by column
    (``"zscore"``); centred and divided by one number for each view (``"global"``); or scaled to unit norm row
    by row (``"rownorm"``). Columns that are constant in training become 0.
    """
    post: Annotated[str, Words("none", "zscore_train"), SearchSpace("none", "zscore_train")] = "none"
    """Whether representations are standardised by statistics of the training items."""
    gradient_clip: Annotated[float | str, Number(0, open_ends=True, words=("off",))] = "off"
    """Largest norm of the gradient of an update; a longer one is cut to it."""
    precision: Annotated[str, Words("auto", "float32", "bfloat16")] = "auto"
    """Precision of matrix products. ``"auto"`` is bfloat16 on a GPU, where all features stay if they fit, and
    float32 on a CPU.
    """

    @property
    def needs_decoder(self) -> bool:
        """Whether a term of the loss depends on reconstructed features."""
        return self.w_intra > 0 or self.w_reconstruction > 0

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        self._check_terms()
        fitting = AdversarialFitting(self, train, validation, run)
        training = fitting.trained()
        # The maps take statistics of training items where ``post`` asks for them: on the CPU, as later use
        for generator in fitting.networks.generators.values():
            generator.cpu().eval()
        maps = fitting.maps()
        self.image_map_, self.text_map_ = maps["image"], maps["text"]
        self._record([training], training)
        self.mixed_precision_ = run.mixed

    def _check_terms(self) -> None:
        """Raise ``MethodError`` where weights contradict each other or the representation."""
        if not (self.needs_decoder or self.w_inter or self.w_semantic):
            raise MethodError(f"{self.name}: all weights are 0, so there is nothing to learn; raise one")
        if self.representation == "posterior" and not self.w_semantic:
            raise MethodError(
                f"{self.name}: representation 'posterior' needs the class head; raise w_semantic"
            )


class CMGANsNone(CMGANs):
    """CM-GANs without weight sharing (ws) and without the semantic constraint (sc), the class term.

    The second encoder layers are two with initial values of their own, and there is no class head.
    """

    name: ClassVar[str] = "cmgans-none"
    paper_name: ClassVar[str] = "CM-GANs without ws&sc"

    tie: Annotated[str, Words("none")] = "none"
    w_semantic: Annotated[float, Words(0.0)] = 0.0


class CMGANsWS(CMGANs):
    """CM-GANs with weight sharing (ws), but without the semantic constraint: there is no class head."""

    name: ClassVar[str] = "cmgans-ws"
    paper_name: ClassVar[str] = "CM-GANs with ws"

    w_semantic: Annotated[float, Words(0.0)] = 0.0
    tie: Annotated[str, Words("tied")] = "tied"


class CMGANsSC(CMGANs):
    """CM-GANs with the semantic constraint (sc), but without weight sharing in the encoders.

    What is not shared are the second encoder layers. The class head may still be: ``head`` says.
    """

    name: ClassVar[str] = "cmgans-sc"
    paper_name: ClassVar[str] = "CM-GANs with sc"

    tie: Annotated[str, Words("none")] = "none"


class CMGANsInter(CMGANs):
    """CM-GANs with the inter-modality discriminators only. Without the others no decoder is needed either."""

    name: ClassVar[str] = "cmgans-inter"
    paper_name: ClassVar[str] = "CM-GANs only inter"

    w_intra: Annotated[float, Words(0.0)] = 0.0
    w_reconstruction: Annotated[float, Words(0.0)] = 0.0


class CMGANsCAE(CMGANs):
    """CM-GANs without discriminators: cross-modal autoencoders (CAE) with weight sharing and class term.

    Generators minimise the reconstruction error and the class term, in as many updates as in ``CMGANs``. The
    paper does not say which error; ours is the mean of squares relative to the variance of the features, so
    that its weight beside the class term does not depend on their units. ``reconstruction`` has others.
    """

    name: ClassVar[str] = "cmgans-cae"
    paper_name: ClassVar[str] = "CM-GANs-CAE"
    version: ClassVar[int] = 3

    w_inter: Annotated[float, Words(0.0)] = 0.0
    w_intra: Annotated[float, Words(0.0)] = 0.0
    w_reconstruction: Annotated[float, Words(1.0)] = 1.0
    generator_loss: Annotated[str, Words("non-saturating")] = "non-saturating"
    loss_scale: Annotated[str, Words("log")] = "log"
    update_order: Annotated[str, Words("discriminators-first")] = "discriminators-first"


class CMGANsPosterior(CMGANs):
    """CM-GANs whose representations are the class probabilities of its own class head, as in Deep-SM.

    It trains as ``CMGANs`` does, but chooses the state by the MAP of these. It is not what the paper
    publishes, hence the name of its rows.
    """

    name: ClassVar[str] = "cmgans-posterior"
    paper_name: ClassVar[str] = "CM-GANs (posterior)"

    representation: Annotated[str, Words("posterior")] = "posterior"
    w_semantic: Annotated[float, Number(0, open_ends=True), SearchRange(0.3, 10.0, log=True)] = 1.0


NOT_IN_THE_RELEASE = (
    "generator_loss",
    "loss_scale",
    "fake_weight",
    "w_reconstruction",
    "reconstruction",
    "shared_norm",
    "sampler",
    "beta1",
    "beta2",
    "joint_optimizer",
    "update_order",
    "representation",
    "batch_norm",
)
"""Parameters of ``CMGANs`` that the released program does not have; they stay at their defaults.

Dropout and weight decay are 0 in it, and patience, which it does not have either, has no effect.
"""


class CMGANsRelease(CMGANs):
    """CM-GANs with the choices of the released program (PKU-ICST-MIPL/CM-GANS_TOMM2019).

    It differs from ``CMGANs`` in these choices:

    * LeakyReLU of slope 0.2.
    * A class head for each modality.
    * Second encoder layers that are equal at the start only. The program asks for sharing, and then undoes it
      by moving each network to the GPU on its own.
    * One batch for all updates of an iteration.
    * A fixed number of epochs without a look at validation, after which the last state is kept.

    The rest is as in ``CMGANs``. As the learning rate is halved every 100 epochs, little happens after the
    1,000th of the 2,000.

    Examples
    --------
    >>> CMGANsRelease(epochs=400).tie
    'init_only'
    """

    name: ClassVar[str] = "cmgans-release"
    paper_name: ClassVar[str] = "CM-GANs (release)"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fixed: ClassVar[Mapping[str, Any]] = {
        "activation": "leaky",
        "head": "separate",
        "tie": "init_only",
        "resample": False,
        "stopping": "none",
        "weight_decay": 0.0,
        "dropout": 0.0,
        "patience": 6,
        **{name: getattr(CMGANs, name) for name in NOT_IN_THE_RELEASE},
    }

    learning_rate = 1e-3
    """Learning rate of Adam."""
    halve_every = 100
    """Epochs after which the learning rate is halved each time."""
    preprocessing = "none"
    """Features as they are."""
    epochs = 2000
    """Passes over the training pairs, after which the last state is kept."""
    eval_every = 10
    """Iterations from one point of the curves to the next."""
