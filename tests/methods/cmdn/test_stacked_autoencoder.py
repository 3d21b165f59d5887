"""The stacked autoencoder against NumPy written out, and its training: passes, guards, interruptions."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.base import clone

from cmbench.errors import MethodError
from cmbench.methods.cmdn import separate_codes
from cmbench.methods.cmdn.method import CMDN
from cmbench.methods.cmdn.separate_codes import StackedAutoencoder, train_stacked_autoencoder
from cmbench.methods.training.curves import DivergenceError
from cmbench.methods.training.deep_method import in_sequence
from cmbench.methods.training.device import DeviceRows
from cmbench.methods.training.loop import Run, Training
from cmbench.methods.views.scaling import UnitScaling

CPU = torch.device("cpu")
SMALL = CMDN(sae_epochs=20, rbm_steps=3000, rbm_batch_size=16, sae_rate=0.02)


def features(n=64, width=6, seed=0):
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, 2)) @ random.normal(size=(2, width))
    return (7 + 3 * values + 0.3 * random.normal(size=values.shape)).astype(np.float32)


def unit_rows(values=None):
    values = features() if values is None else values
    return DeviceRows(values, UnitScaling.of_columns(values, "images"), CPU)


def network(width=6, hidden=8, code=3, seed=0):
    return StackedAutoencoder(width, hidden, code, torch.Generator().manual_seed(seed))


def trained(settings=SMALL, rows=None, path=None, seed=0):
    run = Run("toy", seed, checkpoint=path, seconds=0)
    made = network(seed=seed)
    return made, train_stacked_autoencoder(made, rows or unit_rows(), settings, "image", run)


def state(made):
    return {name: values.clone() for name, values in made.state_dict().items()}


def weights(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def relu(values):
    return np.where(values > 0, values, 0.0)


def literal(made, rows):
    """Code and both reconstructions, layer by layer."""
    (first, a), (second, b) = weights(made.encoder[0]), weights(made.encoder[2])
    (third, c), (last, d) = weights(made.decoder[0]), weights(made.decoder[2])
    hidden = relu(rows @ first.T + a)
    code = relu(hidden @ second.T + b)
    return code, expit(relu(code @ third.T + c) @ last.T + d), expit(hidden @ last.T + d)


def test_code_and_reconstructions_are_the_formulas_written_out():
    made, rows = network(seed=2).double(), np.random.default_rng(1).random((5, 6))
    code, deep, shallow = literal(made, rows)
    given = torch.tensor(rows)
    np.testing.assert_allclose(made.encoder(given).detach(), code, rtol=1e-10)
    np.testing.assert_allclose(made(given).detach(), deep, rtol=1e-10)
    np.testing.assert_allclose(made.shallow()(given).detach(), shallow, rtol=1e-10)
    assert (code > 0).any(), "choose weights with units that are not off"
    assert (code == 0).any(), "and with some that are"


def test_the_outer_half_is_not_a_copy():
    made = network()
    outer = {id(values) for values in made.shallow().parameters()}
    assert outer == {
        id(values) for layer in (made.encoder[0], made.decoder[2]) for values in layer.parameters()
    }


def watched_passes(monkeypatch):
    """Record each pass of a training: its stage, the network's state before, optimiser and first loss."""
    seen = []
    original = Run.train

    def train(self, stage, step, *, modules, optimizers, **length):
        before = state(modules["autoencoder"])
        training = original(self, stage, step, modules=modules, optimizers=optimizers, **length)
        seen.append((stage, before, state(modules["autoencoder"]), *optimizers.values(), training))
        return training

    monkeypatch.setattr(Run, "train", train)
    return seen


def test_the_outer_half_is_trained_first_and_the_whole_goes_on_from_there(monkeypatch):
    seen, fresh = watched_passes(monkeypatch), state(network())
    made, trainings = trained()
    (first, *shallow, _, _), (second, before, after, _, _) = seen
    assert (first, second) == ("sae1_image", "sae2_image")
    assert [training.iteration for training in trainings] == [20 * 4, 20 * 4]
    outer = {"encoder.0": "0", "decoder.2": "2"}
    for layer, place in outer.items():
        for kind in ("weight", "bias"):
            assert torch.equal(before[f"{layer}.{kind}"], shallow[1][f"{place}.{kind}"])
            assert not torch.equal(before[f"{layer}.{kind}"], fresh[f"{layer}.{kind}"])
    for layer in ("encoder.2", "decoder.0"):
        for kind in ("weight", "bias"):
            assert torch.equal(before[f"{layer}.{kind}"], fresh[f"{layer}.{kind}"]), "not trained so far"
    assert not any(torch.equal(after[name], before[name]) for name in before), "all layers learn now"
    assert all(torch.equal(values, after[name]) for name, values in state(made).items())


