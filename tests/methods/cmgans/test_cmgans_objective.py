"""The terms of CM-GANs against pencil numbers, literal NumPy, and finite differences."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.methods.cmgans.networks import Architecture, Wanted, build_networks
from cmbench.methods.cmgans.objective import AdversarialLosses, Batch, Objective

WIDTHS = {"image": 5, "text": 4}
SMALL = Architecture(embedding=6, hidden=7, discriminator_width=3)
N_CLASSES = 3


def networks(architecture=SMALL, wanted=Wanted(), widths=WIDTHS, n_classes=N_CLASSES):  # noqa: B008
    built = build_networks(widths, n_classes, architecture, wanted, seed=0)
    for _, module in built.modules():
        module.double()
    return built


def features(n, seed, widths=WIDTHS):
    random = np.random.default_rng(seed)
    return {name: torch.tensor(random.normal(size=(n, width))) for name, width in widths.items()}


def batch(n=8, seed=0):
    return Batch(features(n, seed), torch.arange(n) % N_CLASSES)


def judged(objective, built, name, pairs, strangers):
    made, strange = objective.generate(built, pairs.views), objective.encode(built, strangers)
    return objective.inter(built, name, pairs.views, strangers, (made, strange))


def test_with_all_logits_zero_the_losses_are_multiples_of_log_2_and_log_c():
    built, objective = networks(), Objective()
    for module in (*built.intra.values(), built.generators["image"].head):
        nn.init.zeros_(module.weight)
        nn.init.zeros_(module.bias)
    for module in built.inter.values():
        nn.init.zeros_(module.last.weight)
        nn.init.zeros_(module.last.bias)
    pairs, strangers = batch(), features(8, 1)
    made = objective.generate(built, pairs.views)
    for name in WIDTHS:
        intra = objective.intra(built, name, pairs.views[name], made)
        assert intra.loss.item() == pytest.approx(2 * math.log(2))
        assert judged(objective, built, name, pairs, strangers).loss.item() == pytest.approx(2 * math.log(2))
        generator = objective.generator(built, name, pairs)
        assert generator.loss.item() == pytest.approx(2 * math.log(2) + math.log(N_CLASSES))


def toy_networks():
    """Encoders and decoders that pass on what is not negative, and discriminators that add it all up."""
    widths = {"image": 2, "text": 2}
    built = networks(Architecture(embedding=2, hidden=2, discriminator_width=2), widths=widths, n_classes=2)
    for _, module in built.modules():
        for part in module.modules():
            if isinstance(part, nn.Linear):
                nn.init.eye_(part.weight) if part.out_features == 2 else nn.init.ones_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            if hasattr(part, "norm"):
                part.norm = nn.Identity()
    return built


def test_every_loss_of_a_toy_is_the_one_worked_out_by_hand():
    built, objective = toy_networks(), Objective()
    image, text = torch.tensor([[1.0, -2.0]]).double(), torch.tensor([[0.0, 3.0]]).double()
    strange_image, strange_text = torch.tensor([[2.0, 0.0]]).double(), torch.tensor([[-1.0, 1.0]]).double()
    pairs = Batch({"image": image, "text": text}, torch.tensor([0]))
    strangers = {"image": strange_image, "text": strange_text}

    def minus_log(logit):
        return math.log(1 + math.exp(-logit))

    # s_i = r_i = (1, 0), s_t = r_t = (0, 3); D_C sums the positive part of s + h
    made = objective.generate(built, pairs.views)
    assert made.common["image"].tolist() == made.reconstructed["image"].tolist() == [[1.0, 0.0]]
    intra = objective.intra(built, "image", image, made)
    assert intra.loss.item() == pytest.approx(minus_log(-1) + minus_log(-1))  # h sums to -1, r to 1
    # (1,0)+(1,-2) -> 2; (0,3)+(1,-2) -> 1 + 1; (2,0)+(2,0) -> 4
    inter = judged(objective, built, "image", pairs, strangers)
    assert inter.loss.item() == pytest.approx(minus_log(2) + 0.5 * minus_log(-2) + 0.5 * minus_log(-4))
    # (0,3)+(0,3) -> 6; (1,0)+(0,3) -> 4; (0,1)+(-1,1) -> 2
    inter = judged(objective, built, "text", pairs, strangers)
    assert inter.loss.item() == pytest.approx(minus_log(6) + 0.5 * minus_log(-4) + 0.5 * minus_log(-2))
    anchored = judged(Objective(mismatch="anchor"), built, "image", pairs, strangers)  # (2,0)+(1,-2) -> 3
    assert anchored.loss.item() == pytest.approx(minus_log(2) + 0.5 * minus_log(-2) + 0.5 * minus_log(-3))
    # D_Ct(s_i, h_t) = 4, D_I(r_i) = 1, class logits (1, 0)
    image_loss = objective.generator(built, "image", pairs).loss.item()
    assert image_loss == pytest.approx(minus_log(4) + minus_log(1) + minus_log(1))
    # D_Ci(s_t, h_i) = 2, D_T(r_t) = 3, class logits (0, 3) for class 0
    text_loss = objective.generator(built, "text", pairs).loss.item()
    assert text_loss == pytest.approx(minus_log(2) + minus_log(3) + minus_log(-3))
    rest = Objective(w_inter=0, w_intra=0, w_semantic=0, w_reconstruction=1)
    assert rest.generator(built, "image", pairs).loss.item() == pytest.approx(2**2 / 2)
    absolute = Objective(w_inter=0, w_intra=0, w_semantic=0, w_reconstruction=3, reconstruction="l1")
    assert absolute.generator(built, "image", pairs).loss.item() == pytest.approx(3 * 2 / 2)


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
    built, pairs, strangers = networks(), batch(), features(8, 1)
    h, strange_h = pairs.views[name].numpy(), strangers[name].numpy()
    s, crossed = (literal_common(built.generators[each], pairs.views[each].numpy()) for each in (name, other))
    strange_s = literal_common(built.generators[name], strange_h)
    inputs = [(s, h), (crossed, h), (strange_s, strange_h if mismatch == "own" else h)]
    if batch_norm == "separate":
        logits = [literal_logits(built.inter[name], *each) for each in inputs]
    else:
        joined = (np.concatenate(each) for each in zip(*inputs, strict=True))
        logits = np.split(literal_logits(built.inter[name], *joined), 3)
    probabilities = [1 / (1 + np.exp(-each)) for each in logits]
    literal = -np.mean(
        np.log(probabilities[0]) + 0.5 * np.log(1 - probabilities[1]) + 0.5 * np.log(1 - probabilities[2])
    )
    objective = Objective(mismatch=mismatch, batch_norm=batch_norm)
    assert judged(objective, built, name, pairs, strangers).loss.item() == pytest.approx(literal)


@pytest.mark.parametrize("name", ["image", "text"])
@pytest.mark.parametrize(
    "objective",
    [
        Objective(),
        Objective(w_reconstruction=2.0, w_intra=0.3),
        Objective(losses=AdversarialLosses(form="saturating", scale="linear")),
        Objective(w_inter=0, w_intra=0, w_reconstruction=1.0),
    ],
)
def test_the_gradient_of_a_generators_loss_is_that_of_finite_differences(name, objective):
    built, pairs = networks(), batch()
    weights = [
        module.weight for module in (built.generators[name].first.linear, built.generators[name].second.norm)
    ]

    def loss(*values):
        return objective.generator(built, name, pairs).loss

    assert torch.autograd.gradcheck(loss, weights)


@pytest.mark.parametrize("name", ["image", "text"])
def test_the_gradient_of_a_discriminators_loss_is_that_of_finite_differences(name):
    built, pairs, strangers = networks(), batch(), features(8, 1)
    made = Objective().generate(built, pairs.views), Objective().encode(built, strangers)
    inter, intra = built.inter[name], built.intra[name]

    def loss(*values):
        return Objective().inter(built, name, pairs.views, strangers, made).loss + (
            Objective().intra(built, name, pairs.views[name], made[0]).loss
        )

    assert torch.autograd.gradcheck(loss, [inter.of_original.weight, inter.last.weight, intra.weight])


def gradients(objective, built, name):
    parameters = dict(built.generators[name].named_parameters())
    loss = objective.generator(built, name, batch()).loss
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


@pytest.mark.parametrize("name", ["image", "text"])
@pytest.mark.parametrize("term", ["w_inter", "w_intra", "w_semantic", "w_reconstruction"])
def test_a_weight_of_zero_takes_away_exactly_the_gradient_of_its_term(name, term):
    weights = {"w_inter": 1.0, "w_intra": 0.7, "w_semantic": 1.3, "w_reconstruction": 0.4}
    built = networks()
    whole = gradients(Objective(**weights), built, name)
    without = gradients(Objective(**{**weights, term: 0.0}), built, name)
    alone = gradients(Objective(**{**dict.fromkeys(weights, 0.0), term: weights[term]}), built, name)
    assert any(each is not None and each.abs().max() > 1e-8 for each in alone.values())
    for parameter, full in whole.items():
        parts = [part for part in (without[parameter], alone[parameter]) if part is not None]
        torch.testing.assert_close(sum(parts), full, rtol=1e-9, atol=1e-12)


def test_without_their_term_the_head_and_the_decoder_receive_no_gradient():
    built = networks()
    for name in WIDTHS:
        without_class = gradients(Objective(w_semantic=0.0), built, name)
        without_intra = gradients(Objective(w_intra=0.0), built, name)
        assert all(value is None for key, value in without_class.items() if key.startswith("head"))
        assert all(value is None for key, value in without_intra.items() if key.startswith("decoder"))
        assert all(value is not None for value in gradients(Objective(), built, name).values())
