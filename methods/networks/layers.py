"""Layers that several networks use, groups of columns by name, and the error of reconstruction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from cmbench.neural import uniform_layer

Name = TypeVar("Name", bound=str)


def separated(rows: Tensor, widths: Mapping[Name, int]) -> dict[Name, Tensor]:
    """Return the groups of rows (n, sum of widths) by name, which stand side by side in that order.

    >>> separated(torch.tensor([[1.0, 2.0, 3.0]]), {"image": 2, "text": 1})["text"].tolist()
    [[3.0]]
    """
    groups = torch.split(rows, list(widths.values()), dim=1)
    return dict(zip(widths, groups, strict=True))


def half_square(left: Tensor, right: Tensor) -> Tensor:
    """Return the mean over rows of ½‖left - right‖².

    >>> half_square(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])).item()
    2.5
    """
    return 0.5 * (left - right).square().sum(dim=1).mean()


def logistic_layer(n_in: int, n_out: int, random: torch.Generator) -> nn.Sequential:
    """Return a full connection with the logistic function behind it."""
    layer: nn.Linear = skip_init(nn.Linear, n_in, n_out)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        layer.weight.normal_(0.0, 1 / math.sqrt(n_in), generator=random)
        layer.bias.zero_()
    return nn.Sequential(layer, nn.Sigmoid())


def linear(
    n_in: int, n_out: int, random: torch.Generator, *, fan_in: int | None = None, bias: bool = True
) -> nn.Linear:
    """Return a full connection, uniform within ±1/sqrt(fan in) as in Torch7 and PyTorch."""
    return uniform_layer(nn.Linear, n_in, n_out, fan_in=fan_in or n_in, random=random, bias=bias)
