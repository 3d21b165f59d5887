"""Groups of parameters for optimisers, and SGD with the schedule of the deepnet program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def decayed(networks: Sequence[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Return groups of parameters for an optimiser: weights, which decay, and biases, which do not.

    A parameter that is one number is among the biases. Layers that networks share are in them once.
    """
    parameters = list(dict.fromkeys(values for network in networks for values in network.parameters()))
    weights = [values for values in parameters if values.ndim > 1]
    biases = [values for values in parameters if values.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]


def cut_gradient(parameters: Sequence[Tensor], largest: float | str) -> None:
    """Cut the gradient of all parameters together to the norm ``largest`` if it is longer; "off" does not."""
    if not isinstance(largest, str):
        nn.utils.clip_grad_norm_(parameters, largest)


HALF_LIFE = 10_000  # steps after which the learning rate is half of what it was at first
FIRST_MOMENTUM, LAST_MOMENTUM = 0.5, 0.9


class ScheduledSGD(torch.optim.SGD):
    """SGD whose momentum grows and whose learning rate falls with the number t of steps made.

    ::

        momentum(t) = 0.9 - (0.9 - 0.5) exp(-t / momentum_steps)
        rate(t)     = learning_rate / (1 + t / 10,000)

    The number of steps is part of ``state_dict``, so an interrupted training goes on where it was.

    Parameters
    ----------
    groups : of parameters, as any optimiser of PyTorch takes them
    learning_rate : float, at the first step
    momentum_steps : float, the time constant of the momentum

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = ScheduledSGD([{"params": [weight]}], 0.5, momentum_steps=100)
    >>> weight.grad = torch.full((1,), 0.5)
    >>> optimizer.step()
    >>> weight.item()
    0.75
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], learning_rate: float, *, momentum_steps: float
    ) -> None:
        super().__init__(
            [{**group, "steps": 0} for group in groups],
            lr=learning_rate,
            momentum=FIRST_MOMENTUM,
            fused=True,
        )
        self.learning_rate, self.momentum_steps = learning_rate, momentum_steps

    def step(self, closure: Any = None) -> Any:
        """Set rate and momentum by the number of steps made, and make one more."""
        for group in self.param_groups:
            group["lr"] = self.learning_rate / (1 + group["steps"] / HALF_LIFE)
            group["momentum"] = momentum(group["steps"], self.momentum_steps)
            group["steps"] += 1
        return super().step(closure)


def momentum(steps: int, momentum_steps: float) -> float:
    """Return the momentum after so many steps.

    >>> momentum(0, 100), round(momentum(100, 100), 3), momentum(100_000, 100)
    (0.5, 0.753, 0.9)
    """
    return LAST_MOMENTUM - (LAST_MOMENTUM - FIRST_MOMENTUM) * math.exp(-steps / momentum_steps)
