"""The base of methods of which only the networks and the loss are new."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmbench.datasets.draft import Modality, Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.parameters import AddedLater, Number, Words
from cmbench.methods.training.batches import Index, seeded_apart
from cmbench.methods.training.curves import gradient_norm
from cmbench.methods.training.deep_method import DeepMethod
from cmbench.methods.training.descent import cut_gradient, decayed
from cmbench.methods.training.device import DeviceRows, NetworkMap, picked
from cmbench.methods.training.loop import Finding, Run, Training, Watched
from cmbench.methods.views.inputs import MODALITIES, Matrix, checked_classes, class_numbers
from cmbench.methods.views.maps import Chain, RowMap, in_float64
from cmbench.methods.views.scaling import learned_scalings


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss to descend, and the curves to record in its place.

    Parameters
    ----------
    value : 0-d
    curves : 0-d tensors by the names of their curves
    """

    value: Tensor
    curves: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Tensor | Mapping[str, Tensor] | Loss, method: str) -> Loss:
        """Take what ``TrainedMethod.loss`` returned; anything but scalars raises ``MethodError``.

        A scalar has the curve ``loss``. Terms by name are added up; each has a curve of its name, and
        their sum is ``loss``.
        """
        if isinstance(found, Loss):
            return found
        terms = dict(found) if isinstance(found, Mapping) else {"loss": found}
        if not terms:
            raise MethodError(f"{method}: the loss has no terms; return a scalar, or scalars by name")
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim or not term.requires_grad:
                raise MethodError(
                    f"{method}: the loss {name!r} is {_described(term)}; return a scalar computed from the "
                    "outputs of the networks, or such scalars by name"
                )
        first, *others = terms.values()
        value = torch.stack([term.float() for term in terms.values()]).sum() if others else first
        return cls(value, {**terms, "loss": value})


