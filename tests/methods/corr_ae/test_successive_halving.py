"""Successive halving of Corr-AE: what is trained how far, and that pausing changes nothing."""

import numpy as np
import pytest
from representations import represented
from small_corr_ae import BRIEF, ROUNDS_1, scores_of

from cmbench.methods.corr_ae.method import CorrAE, CorrAECorr, CorrAECross, CorrAEFull
from cmbench.methods.training.loop import Training

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

KINDS = {"corr": CorrAECorr, "cross": CorrAECross, "full": CorrAEFull}


PAUSING = {"epochs": 6, "eval_epochs": 2, "variant_steps": 12, "alpha": 0.5}  # 12 steps are 4 of 6 epochs


def test_the_variant_of_the_best_look_at_the_pause_alone_is_trained_to_the_end(toy, monkeypatch):
    epochs, original = [], Training._run_epoch

    def counted(self, epoch):
        epochs.append(self.stage)
        return original(self, epoch)

    monkeypatch.setattr(Training, "_run_epoch", counted)
    method = CorrAE(**{**BRIEF, **PAUSING}).fit(toy.train, toy.validation)
    compared = scores_of(method.finals_)
    assert max(compared, key=compared.__getitem__) == f"{method.variant_} 0.5"
    for variant in ("corr", "cross", "full"):
        assert epochs.count(f"{variant}_0.5") == (6 if variant == method.variant_ else 4)
    kind = KINDS[method.variant_]
    monkeypatch.undo()
    settings = {name: value for name, value in {**BRIEF, **PAUSING}.items() if name != "variant_steps"}
    alone = kind(**settings).fit(toy.train, toy.validation)
    assert np.array_equal(represented(alone, toy.test), represented(method, toy.test))
    at_the_pause = alone.curves_["validation_map"][alone.curves_["iteration"] == ROUNDS_1 + 4 * 5]
    assert compared[f"{method.variant_} 0.5"] == pytest.approx(float(at_the_pause[0]), abs=1e-4)


@pytest.mark.parametrize(("kind", "variants"), [(CorrAE, ("corr", "cross", "full")), (CorrAEFull, ("full",))])
def test_each_variant_goes_on_with_the_alpha_of_the_best_look_at_its_pause(toy, monkeypatch, kind, variants):
    epochs, original = [], Training._run_epoch

    def counted(self, epoch):
        epochs.append(self.stage)
        return original(self, epoch)

    monkeypatch.setattr(Training, "_run_epoch", counted)
    lengths = {
        "epochs": 8,
        "eval_epochs": 2,
        "trial_steps": 6,
        "variant_steps": 16,
    }  # 2, and 4 epochs of 5 steps
    lengths = {name: length for name, length in lengths.items() if name not in kind.fixed}
    method = kind(**{**BRIEF, **lengths}).fit(toy.train, toy.validation)
    tried, chosen = scores_of(method.trials_), f"{method.variant_} {method.alpha_:g}"
    for variant in variants:
        alphas = [f"{variant} {alpha}" for alpha in (0.2, 0.5, 0.8)]
        best = max(alphas, key=tried.__getitem__)
        for name in alphas:
            last = 8 if name == chosen else 4 if name == best else 2
            assert epochs.count(name.replace(" ", "_")) == last
    # The one that was chosen ends as if it had never paused, and as the only one
    monkeypatch.undo()
    alone = KINDS[method.variant_]
    lengths = {name: length for name, length in lengths.items() if name not in alone.fixed}
    same = alone(**{**BRIEF, **lengths, "alpha": method.alpha_}).fit(toy.train, toy.validation)
    assert np.array_equal(represented(same, toy.test), represented(method, toy.test))
    assert method.best_iteration_ <= method.iterations_ == same.iterations_ == ROUNDS_1 + 8 * 5
    at_the_pause = same.curves_["validation_map"][same.curves_["iteration"] == ROUNDS_1 + 2 * 5]
    assert tried[chosen] == pytest.approx(float(at_the_pause[0]), abs=1e-4)
