"""The loss of CCL's second stage against loops over pairs, and what its two tasks share."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from cmbench.methods.ccl.common_space import CommonNetwork, contrastive_loss, correlation_loss
from cmbench.methods.training.batches import stream


def rows(n=6, k=4, seed=0, scale=1.0):
    values = np.random.default_rng(seed).normal(size=(n, k)) * scale
    return torch.tensor(values, requires_grad=True)


CLASSES = torch.tensor([0, 1, 0, 2, 1, 0])


def networks(width=4, embedding=3, classes=3, hidden=5):
    return {
        name: CommonNetwork(width, hidden, embedding, classes, stream(0, name)).double()
        for name in ("image", "text")
    }


@pytest.mark.parametrize("scale", [0.2, 1.0])
@pytest.mark.parametrize("margin", [1.0, 3.0])
def test_the_contrastive_loss_is_the_double_loop(scale, margin):
    images, texts = rows(seed=1, scale=scale), rows(seed=2, scale=scale)
    total = 0.0
    for i in range(6):
        for j in range(6):
            distance = np.sqrt(((images[i] - texts[j]) ** 2).sum().item())
            total += distance**2 if CLASSES[i] == CLASSES[j] else max(0.0, margin - distance) ** 2
    assert contrastive_loss(images, texts, CLASSES, margin).item() == pytest.approx(total / 6)


def test_equal_rows_of_one_class_lose_nothing():
    same = torch.ones(5, 4)
    assert contrastive_loss(same, same, torch.zeros(5)).item() == 0


def test_classes_at_the_margin_or_beyond_do_not_repel():
    images = torch.tensor([[0.0, 0.0], [1.0, 0.0]], requires_grad=True)
    texts = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert contrastive_loss(images, texts, torch.tensor([0, 1])).item() == 0
    nearer = contrastive_loss(images, 0.9 * texts, torch.tensor([0, 1]))
    assert nearer.item() == pytest.approx((0.1**2 + 0.1**2) / 2, rel=1e-5), "one attracts, one repels"


@pytest.mark.parametrize("classes", [[0, 0], [0, 1]])
def test_the_gradient_at_distance_zero_is_finite(classes):
    images, texts = torch.ones(2, 3, requires_grad=True), torch.ones(2, 3)
    contrastive_loss(images, texts, torch.tensor(classes)).backward()
    assert torch.isfinite(images.grad).all()


def test_gradients_are_those_of_finite_differences():
    images, texts = rows(seed=1, scale=0.3), rows(seed=2, scale=0.3)
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, CLASSES), (images, texts))


def test_the_objective_is_its_terms_written_out():
    made, codes = networks(), {"image": rows(seed=3), "text": rows(seed=4)}
    loss, terms = correlation_loss(made, codes, CLASSES, w_inter=0.5, w_intra=2.0, margin=1.5)
    g = {}
    for name, network in made.items():
        first, second = (layer for layer in network.shared if isinstance(layer, torch.nn.Linear))
        hidden = torch.sigmoid(codes[name] @ first.weight.T + first.bias)
        g[name] = hidden @ second.weight.T + second.bias
        logits = g[name] @ network.head.weight.T + network.head.bias
        chosen = log_softmax(logits.detach().numpy(), axis=1)[np.arange(len(CLASSES)), CLASSES.numpy()]
        assert terms[f"{name}_intra"].item() == pytest.approx(-chosen.mean())
        torch.testing.assert_close(network(codes[name]), torch.sigmoid(g[name]))
    inter = contrastive_loss(torch.sigmoid(g["image"]), torch.sigmoid(g["text"]), CLASSES, 1.5)
    assert terms["inter"].item() == pytest.approx(inter.item())
    expected = 0.5 * inter + 2.0 * (terms["image_intra"] + terms["text_intra"])
    assert loss.item() == pytest.approx(expected.item())


def gradients(made, codes, w_inter, w_intra):
    for network in made.values():
        network.zero_grad()
    correlation_loss(made, codes, CLASSES, w_inter=w_inter, w_intra=w_intra, margin=1.0)[0].backward()
    found = [
        torch.zeros_like(values) if values.grad is None else values.grad.clone()
        for network in made.values()
        for values in network.shared.parameters()
    ]
    return torch.cat([values.flatten() for values in found])


def test_both_tasks_read_the_same_layer_and_their_gradients_add_up():
    made, codes = networks(), {"image": rows(seed=3), "text": rows(seed=4)}
    inter, intra, both = (gradients(made, codes, *weights) for weights in ((1, 0), (0, 1), (1, 1)))
    assert inter.abs().max() > 1e-3
    assert intra.abs().max() > 1e-3
    torch.testing.assert_close(both, inter + intra)


def test_at_first_wide_representations_only_attract():
    made = networks(width=20, embedding=1024, hidden=256)
    codes = {name: rows(10, 20, seed=number) for number, name in enumerate(made)}
    classes = torch.arange(10)
    f = [made[name](codes[name]).detach() for name in ("image", "text")]
    distances = torch.cdist(*f)
    assert distances.min() > 1
    own = distances.diag().square().sum() / 10
    assert contrastive_loss(*f, classes).item() == pytest.approx(own.item())
