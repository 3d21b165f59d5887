"""CM-GANs: cross-modal generative adversarial networks for common representation learning."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.cmgans.training import Fitting, Settings
from cmbench.methods.parameters import AnyFolder, Constraints, Count, Number, Words, check_parameters
from cmbench.methods.training.deep_method import DeepMethod
from cmbench.methods.training.loop import Run
from cmbench.methods.views.scaling import learned_scalings

CONSTRAINTS: Constraints = {
    "embedding": Count(1),
    "hidden": Count(1),
    "discriminator_width": Count(1),
    "w_inter": Number(0),
    "w_intra": Number(0),
    "w_semantic": Number(0),
    "generator_loss": Words("non-saturating", "saturating", "literal"),
    "loss_scale": Words("log", "linear"),
    "fake_weight": Number(0),
    "w_reconstruction": Number(0),
    "reconstruction": Words("mse", "l1"),
    "head": Words("shared", "separate"),
    "shared_norm": Words("affine", "none", "all"),
    "tie": Words("tied", "init_only", "none"),
    "activation": Words("relu", "leaky"),
    "generator_steps": Count(1),
    "resample": Words(True, False),
    "sampler": Words("classes", "uniform"),
    "mismatch": Words("own", "anchor"),
    "learning_rate": Number(0, open_ends=True),
    "beta1": Number(0, 1),
    "beta2": Number(0, 1),
    "weight_decay": Number(0),
    "halve_every": Count(1),
    "batch_size": Count(2),
    "joint_optimizer": Words(True, False),
    "update_order": Words("discriminators-first", "generators-first"),
    "epochs": Count(1),
    "stopping": Words("validation", "none"),
    "eval_every": Count(1),
    "patience": Count(1),
    "representation": Words("common", "softmax"),
    "batch_norm": Words("separate", "joined"),
    "preprocessing": Words("none", "zscore", "rownorm"),
    "post": Words("none", "zscore_train"),
    "gradient_clip": Number(0, open_ends=True, words=("off",)),
    "device": Words("auto", "cpu", "cuda"),
    "precision": Words("auto", "float32", "bfloat16"),
    "threads": Count(1, optional=True),
    "checkpoint": AnyFolder(),
    "checkpoint_seconds": Number(0),
    "random_state": Count(0),
}


class AdversarialMethod(DeepMethod):
    """A method whose parameters are those of ``CONSTRAINTS`` and whose training is ``Fitting``."""

    uses_labels: ClassVar[bool] = True
    constraints: ClassVar[Constraints] = CONSTRAINTS
    switches: ClassVar[Mapping[str, Any]] = {}
    """Parameters that an ablation fixes: they have these values, and no others can be set."""

    advice: ClassVar[str] = "lower learning_rate or w_inter"

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

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, with the values that this class fixes."""
        return {**super().get_params(deep), **self.switches}

    def settings(self) -> Settings:
        """Return what the parameters amount to, with those that this class fixes."""
        check_parameters(self)
        self._check_switches()
        values = {name: getattr(self, name) for name in CONSTRAINTS}
        return Settings.of(self.name, {**values, **self.switches})

    def _check_switches(self) -> None:
        parameters = inspect.signature(type(self)).parameters
        for name, fixed in self.switches.items():
            value = getattr(self, name)
            if value not in (fixed, parameters[name].default):
                raise MethodError(
                    f"{self.name}: {name} is {value!r}, but this ablation fixes it to {fixed!r}; "
                    "leave it out, or set it for cmgans"
                )


CITATION = (
    "Y. Peng, J. Qi, CM-GANs: cross-modal generative adversarial networks for common representation "
    "learning, ACM TOMM 15, 2019"
)


