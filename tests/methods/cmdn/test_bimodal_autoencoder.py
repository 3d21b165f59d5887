"""The bimodal autoencoder of CMDN against NumPy written out: rows, codes, loss, gradients."""

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax

from cmbench.methods.cmdn.bimodal import BimodalAutoencoder, TripledBatch, TripledPairs, bimodal_loss
from cmbench.methods.training.batches import stream

CPU = torch.device("cpu")
WIDTHS = {"image": 4, "text": 3}


def network(widths=WIDTHS, code=5, classes=3, seed=0):
    made = BimodalAutoencoder(widths, code, classes, lambda purpose: stream(seed, purpose)).double()
    with torch.no_grad():
        for name, values in made.named_parameters():
            if name.endswith("bias"):
                values.copy_(torch.randn(values.shape, generator=stream(seed, name)))
    return made


def codes(n=4, widths=WIDTHS, seed=1):
    random = np.random.default_rng(seed)
    return {name: 0.1 + 0.9 * random.random((n, width)) for name, width in widths.items()}


CLASSES = np.array([0, 2, 1, 2])


def batch(n=4, seed=1, classes=CLASSES):
    """All rows of the pairs, tripled, written out."""
    p, q = (torch.tensor(values) for values in codes(n, seed=seed).values())
    inputs = torch.cat(
        [
            torch.hstack([p, torch.zeros_like(q)]),
            torch.hstack([torch.zeros_like(p), q]),
            torch.hstack([p, q]),
        ]
    )
    return TripledBatch(inputs, torch.hstack([p, q]).repeat(3, 1), torch.tensor(classes).repeat(3))


def loss(made, given, label_weight=1.0):
    return bimodal_loss(made, given, label_weight)[0]


def numbers(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def test_pairs_come_three_times_each_side_alone_and_both():
    views = {name: values.astype(np.float32) for name, values in codes().items()}
    pairs = TripledPairs(views, CLASSES, CPU)
    assert len(pairs) == 12
    found = pairs.batch(np.arange(12))
    p, q = views["image"], views["text"]
    zero_p, zero_q = np.zeros_like(p), np.zeros_like(q)
    inputs = np.vstack([np.hstack([p, zero_q]), np.hstack([zero_p, q]), np.hstack([p, q])])
    assert np.array_equal(found.inputs.numpy(), inputs)
    assert np.array_equal(found.targets.numpy(), np.vstack([np.hstack([p, q])] * 3))
    assert found.classes.tolist() == [*CLASSES] * 3
    some = pairs.batch(np.array([9, 0, 6]))
    assert np.array_equal(some.inputs.numpy(), inputs[[9, 0, 6]])
    assert np.array_equal(some.targets.numpy(), np.hstack([p, q])[[1, 0, 2]])
    assert some.classes.tolist() == [CLASSES[1], CLASSES[0], CLASSES[2]]


@pytest.mark.parametrize("name", ["image", "text"])
def test_the_code_of_one_side_is_that_of_the_pair_with_the_other_zero(name):
    made, views = network(), codes()
    rows = {side: values if side == name else 0 * values for side, values in views.items()}
    joined = torch.tensor(np.hstack([rows["image"], rows["text"]]))
    alone = made.alone(name).double()
    torch.testing.assert_close(alone(torch.tensor(views[name])), made(joined))
    whole = {key: torch.tensor(values) for key, values in views.items()}
    assert not torch.allclose(made(joined), made(torch.hstack([whole["image"], whole["text"]])))


def test_the_network_of_one_side_is_a_copy():
    made = network().float()
    alone = made.alone("text")
    before = [values.clone() for values in alone.parameters()]
    with torch.no_grad():
        for values in made.parameters():
            values.add_(1.0)
    assert all(torch.equal(*pair) for pair in zip(before, alone.parameters(), strict=True))


def literal_terms(made, views, classes):
    """The terms of section 6, row by row and unit by unit, each a mean over the tripled rows."""
    (weight, bias), (back, back_bias) = numbers(made.encoder[0]), numbers(made.decoder[0])
    head, head_bias = numbers(made.head)
    totals = {"image": 0.0, "text": 0.0, "class": 0.0}
    for p, q, label in zip(views["image"], views["text"], classes, strict=True):
        for known_p, known_q in ((1, 0), (0, 1), (1, 1)):
            z = expit(weight[:, :4] @ (known_p * p) + weight[:, 4:] @ (known_q * q) + bias)
            made_p = expit(back[:4] @ z + back_bias[:4])
            made_q = expit(back[4:] @ z + back_bias[4:])
            totals["image"] += 0.5 * sum((made_p - p) ** 2)
            totals["text"] += 0.5 * sum((made_q - q) ** 2)
            totals["class"] -= log_softmax(head @ z + head_bias)[label]
    return {name: total / (3 * len(classes)) for name, total in totals.items()}


@pytest.mark.parametrize("label_weight", [0.0, 1.0, 10.0])
def test_the_loss_is_the_formula_written_out(label_weight):
    made = network()
    expected = literal_terms(made, codes(), CLASSES)
    value, terms = bimodal_loss(made, batch(), label_weight)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected)
    total = expected["image"] + expected["text"] + label_weight * expected["class"]
    assert value.item() == pytest.approx(total)


