"""A training that is killed after some of its epochs goes on, when fitted again, as if it had not been."""

from functools import cache

import numpy as np
import pytest
from representations import represented

from cmbench.methods.ccl.method import CCL, CCLCoarse
from cmbench.methods.cmdn.method import CMDN
from cmbench.methods.cmgans.method import CMGANs, CMGANsRelease
from cmbench.methods.conformance.subject import easy_pairs
from cmbench.methods.corr_ae.method import CorrAE, CorrAEFull
from cmbench.methods.dcca.method import DCCA
from cmbench.methods.deep_sm import DeepSM
from cmbench.methods.training.loop import Training

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

SHARED = {"device": "cpu", "threads": 1, "batch_size": 16, "checkpoint_seconds": 0.0}
RBMS = {"rbm_epochs": 4, "rbm_batch_size": 16, "code": 8}
CORR = {**SHARED, **RBMS, "hidden": 10, "embedding": 6, "alpha": 0.5}
TRIALS = {"alpha": "validation", "trial_steps": 10, "epochs": 4}
CODES = {**SHARED, **RBMS, "hidden_image": 10, "hidden_text": 9, "joint": 12, "width": 7, "class_batch": 16}
CODES |= {"joint_epochs": None}
GRAINS = {**CODES, "embedding": 6, "correlation_batch": 16, "correlation_epochs": 2, "class_epochs": 3}
LEVELS = {**CODES, "first_level": 12, "sae_hidden": 9, "sae_code": 5, "fusion": 7, "sae_rate": 0.02}
LEVELS |= {"sae_epochs": None}
GAN = {**SHARED, "embedding": 12, "hidden": 12, "discriminator_width": 8, "epochs": 4, "eval_every": 3}
NARROW = {**SHARED, "hidden_width": 12}

KILLED_AFTER = [  # in each stage, and at the end of one
    # three trials, of which two end at the pause after 2 of 4 epochs
    (CorrAEFull, {**CORR, **TRIALS}, 4 * 4 + 3 * 2 + 2, (1, 9, 17, 20, 22, 23)),
    # three variants, of which two end at the pause after 4 of 6 epochs
    (CorrAE, {**CORR, "epochs": 6, "eval_epochs": 2, "variant_steps": 12}, 4 * 4 + 3 * 4 + 2, (19, 25, 29)),
    (CCLCoarse, {**GRAINS, "epochs": 3}, 4 * 4 + 2 + 2 * (4 + 3) + 3, (5, 17, 34)),
    (CCL, {**GRAINS, "epochs": 3}, 2 * (4 * 4 + 2) + 2 * (4 + 3) + 3, (30,)),
    (CMDN, {**LEVELS, "rbm_epochs": 8, "class_epochs": 3, "epochs": 2}, 102, (11, 35, 66, 80, 97)),
    (CMGANs, GAN, 4, (1, 3)),
    (CMGANsRelease, GAN, 4, (1, 3)),
    (DCCA, {**NARROW, "n_components": 3, "ridge": "validation", "epochs": 6}, 2 * 6, (8, 11)),
    (DeepSM, {**NARROW, "epochs": 4, "eval_epochs": 3}, 2 * 4, (2, 6)),
]
CASES = [
    pytest.param(method, parameters, total, epochs, id=f"{method.name}-{epochs}")
    for method, parameters, total, when in KILLED_AFTER
    for epochs in when
]


class KilledError(Exception):
    """Stands for the end of the process."""


class Epochs:
    """Counts epochs, and the batches in them, of trainings in this process; may end them after some."""

    def __init__(self, monkeypatch):
        self.ran, self.batches, self.limit = 0, 0, 1000
        original = Training._run_epoch

        def counted(training, epoch):
            if self.ran == self.limit:
                raise KilledError
            self.ran += 1
            before = training.iteration
            try:
                return original(training, epoch)
            finally:
                self.batches += training.iteration - before

        monkeypatch.setattr(Training, "_run_epoch", counted)


@cache
def undisturbed(method, parameters):
    return fitted(method, **dict(parameters))


def fitted(method, **parameters):
    train, validation, _ = easy_pairs()
    return method(**parameters).fit(train, validation)


@pytest.mark.parametrize(("method", "parameters", "total", "epochs"), CASES)
def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(
    tmp_path, monkeypatch, method, parameters, total, epochs
):
    whole = undisturbed(method, tuple(parameters.items()))
    count = Epochs(monkeypatch)
    count.limit = epochs
    with pytest.raises(KilledError):
        fitted(method, **parameters, checkpoint=tmp_path)
    assert list(tmp_path.iterdir())
    count.limit, batches = 1000, count.batches
    resumed = fitted(method, **parameters, checkpoint=tmp_path)
    assert count.ran == total, "no epoch runs twice"
    assert (whole.resumed_at_, resumed.resumed_at_) == (0, batches)
    test = easy_pairs()[2]
    assert np.array_equal(represented(whole, test), represented(resumed, test))
    assert told(whole) == told(resumed)
    assert whole.curves_.keys() == resumed.curves_.keys()
    for name, values in whole.curves_.items():
        np.testing.assert_array_equal(resumed.curves_[name], values, err_msg=name)
    assert not list(tmp_path.iterdir()), "a training that is complete leaves no checkpoint"


def told(method):
    """Return what a fit found in numbers and words, but for where it went on."""
    values = {name: value for name, value in vars(method).items() if name.endswith("_")}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float | str) and not name.startswith("resumed_")
    }
