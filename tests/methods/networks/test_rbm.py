"""Restricted Boltzmann machines against enumeration of all states, and the updates against their formulas."""

from copy import deepcopy
from itertools import product

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit, logsumexp

from cmbench.methods.networks.rbm import RBM, contrastive_divergence
from cmbench.methods.networks.unsupervised import RBMSettings, RBMUpdates, Sparsity, train_rbm
from cmbench.methods.training.batches import Budget, RowDraw
from cmbench.methods.training.descent import ScheduledSGD
from cmbench.methods.training.device import DeviceRows
from cmbench.methods.training.loop import Run

CPU = torch.device("cpu")
UNITS = ("binary", "gaussian")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rbm(units="binary", visible=4, hidden=3, seed=0):
    """An RBM with weights and biases that all matter, in float64."""
    made = RBM(visible, hidden, units, generator(seed)).double()
    with torch.no_grad():
        for values in made.parameters():
            values.copy_(torch.randn(values.shape, generator=generator(seed + values.numel())))
    return made


def arrays(made):
    names = ("weight", "visible_bias", "hidden_bias")
    return tuple(getattr(made, name).detach().numpy() for name in names)


def energy(made, visible, hidden):
    """E(v, h), written out, of one state."""
    weight, b, c = arrays(made)
    linear = sum(
        visible[i] * weight[i, j] * hidden[j] for i in range(len(visible)) for j in range(len(hidden))
    )
    own = 0.5 * sum((visible - b) ** 2) if made.units == "gaussian" else -sum(b * visible)
    return own - linear - sum(c * hidden)


def states(n):
    return [np.array(each, dtype=float) for each in product((0, 1), repeat=n)]


def joint_log_weights(made):
    """-E of every state, (2**visible, 2**hidden)."""
    visible, hidden = made.weight.shape
    return np.array([[-energy(made, v, h) for h in states(hidden)] for v in states(visible)])


def visible_rows(units, n=5, width=4, seed=9):
    random = np.random.default_rng(seed)
    values = random.integers(0, 2, (n, width)) if units == "binary" else random.normal(size=(n, width))
    return torch.tensor(values, dtype=torch.float64)


def run(seed=0):
    return Run("toy", seed)


def rows(values):
    return DeviceRows(np.asarray(values, dtype=np.float32), None, CPU)