class CMGANs(AdversarialMethod):
    """Cross-modal GANs: two autoencoders with a shared layer against four discriminators.

    Each generator G_I, G_T encodes its modality into s (two full connections, the second shared),
    decodes s into a reconstruction r, and classifies s; D_I and D_T tell originals h from r, and
    D_Ci and D_Ct tell, given h of their modality, matched s from those of the other modality and
    from mismatched pairs ::

        minimise over D   L_DI + L_DT + L_DCi + L_DCt                    (equations 5 to 8)
        minimise over G   w_inter (-log D_Ct(s_i, h_t)) + w_intra (-log D_I(r_i))
                          + w_semantic CE(head(s_i), y), and alike for texts     (9, 10)

    in turn: each discriminator once, then ``generator_steps`` times the image and the text
    generator (Algorithm 1). The modules ``cmgans_objective`` and ``cmgans_updates`` spell out the
    losses and what each update touches. The representation of an item is its s in evaluation mode.

    Parameters
    ----------
    embedding, hidden, discriminator_width : int
        Size of s, of the other layers of the autoencoders, and of the inter-modality discriminators.
    w_inter, w_intra, w_semantic : float
        Weights of the terms. Of a term of weight 0 the networks are not even built.
    generator_loss : "non-saturating", "saturating" or "literal"
        (A1) The paper prints +log D and says "descending"; -log D is what the authors' code does.
    loss_scale : "log" or "linear"
        (A2) Equations 3 and 4 lack the logarithm that the equations 5 to 10 have.
    fake_weight : float
        (A3) Of each of the two fakes of D_Ci and D_Ct, so that real and fake weigh the same.
    w_reconstruction : float
    reconstruction : "mse" or "l1"
        (A4) CM-GANs proper has no reconstruction error; only its ablation CM-GANs-CAE has.
    head : "shared" or "separate"
        (A5) One softmax layer for both modalities, as written, or two, as released. Matters much.
    shared_norm : "affine", "none" or "all"
        (A6) What is shared besides weight and bias: scale and shift of the batch normalisation,
        nothing, or its running statistics too.
    tie : "tied", "init_only" or "none"
        (A7) Sharing, sharing of initial values only (what the released program does), or none.
    activation : "relu" or "leaky"
        (A8) As written, or with slope 0.2 below 0 as released; in discriminators too.
    generator_steps : int
        (A9) K, of which the paper gives no value; 5 as released.
    resample : bool
        (A10) Whether each of the K steps draws a fresh batch, as in Algorithm 1.
    sampler : "classes" or "uniform"
    mismatch : "own" or "anchor"
        (A11) Two categories drawn uniformly, with a member of each, or pairs drawn uniformly; and
        whether a mismatched s comes with its own h, as written, though then that term carries no
        information (see ``cmgans_objective``), or with that of the anchor.
    learning_rate, beta1, beta2, weight_decay, halve_every, batch_size, joint_optimizer
        (A12) One Adam for each network, its rate halved every ``halve_every`` epochs, as released;
        or one on the sum of both generators' losses.
    update_order : "discriminators-first" or "generators-first"
        (A13) In each round.
    epochs : int
    stopping : "validation" or "none"
    eval_every : int, iterations
    patience : int, epochs
        (A14) Every ``eval_every`` iterations the mean of the two bi-modal MAPs is taken on
        validation and the best state kept; after ``patience`` epochs without a better one, or
        ``epochs`` in all, training ends. ``"none"`` keeps the last state and ignores validation.
    representation : "common" or "softmax"
        (A15) s, or the class probabilities.
    batch_norm : "separate" or "joined"
        (A16) Whether the three inputs of D_Ci are a batch each to its normalisation, or one.
    preprocessing : "none", "zscore" or "rownorm"
        Features as stored, standardised by training statistics, or of unit norm. In each case
        columns that are constant in training become 0.
    post : "none" or "zscore_train"
        Whether representations are standardised by statistics of the training items.
    gradient_clip : float or "off"
        Largest norm of the gradient of an update.
    device : "auto", "cpu" or "cuda"
    precision : "auto", "float32" or "bfloat16"
        ``"auto"``: bfloat16 products on a GPU, where all features stay if they fit.
    threads : int or None
        CPU threads; None leaves PyTorch's setting. A different number may change the last bits.
    checkpoint : folder or None
    checkpoint_seconds : float
        At the end of an epoch, at most this often, the state is saved, and a training that was
        killed goes on from there. Takes no part in the result; the file is deleted at the end.
    random_state : int

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
    >>> CMGANs(8, 8, 4, epochs=2, batch_size=8).fit(pairs, pairs).transform_images(views[0]).shape
    (40, 8)
    """

    name: ClassVar[str] = "cmgans"
    paper_name: ClassVar[str] = "CM-GANs"
    citation: ClassVar[str] = CITATION
    version: ClassVar[int] = 2
    tuning_space: ClassVar[Mapping[str, Sequence[Any]]] = {
        "preprocessing": ("none", "zscore", "rownorm"),
        "post": ("none", "zscore_train"),
        "learning_rate": (2e-4, 1e-3),
        "w_semantic": (1.0, 10.0),
        "w_inter": (0.1, 1.0),
        "w_intra": (0.1, 1.0),
        "weight_decay": (0.0, 1e-3),
        "generator_steps": (1, 5),
        "mismatch": ("own", "anchor"),
    }

    def __init__(
        self,
        embedding: int = 1024,
        hidden: int = 1024,
        discriminator_width: int = 512,
        *,
        w_inter: float = 1.0,
        w_intra: float = 1.0,
        w_semantic: float = 1.0,
        generator_loss: str = "non-saturating",
        loss_scale: str = "log",
        fake_weight: float = 0.5,
        w_reconstruction: float = 0.0,
        reconstruction: str = "mse",
        head: str = "shared",
        shared_norm: str = "affine",
        tie: str = "tied",
        activation: str = "relu",
        generator_steps: int = 5,
        resample: bool = True,
        sampler: str = "classes",
        mismatch: str = "own",
        learning_rate: float = 1e-3,
        beta1: float = 0.5,
        beta2: float = 0.999,
        weight_decay: float = 0.0,
        halve_every: int = 100,
        batch_size: int = 64,
        joint_optimizer: bool = False,
        update_order: str = "discriminators-first",
        epochs: int = 200,
        stopping: str = "validation",
        eval_every: int = 10,
        patience: int = 6,
        representation: str = "common",
        batch_norm: str = "separate",
        preprocessing: str = "none",
        post: str = "none",
        gradient_clip: float | str = "off",
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 60.0,
        random_state: int = 0,
    ) -> None:
        self.embedding = embedding
        self.hidden = hidden
        self.discriminator_width = discriminator_width
        self.w_inter = w_inter
        self.w_intra = w_intra
        self.w_semantic = w_semantic
        self.generator_loss = generator_loss
        self.loss_scale = loss_scale
        self.fake_weight = fake_weight
        self.w_reconstruction = w_reconstruction
        self.reconstruction = reconstruction
        self.head = head
        self.shared_norm = shared_norm
        self.tie = tie
        self.activation = activation
        self.generator_steps = generator_steps
        self.resample = resample
        self.sampler = sampler
        self.mismatch = mismatch
        self.learning_rate = learning_rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.weight_decay = weight_decay
        self.halve_every = halve_every
        self.batch_size = batch_size
        self.joint_optimizer = joint_optimizer
        self.update_order = update_order
        self.epochs = epochs
        self.stopping = stopping
        self.eval_every = eval_every
        self.patience = patience
        self.representation = representation
        self.batch_norm = batch_norm
        self.preprocessing = preprocessing
        self.post = post
        self.gradient_clip = gradient_clip
        self.device = device
        self.precision = precision
        self.threads = threads
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.random_state = random_state