def test_networks_of_single_units_give_the_loss_computed_by_hand():
    made = network({"image": 1, "text": 1}, code=1, classes=2)
    with torch.no_grad():
        for values in made.parameters():
            values.zero_()
        made.encoder[0].weight.fill_(np.log(3.0))
        made.decoder[0].weight[0] = 1.0
        made.head.weight[1] = 4.0
    given = TripledBatch(
        torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1.0, 1.0]]).double(), torch.tensor([1])
    )
    # z = s(log 3) = 3/4, p' = s(3/4), q' = s(0) = 1/2, logits 0 and 3
    expected = 0.5 * (expit(0.75) - 1) ** 2 + 0.5 * 0.25 + 2.0 * np.log1p(np.exp(-3.0))
    assert loss(made, given, 2.0).item() == pytest.approx(expected)


def test_gradients_are_those_of_finite_differences():
    made, given = network(), batch()
    loss(made, given, 2.0).backward()
    for values in made.parameters():
        flat, gradient = values.detach().view(-1), values.grad.view(-1)
        for place in range(len(flat)):
            before, ends = flat[place].item(), []
            for shift in (1e-5, -1e-5):
                flat[place] = before + shift
                ends.append(loss(made, given, 2.0).item())
            flat[place] = before
            assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


def gradients(made, given, label_weight):
    made.zero_grad()
    loss(made, given, label_weight).backward()
    return {name: values.grad.clone() for name, values in made.named_parameters()}


def test_without_their_weight_labels_have_no_part_in_loss_and_gradients():
    made, other = network(), batch(classes=np.array([1, 1, 0, 0]))
    first, second = (gradients(made, given, 0.0) for given in (batch(), other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not first["head.weight"].any()
    assert first["encoder.0.weight"].abs().max() > 1e-3
    assert loss(made, batch(), 0.0).item() == loss(made, other, 0.0).item()
    first, second = (gradients(made, given, 1.0) for given in (batch(), other))
    assert not torch.allclose(first["encoder.0.weight"], second["encoder.0.weight"])
    assert torch.equal(first["decoder.0.weight"], second["decoder.0.weight"])


@pytest.mark.parametrize(("rows", "sides"), [((0, 4), "image"), ((4, 8), "text"), ((8, 12), "both")])
def test_each_version_teaches_the_weights_of_the_sides_it_shows(rows, sides):
    made, whole, part = network(), batch(), slice(*rows)
    given = TripledBatch(whole.inputs[part], whole.targets[part], whole.classes[part])
    _, terms = bimodal_loss(made, given, 1.0)
    for name, term in terms.items():  # either side is to be known from the other, and the class from both
        made.zero_grad()
        term.backward(retain_graph=True)
        taught = made.encoder[0].weight.grad.abs().sum(dim=0) > 0
        assert taught[:4].tolist() == [sides in ("image", "both")] * 4, name
        assert taught[4:].tolist() == [sides in ("text", "both")] * 3, name
        assert made.encoder[0].bias.grad.abs().min() > 0


def test_terms_reach_the_weights_that_make_them():
    made, given = network(), batch()
    _, terms = bimodal_loss(made, given, 1.0)
    reached = {}
    for name, term in terms.items():
        made.zero_grad()
        term.backward(retain_graph=True)
        back, head = (
            torch.zeros_like(weight) if weight.grad is None else weight.grad
            for weight in (made.decoder[0].weight, made.head.weight)
        )
        reached[name] = bool(back[:4].any()), bool(back[4:].any()), bool(head.any())
    assert reached == {
        "image": (True, False, False),
        "text": (False, True, False),
        "class": (False, False, True),
    }


def test_parts_have_random_numbers_of_their_own_and_the_deviation_of_their_inputs_number():
    made = BimodalAutoencoder({"image": 300, "text": 100}, 200, 50, lambda purpose: stream(0, purpose))
    drawn = (made.encoder[0], 400), (made.decoder[0], 200), (made.head, 200)
    for layer, inputs in drawn:
        assert layer.weight.std().item() == pytest.approx(inputs**-0.5, rel=0.03)
        assert not layer.bias.any()
    assert len({layer.weight[0, 0].item() * inputs**0.5 for layer, inputs in drawn}) == 3
    fewer = BimodalAutoencoder({"image": 300, "text": 100}, 200, 2, lambda purpose: stream(0, purpose))
    assert torch.equal(fewer.encoder[0].weight, made.encoder[0].weight)
