"""DCCA: deep canonical correlation analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmbench.datasets.draft import Modality, Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.dcca.total_correlation import total_correlation
from cmbench.methods.networks.perceptron import Shape, ViewNetwork
from cmbench.methods.parameters import AddedLater, Count, Number, SearchRange, SearchSpace, Words
from cmbench.methods.training.batches import EpochBatches, stream
from cmbench.methods.training.curves import collapse
from cmbench.methods.training.device import NetworkMap
from cmbench.methods.training.loop import Finding, Run
from cmbench.methods.training.trained_method import Loss, TrainedMethod
from cmbench.methods.views.canonical_correlation import canonical_problem
from cmbench.methods.views.inputs import MODALITIES, Matrix, warn
from cmbench.methods.views.maps import Chain, LinearMap
from cmbench.methods.views.scaling import ScaledView, scaled_view

ROWS_PER_OUTPUT, FEWEST_ROWS = 4, 200  # of a batch, without which its covariances are mostly noise
SIZES = (20, 50, 100)
RIDGES = (1e-3, 1e-1)
PAIRS_PER_COMPONENT = 8  # fewer, and even linear CCA of random outputs correlates highly in training
ILL_CONDITIONED = 1e8


class DCCA(TrainedMethod):
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
    Networks train in float32, which suffices for gradients and is twice as fast, and so they are evaluated
    at looks at validation, on all training pairs each time: that took 40 % of a training in float64. Outputs
    are correlated, and trained networks evaluated for the linear CCA of the representation, in float64, since
    whitening magnifies rounding; which is why bfloat16 is not offered.

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
    version: ClassVar[int] = 2
    fixed: ClassVar[Mapping[str, Any]] = {"precision": "float32"}
    evaluated_in: ClassVar[torch.dtype] = torch.float64
    watched_in: ClassVar[torch.dtype] = torch.float32

    n_components: Annotated[int | str, Count(1, words=("validation",)), SearchSpace(*SIZES)] = 50
    """o, the size of the outputs. ``"validation"`` tries 20, 50 and 100, as far as there are 8 training pairs
    for each of them. 50 is in between, since no paper says.
    """
    ridge: Annotated[float | str, Number(0, words=("validation",)), SearchRange(1e-4, 1.0, log=True)] = 0.1
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
    """Activation of hidden layers. The logistic sigmoid is the usual stand-in for that of the paper."""
    dropout: Annotated[float, Number(0, 0.99), SearchRange(0.0, 0.5), AddedLater(0.0)] = 0.0
    """Share of hidden units left out in training. No paper of DCCA has it."""
    weight_decay: Annotated[float, Number(0), SearchRange(1e-6, 1e-2, log=True)] = 1e-4
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
    patience = 20
    """Epochs to wait for a better state, each of them an update with up to 1000 pairs. MAP on validation
    rises to its peak without much of a dent, and falls for good: on ``scenes`` after 46 of 96 epochs, on
    Wikipedia's CNN features after 6 of 56.
    """
    preprocessing = "global"
    """Features as stored (``"none"``); standardised column by column by training statistics (``"zscore"``);
    centred and divided by one number for each view (``"global"``); or scaled to unit norm row by row
    (``"rownorm"``). CNN features as stored saturate sigmoids. In each case columns that are constant in
    training become 0.

    Columns of a PCA or an LSA have very unequal variances, and dividing each by its own blows up noise. By
    MAP on validation, means over two seeds, ``"global"`` was better than ``"zscore"`` by .008 to .12 on four
    of six datasets, most on Pascal Sentence with an LSA of its texts, and worse by .005 on Wikipedia's SIFT
    features.
    """

    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        size = int(self.n_components)
        shape = Shape(self.hidden_layers, self.hidden_width, size, self.activation, self.dropout)
        return {
            name: ViewNetwork(width, shape, stream(self.random_state, f"{name} network"))
            for name, width in widths.items()
        }

    def loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Loss:
        """Return the negative total correlation of outputs (m, o) of a batch."""
        correlation = total_correlation(images, texts, ridge=float(self.ridge))
        conditions = {
            f"{name}_condition": condition
            for name, condition in zip(MODALITIES, correlation.conditions, strict=True)
        }
        return Loss(-correlation.total, {"batch_correlation": correlation.total, **conditions})

    def batches(self, labels: NDArray[Any], run: Run, purpose: str) -> EpochBatches:
        return run.order(len(labels), self.batch(len(labels)), purpose)

    def batch(self, n_pairs: int) -> int:
        """Return how many pairs make a batch, of that many in all; too few raise ``MethodError``."""
        size = int(self.n_components)
        batch = min(n_pairs, max(self.batch_size, ROWS_PER_OUTPUT * size, FEWEST_ROWS))
        if batch <= size:
            raise MethodError(
                f"{self.name}: n_components is {size}, but there are {n_pairs} training pairs, "
                "which always correlate fully in as many components; lower it"
            )
        return batch

    def score(self, outputs: Mapping[Modality, NetworkMap], train: Split, validation: Split) -> Finding:
        """Return what the networks, followed by their linear CCA, make of the validation pairs."""
        projections = self.projections(outputs, train)
        images, texts = projections.images(validation.images), projections.texts(validation.texts)
        measured = {
            "validation_map": bimodal_map(images, texts, validation.targets),
            "validation_correlation": paired_correlation(images, texts),
            "training_correlation": projections.total,
        }
        deciding = "validation_correlation" if self.stopping == "correlation" else "validation_map"
        return Finding(measured[deciding], measured)

    def representations(self, outputs: Mapping[Modality, NetworkMap], train: Split) -> dict[Modality, Chain]:
        projections = self.projections(outputs, train)
        return {"image": projections.images, "text": projections.texts}

    def projections(self, outputs: Mapping[Modality, NetworkMap], train: Split) -> Projections:
        """Return the networks as they are now, followed by the linear CCA of their training outputs.

        Outputs that are all the same, or do not correlate at all, raise ``CollapseError``.
        """
        ridge, centred = float(self.ridge), {}
        # Centre the outputs of all training pairs, and find the directions P and Q
        with collapse("outputs of the networks"):
            for name, features in train.views.items():
                rows = outputs[name](features)
                centred[name] = scaled_view(rows, f"outputs of {name}s", mode="center")
            problem = canonical_problem(centred["image"], centred["text"], solver="svd", smallest_ridge=ridge)
            directions = problem.solve(ridge, ridge)
        # Weigh the components, and put each projection behind its network
        importance = directions.correlations**self.corr_power
        weights = {"image": directions.image_weights, "text": directions.text_weights}
        linear = {
            name: LinearMap(f"outputs of {name}s", centred[name].scaling, weights[name] * importance)
            for name in MODALITIES
        }
        images, texts = (Chain(outputs[name], linear[name]) for name in MODALITIES)
        # Correlations of the training pairs without the ridge, and how well their covariances are conditioned
        variates = (linear[name](centred[name].features) for name in MODALITIES)
        condition = max(_condition(view, ridge) for view in centred.values())
        return Projections(images, texts, directions.correlations, paired_correlation(*variates), condition)

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        trials = []
        for trial in self._grid(len(train)):
            stage = f"{trial.n_components}-{trial.ridge:g}"
            trials.append((trial, trial.train_networks(train, validation, run, stage=stage)))
        best, networks = max(trials, key=lambda trial: trial[1].trainings[0].best.score)
        for mapping in networks.outputs.values():
            mapping.network.cpu()
        projections = best.projections(networks.outputs, train)
        self.image_map_, self.text_map_ = projections.images, projections.texts
        self.n_components_, self.ridge_ = len(projections.correlations), best.ridge
        self.correlations_, self.condition_ = projections.correlations, projections.condition
        self.training_correlation_ = projections.total
        self.validation_correlation_ = None
        if self.stopping != "none":
            variates = projections.images(validation.images), projections.texts(validation.texts)
            self.validation_correlation_ = paired_correlation(*variates)
        self._record(networks.trainings, networks.trainings[0])
        if self.condition_ > ILL_CONDITIONED:
            warn(
                f"{self.name}: outputs of a network nearly depend on each other (condition number "
                f"{self.condition_:.1e}); raise ridge, or lower n_components"
            )

    def _grid(self, n_pairs: int) -> list[Self]:
        """Return this method with each size and ridge to be tried."""
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
        return [
            type(self)(**{**self.get_params(deep=False), "n_components": size, "ridge": ridge})
            for size, ridge in product(sizes, ridges)
        ]


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