def test_weights_decay_as_released_and_biases_do_not(monkeypatch):
    seen = watched_passes(monkeypatch)
    trained(SMALL)
    decays = [[group["weight_decay"] for group in optimizer.param_groups] for *_, optimizer, _ in seen]
    assert decays == [[1e-3, 0.0], [1e-4, 0.0]]
    assert all(group["lr"] == 0.02 for *_, optimizer, _ in seen for group in optimizer.param_groups)


def test_the_loss_is_the_square_of_the_error_summed_over_units(monkeypatch):
    settings = CMDN(sae_epochs=1, rbm_steps=3000, rbm_batch_size=64, sae_rate=1e-12)
    monkeypatch.setattr("cmbench.methods.networks.unsupervised.check_reconstruction", lambda *_, **__: None)
    made, trainings = trained(settings)
    rows = unit_rows().rows(np.arange(64)).numpy()
    curves = in_sequence(trainings)
    _, deep, shallow = literal(made, rows)
    for name, found in (("sae1_image_loss", shallow), ("sae2_image_loss", deep)):
        expected = np.mean([0.5 * sum((found[row] - rows[row]) ** 2) for row in range(64)])
        values = curves[name][np.isfinite(curves[name])]
        np.testing.assert_allclose(values, [expected], rtol=1e-5)


def test_rows_are_reconstructed_better_than_by_their_mean_after_either_pass():
    values = features()
    low, high = values.min(axis=0), values.max(axis=0)
    rows = (values - low) / (high - low)
    made, _ = trained(CMDN(sae_epochs=60, rbm_steps=3000, rbm_batch_size=16, sae_rate=0.01))
    with torch.no_grad():
        found = made(torch.from_numpy(rows)).numpy()
    of_mean = np.mean((rows - rows.mean(axis=0)) ** 2)
    assert np.mean((found - rows) ** 2) < 0.25 * of_mean


@pytest.mark.parametrize(
    ("rate", "decays", "stage"),
    [
        (1e-9, {}, "sae1_image"),
        (0.02, {"SHALLOW_DECAY": 1e3}, "sae1_image"),
        (0.02, {"DEEP_DECAY": 1e3}, "sae2_image"),
    ],
)
def test_a_pass_that_learns_nothing_is_an_error(monkeypatch, rate, decays, stage):
    skewed = features() ** 4
    for name, value in decays.items():
        monkeypatch.setattr(separate_codes, name, value)
    with pytest.raises(MethodError, match=rf"toy: {stage} reconstructs .* and their mean alone has"):
        trained(clone(SMALL).set_params(sae_rate=rate), unit_rows(skewed))


def test_weights_that_overflow_are_an_error():
    with pytest.raises(
        DivergenceError, match="toy: sae1_image_loss became nan at step 2; lower learning_rate"
    ):
        trained(clone(SMALL).set_params(sae_rate=1e38))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    torch.manual_seed(1)
    first = state(trained(seed=3)[0])
    torch.manual_seed(2)
    again, other = state(trained(seed=3)[0]), state(trained(seed=4)[0])
    assert all(torch.equal(values, again[name]) for name, values in first.items())
    assert not any(torch.allclose(values, other[name]) for name, values in first.items())


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("epochs", [7, 20, 29])
def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, epochs):
    whole, before = trained()
    original, ran = Training._run_epoch, []

    def mortal(self, epoch):
        if len(ran) >= epochs:
            raise KilledError
        ran.append(epoch)
        return original(self, epoch)

    monkeypatch.setattr(Training, "_run_epoch", mortal)
    with pytest.raises(KilledError):
        trained(path=tmp_path / "a.pt")
    done, epochs, ran = len(ran), 1000, []
    resumed, after = trained(path=tmp_path / "a.pt")
    assert len(ran) == 2 * 20 - done
    for name, values in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], values)
    curves = in_sequence(before), in_sequence(after)
    for name, values in curves[0].items():
        np.testing.assert_array_equal(curves[1][name], values, err_msg=name)


def test_memory_mapped_rows_are_learned_the_same(tmp_path):
    np.save(tmp_path / "images.npy", features())
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    found, expected = state(trained(rows=unit_rows(mapped))[0]), state(trained()[0])
    assert all(torch.equal(values, expected[name]) for name, values in found.items())