def latent_rows(n=96, width=6, seed=0):
    """Standardised rows that two latent numbers explain but for some noise."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, 2)) @ random.normal(size=(2, width)) + 0.3 * random.normal(
        size=(n, width)
    )
    return ((values - values.mean(axis=0)) / values.std(axis=0)).astype(np.float32)


@pytest.mark.parametrize("units", UNITS)
def test_hidden_probabilities_are_those_of_the_enumerated_joint_distribution(units):
    made, hidden = rbm(units), np.array(states(3))
    for row in visible_rows(units):
        weights = np.exp([-energy(made, row.numpy(), h) for h in hidden])
        expected = weights @ hidden / weights.sum()
        np.testing.assert_allclose(made(row[None]).detach().numpy()[0], expected, rtol=1e-10)


def test_visible_probabilities_are_those_of_the_enumerated_joint_distribution():
    made, visible = rbm(), np.array(states(4))
    for h in states(3):
        weights = np.exp([-energy(made, v, h) for v in visible])
        expected = weights @ visible / weights.sum()
        found = made.visible_mean(torch.tensor(h)[None]).detach().numpy()[0]
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_mean_of_a_real_unit_is_that_of_its_density_by_quadrature():
    made = rbm("gaussian", visible=1, hidden=2)
    for h in states(2):
        density = lambda v, h=h: np.exp(-energy(made, np.array([v]), h))  # noqa: E731
        mass, moment = quad(density, -30, 30)[0], quad(lambda v, d=density: v * d(v), -30, 30)[0]
        found = made.visible_mean(torch.tensor(h)[None]).item()
        assert found == pytest.approx(moment / mass, abs=1e-7)


def free_energy(made, visible):
    """F(v) = -log of the sum over all h of exp(-E(v, h)), of rows, summed state by state."""
    hidden = torch.tensor(np.array(states(3)))
    if made.units == "gaussian":
        own = 0.5 * (visible - made.visible_bias).square().sum(dim=1)
    else:
        own = -visible @ made.visible_bias
    energies = own[:, None] - visible @ made.weight @ hidden.T - hidden @ made.hidden_bias
    return -torch.logsumexp(-energies, dim=1)


def log_likelihood(made, visible):
    """The exact mean log-likelihood of rows, by enumeration."""
    log_weights = logsumexp(joint_log_weights(made), axis=1)
    place = [int("".join(str(int(value)) for value in row), 2) for row in visible]
    return (log_weights[place] - logsumexp(log_weights)).mean()


def test_training_raises_the_exact_log_likelihood():
    patterns = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]] * 16)
    found = []
    for epochs in (0, 40, 160):
        made = RBM(4, 3, "binary", generator(3))
        if epochs:
            settings = RBMSettings(0.05, l2=0.0, budget=Budget(epochs, 10_000, 16))
            train_rbm(made, rows(patterns), settings, "rbm", run())
        found.append(log_likelihood(made, patterns))
    uniform, best = -4 * np.log(2), -np.log(3)
    assert found[0] < uniform + 0.5
    assert found[0] < found[1] < found[2] < best
    assert found[2] > 0.5 * (uniform + best)


def test_the_states_of_the_data_have_the_moments_expected_under_it():
    made, visible = rbm(), visible_rows("binary")
    hidden = np.array(states(3))
    product_, mean = np.zeros((4, 3)), np.zeros(3)
    for row in visible.numpy():
        weights = np.exp([-energy(made, row, h) for h in hidden])
        for h, share in zip(hidden, weights / weights.sum(), strict=True):
            product_ += share * np.outer(row, h) / len(visible)
            mean += share * h / len(visible)
    found = contrastive_divergence(made, visible, torch.zeros(1, 5, 3)).data
    np.testing.assert_allclose((found.visible.T @ found.hidden).numpy() / 5, product_, rtol=1e-10)
    np.testing.assert_allclose(found.hidden.numpy().mean(axis=0), mean, rtol=1e-10)
    assert found.visible is visible


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("steps", [1, 2])
def test_contrastive_divergence_is_the_chain_written_out(units, steps):
    made, visible = rbm(units), visible_rows(units)
    uniforms = torch.rand(steps, 5, 3, generator=generator(4), dtype=torch.float64)
    weight, b, c = arrays(made)
    mean = expit if units == "binary" else (lambda values: values)
    v, errors = visible.numpy(), []
    for step in uniforms.numpy():
        sample = (step < expit(v @ weight + c)) * 1.0
        v = mean(sample @ weight.T + b)
        errors.append(((visible.numpy() - v) ** 2).sum(axis=1).mean())
    found = contrastive_divergence(made, visible, uniforms)
    np.testing.assert_allclose(found.chain.visible.numpy(), v, rtol=1e-10)
    np.testing.assert_allclose(found.chain.hidden.numpy(), expit(v @ weight + c), rtol=1e-10)
    assert found.error.item() == pytest.approx(errors[0])


@pytest.mark.parametrize("units", UNITS)
def test_gradients_are_those_of_the_free_energy_at_both_ends_of_the_chain(units):
    made, visible = rbm(units), visible_rows(units)
    uniforms = torch.rand(1, 5, 3, generator=generator(4), dtype=torch.float64)
    with torch.no_grad():
        end = made.visible_mean((uniforms[0] < made(visible)).double())
    (free_energy(made, visible).mean() - free_energy(made, end).mean()).backward()
    expected = {name: values.grad.clone() for name, values in made.named_parameters()}
    updates = RBMUpdates(made, rows(visible), RBMSettings(), steps=10)
    updates.set_gradients(contrastive_divergence(made, visible, uniforms))
    for name, values in made.named_parameters():
        torch.testing.assert_close(values.grad, expected[name], rtol=1e-9, atol=1e-12)


def test_without_weights_a_gaussian_rbm_learns_the_mean_and_reconstructs_nothing_else():
    values = (np.array([3.0, -2.0, 0.5]) + latent_rows(64, 3)).astype(np.float32)
    made = RBM(3, 2, "gaussian", generator())
    updates = RBMUpdates(made, rows(values), RBMSettings(0.1, l2=0.0), steps=400)
    draw = RowDraw(np.arange(64), generator())
    for _ in range(400):
        with torch.no_grad():
            made.weight.zero_()
        updates.update(draw)
    with torch.no_grad():
        made.weight.zero_()
        reconstruction = made.reconstruction(torch.tensor(values)).numpy()
    np.testing.assert_allclose(reconstruction, np.tile(values.mean(axis=0), (64, 1)), atol=1e-3)
    updates.set_gradients(contrastive_divergence(made, torch.tensor(values), torch.rand(1, 64, 2)))
    assert max(each.grad.abs().max() for each in made.parameters()) < 1e-2, "a fixed point, W included"


def test_the_optimiser_is_the_recursion_of_the_release_written_out():
    random = np.random.default_rng(0)
    weight, bias = torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(3))
    optimizer = ScheduledSGD(
        [{"params": [weight], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}],
        0.5,
        momentum_steps=4,
    )
    expected = {"weight": [np.ones((2, 3)), 0.0, 0.1], "bias": [np.ones(3), 0.0, 0.0]}
    for step in range(12):
        rate, momentum = 0.5 / (1 + step / 10_000), 0.9 - 0.4 * np.exp(-step / 4)
        for name, parameter in (("weight", weight), ("bias", bias)):
            gradient = random.normal(size=parameter.shape)
            parameter.grad = torch.tensor(gradient, dtype=torch.float32)
            value, change, decay = expected[name]
            change = momentum * change + gradient + decay * value
            expected[name] = [value - rate * change, change, decay]
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), expected["weight"][0], rtol=1e-4)
    np.testing.assert_allclose(bias.detach().numpy(), expected["bias"][0], rtol=1e-4)


def test_the_optimiser_goes_on_at_the_step_where_it_was_saved():
    def optimizer():
        weight = torch.nn.Parameter(torch.ones(1))
        return weight, ScheduledSGD([{"params": [weight]}], 0.1, momentum_steps=2)

    def step(weight, optimizer):
        weight.grad = torch.ones(1)
        optimizer.step()

    weight, first = optimizer()
    for _ in range(3):
        step(weight, first)
    other, second = optimizer()
    second.load_state_dict(deepcopy(first.state_dict()))
    with torch.no_grad():
        other.copy_(weight)
    step(weight, first)
    step(other, second)
    assert torch.equal(weight, other)
    assert second.param_groups[0]["steps"] == 4


def test_the_pull_to_sparsity_is_the_formula():
    made, visible = rbm("gaussian"), visible_rows("gaussian")
    found = contrastive_divergence(made, visible, torch.zeros(1, 5, 3))
    sparsity = Sparsity(target=0.2, cost=0.5, damping=0.9)
    plain, pulled = (
        RBMUpdates(made, rows(visible), RBMSettings(sparsity=each), steps=10)
        for each in (Sparsity(target=0.2), sparsity)
    )
    pulled.activation.double()
    q = np.full(3, 0.2)
    for _ in range(2):
        plain.set_gradients(found)
        before = {name: values.grad.clone() for name, values in made.named_parameters()}
        pulled.set_gradients(found)
        q = 0.9 * q + 0.1 * found.data.hidden.numpy().mean(axis=0)
        pull = 0.5 * (q - 0.2)
        added = {name: (values.grad - before[name]).numpy() for name, values in made.named_parameters()}
        np.testing.assert_allclose(added["hidden_bias"], pull, atol=1e-7)
        np.testing.assert_allclose(added["weight"], np.outer(visible.numpy().mean(axis=0), pull), atol=1e-7)
        assert not added["visible_bias"].any()


def test_the_pull_brings_activations_to_the_target():
    means = []
    for cost in (0.0, 1.0):
        made = RBM(6, 8, "gaussian", generator())
        settings = RBMSettings(0.02, sparsity=Sparsity(0.1, cost), budget=Budget(60, 3000, 16))
        train_rbm(made, rows(latent_rows()), settings, "rbm", run())
        means.append(made(torch.tensor(latent_rows())).mean().item())
    assert means[0] > 0.4
    assert means[1] == pytest.approx(0.1, abs=0.06)


@pytest.mark.parametrize("units", UNITS)
def test_at_first_hidden_units_that_know_nothing_reconstruct_the_middle(units):
    made = RBM(200, 50, units, generator())
    nothing = torch.zeros(1, 200)
    assert (made(nothing) == 0.5).all()
    middle = 0.0 if units == "gaussian" else 0.5
    assert made.visible_mean(made(nothing)).mean().item() == pytest.approx(middle, abs=0.05)
    if units == "gaussian":
        assert made.reconstruction(nothing).abs().max() < 1e-5
    assert made.weight.std().item() == pytest.approx(50**-0.5, rel=0.03)
