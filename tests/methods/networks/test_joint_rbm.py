"""Joint RBMs: inference with groups missing, against enumeration of all states."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp

from cmbench.errors import MethodError
from cmbench.methods.networks.layers import separated
from cmbench.methods.networks.rbm import RBM, GroupCode, JointRBM
from cmbench.methods.networks.unsupervised import RBMSettings, train_rbm
from cmbench.methods.training.batches import Budget
from cmbench.methods.training.device import DeviceRows
from cmbench.methods.training.loop import Run

WIDTHS = {"image": 3, "text": 2}
CPU = torch.device("cpu")


def joint(scale=1.0, seed=0, widths=WIDTHS, hidden=3):
    random = torch.Generator().manual_seed(seed)
    made = JointRBM(widths, hidden, random).double()
    with torch.no_grad():
        for values in made.parameters():
            values.copy_(scale * torch.randn(values.shape, generator=random))
    return made


def images(n=6, seed=5):
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def states(n):
    return np.array(list(product((0.0, 1.0), repeat=n)))


def negative_energies(made, p):
    """-E(p, q, h) for one p and every q and h, (4, 8)."""
    weight, bias = made.weight.detach().numpy(), made.visible_bias.detach().numpy()
    c = made.hidden_bias.detach().numpy()
    return np.array(
        [
            [p @ bias[:3] + q @ bias[3:] + h @ c + p @ weight[:3] @ h + q @ weight[3:] @ h for h in states(3)]
            for q in states(2)
        ]
    )


def posterior_mean(made, p):
    """E[h | p] with q summed out."""
    log_weights = logsumexp(negative_energies(made, p), axis=0)
    return np.exp(log_weights - logsumexp(log_weights)) @ states(3)


def inferred(made, steps=10):
    return made.infer({"image": images()}, steps).detach().numpy()


def test_without_coupling_hidden_units_have_their_posterior_mean():
    made = joint()
    with torch.no_grad():
        made.weight.zero_()
    expected = [posterior_mean(made, p) for p in images().numpy()]
    np.testing.assert_allclose(inferred(made), expected, rtol=1e-10)


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_a_missing_group_without_weights_leaves_the_exact_conditional(steps):
    made = joint()
    with torch.no_grad():
        made.weight[3:] = 0.0
    expected = [posterior_mean(made, p) for p in images().numpy()]
    np.testing.assert_allclose(inferred(made, steps), expected, rtol=1e-10)


def test_a_missing_group_starts_at_its_mean_without_the_rest():
    made = joint()
    weight, bias = made.weight.detach().numpy(), made.visible_bias.detach().numpy()
    resting = images().numpy() @ weight[:3] + expit(bias[3:]) @ weight[3:]
    np.testing.assert_allclose(inferred(made, 0), expit(resting + made.hidden_bias.detach().numpy()))


def test_weakly_coupled_groups_are_inferred_nearly_exactly_and_better_than_at_the_start():
    made = joint(scale=0.5)
    expected = np.array([posterior_mean(made, p) for p in images().numpy()])
    errors = [np.abs(inferred(made, steps) - expected).max() for steps in (0, 10)]
    assert errors[1] < 0.01
    assert errors[1] < errors[0]


def test_many_steps_end_where_both_equations_hold():
    made = joint()
    weight, bias = made.weight.detach().numpy(), made.visible_bias.detach().numpy()
    h = inferred(made, 2000)
    q = expit(h @ weight[3:].T + bias[3:])
    again = expit(images().numpy() @ weight[:3] + q @ weight[3:] + made.hidden_bias.detach().numpy())
    np.testing.assert_allclose(h, again, atol=1e-9)


def entropy(shares):
    return -(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).sum()


def bound(made, p, q, h):
    """The variational lower bound of the log of the sum over q and h of exp(-E), written out."""
    weight, bias = made.weight.detach().numpy(), made.visible_bias.detach().numpy()
    linear = p @ bias[:3] + q @ bias[3:] + h @ made.hidden_bias.detach().numpy()
    return linear + p @ weight[:3] @ h + q @ weight[3:] @ h + entropy(q) + entropy(h)


def test_each_step_raises_the_variational_bound_and_never_above_the_truth():
    made = joint(scale=2.0)
    weight, bias = made.weight.detach().numpy(), made.visible_bias.detach().numpy()
    for row, p in enumerate(images().numpy()):
        found = []
        for steps in range(6):
            h = inferred(made, steps)[row]
            before = inferred(made, steps - 1)[row] if steps else None
            q = expit(bias[3:] if before is None else before @ weight[3:].T + bias[3:])
            found.append(bound(made, p, q, h))
        assert (np.diff(found) > -1e-12).all()
        assert found[-1] > found[0]
        assert found[-1] <= logsumexp(negative_energies(made, p)) + 1e-12


def test_with_all_groups_there_is_nothing_to_infer():
    made = joint()
    texts = images(seed=8)[:, :2]
    expected = made(torch.cat([images(), texts], dim=1))
    for groups in ({"image": images(), "text": texts}, {"text": texts, "image": images()}):
        assert torch.equal(made.infer(groups), expected), "in whatever order they are given"


def test_groups_are_joined_in_their_own_order_and_separated_again():
    groups = {"text": torch.ones(2, 2), "image": torch.zeros(2, 3)}
    joined = joint().joined(groups)
    assert joined.tolist() == [[0, 0, 0, 1, 1]] * 2
    for name, values in separated(joined, joint().widths).items():
        assert torch.equal(values, groups[name])


def test_either_group_can_be_missing_and_a_single_group_makes_a_plain_rbm():
    made = joint()
    texts = images()[:, :2]
    mirrored = joint(widths={"text": 2, "image": 3})
    with torch.no_grad():
        mirrored.weight.copy_(torch.cat([made.weight[3:], made.weight[:3]]))
        mirrored.visible_bias.copy_(torch.cat([made.visible_bias[3:], made.visible_bias[:3]]))
        mirrored.hidden_bias.copy_(made.hidden_bias)
    torch.testing.assert_close(made.infer({"text": texts}), mirrored.infer({"text": texts}))
    alone = joint(widths={"coarse": 3})
    assert torch.equal(alone.infer({"coarse": images()}), RBM.forward(alone, images()))


def test_an_item_alone_is_inferred_as_in_a_batch_and_ten_steps_are_the_default():
    made = joint()
    code = GroupCode(made, "image")
    whole = code(images())
    alone = torch.cat([code(row[None]) for row in images()])
    torch.testing.assert_close(alone, whole)
    np.testing.assert_allclose(whole.detach().numpy(), inferred(made, 10))
    assert not np.allclose(inferred(made, 10), inferred(made, 1), atol=1e-6)


@pytest.mark.parametrize("groups", [{}, {"sound": torch.zeros(1, 3)}])
def test_groups_that_are_not_there_are_an_error_that_names_those_that_are(groups):
    with pytest.raises(MethodError, match="joint RBM of image, text was given"):
        joint().infer(groups)


def test_a_trained_joint_rbm_carries_one_group_over_to_the_other():
    random = np.random.default_rng(0)
    latent = random.integers(0, 2, (128, 1))
    both = np.hstack([np.repeat(latent, 3, axis=1), np.repeat(1 - latent, 2, axis=1)])
    noisy = np.where(random.random(both.shape) < 0.05, 1 - both, both).astype(np.float32)
    made = JointRBM(WIDTHS, 4, torch.Generator().manual_seed(0))
    settings = RBMSettings(0.05, budget=Budget(60, 3000, 16))
    train_rbm(made, DeviceRows(noisy, None, CPU), settings, "joint", Run("toy", 0))
    with torch.no_grad():
        code = made.infer({"image": torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])})
        texts = separated(made.visible_mean(code), made.widths)["text"]
    assert (texts[0] < 0.2).all()
    assert (texts[1] > 0.8).all()
