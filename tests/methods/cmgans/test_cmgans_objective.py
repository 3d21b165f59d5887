"""The terms of CM-GANs against pencil numbers, literal NumPy, and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.methods.cmgans.method import CMGANs
from cmbench.methods.cmgans.networks import build_networks
from cmbench.methods.cmgans.objective import Batch, Objective

WIDTHS = {"image": 5, "text": 4}
SMALL = {"embedding": 6, "hidden": 7, "discriminator_width": 3, "dropout": 0.0}
N_CLASSES = 3


def networks(widths=WIDTHS, n_classes=N_CLASSES, **sizes):
    built = build_networks(widths, n_classes, CMGANs(**{**SMALL, **sizes}))
    for module in built.by_name().values():
        module.double()
    return built


def features(n, seed, widths=WIDTHS):
    random = np.random.default_rng(seed)
    return {name: torch.tensor(random.normal(size=(n, width))) for name, width in widths.items()}


def batch(n=8, seed=0):
    return Batch(features(n, seed), torch.arange(n) % N_CLASSES)


def objective_of(built, **parameters):
    return Objective(CMGANs(**parameters), built)


def judged(objective, name, pairs, mismatched):
    generated = objective.generate(pairs.features, mismatched)
    return objective.inter_discriminator_loss(name, pairs.features, mismatched, generated).value


def test_with_all_logits_zero_the_losses_are_multiples_of_log_2_and_log_c():
    built = networks()
    objective = objective_of(built)
    for module in (*built.intra_discriminators.values(), built.generators["image"].head):
        nn.init.zeros_(module.weight)
        nn.init.zeros_(module.bias)
    for module in built.inter_discriminators.values():
        nn.init.zeros_(module.last.weight)
        nn.init.zeros_(module.last.bias)
    pairs, mismatched = batch(), features(8, 1)
    generated = objective.generate(pairs.features, mismatched)
    for name in WIDTHS:
        intra = objective.intra_discriminator_loss(name, pairs.features, generated)
        assert intra.value.item() == pytest.approx(2 * math.log(2))
        assert judged(objective, name, pairs, mismatched).item() == pytest.approx(2 * math.log(2))
        assert objective.generator_loss(name, pairs).value.item() == pytest.approx(
            2 * math.log(2) + math.log(N_CLASSES)
        )


def toy_networks():
    """Encoders and decoders that pass on what is not negative, and discriminators that add it all up."""
    widths = {"image": 2, "text": 2}
    built = networks(widths, 2, embedding=2, hidden=2, discriminator_width=2)
    for module in built.by_name().values():
        for part in module.modules():
            if isinstance(part, nn.Linear):
                nn.init.eye_(part.weight) if part.out_features == 2 else nn.init.ones_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            if hasattr(part, "norm"):
                part.norm = nn.Identity()
    return built


def test_every_loss_of_a_toy_is_the_one_worked_out_by_hand():
    built = toy_networks()
    objective = objective_of(built)
    image, text = torch.tensor([[1.0, -2.0]]).double(), torch.tensor([[0.0, 3.0]]).double()
    other_image, other_text = torch.tensor([[2.0, 0.0]]).double(), torch.tensor([[-1.0, 1.0]]).double()
    pairs = Batch({"image": image, "text": text}, torch.tensor([0]))
    mismatched = {"image": other_image, "text": other_text}

    def minus_log(logit):
        return math.log(1 + math.exp(-logit))

    # s_i = r_i = (1, 0), s_t = r_t = (0, 3); D_C sums the positive part of s + h
    generated = objective.generate(pairs.features, mismatched)
    assert generated.common["image"].tolist() == generated.reconstructed["image"].tolist() == [[1.0, 0.0]]
    intra = objective.intra_discriminator_loss("image", pairs.features, generated)
    assert intra.value.item() == pytest.approx(minus_log(-1) + minus_log(-1))  # h sums to -1, r to 1
    # (1,0)+(1,-2) -> 2; (0,3)+(1,-2) -> 1 + 1; (2,0)+(2,0) -> 4
    inter = judged(objective, "image", pairs, mismatched)
    assert inter.item() == pytest.approx(minus_log(2) + 0.5 * minus_log(-2) + 0.5 * minus_log(-4))
    # (0,3)+(0,3) -> 6; (1,0)+(0,3) -> 4; (0,1)+(-1,1) -> 2
    inter = judged(objective, "text", pairs, mismatched)
    assert inter.item() == pytest.approx(minus_log(6) + 0.5 * minus_log(-4) + 0.5 * minus_log(-2))
    # (2,0)+(1,-2) -> 3
    anchored = judged(objective_of(built, mismatch="anchor"), "image", pairs, mismatched)
    assert anchored.item() == pytest.approx(minus_log(2) + 0.5 * minus_log(-2) + 0.5 * minus_log(-3))
    # D_Ct(s_i, h_t) = 4, D_I(r_i) = 1, class logits (1, 0)
    image_loss = objective.generator_loss("image", pairs).value.item()
    assert image_loss == pytest.approx(minus_log(4) + minus_log(1) + minus_log(1))
    # D_Ci(s_t, h_i) = 2, D_T(r_t) = 3, class logits (0, 3) for class 0
    text_loss = objective.generator_loss("text", pairs).value.item()
    assert text_loss == pytest.approx(minus_log(2) + minus_log(3) + minus_log(-3))
    rest = objective_of(built, w_inter=0, w_intra=0, w_semantic=0, w_reconstruction=1)
    assert rest.generator_loss("image", pairs).value.item() == pytest.approx(2**2 / 2)
    parameters = {"w_inter": 0, "w_intra": 0, "w_semantic": 0, "w_reconstruction": 1}
    relative = Objective(CMGANs(**parameters), built, {"image": 8.0, "text": 1.0})
    assert relative.generator_loss("image", pairs).value.item() == pytest.approx(2**2 / 2 / 8)
    squares = Objective(CMGANs(**parameters, reconstruction="mse"), built, {"image": 8.0, "text": 1.0})
    assert squares.generator_loss("image", pairs).value.item() == pytest.approx(2**2 / 2)
    absolute = objective_of(
        built, w_inter=0, w_intra=0, w_semantic=0, w_reconstruction=3, reconstruction="l1"
    )
    assert absolute.generator_loss("image", pairs).value.item() == pytest.approx(3 * 2 / 2)


def normalised(rows, norm):
    scale, shift = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    return (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + norm.eps) * scale + shift


def literal_logits(discriminator, common, original):
    """The discriminator on the concatenation (s, h), written out."""
    weight = np.concatenate(
        [discriminator.of_common.weight.detach(), discriminator.of_original.weight.detach()], 1
    )
    hidden = np.concatenate([common, original], 1) @ weight.T + discriminator.of_common.bias.detach().numpy()
    hidden = np.maximum(normalised(hidden, discriminator.norm), 0)
    return hidden @ discriminator.last.weight.detach().numpy().T + discriminator.last.bias.detach().numpy()


def literal_common(generator, rows):
    for block in (generator.first, generator.second):
        linear = rows @ block.linear.weight.detach().numpy().T + block.linear.bias.detach().numpy()
        rows = np.maximum(normalised(linear, block.norm), 0)
    return rows


@pytest.mark.parametrize(("name", "other"), [("image", "text"), ("text", "image")])
@pytest.mark.parametrize("mismatch", ["own", "anchor"])
@pytest.mark.parametrize("batch_norm", ["separate", "joined"])
def test_equations_7_and_8_are_what_numpy_makes_of_them(name, other, mismatch, batch_norm):
    built, pairs, mismatched = networks(), batch(), features(8, 1)
    h, mismatched_h = pairs.features[name].numpy(), mismatched[name].numpy()
    s, crossed = (
        literal_common(built.generators[each], pairs.features[each].numpy()) for each in (name, other)
    )
    mismatched_s = literal_common(built.generators[name], mismatched_h)
    inputs = [(s, h), (crossed, h), (mismatched_s, mismatched_h if mismatch == "own" else h)]
    if batch_norm == "separate":
        logits = [literal_logits(built.inter_discriminators[name], *each) for each in inputs]
    else:
        joined = (np.concatenate(each) for each in zip(*inputs, strict=True))
        logits = np.split(literal_logits(built.inter_discriminators[name], *joined), 3)
    probabilities = [1 / (1 + np.exp(-each)) for each in logits]
    literal = -np.mean(
        np.log(probabilities[0]) + 0.5 * np.log(1 - probabilities[1]) + 0.5 * np.log(1 - probabilities[2])
    )
    objective = objective_of(built, mismatch=mismatch, batch_norm=batch_norm)
    assert judged(objective, name, pairs, mismatched).item() == pytest.approx(literal)


@pytest.mark.parametrize("name", ["image", "text"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"w_reconstruction": 2.0, "w_intra": 0.3},
        {"generator_loss": "saturating", "loss_scale": "linear"},
        {"w_inter": 0, "w_intra": 0, "w_reconstruction": 1.0},
    ],
)
def test_the_gradient_of_a_generators_loss_is_that_of_finite_differences(name, parameters):
    built, pairs = networks(), batch()
    weights = [
        module.weight for module in (built.generators[name].first.linear, built.generators[name].second.norm)
    ]

    def loss(*values):
        return objective_of(built, **parameters).generator_loss(name, pairs).value

    assert torch.autograd.gradcheck(loss, weights)


@pytest.mark.parametrize("name", ["image", "text"])
def test_the_gradient_of_a_discriminators_loss_is_that_of_finite_differences(name):
    built, pairs, mismatched = networks(), batch(), features(8, 1)
    objective = objective_of(built)
    generated = objective.generate(pairs.features, mismatched)
    inter, intra = built.inter_discriminators[name], built.intra_discriminators[name]

    def loss(*values):
        of_inter = objective.inter_discriminator_loss(name, pairs.features, mismatched, generated)
        of_intra = objective.intra_discriminator_loss(name, pairs.features, generated)
        return of_inter.value + of_intra.value

    assert torch.autograd.gradcheck(loss, [inter.of_original.weight, inter.last.weight, intra.weight])


def gradients(built, name, **weights):
    parameters = dict(built.generators[name].named_parameters())
    loss = objective_of(built, **weights).generator_loss(name, batch()).value
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


@pytest.mark.parametrize("name", ["image", "text"])
@pytest.mark.parametrize("term", ["w_inter", "w_intra", "w_semantic", "w_reconstruction"])
def test_a_weight_of_zero_takes_away_exactly_the_gradient_of_its_term(name, term):
    weights = {"w_inter": 1.0, "w_intra": 0.7, "w_semantic": 1.3, "w_reconstruction": 0.4}
    built = networks()
    whole = gradients(built, name, **weights)
    without = gradients(built, name, **{**weights, term: 0.0})
    alone = gradients(built, name, **{**dict.fromkeys(weights, 0.0), term: weights[term]})
    assert any(each is not None and each.abs().max() > 1e-8 for each in alone.values())
    for parameter, full in whole.items():
        parts = [part for part in (without[parameter], alone[parameter]) if part is not None]
        torch.testing.assert_close(sum(parts), full, rtol=1e-9, atol=1e-12)


def test_without_their_term_the_head_and_the_decoder_receive_no_gradient():
    built = networks()
    for name in WIDTHS:
        without_class = gradients(built, name, w_semantic=0.0)
        without_intra = gradients(built, name, w_intra=0.0)
        assert all(value is None for key, value in without_class.items() if key.startswith("head"))
        assert all(value is None for key, value in without_intra.items() if key.startswith("decoder"))
        assert all(value is not None for value in gradients(built, name).values())