class CMGANsNone(CMGANs):
    """CM-GANs without weight sharing and semantic constraint.

    The second encoder layers are two, with initial values of their own, and there is no class head.
    """

    name: ClassVar[str] = "cmgans-none"
    paper_name: ClassVar[str] = "CM-GANs without ws&sc"
    switches: ClassVar[Mapping[str, Any]] = {"tie": "none", "w_semantic": 0.0}


class CMGANsWS(CMGANs):
    """CM-GANs with weight sharing, and without the semantic constraint: there is no class head."""

    name: ClassVar[str] = "cmgans-ws"
    paper_name: ClassVar[str] = "CM-GANs with ws"
    switches: ClassVar[Mapping[str, Any]] = {"tie": "tied", "w_semantic": 0.0}


class CMGANsSC(CMGANs):
    """CM-GANs with the semantic constraint, and without weight sharing in the encoders.

    The class head is one or two as ``head`` says, which weight sharing does not cover.
    """

    name: ClassVar[str] = "cmgans-sc"
    paper_name: ClassVar[str] = "CM-GANs with sc"
    switches: ClassVar[Mapping[str, Any]] = {"tie": "none"}


class CMGANsInter(CMGANs):
    """CM-GANs with inter-modality discrimination only: no intra-modality one, hence no decoders."""

    name: ClassVar[str] = "cmgans-inter"
    paper_name: ClassVar[str] = "CM-GANs only inter"
    switches: ClassVar[Mapping[str, Any]] = {"w_intra": 0.0, "w_reconstruction": 0.0}


