"""The training of DCCA: batches of pairs, two networks, and the linear CCA of what they put out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from cmbench.datasets.contract import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.correlation_objective import total_correlation
from cmbench.methods.networks.perceptron import NetworkMap, ProjectedMap, Shape, ViewNetwork
from cmbench.methods.training.batches import EpochBatches, Index, stream
from cmbench.methods.training.curves import collapse, gradient_norm
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import Place, training_features
from cmbench.methods.training.loop import Finding, Length, Task, Training, Watched
from cmbench.methods.training.pairs import views_of
from cmbench.methods.views.canonical_correlation import canonical_problem
from cmbench.methods.views.inputs import MODALITIES, Matrix, Modality
from cmbench.methods.views.maps import LinearMap
from cmbench.methods.views.scaling import ScaledView, Scalings, scaled_view

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

    images: ProjectedMap
    texts: ProjectedMap
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
        self, settings: Settings, train: Split, validation: Split, scalings: Scalings, place: Place
    ) -> None:
        self.settings, self.scalings = settings, scalings
        self.train, self.validation = train, validation
        self.features = {
            name: training_features(view, scalings[name], place) for name, view in views_of(train).items()
        }
        self.batches = EpochBatches(
            len(train), batch=settings.batch(len(train)), seed=settings.random_state, stream="pairs"
        )
        self.networks = {name: self._network(name).to(place.device) for name in MODALITIES}
        self.optimizer = torch.optim.Adam(
            decayed(list(self.networks.values()), settings.weight_decay),
            lr=settings.learning_rate,
            fused=True,
        )

    def training(self) -> Training[Index]:
        """Return the training of these networks, not yet begun."""
        settings, rounds = self.settings, self.batches.rounds
        modules = {str(name): network for name, network in self.networks.items()}
        task = Task(
            name=settings.name,
            modules=modules,
            kept=modules,
            optimizers={"both": self.optimizer},
            items=self.draws,
            rounds=rounds,
            step=self.train_round,
            score=None if settings.stopping == "none" else self.look,
        )
        return Training(task, Length(settings.epochs, settings.eval_epochs * rounds, settings.patience))

    def draws(self, epoch: int) -> Iterator[Index]:
        """Return the pairs of the rounds of an epoch."""
        return self.batches.epoch(epoch)

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
            "validation_map": bimodal_map(images, texts, self.validation.labels),
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
            for name, features in views_of(self.train).items():
                maps[name] = NetworkMap(self.networks[name], f"{name}s", self.scalings[name])
                outputs[name] = scaled_view(maps[name](features), f"outputs of {name}s", mode="center")
            problem = canonical_problem(outputs["image"], outputs["text"], solver="svd", smallest_ridge=ridge)
            found = problem.solve(ridge, ridge)
        importance = found.correlations**self.settings.corr_power
        weights: dict[Modality, Matrix] = {"image": found.image_weights, "text": found.text_weights}
        images, texts = (
            ProjectedMap(
                maps[name],
                LinearMap(f"outputs of {name}s", outputs[name].scaling, weights[name] * importance),
            )
            for name in MODALITIES
        )
        variates = (
            each.projection(outputs[name].features)
            for name, each in zip(MODALITIES, (images, texts), strict=True)
        )
        condition = max(_condition(view, ridge) for view in outputs.values())
        return Projections(images, texts, found.correlations, paired_correlation(*variates), condition)

    def _network(self, name: Modality) -> ViewNetwork:
        width = views_of(self.train)[name].shape[1]
        return ViewNetwork(width, self.settings.shape, stream(self.settings.random_state, f"{name} network"))


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
