"""Adversarial losses against constants, literal NumPy, finite differences, and a trained discriminator."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.methods.cmgans.objective import AdversarialLosses, accuracy

LOSSES = AdversarialLosses()
ZERO = torch.zeros(7, 1)
LOWEST = math.log(1.5) + 0.5 * math.log(3)  # of equation 7 when real and mismatched look alike


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def logits(seed, scale=3.0):
    values = np.random.default_rng(seed).normal(size=(9, 1)) * scale
    return values, torch.tensor(values, requires_grad=True)


def test_at_logits_of_zero_every_loss_is_a_multiple_of_log_2():
    assert LOSSES.intra_modality(ZERO, ZERO).item() == pytest.approx(2 * math.log(2))
    assert LOSSES.inter_modality(ZERO, ZERO, ZERO).item() == pytest.approx(2 * math.log(2))
    assert LOSSES.of_generator(ZERO).item() == pytest.approx(math.log(2))


def test_an_intra_modality_loss_is_the_negative_of_equation_5():
    (real, real_t), (fake, fake_t) = logits(0), logits(1)
    literal = -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake)))
    assert LOSSES.intra_modality(real_t, fake_t).item() == pytest.approx(literal)


@pytest.mark.parametrize("weight", [0.5, 0.2])
def test_an_inter_modality_loss_is_the_negative_of_equation_7(weight):
    (real, real_t), (crossed, crossed_t), (mismatched, mismatched_t) = (logits(seed) for seed in range(3))
    literal = -np.mean(
        np.log(sigmoid(real))
        + weight * np.log(1 - sigmoid(crossed))
        + weight * np.log(1 - sigmoid(mismatched))
    )
    loss = AdversarialLosses(fake_weight=weight).inter_modality(real_t, crossed_t, mismatched_t)
    assert loss.item() == pytest.approx(literal)


@pytest.mark.parametrize(
    ("form", "at_zero", "far_below"),
    [("non-saturating", -0.5, -1.0), ("saturating", -0.5, 0.0), ("literal", 0.5, 1.0)],
)
def test_the_slope_of_a_generators_term_is_that_of_its_form(form, at_zero, far_below):
    losses = AdversarialLosses(form=form)
    points = torch.tensor([0.0, -40.0], requires_grad=True)
    (losses.of_generator(points[:1]) + losses.of_generator(points[1:])).backward()
    np.testing.assert_allclose(points.grad, [at_zero, far_below], atol=1e-12)


@pytest.mark.parametrize("form", ["non-saturating", "saturating"])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_a_generator_never_gains_from_being_found_out(form, scale):
    points = torch.linspace(-30, 30, 121, dtype=torch.float64, requires_grad=True)
    AdversarialLosses(form=form, scale=scale).of_generator(points).backward()
    assert (points.grad <= 0).all()


def test_logits_of_any_size_leave_losses_and_gradients_finite():
    points = torch.tensor([[-1e4], [1e4], [-3e38], [3e38]], requires_grad=True)
    loss = LOSSES.of_real(points[:2]) + LOSSES.of_fake(points[:2])
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert torch.isfinite(points.grad).all()


@pytest.mark.parametrize("form", ["non-saturating", "saturating", "literal"])
@pytest.mark.parametrize("scale", ["log", "linear"])
def test_gradients_are_those_of_finite_differences(form, scale):
    losses = AdversarialLosses(form=form, scale=scale, fake_weight=0.3)
    inputs = tuple(logits(seed)[1] for seed in range(3))
    assert torch.autograd.gradcheck(losses.inter_modality, inputs)
    assert torch.autograd.gradcheck(losses.intra_modality, inputs[:2])
    assert torch.autograd.gradcheck(losses.of_generator, inputs[:1])


def test_the_linear_scale_puts_d_where_the_logarithm_was():
    (real, real_t), (fake, fake_t) = logits(0), logits(1)
    loss = AdversarialLosses(scale="linear").intra_modality(real_t, fake_t)
    assert loss.item() == pytest.approx(np.mean(sigmoid(fake)) - np.mean(sigmoid(real)))


def test_the_accuracy_weighs_the_real_side_as_much_as_all_fakes():
    right, wrong = torch.ones(4), torch.ones(2)
    assert accuracy(right, wrong, -wrong).item() == pytest.approx(0.5 + 0.25)


@pytest.fixture(scope="module")
def trained():
    """Return a function that trains a discriminator of (s, h) alone, on endless data, and what it says."""

    def train(mismatch, *, related):
        random = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        history = []
        for step in range(600):
            optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 600)
            matched, crossed, mismatched = (network(rows) for rows in inputs(random, mismatch, related))
            loss = LOSSES.inter_modality(matched, crossed, mismatched)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            history.append((loss.item(), matched.sigmoid().mean().item(), crossed.sigmoid().mean().item()))
        return np.mean(history[-50:], axis=0)

    def inputs(random, mismatch, related):
        own, other_own, h, other_h = (torch.randn(1024, 2, generator=random) for _ in range(4))
        common, strange = (2 * h, 2 * other_h) if related else (own, other_own)
        crossed = torch.randn(1024, 2, generator=random)
        beside = other_h if mismatch == "own" else h
        return (
            torch.cat([common + 8, h], 1),
            torch.cat([crossed - 8, h], 1),
            torch.cat([strange + 8, beside], 1),
        )

    return train


def test_a_discriminator_alone_converges_to_two_thirds_and_the_lowest_loss_there_is(trained):
    loss, real, crossed = trained("own", related=False)
    assert loss == pytest.approx(LOWEST, abs=0.003)
    assert real == pytest.approx(2 / 3, abs=0.01)
    assert crossed == pytest.approx(0, abs=0.01)


def test_related_pairs_do_not_help_unless_mismatches_stand_beside_the_anchor(trained):
    assert trained("own", related=True)[0] == pytest.approx(LOWEST, abs=0.003)
    assert trained("anchor", related=True)[0] < LOWEST - 0.1