class CMGANsCAE(CMGANs):
    """CM-GANs without an adversary: reconstruction error and class term with weight sharing.

    There are as many generator updates as in ``CMGANs``. The paper does not say which error; ours
    is the mean square over elements, or with ``reconstruction="l1"`` the mean absolute value.
    """

    name: ClassVar[str] = "cmgans-cae"
    paper_name: ClassVar[str] = "CM-GANs-CAE"
    switches: ClassVar[Mapping[str, Any]] = {"w_inter": 0.0, "w_intra": 0.0, "w_reconstruction": 1.0}


class CMGANsRelease(CMGANs):
    """CM-GANs with the choices of the released program (PKU-ICST-MIPL/CM-GANS_TOMM2019).

    Differs from ``CMGANs`` in LeakyReLU of slope 0.2, a class head for each modality, second
    encoder layers that are equal at the start only (the program asks for sharing, and then
    undoes it by moving each network to the GPU on its own), one batch for the discriminators and
    all generator steps of a round, and a fixed number of epochs without a look at validation,
    after which the last state is kept. The rest is as in ``CMGANs``: among it the learning rate
    halved every 100 epochs, so that little happens after the 1,000th of the 2,000.

    Parameters
    ----------
    epochs : int
    others : as in ``CMGANs``; ``eval_every`` is how often the curves have a point

    Examples
    --------
    >>> CMGANsRelease(epochs=400).tie
    'init_only'
    """

    name: ClassVar[str] = "cmgans-release"
    paper_name: ClassVar[str] = "CM-GANs (release)"

    def __init__(
        self,
        embedding: int = 1024,
        hidden: int = 1024,
        discriminator_width: int = 512,
        *,
        epochs: int = 2000,
        generator_steps: int = 5,
        mismatch: str = "own",
        w_inter: float = 1.0,
        w_intra: float = 1.0,
        w_semantic: float = 1.0,
        learning_rate: float = 1e-3,
        halve_every: int = 100,
        batch_size: int = 64,
        eval_every: int = 10,
        preprocessing: str = "none",
        post: str = "none",
        gradient_clip: float | str = "off",
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 60.0,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            embedding,
            hidden,
            discriminator_width,
            activation="leaky",
            head="separate",
            tie="init_only",
            resample=False,
            stopping="none",
            epochs=epochs,
            generator_steps=generator_steps,
            mismatch=mismatch,
            w_inter=w_inter,
            w_intra=w_intra,
            w_semantic=w_semantic,
            learning_rate=learning_rate,
            halve_every=halve_every,
            batch_size=batch_size,
            eval_every=eval_every,
            preprocessing=preprocessing,
            post=post,
            gradient_clip=gradient_clip,
            device=device,
            precision=precision,
            threads=threads,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            random_state=random_state,
        )
