"""The practice of training RBMs and their stacks: budgets, guards, seeds, interruptions, codes."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone

from cmbench.errors import MethodError
from cmbench.methods.corr_ae.method import CorrAE
from cmbench.methods.networks.pretraining import (
    DenoisingAutoencoder,
    denoising_loss,
    hidden_layer,
    train_stack,
)
from cmbench.methods.networks.rbm import RBM
from cmbench.methods.networks.unsupervised import RBMSettings, RBMUpdates, judge, train_rbm
from cmbench.methods.training.batches import Budget, BudgetedBatches
from cmbench.methods.training.curves import DivergenceError
from cmbench.methods.training.deep_method import in_sequence
from cmbench.methods.training.device import DeviceRows, NetworkMap
from cmbench.methods.training.loop import Run, Training
from cmbench.methods.views.inputs import MethodWarning
from cmbench.methods.views.scaling import Scaling

CPU = torch.device("cpu")
SMALL = CorrAE(code=5, rbm_epochs=6, rbm_batch_size=16)
PRETRAININGS = (SMALL, CorrAE(pretrain="dae", code=5, rbm_epochs=20, rbm_batch_size=16, dae_rate=0.02))


def features(n=64, width=6, seed=0):
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, 2)) @ random.normal(size=(2, width)) + 0.3 * random.normal(
        size=(n, width)
    )
    return (7 + 3 * values).astype(np.float32)


def scaled_rows(values=None):
    values = features() if values is None else values
    return DeviceRows(values, Scaling.fit(values, "images"), CPU)


def run(path=None, seed=0):
    return Run("toy", seed, checkpoint=path, seconds=0)


def stack(pretraining=SMALL, rows=None, **where):
    return train_stack(rows or scaled_rows(), 7, pretraining, "image", run(**where))


def codes(made, rows=None):
    rows = rows or scaled_rows()
    return NetworkMap(made.network, "images", rows.scaling)(rows.features)


@pytest.mark.parametrize("pretraining", PRETRAININGS)
def test_codes_are_probabilities_that_tell_items_apart(pretraining):
    found = codes(stack(pretraining))
    assert found.shape == (64, 5)
    assert found.dtype == np.float32
    assert ((found > 0) & (found < 1)).all()
    assert found.std(axis=0).min() > 1e-3


def test_a_stack_is_one_rbm_after_the_other():
    lower, upper = (RBM(a, b, "binary", torch.Generator().manual_seed(a)) for a, b in ((6, 7), (7, 5)))
    network = torch.nn.Sequential(*hidden_layer(lower), *hidden_layer(upper))
    visible = torch.rand(9, 6)
    torch.testing.assert_close(network(visible), upper(lower(visible)))


def test_the_upper_rbm_learns_from_the_probabilities_of_the_lower(monkeypatch):
    seen = []
    original = train_rbm

    def watched(rbm, rows, *others, **keywords):
        seen.append((rbm, rows))
        return original(rbm, rows, *others, **keywords)

    monkeypatch.setattr("cmbench.methods.networks.pretraining.train_rbm", watched)
    made = stack()
    (lower, below), (upper, above) = seen
    visible = below.rows(np.arange(64))
    assert (lower.units, upper.units) == ("gaussian", "binary")
    torch.testing.assert_close(visible.mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(above.rows(np.arange(64)), lower(visible), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.from_numpy(codes(made)), upper(lower(visible)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pretraining", PRETRAININGS)
def test_the_same_seed_gives_the_same_codes_and_another_seed_others(pretraining):
    torch.manual_seed(1)
    first = codes(stack(pretraining, seed=3))
    torch.manual_seed(2)
    assert np.array_equal(first, codes(stack(pretraining, seed=3)))
    assert not np.allclose(first, codes(stack(pretraining, seed=4)))


@pytest.mark.parametrize("change", [{"dae_rate": 0.03}, {"corruption": 0.4}])
def test_every_setting_of_a_denoising_autoencoder_has_an_effect(change):
    usual = PRETRAININGS[1]
    other = clone(usual).set_params(**change)
    assert not np.allclose(codes(stack(usual)), codes(stack(other)), rtol=1e-4)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("pretraining", PRETRAININGS)
@pytest.mark.parametrize("epochs", [2, 8])
def test_a_stack_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, pretraining, epochs):
    whole = stack(pretraining)
    original, count = Training._run_epoch, iter(range(1000))

    def mortal(self, epoch):
        if next(count) >= epochs:
            raise KilledError
        return original(self, epoch)

    monkeypatch.setattr(Training, "_run_epoch", mortal)
    with pytest.raises(KilledError):
        stack(pretraining, path=tmp_path / "a.pt")
    monkeypatch.undo()
    ran = []
    monkeypatch.setattr(
        Training, "_run_epoch", lambda self, epoch: ran.append(epoch) or original(self, epoch)
    )
    again = run(path=tmp_path / "a.pt")
    resumed = train_stack(scaled_rows(), 7, pretraining, "image", again)
    assert len(ran) == sum(training.iteration // 4 for training in whole.trainings) - epochs
    assert again.resumed_at == 4 * epochs
    assert np.array_equal(codes(whole), codes(resumed))
    curves = in_sequence(whole.trainings), in_sequence(resumed.trainings)
    for name, values in curves[0].items():
        np.testing.assert_array_equal(curves[1][name], values, err_msg=name)


def test_memory_mapped_rows_are_learned_the_same(tmp_path):
    np.save(tmp_path / "images.npy", features())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = codes(stack(rows=scaled_rows(mapped)), scaled_rows(mapped))
    assert np.array_equal(found, codes(stack()))


def test_a_budget_ends_at_its_epochs_or_steps_whichever_is_less():
    def steps(epochs, most):
        settings = RBMSettings(1e-3, budget=Budget(epochs, most, 16))
        return train_rbm(
            RBM(6, 7, "gaussian", torch.Generator()), scaled_rows(), settings, "r", run()
        ).iteration

    assert steps(6, 1000) == 24
    assert steps(50, 22) == 22


def test_batches_hold_each_row_once_an_epoch_in_an_order_of_their_own():
    batches = BudgetedBatches(10, Budget(4, 1000, 5), seed=0, purpose="rbm1_image")
    first, second = ([draw.index for draw in batches.epoch(number)] for number in (0, 1))
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(10))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, [draw.index for draw in batches.epoch(0)])
    other = BudgetedBatches(10, Budget(4, 1000, 5), seed=0, purpose="rbm1_text")
    assert not np.array_equal(first, [draw.index for draw in other.epoch(0)])


def test_random_numbers_belong_to_an_epoch_and_a_purpose():
    def drawn(number, purpose="rbm1_image", seed=0):
        batches = BudgetedBatches(10, Budget(4, 1000, 5), seed=seed, purpose=purpose)
        return torch.stack([torch.rand(3, generator=draw.random) for draw in batches.epoch(number)])

    first = drawn(0)
    assert torch.equal(first, drawn(0))
    assert not torch.equal(first[0], first[1])
    for other in (drawn(1), drawn(0, "rbm1_text"), drawn(0, seed=1)):
        assert not torch.equal(first, other)


def test_momentum_grows_over_half_of_the_steps_there_will_be():
    updates = RBMUpdates(RBM(6, 7, "gaussian", torch.Generator()), scaled_rows(), RBMSettings(), steps=24)
    assert updates.optimizer.momentum_steps == 12


def test_curves_of_trainings_in_sequence_count_on():
    made = stack()
    curves = in_sequence(made.trainings)
    assert curves["iteration"].tolist() == [*range(4, 52, 4)]
    assert np.isfinite(curves["rbm1_image_error"]).tolist() == [True] * 6 + [False] * 6
    assert np.isfinite(curves["rbm2_image_error"]).tolist() == [False] * 6 + [True] * 6
    errors = curves["rbm1_image_error"][:6]
    assert errors[-1] < errors[0]


def constant_hidden(bias):
    """An RBM that reconstructs its rows well with units that are always on or off, and one that is not."""
    made = RBM(3, 6, "gaussian", torch.Generator())
    with torch.no_grad():
        made.weight.zero_()
        made.weight[:, 0] = torch.tensor([2.0, 2.0, 2.0])
        made.visible_bias.fill_(-1.0)
        made.hidden_bias.fill_(bias)
        made.hidden_bias[0] = 0.0
    return made


@pytest.mark.parametrize("bias", [-20.0, 20.0])
def test_dead_or_saturated_units_are_warned_of(bias):
    rows = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    with pytest.warns(MethodWarning, match="toy: 83% of the hidden units are dead or saturated"):
        judge(constant_hidden(bias), rows, "toy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge(constant_hidden(1.0), rows, "toy")


def test_real_rows_reconstructed_worse_than_by_their_mean_are_an_error():
    made = RBM(3, 6, "gaussian", torch.Generator())
    with torch.no_grad():
        made.weight.zero_()
        made.visible_bias.zero_()
    rows = torch.tensor([[6.0, 1.0, 1.0], [4.0, -1.0, -1.0]])
    with pytest.raises(MethodError, match=r"error of 9.33, and their mean alone has 1; standardise"):
        judge(made, rows, "toy")


def test_probabilities_reconstructed_worse_than_by_their_mean_are_warned_of():
    made = RBM(2, 6, "binary", torch.Generator())
    with torch.no_grad():
        made.weight.zero_()
    with pytest.warns(MethodWarning, match="reconstructs its training rows"):
        judge(made, torch.tensor([[0.9, 0.8], [0.9, 0.7]]), "toy")


def test_features_that_are_not_standardised_are_refused():
    raw = DeviceRows(1000 * features(), None, CPU)
    with pytest.raises((DivergenceError, MethodError), match=r"toy: .*standardise the features"):
        stack(rows=raw)


def test_the_judgement_is_of_training_rows_and_of_the_trained_rbm():
    with pytest.raises(MethodError, match="toy: rbm1_image reconstructs"):
        stack(CorrAE(code=5, gaussian_rate=1e-9, rbm_epochs=1), rows=wide_rows())


def wide_rows():
    return scaled_rows(np.random.default_rng(0).normal(size=(40, 200)).astype(np.float32))


def test_the_denoising_loss_is_the_formula():
    network = DenoisingAutoencoder(4, 3, 2, torch.Generator().manual_seed(0)).double()
    random = np.random.default_rng(0)
    rows, kept = random.normal(size=(5, 4)), random.integers(0, 2, (5, 4)).astype(float)

    def layer(values, linear):
        return values @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()

    values = rows * kept
    first, _, second, _ = network.encoder
    third, _, fourth = network.decoder
    for linear in (first, second, third):
        values = 1 / (1 + np.exp(-layer(values, linear)))
    expected = 0.5 * ((layer(values, fourth) - rows) ** 2).sum(axis=1).mean()
    found = denoising_loss(network, torch.tensor(rows), torch.tensor(kept)).item()
    assert found == pytest.approx(expected)


def test_a_denoising_autoencoder_sees_only_part_of_its_input():
    settings = {"code": 5, "rbm_epochs": 20, "rbm_batch_size": 16, "dae_rate": 0.02}
    with pytest.raises(MethodError, match="dae_image reconstructs"):
        stack(CorrAE(pretrain="dae", **settings, corruption=1.0))
    stack(CorrAE(pretrain="dae", **settings, corruption=0.0))


def test_an_rbm_that_has_hardly_learnt_is_told_from_one_that_has():
    rows = scaled_rows()
    for rate, hardly in ((1e-6, True), (0.01, False)):
        wide = RBM(6, 64, "gaussian", torch.Generator().manual_seed(0))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train_rbm(wide, rows, RBMSettings(rate, budget=Budget(40, 1000, 16)), "rbm1_image", run())
        told = [str(each.message) for each in caught if "hardly learnt" in str(each.message)]
        assert len(told) == hardly, rate
        assert all("toy: rbm1_image has hardly learnt" in each and "gaussian_rate" in each for each in told)


@pytest.mark.parametrize(("hidden", "rate"), [(64, 0.01), (400, 0.01), (1024, 4 / 1024), (2048, 4 / 2048)])
def test_the_rate_of_wide_rbms_falls_with_their_hidden_units(hidden, rate):
    assert CorrAE().gaussian_settings(hidden).learning_rate == pytest.approx(rate)
    assert CorrAE(gaussian_rate=0.5).gaussian_settings(hidden).learning_rate == 0.5


@pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")
def test_a_wide_rbm_is_stable_at_the_automatic_rate_and_not_at_that_of_a_narrow_one():
    rows = DeviceRows(np.random.default_rng(0).standard_normal((256, 300)).astype(np.float32), None, CPU)
    wide = {"hidden": 2048, "view": "image", "run": run()}
    brief = {"code": 4, "rbm_epochs": 12, "rbm_batch_size": 128}
    train_stack(rows, method=CorrAE(**brief), **wide)
    with pytest.raises(DivergenceError, match="rbm1_image"):
        train_stack(rows, method=CorrAE(**brief, gaussian_rate=0.02), **wide)