class Batches(Protocol):
    """The rows of each batch of an epoch, the same whenever they are asked for."""

    rounds: int
    """Batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Index]:
        """Yield the row numbers (batch,) of each batch of that epoch, counted from 0."""


@dataclass(frozen=True, eq=False)
class TrainedNetworks:
    """What ``TrainedMethod.train_networks`` gives.

    Parameters
    ----------
    outputs : the map of features (n, d) to outputs (n, k) of each network, in the state that was kept
    trainings : one, or one for each modality where they train apart
    """

    outputs: Mapping[Modality, NetworkMap]
    trainings: Sequence[Training[Index]]


LossReturned: TypeAlias = Tensor | Mapping[str, Tensor] | Loss


class TrainedMethod(DeepMethod):
    """A network for each modality, trained by Adam on random batches of pairs.

    A subclass writes ``networks`` and ``loss``, and may have parameters of its own ::

        class InfoNCE(TrainedMethod):
            temperature: Annotated[float, Number(0, open_ends=True)] = 0.07
            "What cosines are divided by."

            def networks(self, widths, n_classes):
                return {name: nn.Linear(width, 64) for name, width in widths.items()}

            def loss(self, images, texts, labels):
                cosines = normalize(images) @ normalize(texts).T / self.temperature
                return cross_entropy(cosines, torch.arange(len(images), device=cosines.device))

    Everything else comes with it: features are standardised; weights decay; every ``eval_epochs`` epochs
    the MAP of the validation pairs is taken, the best state is kept, and training ends when ``patience``
    runs out; curves, device, precision and threads; checkpoints, from which a fit that was killed goes on
    to the same result; and errors where the loss or a weight becomes NaN or infinite, and a warning where
    all representations become alike. Random numbers that networks and losses take from PyTorch's own
    generators (initial weights, ``nn.Dropout``) depend on ``random_state`` and the epoch alone.

    The representation of an item is the output of its network in evaluation mode. To change one thing,
    override one method: ``represent`` (a function of outputs), ``representations`` (fitted on training
    pairs), ``score`` (what early stopping looks at), ``batches``, ``optimizer_of``.

    Attributes
    ----------
    curves_ : float64 arrays by name, one value for each look at validation: ``iteration``, ``loss`` and its
        terms (means since the last look), ``image_gradient`` and ``text_gradient`` (norms),
        ``validation_map``
    iterations_, best_iteration_ : batches trained on, and the one after which the state was kept
    classes_ : int64 (c,), the labels that class numbers 0, 1, ... stand for, if the method uses labels
    """

    together: ClassVar[tuple[tuple[Modality, ...], ...]] = (MODALITIES,)
    """The modalities whose networks train together, in order; ``(("image",), ("text",))`` trains them apart,
    each with a loss (``loss_of``) and a score of its own."""
    evaluated_in: ClassVar[torch.dtype] = torch.float32
    """The precision in which trained networks are evaluated."""
    momenta: ClassVar[tuple[float, float]] = (0.9, 0.999)
    """Adam's decay of the mean of gradients and of their squares from step to step."""
    watched_in: ClassVar[torch.dtype | None] = None
    """The precision in which looks at validation evaluate networks; None for that of ``evaluated_in``."""

    _epoch_number: int = field(init=False, default=0)

    gradient_clip: Annotated[float | str, Number(0, open_ends=True, words=("off",)), AddedLater("off")] = (
        "off"
    )
    """Largest norm of the gradient of networks that train together; a longer one is cut to it."""
    precision: Annotated[str, Words("auto", "float32", "bfloat16")] = "float32"
    """Of the matrix products of networks in training. ``"auto"`` is bfloat16 on a GPU."""

    @abstractmethod
    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        """Return a new network for ``"image"`` and one for ``"text"``, which may share layers.

        Each maps standardised features (n, width of its modality), float32, to outputs. Further modules,
        a classifier say, may be returned by other names, and are trained along.
        """

    def loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> LossReturned:
        """Return the loss of a batch of n pairs, to be made small: a scalar, or its terms by name.

        ``images`` and ``texts`` are outputs, in float32, row i of both of pair i. ``labels`` are int64 (n,):
        class numbers from 0 if the method uses labels, else the labels as they are. A method that is
        ``multi_label`` gets 0/1 labels (n, c) as they are.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method loss(images, texts, labels)")

    @property
    def epoch_number(self) -> int:
        """The number of the epoch that is being trained, from 0, for what a loss changes as it goes on."""
        return self._epoch_number

    def loss_of(self, outputs: Mapping[Modality, Tensor], labels: Tensor) -> LossReturned:
        """Return the loss of the outputs of networks that train together."""
        return self.loss(outputs["image"], outputs["text"], labels)

    def represent(self, outputs: Matrix) -> Matrix:
        """Return representations (n, k) of outputs in float64, row by row; by default outputs themselves."""
        return outputs

    def representations(
        self, outputs: Mapping[Modality, NetworkMap], train: Split
    ) -> Mapping[Modality, RowMap]:
        """Return the maps of features to representations, given those to outputs as the networks are now."""
        return {name: Chain(mapping, in_float64, self.represent) for name, mapping in outputs.items()}

    def score(
        self, outputs: Mapping[Modality, NetworkMap], train: Split, validation: Split
    ) -> float | Finding:
        """Return how good the networks are now, the higher the better: the mean of the two bi-modal MAPs.

        Return a ``Finding`` to name the curves of what was measured, and to break ties by further numbers.
        """
        maps, views = self.representations(outputs, train), validation.views
        images, texts = (maps[name](views[name]) for name in MODALITIES)
        return bimodal_map(images, texts, validation.targets)

    def batches(self, labels: NDArray[Any], run: Run, purpose: str) -> Batches:
        """Return the batches of pairs: by default all pairs in a new random order each epoch.

        ``run.stream(purpose)``, ``run.seed`` and the number of the epoch should be all that they depend on.
        """
        return run.order(len(labels), self.batch_size, purpose)

    def optimizer_of(self, networks: Sequence[nn.Module]) -> torch.optim.Optimizer:
        """Return the optimiser of networks that train together: Adam, with decay of weights, not biases."""
        groups = decayed(networks, float(self.weight_decay))
        return torch.optim.Adam(groups, lr=float(self.learning_rate), betas=self.momenta, fused=True)

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        trained = self.train_networks(train, validation, run)
        maps = self.representations(trained.outputs, train)
        self.image_map_, self.text_map_ = maps["image"], maps["text"]
        self._record(trained.trainings, trained.trainings[-1])

    def _move_networks_to_cpu(self) -> None:
        super()._move_networks_to_cpu()
        for held in vars(self).values():  # a classifier say, which no map of features holds
            if isinstance(held, nn.Module):
                held.cpu()

    def train_networks(
        self, train: Split, validation: Split, run: Run, *, stage: str = "pairs"
    ) -> TrainedNetworks:
        """Build the networks and train them, those that train together as the stage of that name."""
        labels = self._class_numbers(train, validation)
        modules = self._built(train, run)
        scalings, views = learned_scalings(train, self.preprocessing), train.views
        rows = {name: DeviceRows(views[name], scalings[name], run.device) for name in MODALITIES}
        outputs = {
            name: NetworkMap(modules[name], f"{name}s", scalings[name], self.evaluated_in)
            for name in MODALITIES
        }
        trainings = []
        for names in self.together:
            learner = _Learner(
                self,
                run,
                modules if len(names) == len(MODALITIES) else {name: modules[name] for name in names},
                {name: rows[name] for name in names},
                torch.tensor(labels, device=run.device),
                purpose="pairs" if len(names) == len(MODALITIES) else names[0],
            )
            precision = self.watched_in or self.evaluated_in
            looked_at = {name: replace(outputs[name], precision=precision) for name in names}
            score = lambda maps=looked_at: self.score(maps, train, validation)  # noqa: E731 - of this group
            trainings.append(learner.trained(stage if len(names) > 1 else names[0], score))
        return TrainedNetworks(outputs, trainings)

    def _class_numbers(self, train: Split, validation: Split) -> NDArray[np.int64]:
        if not self.uses_labels or (self.multi_label and train.is_multi_label):
            return train.labels
        self.classes_ = checked_classes(train.labels, len(train.images))
        numbers, _ = class_numbers(train, validation, self.name)
        return numbers

    def _built(self, train: Split, run: Run) -> Mapping[str, nn.Module]:
        widths = {name: features.shape[1] for name, features in train.views.items()}
        n_classes = train.labels.shape[1] if train.is_multi_label else len(train.categories)
        with seeded_apart(run.device):
            torch.manual_seed(run.stream("networks").initial_seed())
            modules = self.networks(widths, n_classes)
        missing = [name for name in MODALITIES if not isinstance(modules.get(name), nn.Module)]
        if missing:
            raise MethodError(
                f"{self.name}: networks() returned {', '.join(modules) or 'nothing'}, and no torch.nn.Module "
                f"named {missing[0]!r}; return one for each of {', '.join(MODALITIES)}"
            )
        return {name: module.to(run.device).train() for name, module in modules.items()}


class _Learner:
    """Networks that train together, with the rows and labels that they learn from.

    ``purpose`` is what the random numbers of batches and of dropout are kept for. Stages of one purpose have
    the same, as those of the sizes and ridges that DCCA tries do.
    """

    def __init__(
        self,
        method: TrainedMethod,
        run: Run,
        modules: Mapping[str, nn.Module],
        rows: Mapping[Modality, DeviceRows],
        labels: Tensor,
        *,
        purpose: str,
    ) -> None:
        self.method, self.run, self.modules, self.purpose = method, run, modules, purpose
        self.rows, self.labels = rows, labels
        self.batches = method.batches(labels.cpu().numpy(), run, purpose)
        self.optimizer = method.optimizer_of(list(modules.values()))
        self.parameters = [each for group in self.optimizer.param_groups for each in group["params"]]

    def trained(self, stage: str, score: Callable[[], float | Finding]) -> Training[Index]:
        """Train the networks as the stage of that name, to the state of the highest score."""
        method, rounds = self.method, self.batches.rounds
        return self.run.train(
            stage,
            self.step,
            modules=self.modules,
            optimizers={"all": self.optimizer},
            draws=self.draws,
            rounds=rounds,
            epochs=method.epochs,
            look_every=method.eval_epochs * rounds,
            patience=method.patience,
            score=None if method.stopping == "none" else score,
            purpose=self.purpose,
        )

    def draws(self, epoch: int) -> Iterator[Index]:
        """Tell the method which epoch begins, and return the rows of its batches."""
        self.method._epoch_number = epoch
        return self.batches.epoch(epoch)

    def step(self, index: Index, norms: bool) -> Watched:
        """Descend the loss of the pairs of that index, and return what is to be recorded."""
        with self.run.autocast():
            outputs = {name: self.modules[name](rows.rows(index)) for name, rows in self.rows.items()}
        outputs = {name: values.float() for name, values in outputs.items()}
        loss = Loss.of(self.method.loss_of(outputs, picked(self.labels, index)), self.method.name)
        self.optimizer.zero_grad(set_to_none=True)
        loss.value.backward()  # type: ignore[no-untyped-call]
        watched = [(name, value.detach()) for name, value in loss.curves.items()]
        if norms:
            watched += [
                (f"{name}_gradient", gradient_norm([*self.modules[name].parameters()])) for name in self.rows
            ]
        cut_gradient(self.parameters, self.method.gradient_clip)
        self.optimizer.step()
        return watched


def _described(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    return f"a tensor of shape {tuple(value.shape)}" + ("" if value.requires_grad else " without a gradient")
