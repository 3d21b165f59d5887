"""Trainings that end when their error on validation rows hardly falls any more: the rule, and RBMs by it."""

import numpy as np
import pytest
import torch

from cmbench.methods.networks.rbm import RBM
from cmbench.methods.networks.unsupervised import RBMSettings, reconstruction_error, train_rbm
from cmbench.methods.training.batches import Budget
from cmbench.methods.training.device import DeviceRows
from cmbench.methods.training.loop import Run
from cmbench.methods.training.plateau import LEAST_FALL, Plateau

CPU = torch.device("cpu")


def counted(errors, *, patience, earliest=0, path=None, log=None, dies_at=None):
    """Train a weight, which each epoch raises by 1, until the planted errors reach a plateau."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)

    def step(epoch, norms):
        if epoch == dies_at:
            raise KeyboardInterrupt
        if log is not None:
            log.append(epoch)
        network.weight.data += 1
        return []

    training = Run("toy", 0, checkpoint=path, seconds=0).train(
        "x",
        step,
        modules={"a": network},
        optimizers={},
        draws=lambda epoch: [epoch],
        rounds=1,
        epochs=len(errors),
        plateau=Plateau("error", lambda: errors[int(network.weight.item()) - 1], patience, earliest),
    )
    return training, network


FALLING = [0.5**epoch for epoch in range(6)]  # down to 1/32


@pytest.mark.parametrize("patience", [1, 2, 4])
@pytest.mark.parametrize("after", [0.0, 0.5 * LEAST_FALL])  # equal, hardly lower
def test_an_error_that_stops_falling_ends_the_training_within_patience(patience, after):
    flat = [FALLING[-1] * (1 - after) ** (epoch / patience) for epoch in range(1, 20)]
    training, network = counted(FALLING + flat, patience=patience)
    assert training.iteration == len(FALLING) + patience
    assert network.weight.item() == training.iteration, "the state is that of the last look"
    curves = training.curves.curves()
    np.testing.assert_array_equal(curves["error"], (FALLING + flat)[: training.iteration])


def test_an_error_that_rises_ends_the_training():
    training, _ = counted([1.0, 0.5, 0.8, 0.9, 1.0, 1.1], patience=2)
    assert training.iteration == 4, "0.9 is no lower than 0.5 two looks before"


def test_an_error_that_falls_slowly_at_first_may_fall_faster_later():
    errors = [1.0, 0.999, 0.998, 0.997, 0.5, 0.25, 0.125, 0.125, 0.125, 0.125]
    assert counted(errors, patience=2)[0].iteration == 3
    assert counted(errors, patience=2, earliest=6)[0].iteration == 9
    assert counted(errors[:4] * 3, patience=2, earliest=6)[0].iteration == 6


def test_an_error_that_falls_by_more_takes_all_epochs():
    errors = [(1 - 1.1 * LEAST_FALL) ** (epoch / 3) for epoch in range(30)]
    assert counted(errors, patience=3)[0].iteration == 30
    assert counted(errors, patience=2)[0].iteration == 3, "in two looks it falls by less"


@pytest.mark.parametrize("dies_at", [3, 7])
def test_a_training_that_was_killed_ends_at_the_same_epoch(tmp_path, dies_at):
    errors = FALLING + [FALLING[-1]] * 9
    whole, _ = counted(errors, patience=3)
    with pytest.raises(KeyboardInterrupt):
        counted(errors, patience=3, path=tmp_path / "a.pt", dies_at=dies_at)
    log = []
    resumed, network = counted(errors, patience=3, path=tmp_path / "a.pt", log=log)
    assert log == list(range(dies_at, 9))
    assert resumed.iteration == whole.iteration == network.weight.item() == 9
    log.clear()
    counted(errors, patience=3, path=tmp_path / "a.pt", log=log)
    assert not log, "one that has ended is not trained again"


def patterns(n, seed):
    random = np.random.default_rng(seed)
    prototypes = np.random.default_rng(7).random((3, 8)) < 0.5
    flipped = random.random((n, 8)) < 0.05
    return DeviceRows((prototypes[random.integers(3, size=n)] ^ flipped).astype(np.float32), None, CPU)


def trained(patience, validation, epochs=80):
    rbm = RBM(8, 6, "binary", torch.Generator().manual_seed(0))
    settings = RBMSettings(0.2, budget=Budget(epochs, 10_000, 16), patience=patience)
    training = train_rbm(rbm, patterns(64, 0), settings, "rbm", Run("toy", 0), validation=validation)
    return rbm, training


def test_an_rbm_ends_by_its_error_on_validation_rows_where_the_longer_training_was():
    held_out = patterns(32, 1)
    rbm, training = trained(3, held_out)
    curves = training.curves.curves()
    errors = curves["rbm_validation_error"]
    assert 80 / 4 <= len(errors) < 80
    assert errors[-1] > (1 - LEAST_FALL) * errors[-4]
    assert (errors[19:-1] <= (1 - LEAST_FALL) * errors[16:-4]).all()
    assert errors[-1] == reconstruction_error(rbm, held_out.sample(100))
    _, longer = trained(None, held_out)
    assert longer.iteration == 80 * 4
    prefix = longer.curves.curves()["rbm_error"][: len(errors)]
    np.testing.assert_array_equal(curves["rbm_error"], prefix)
    assert "rbm_validation_error" not in longer.curves.curves()


def test_an_rbm_without_validation_rows_spends_its_budget():
    assert trained(1, None, epochs=30)[1].iteration == 30 * 4
