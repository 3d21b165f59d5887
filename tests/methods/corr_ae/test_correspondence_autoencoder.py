"""The loss of correspondence autoencoders against NumPy written out, and which parts it ties together."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from cmbench.methods.corr_ae.correspondence import PATHS, CorrespondenceAutoencoder, correspondence_loss
from cmbench.methods.training.batches import stream

VARIANTS = tuple(PATHS)


def network(variant="full", width=5, code=3, seed=0):
    made = CorrespondenceAutoencoder(width, code, variant, lambda purpose: stream(seed, purpose)).double()
    with torch.no_grad():
        for name, values in made.named_parameters():
            if name.endswith("bias"):
                values.copy_(torch.randn(values.shape, generator=stream(seed, name)))
    return made


def inputs(n=4, width=5, seed=1):
    random = np.random.default_rng(seed)
    return {name: torch.tensor(random.random((n, width))) for name in ("image", "text")}


def loss(made, given, alpha):
    return correspondence_loss(made, given, alpha)[0]


def weights(layer):
    return layer[0].weight.detach().numpy(), layer[0].bias.detach().numpy()


def logistic(rows, layer):
    weight, bias = weights(layer)
    return np.array([expit(weight @ row + bias) for row in rows])


def literal_loss(made, given, alpha, paths):
    """The loss of section 5, pair by pair and unit by unit."""
    u, v = given["image"].numpy(), given["text"].numpy()
    target = {"image": u, "text": v}
    code = {"image": logistic(u, made.encoders["image"]), "text": logistic(v, made.encoders["text"])}
    total = 0.0
    for row in range(len(u)):
        for start, end in paths:
            made_of_it = logistic(code[start], made.decoders[f"{start}_to_{end}"])[row]
            total += (1 - alpha) * 0.5 * sum((made_of_it - target[end][row]) ** 2)
        total += alpha * 0.5 * sum((code["image"][row] - code["text"][row]) ** 2)
    return total / len(u)


OWN, CROSS = [("image", "image"), ("text", "text")], [("image", "text"), ("text", "image")]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("variant", "paths"), [("corr", OWN), ("cross", CROSS), ("full", OWN + CROSS)])
def test_the_loss_is_the_formula_written_out(variant, paths, alpha):
    made, given = network(variant), inputs()
    assert loss(made, given, alpha).item() == pytest.approx(literal_loss(made, given, alpha, paths))


def test_a_network_of_single_units_gives_the_loss_computed_by_hand():
    made = network("corr", width=1, code=1)
    with torch.no_grad():
        for values in made.parameters():
            values.zero_()
        made.encoders["image"][0].weight.fill_(np.log(3.0))  # u = 1 gives s(log 3) = 3/4
    given = {"image": torch.ones(1, 1).double(), "text": torch.zeros(1, 1).double()}
    # a = 3/4, b = 1/2, both reconstructions are s(0) = 1/2 of the targets 1 and 0
    expected = 0.8 * (0.5 * 0.25 + 0.5 * 0.25) + 0.2 * 0.5 * 0.0625
    assert loss(made, given, 0.2).item() == pytest.approx(expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_those_of_finite_differences(variant):
    made, given = network(variant, width=3, code=2), inputs(width=3)
    loss(made, given, 0.3).backward()
    for values in made.parameters():
        flat, gradient = values.detach().view(-1), values.grad.view(-1)
        for place in range(len(flat)):
            before, ends = flat[place].item(), []
            for shift in (1e-5, -1e-5):
                flat[place] = before + shift
                ends.append(loss(made, given, 0.3).item())
            flat[place] = before
            assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


def test_full_is_corr_and_cross_with_the_correlation_counted_once():
    corr, cross, full = (network(variant) for variant in VARIANTS)
    given = inputs()
    correlation = 0.3 * correspondence_loss(full, given, 0.3)[1]["correlation"]
    both = loss(corr, given, 0.3) + loss(cross, given, 0.3) - correlation
    assert loss(full, given, 0.3).item() == pytest.approx(both.item())


def encoder_gradient(made, given, modality, value):
    made.zero_grad()
    value.backward(retain_graph=True)
    gradient = made.encoders[modality][0].weight.grad
    return torch.zeros_like(made.encoders[modality][0].weight) if gradient is None else gradient.clone()


def test_without_correlation_the_modalities_of_corr_do_not_know_of_each_other():
    made, given = network("corr"), inputs()
    other = {**given, "text": inputs(seed=7)["text"]}
    first, second = (encoder_gradient(made, each, "image", loss(made, each, 0.0)) for each in (given, other))
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    coupled = [encoder_gradient(made, each, "image", loss(made, each, 0.3)) for each in (given, other)]
    assert not torch.allclose(*coupled)


def test_the_correlation_reaches_both_encoders_with_opposite_sign():
    made, given = network("corr"), inputs()
    codes = {
        name: torch.tensor(rows.detach().numpy(), requires_grad=True)
        for name, rows in made.encode(given).items()
    }
    (0.5 * (codes["image"] - codes["text"]).square().sum(dim=1).mean()).backward()
    assert torch.equal(codes["image"].grad, -codes["text"].grad)
    for name in ("image", "text"):
        gradient = encoder_gradient(made, given, name, loss(made, given, 1.0))
        by_hand = codes[name].grad * (codes[name] * (1 - codes[name])).detach()
        torch.testing.assert_close(gradient, by_hand.T @ given[name])


@pytest.mark.parametrize(
    ("variant", "start", "ends"),
    [("corr", "image", {"image"}), ("cross", "image", {"text"}), ("full", "image", {"image", "text"})],
)
def test_a_reconstruction_reaches_only_the_encoder_of_its_path(variant, start, ends):
    made, given = network(variant), inputs()
    terms = correspondence_loss(made, given, 0.5)[1]
    assert {path[1] for path in made.paths if path[0] == start} == ends
    for path in made.paths:
        for modality in ("image", "text"):
            gradient = encoder_gradient(made, given, modality, terms["_to_".join(path)])
            assert bool(gradient.any()) is (modality == path[0]), (path, modality)


def test_equal_encoders_and_inputs_correlate_fully():
    made, given = network("corr"), inputs()
    made.encoders["text"].load_state_dict(made.encoders["image"].state_dict())
    same = {"image": given["image"], "text": given["image"]}
    assert loss(made, same, 1.0).item() == 0
    assert loss(made, given, 1.0).item() > 0


def test_constant_codes_minimise_pure_correlation():
    made = network("full")
    with torch.no_grad():
        for encoder in made.encoders.values():
            encoder[0].weight.zero_()
            encoder[0].bias.fill_(0.7)
    value = loss(made, inputs(), 1.0)
    assert value.item() == 0
    assert not encoder_gradient(made, inputs(), "image", value).any()


def test_without_correlation_and_curvature_no_autoencoder_beats_principal_components():
    """Near its centre a logistic unit is linear, and then PCA of the same width is the optimum."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(60, 2)) @ random.normal(size=(2, 4)) + 0.5 * random.normal(size=(60, 4))
    rows = 0.5 + 0.01 * (rows - rows.mean(axis=0))
    given = {name: torch.tensor(rows) for name in ("image", "text")}
    made = network("corr", width=4, code=2)
    optimizer = torch.optim.LBFGS(
        made.parameters(),
        max_iter=600,
        history_size=50,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        value = 1e6 * loss(made, given, 0.0)
        value.backward()
        return value

    optimizer.step(closure)
    residual = 0.5 * (np.linalg.svd(rows - rows.mean(axis=0))[1][2:] ** 2).sum() / len(rows)
    found = loss(made, given, 0.0).item() / 2
    assert found >= residual * (1 - 1e-2)
    assert found <= residual * 1.5, "and training comes near it"


def test_parts_have_random_numbers_of_their_own():
    corr, cross, full = (
        CorrespondenceAutoencoder(5, 3, variant, lambda purpose: stream(0, purpose)) for variant in VARIANTS
    )
    state = full.state_dict()
    for part in (corr, cross):
        for name, values in part.state_dict().items():
            assert torch.equal(values, state[name]), name
    drawn = [values.flatten() for name, values in state.items() if name.endswith("weight")]
    assert len({round(values[0].item(), 6) for values in drawn}) == 6


def test_initial_weights_have_the_deviation_of_their_inputs_number():
    made = CorrespondenceAutoencoder(400, 100, "corr", lambda purpose: stream(0, purpose))
    assert made.encoders["image"][0].weight.std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert made.decoders["text_to_text"][0].weight.std().item() == pytest.approx(100**-0.5, rel=0.02)
