"""The first stage of CMDN: codes learned within each modality, and codes learned across both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmbench.datasets.draft import Modality
from cmbench.methods.networks.layers import half_square, linear
from cmbench.methods.networks.pretraining import train_stack
from cmbench.methods.networks.rbm import GroupCode, JointRBM
from cmbench.methods.networks.unsupervised import train_autoencoder, train_rbm
from cmbench.methods.training.batches import RowDraw
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import DeviceRows, NetworkMap
from cmbench.methods.training.loop import Run, Training, Trainings
from cmbench.methods.views.inputs import MODALITIES
from cmbench.methods.views.maps import Chain, SideBySide
from cmbench.methods.views.scaling import Scaling, UnitScaling

if TYPE_CHECKING:
    from cmbench.methods.cmdn.method import CMDN

SHALLOW_DECAY, DEEP_DECAY = 1e-3, 1e-4  # weight decay of the first and of the second pass, as released


class StackedAutoencoder(nn.Module):
    """Two layers with ReLU from a row to its code, and two back, the last of them logistic.

    With r(x) = max(0, x) and s the logistic function, a row x has ::

        h = r(xA + a),  code = r(hB + b),  reconstruction s(r(code C + c)D + d)

    ``shallow`` is the autoencoder of its outer layers alone, with the reconstruction s(hD + d).

    Parameters
    ----------
    width, hidden, code : int, sizes of rows, of the layers beside the code, and of the code
    random : of the initial weights
    """

    def __init__(self, width: int, hidden: int, code: int, random: torch.Generator) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            linear(width, hidden, random), nn.ReLU(), linear(hidden, code, random), nn.ReLU()
        )
        self.decoder = nn.Sequential(
            linear(code, hidden, random), nn.ReLU(), linear(hidden, width, random), nn.Sigmoid()
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Return the reconstruction (n, width) of rows (n, width)."""
        reconstruction: Tensor = self.decoder(self.encoder(rows))
        return reconstruction

    def shallow(self) -> nn.Sequential:
        """Return the autoencoder of one hidden layer within this one: the same weights, not a copy."""
        return nn.Sequential(*list(self.encoder)[:2], *list(self.decoder)[2:])


def train_stacked_autoencoder(
    network: StackedAutoencoder, rows: DeviceRows, method: CMDN, view: str, run: Run
) -> list[Training[RowDraw]]:
    """Train ``network`` on ``rows`` (n, width) in [0, 1], in place: its outer layers first, then the whole.

    Each of the two passes minimises the mean over rows of ½‖reconstruction - row‖².

    Raises
    ------
    DivergenceError
        A weight or the loss became NaN or infinite.
    MethodError
        Rows are reconstructed no better than by their mean.
    """
    network.to(rows.device)
    return [
        _train_pass(network.shallow(), rows, method, SHALLOW_DECAY, f"sae1_{view}", run),
        _train_pass(network, rows, method, DEEP_DECAY, f"sae2_{view}", run),
    ]


def _train_pass(
    network: nn.Module, rows: DeviceRows, method: CMDN, decay: float, stage: str, run: Run
) -> Training[RowDraw]:
    optimizer = torch.optim.Adam(decayed([network], decay), lr=method.sae_rate, fused=True)

    def loss(given: Tensor, _: torch.Generator) -> Tensor:
        return half_square(network(given), given)

    budget = replace(method.rbm_budget, epochs=method.sae_epochs or method.rbm_epochs)
    return train_autoencoder(network, rows, loss, "sae_rate", optimizer, budget, stage, run)


Views: TypeAlias = Mapping[Modality, NDArray[Any]]
"""Features of both modalities; row i of each is of pair i."""


def learn_intra_codes(
    features: NDArray[Any], method: CMDN, name: Modality, run: Run
) -> tuple[Chain, Trainings]:
    """Learn codes of ``features`` (n, d) of one modality by a stacked autoencoder.

    Each column of features is scaled into [0, 1], where the logistic reconstructions lie. Codes are scaled
    into [0, 1] too, by the range of all of them together, which keeps the proportions of their columns.
    """
    scaling = UnitScaling.of_columns(features, f"{name}s")
    rows = DeviceRows(features, scaling, run.device)
    network = StackedAutoencoder(rows.width, method.sae_hidden, method.sae_code, run.stream(f"sae_{name}"))
    trainings = train_stacked_autoencoder(network, rows, method, name, run)
    codes = NetworkMap(network.encoder, f"{name}s", scaling)
    unit = UnitScaling.of_all(codes(features), f"codes of the stacked autoencoder of {name}s")
    return Chain(codes, unit.encode), [*trainings]


def learn_inter_codes(
    views: Views, validation: Views, scalings: Mapping[Modality, Scaling], method: CMDN, run: Run
) -> tuple[dict[Modality, NetworkMap], Trainings]:
    """Learn codes of pairs by a multimodal deep belief network.

    RBMs, or a denoising autoencoder, give a code of each modality, and a joint RBM stands above both. Each
    RBM learns from ``views`` and ends by its error on those of ``validation`` pairs. The
    code of an item is the probabilities of the joint RBM's hidden units given its own modality alone, by
    mean field.
    """
    hidden: dict[Modality, int] = {"image": method.hidden_image, "text": method.hidden_text}
    # Two RBMs, or an autoencoder, for each modality
    trainings: Trainings = []
    below: dict[Modality, NetworkMap] = {}
    for name in MODALITIES:
        rows, held_out = (DeviceRows(each[name], scalings[name], run.device) for each in (views, validation))
        stack = train_stack(rows, hidden[name], method, name, run, validation=held_out)
        trainings += stack.trainings
        below[name] = NetworkMap(stack.network, f"{name}s", scalings[name])
    # The joint RBM, and its hidden units given either modality
    codes = _side_by_side(below, views), _side_by_side(below, validation)
    joint = JointRBM({str(name): method.code for name in MODALITIES}, method.joint, run.stream("joint"))
    rows, held_out = (DeviceRows(each, None, run.device) for each in codes)
    training = train_rbm(joint, rows, method.joint_settings(), "joint", run, validation=held_out)
    above = {name: _followed_by(below[name], GroupCode(joint, name)) for name in MODALITIES}
    return above, [*trainings, training]


def _side_by_side(below: Mapping[Modality, NetworkMap], views: Views) -> NDArray[np.float32]:
    return np.hstack([below[name](views[name]) for name in MODALITIES])


def _followed_by(below: NetworkMap, above: nn.Module) -> NetworkMap:
    """Return the map by the network of ``below`` and then ``above``."""
    return NetworkMap(nn.Sequential(*below.network.children(), above), below.view, below.scaling)


def learn_separate_codes(
    views: Views,
    validation: Views,
    scalings: Mapping[Modality, Scaling],
    method: CMDN,
    run: Run,
) -> tuple[dict[Modality, SideBySide], Trainings]:
    """Learn both codes of each modality; return maps that give them side by side, and the trainings.

    They learn from ``views``; RBMs end by their error on those of ``validation`` pairs. The ``intra`` codes
    come first, then the ``inter`` codes; all are in [0, 1]. ``scalings`` are those of the
    features that the RBMs learn from.
    """
    trainings: Trainings = []
    intra_codes: dict[Modality, Chain] = {}
    for name in MODALITIES:
        intra_codes[name], more = learn_intra_codes(views[name], method, name, run)
        trainings += more
    inter_codes, more = learn_inter_codes(views, validation, scalings, method, run)
    maps = {name: SideBySide(intra_codes[name], inter_codes[name]) for name in MODALITIES}
    return maps, trainings + more
