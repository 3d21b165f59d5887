"""DCCA: deep canonical correlation analysis."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Annotated, ClassVar

import numpy as np
import torch

from cmbench.datasets.draft import Modality, Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.dcca.total_correlation import total_correlation
from cmbench.methods.networks.perceptron import Shape, ViewNetwork
from cmbench.methods.parameters import Count, Number, SearchSpace, Words
from cmbench.methods.training.batches import Index
from cmbench.methods.training.curves import collapse, gradient_norm
from cmbench.methods.training.deep_method import DeepMethod
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import DeviceRows, NetworkMap
from cmbench.methods.training.loop import Finding, Run, Training, Watched
from cmbench.methods.views.canonical_correlation import canonical_problem
from cmbench.methods.views.inputs import MODALITIES, Matrix, warn
from cmbench.methods.views.maps import Chain, LinearMap
from cmbench.methods.views.scaling import ScaledView, Scalings, learned_scalings, scaled_view

ROWS_PER_OUTPUT, FEWEST_ROWS = 4, 200  # of a batch, without which its covariances are mostly noise


@dataclass(frozen=True)
class Settings:
    """What a training of DCCA depends on besides its pairs; see ``DCCA`` for the meaning."""

    name: str
    n_components: int
    ridge: float
    corr_power: float
    hidden_layers: int
    hidden_width: int
    activation: str
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    stopping: str
    eval_epochs: int
    patience: int
    random_state: int

    @property
    def shape(self) -> Shape:
        """What both networks look like."""
        return Shape(self.hidden_layers, self.hidden_width, self.n_components, self.activation)

    def batch(self, n_pairs: int) -> int:
        """Return how many pairs make a batch, of that many in all; too few raise ``MethodError``."""
        smallest = max(ROWS_PER_OUTPUT * self.n_components, FEWEST_ROWS)
        batch = min(n_pairs, max(self.batch_size, smallest))
        if batch <= self.n_components:
            raise MethodError(
                f"{self.name}: n_components is {self.n_components}, but there are {n_pairs} training pairs, "
                "which always correlate fully in as many components; lower it"
            )
        return batch


@dataclass(frozen=True, eq=False)
class Projections:
    """The maps of both views, and what the linear CCA of the training outputs found.

    Parameters
    ----------
    images, texts : maps of features to canonical variates
    correlations : the canonical correlations of the ridged problem, falling
    total : the sum of the plain correlations of the training variates
    condition : the larger condition number of both ridged covariances
    """

    images: Chain
    texts: Chain
    correlations: Matrix
    total: float
    condition: float

    def correlation_of(self, split: Split) -> float:
        """Return the total correlation of the variates of other pairs; see ``paired_correlation``."""
        return paired_correlation(self.images(split.images), self.texts(split.texts))


class Fitting:
    """Two networks and the pairs, ready to be trained.

    Every random number comes from ``random_state`` through a stream of its own purpose: one for the
    weights of each network, one for the order of the pairs in each epoch.
    """

    def __init__(
        self, settings: Settings, train: Split, validation: Split, scalings: Scalings, run: Run
    ) -> None:
        self.settings, self.scalings = settings, scalings
        self.train, self.validation = train, validation
        self.run = run
        self.features = {
            name: DeviceRows(view, scalings[name], run.device) for name, view in train.views.items()
        }
        self.batches = run.order(len(train), settings.batch(len(train)), "pairs")
        self.networks = {name: self._network(name).to(run.device) for name in MODALITIES}
        self.optimizer = torch.optim.Adam(
            decayed(list(self.networks.values()), settings.weight_decay),
            lr=settings.learning_rate,
            fused=True,
        )

    def trained(self) -> Training[Index]:
        """Train these networks as a stage of the run."""
        settings, rounds = self.settings, self.batches.rounds
        return self.run.train(
            f"{settings.n_components}-{settings.ridge:g}",
            self.train_round,
            modules={str(name): network for name, network in self.networks.items()},
            optimizers={"both": self.optimizer},
            items=self.batches.epoch,
            rounds=rounds,
            epochs=settings.epochs,
            look_every=settings.eval_epochs * rounds,
            patience=settings.patience,
            score=None if settings.stopping == "none" else self.look,
        )

    def train_round(self, index: Index, norms: bool) -> Watched:
        """Move both networks towards a higher total correlation of the pairs of that index."""
        outputs = {name: net(self.features[name].rows(index)) for name, net in self.networks.items()}
        found = total_correlation(outputs["image"], outputs["text"], ridge=self.settings.ridge)
        self.optimizer.zero_grad(set_to_none=True)
        (-found.total).backward()  # type: ignore[no-untyped-call]
        watched = [("batch_correlation", found.total.detach())]
        for name, condition in zip(MODALITIES, found.conditions, strict=True):
            watched.append((f"{name}_condition", condition))
        if norms:
            for name, network in self.networks.items():
                watched.append((f"{name}_gradient", gradient_norm([*network.parameters()])))
        self.optimizer.step()
        return watched

    def look(self) -> Finding:
        """Return what the networks, followed by their linear CCA, make of the validation pairs."""
        projections = self.projections()
        images = projections.images(self.validation.images)
        texts = projections.texts(self.validation.texts)
        measured = {
            "validation_map": bimodal_map(images, texts, self.validation.targets),
            "validation_correlation": paired_correlation(images, texts),
            "training_correlation": projections.total,
        }
        deciding = "validation_correlation" if self.settings.stopping == "correlation" else "validation_map"
        return Finding(measured[deciding], measured)

    def projections(self) -> Projections:
        """Return the networks as they are now, followed by the linear CCA of their training outputs.

        Outputs that are all the same, or do not correlate at all, raise ``CollapseError``.
        """
        maps, outputs, ridge = {}, {}, self.settings.ridge
        with collapse("outputs of the networks"):
            for name, features in self.train.views.items():
                network = self.networks[name]
                maps[name] = NetworkMap(network, f"{name}s", self.scalings[name], torch.float64)
                outputs[name] = scaled_view(maps[name](features), f"outputs of {name}s", mode="center")
            problem = canonical_problem(outputs["image"], outputs["text"], solver="svd", smallest_ridge=ridge)
            found = problem.solve(ridge, ridge)
        importance = found.correlations**self.settings.corr_power
        weights: dict[Modality, Matrix] = {"image": found.image_weights, "text": found.text_weights}
        projections = {
            name: LinearMap(f"outputs of {name}s", outputs[name].scaling, weights[name] * importance)
            for name in MODALITIES
        }
        images, texts = (Chain(maps[name], projections[name]) for name in MODALITIES)
        variates = (projections[name](outputs[name].features) for name in MODALITIES)
        condition = max(_condition(view, ridge) for view in outputs.values())
        return Projections(images, texts, found.correlations, paired_correlation(*variates), condition)

    def _network(self, name: Modality) -> ViewNetwork:
        width = self.train.views[name].shape[1]
        return ViewNetwork(width, self.settings.shape, self.run.stream(f"{name} network"))


def paired_correlation(images: Matrix, texts: Matrix) -> float:
    """Return the sum over columns of Pearson's correlation of images (n, k) and texts (n, k).

    Of canonical variates of new pairs it is what generalises of the total correlation of the training
    pairs. A constant column counts as 0.

    >>> images, texts = np.array([[1.0, 5.0], [2.0, 5.0]]), np.array([[4.0, 1.0], [0.0, 2.0]])
    >>> round(paired_correlation(images, texts), 9)
    -1.0
    """
    a, b = images - images.mean(axis=0), texts - texts.mean(axis=0)
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    products = np.einsum("ij,ij->j", a, b)
    return float(np.divide(products, norms, out=np.zeros_like(products), where=norms > 0).sum())


def _condition(outputs: ScaledView, ridge: float) -> float:
    covariance = np.atleast_2d(np.cov(outputs.dense(), rowvar=False))
    return float(np.linalg.cond(covariance + ridge * np.eye(len(covariance))))


SIZES = (20, 50, 100)
RIDGES = (1e-3, 1e-1)
PAIRS_PER_COMPONENT = 8  # fewer, and even linear CCA of random outputs correlates highly in training
ILL_CONDITIONED = 1e8


class DCCA(DeepMethod):
    """Deep CCA: a network for each view, trained until their outputs correlate as much as can be.

    With H1 and H2 (m, o) the outputs for a batch of m pairs, centred to A and B, and r the ridge ::

        maximise over both networks   ‖T‖_tr,   T = S11^-½ S12 S22^-½,
        S11 = AᵀA/(m-1) + r I,   S22 = BᵀB/(m-1) + r I,   S12 = AᵀB/(m-1).

    The trace norm is the sum of the singular values of T, which are the canonical correlations of the
    outputs; not the sum of their squares, which other programs maximise. The module
    ``total_correlation`` beside this one has its gradient. It does not change, but for the ridge, under an
    invertible map of either output, so the outputs of a pair need not be alike, and a linear CCA
    with the same ridge follows: with P and Q the directions found on all training outputs, an item is
    represented by its canonical variates ::

        (H1 - mean) P   or   (H2 - mean) Q,    Pᵀ S11 P = Qᵀ S22 Q = I,   Pᵀ S12 Q diagonal.

    With a ridge of 0 the variates of training items have the identity as covariance; with one, those
    in which outputs vary little are smaller. No label is used to learn.

    G. Andrew, R. Arora, J. Bilmes, K. Livescu, "Deep canonical correlation analysis", ICML 2013;
    F. Yan, K. Mikolajczyk, "Deep correlation for matching images and text", CVPR 2015.

    Attributes
    ----------
    n_components_, ridge_ : what was given or chosen; fewer components where outputs depend on others
    correlations_ : float64, the canonical correlations of the ridged linear CCA, falling
    training_correlation_, validation_correlation_ : the sum of the plain correlations of all variates over
        the training and the validation pairs; far apart where the networks have overfitted
    condition_ : the larger condition number of S11 and S22 over all training pairs
    curves_ : float64 arrays by name, one value for each look: ``iteration``, ``batch_correlation``,
        condition numbers and gradient norms of each network, the two correlations above, and
        ``validation_map``
    validation_map_ : MAP on validation of the representations kept; None without validation
    iterations_, best_iteration_ : rounds run, and the one whose state is kept
    resumed_at_ : rounds, of all trainings together, that checkpoints spared; 0 for none
    spread_, mean_cosine_, collapsed_ : of both modalities' validation representations, the worse
    threads_, device_ : what was used

    Raises
    ------
    DivergenceError
        From ``fit``, when the objective becomes NaN or infinite; it names the iteration.

    Notes
    -----
    Networks train in float32, which suffices for gradients and is twice as fast. Outputs are correlated,
    and trained networks evaluated for the linear CCA, in float64, since whitening magnifies rounding;
    which is why bfloat16 is not offered.

    Andrew et al. train with L-BFGS on all pairs at once, start from denoising autoencoders, and use a
    non-saturating sigmoid shaped like a cube root. Here, as in later programs, Adam trains random
    initial weights on batches, on which Yan and Mikolajczyk train too; and the state is chosen by MAP,
    as for every method, unless ``stopping="correlation"``. There is no preset ``paper``: what CM-GANs'
    authors gave DCCA is not published, and L-BFGS on all pairs is not offered.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> latent = rng.normal(size=(40, 2))
    >>> views = [latent @ rng.normal(size=(2, d)) + rng.normal(size=(40, d)) / 10 for d in (5, 4)]
    >>> pairs = Split(*views, labels=np.arange(40) % 2, ids=np.arange(40).astype(str))
    >>> dcca = DCCA(n_components=2, hidden_width=8, epochs=4).fit(pairs, pairs)
    >>> dcca.transform_images(views[0]).shape, bool(dcca.training_correlation_ <= 2)
    ((40, 2), True)
    """

    name: ClassVar[str] = "dcca"
    paper_name: ClassVar[str] = "DCCA"
    citation: ClassVar[str] = (
        "G. Andrew, R. Arora, J. Bilmes, K. Livescu, Deep canonical correlation analysis, ICML 2013"
    )
    uses_labels: ClassVar[bool] = False
    version: ClassVar[int] = 1

    n_components: Annotated[int | str, Count(1, words=("validation",)), SearchSpace(*SIZES)] = 50
    """o, the size of the outputs. ``"validation"`` tries 20, 50 and 100, as far as there are 8 training pairs
    for each of them. 50 is in between, since no paper says.
    """
    ridge: Annotated[float | str, Number(0, words=("validation",)), SearchSpace(*RIDGES)] = 0.1
    """r, on covariances as they are; ``"validation"`` tries 0.001 and 0.1. Training correlations of nearly 1
    are the rule, and with less than 0.1 the MAP on validation soon falls again.
    """
    corr_power: Annotated[float, Number(0)] = 0.0
    """Component i is multiplied by (its correlation)**corr_power in both views; 0 is as published."""
    hidden_layers: Annotated[int, Count(0)] = 2
    """Hidden layers of each network; with none it is linear. Two layers of 1024 units are our choice."""
    hidden_width: Annotated[int, Count(1)] = 1024
    """Units of each hidden layer."""
    activation: Annotated[str, Words("sigmoid", "relu")] = "sigmoid"
    """Of hidden layers. The logistic sigmoid is the usual stand-in for that of the paper."""
    batch_size = 1000
    """m, cut to the number of pairs and raised to 4 o or 200, whichever is more: correlations within a small
    batch mean little. The incomplete last batch of an epoch is left out.
    """
    stopping: Annotated[str, Words("validation", "correlation", "none")] = "validation"
    """Which state of the networks is kept: that whose representations have the highest mean of the two
    bi-modal MAPs on validation; that of the highest total correlation there (``"correlation"``), which takes
    no label; or the last (``"none"``).
    """
    eval_epochs = 2
    """Epochs from one look at validation to the next, each with a linear CCA of its own."""
    patience = 50
    """Epochs to wait for a better state: 50, since an epoch of up to 1000 pairs is one update."""
    preprocessing = "zscore"
    """Features as stored (``"none"``), standardised by training statistics (``"zscore"``), or scaled to unit
    norm row by row (``"rownorm"``). CNN features as stored saturate sigmoids. In each case columns that are
    constant in training become 0.
    """

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        scalings = learned_scalings(train, self.preprocessing)
        grid = self._grid(len(train))
        fittings = (Fitting(settings, train, validation, scalings, run) for settings in grid)
        self._keep(*max(((fitting, fitting.trained()) for fitting in fittings), key=_score), validation)

    def _grid(self, n_pairs: int) -> list[Settings]:
        """Return the settings to try, one for each size and ridge."""
        asked = [name for name in ("n_components", "ridge") if getattr(self, name) == "validation"]
        if asked and self.stopping != "validation":
            raise MethodError(
                f"{self.name}: {asked[0]} is 'validation', which compares by MAP on validation, but stopping "
                f"is {self.stopping!r}; give a number, or use stopping 'validation'"
            )
        most = max(1, n_pairs // PAIRS_PER_COMPONENT)
        searched = tuple(size for size in SIZES if size <= most) or (most,)
        sizes = searched if isinstance(self.n_components, str) else (int(self.n_components),)
        if max(sizes) > most:
            warn(
                f"{self.name}: n_components is {max(sizes)} for {n_pairs} training pairs, fewer than "
                f"{PAIRS_PER_COMPONENT} for each; any pairs correlate highly in so many, so give fewer"
            )
        ridges = RIDGES if isinstance(self.ridge, str) else (float(self.ridge),)
        return [self._settings(size, ridge) for size, ridge in product(sizes, ridges)]

    def _settings(self, size: int, ridge: float) -> Settings:
        values = self._values(Settings)
        return Settings(**{**values, "n_components": size, "ridge": ridge})

    def _keep(self, fitting: Fitting, training: Training[Index], validation: Split) -> None:
        for network in fitting.networks.values():
            network.cpu()
        found = fitting.projections()
        self.image_map_, self.text_map_ = found.images, found.texts
        self.n_components_, self.ridge_ = len(found.correlations), fitting.settings.ridge
        self.correlations_, self.condition_ = found.correlations, found.condition
        self.training_correlation_ = found.total
        watched = self.stopping != "none"
        self.validation_correlation_ = found.correlation_of(validation) if watched else None
        self.curves_ = training.curves.curves()
        self.iterations_, self.best_iteration_ = training.iteration, training.best_iteration
        if self.condition_ > ILL_CONDITIONED:
            warn(
                f"{self.name}: outputs of a network nearly depend on each other (condition number "
                f"{self.condition_:.1e}); raise ridge, or lower n_components"
            )


def _score(fitted: tuple[Fitting, Training[Index]]) -> tuple[float, ...]:
    return fitted[1].best.score
