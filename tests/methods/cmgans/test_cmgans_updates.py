"""What each update of CM-GANs touches, and which networks there are to be touched."""

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.methods.cmgans import networks as cross_modal_networks
from cmbench.methods.cmgans.method import (
    CMGANs,
    CMGANsCAE,
    CMGANsInter,
    CMGANsNone,
    CMGANsRelease,
    CMGANsSC,
    CMGANsWS,
)
from cmbench.methods.cmgans.networks import build_networks
from cmbench.methods.cmgans.objective import Batch
from cmbench.methods.cmgans.training import Updates, learning_rate_in

WIDTHS = {"image": 5, "text": 4}
SIZES = {"embedding": 8, "hidden": 8, "discriminator_width": 6}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def updates(method=CMGANs, **parameters):
    chosen = method(**SIZES, **parameters)
    return Updates(chosen, build_networks(WIDTHS, 3, chosen))


def features(seed, n=8):
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(n, width, generator=random) for name, width in WIDTHS.items()}


def batch(seed=0, n=8):
    return Batch(features(seed, n), torch.arange(n) % 3)


def state(updates):
    """Every tensor of every network under one name: the first, for tensors with several."""
    found, seen = {}, set()
    for name, module in updates.networks.by_name().items():
        for key, value in module.state_dict(keep_vars=True).items():
            if id(value) not in seen:
                seen.add(id(value))
                found[f"{name}.{key}"] = value.detach().clone()
    return found


def moved(updates, action):
    """Return the names of parameters, and of running statistics, that an action changes."""
    before = state(updates)
    action()
    changed = {name for name, value in state(updates).items() if not torch.equal(value, before[name])}
    statistics = {name for name in changed if name.endswith(BUFFERS)}
    return changed - statistics, statistics


def parameters_of(updates, *prefixes):
    names = {name for name in state(updates) if not name.endswith(BUFFERS)}
    return {name for name in names if name.startswith(prefixes)}


def statistics_of(updates, *prefixes):
    return {name for name in state(updates) if name.endswith(BUFFERS) and name.startswith(prefixes)}


def test_the_discriminators_update_moves_discriminators_only():
    training = updates()
    parameters, statistics = moved(training, lambda: training.update_discriminators(batch(), features(1)))
    assert parameters == parameters_of(training, "D_")
    assert statistics == statistics_of(training, "D_", "G_")


SHARED = ("G_image.second.linear", "G_image.second.norm.weight", "G_image.second.norm.bias", "G_image.head")


@pytest.mark.parametrize(("name", "other"), [("image", "text"), ("text", "image")])
def test_a_generators_update_moves_its_own_networks_and_the_shared_layer(name, other):
    training = updates()
    action = lambda: training.update_generator(name, batch())  # noqa: E731
    parameters, statistics = moved(training, action)
    own = parameters_of(training, f"G_{name}")
    assert parameters == own | parameters_of(training, *SHARED)
    assert statistics == statistics_of(training, f"G_{name}", f"D_inter_{other}")
    assert all(
        each.grad is None
        for key, module in training.networks.by_name().items()
        for each in module.parameters()
        if key.startswith("D_")
    )


@pytest.mark.parametrize("name", ["image", "text"])
def test_the_discriminators_hold_still_while_generators_learn_and_the_reverse(name):
    training = updates()
    training.update_discriminators(batch(), features(1))
    still = parameters_of(training, "D_")
    parameters, _ = moved(training, lambda: training.update_generators(batch()))
    assert not parameters & still
    assert parameters == parameters_of(training, "G_")


@pytest.mark.parametrize("name", ["D_intra_image", "D_intra_text", "D_inter_image", "D_inter_text"])
def test_one_discriminators_step_moves_that_discriminator_only(name):
    training = updates()
    loss = training._discriminator_losses(features(0), features(1))[name]
    parameters, statistics = moved(training, lambda: training._descend(name, loss, gradient_norms=False))
    assert parameters == parameters_of(training, name)
    assert not statistics


def test_one_joint_step_moves_both_generators_once():
    training = updates(joint_optimizer=True)
    assert "G_image" not in training.optimizers
    parameters, _ = moved(training, lambda: training.update_generators(batch()))
    assert parameters == parameters_of(training, "G_")
    shared = training.networks.generators["text"].second.linear.weight
    assert training.optimizers["G"].state[shared]["step"].item() == 1


def test_the_shared_layer_has_an_adam_state_with_either_generator():
    training = updates()
    training.update_generators(batch())
    shared = training.networks.generators["text"].second.linear.weight
    steps = [training.optimizers[name].state[shared]["step"].item() for name in ("G_image", "G_text")]
    assert steps == [1, 1]


def test_a_round_runs_k_generator_steps_after_the_discriminators_or_before():
    for order, first in (("discriminators-first", "D_"), ("generators-first", "G_")):
        training = updates(update_order=order)
        watched = [name for name, _ in training.run_round([batch(i) for i in range(4)], features(9))]
        assert watched[0].startswith(first)
        assert watched.count("G_text_inter_loss") == watched.count("G_image_inter_loss") == 3
        assert watched.count("D_inter_text_loss") == watched.count("D_intra_image_loss") == 1


def test_the_shared_layer_is_one_tensor_in_both_encoders():
    training = updates()
    image, text = (training.networks.generators[name] for name in WIDTHS)
    assert image.second.linear.weight is text.second.linear.weight
    assert image.second.norm.weight is text.second.norm.weight
    assert image.second.norm.running_mean is not text.second.norm.running_mean
    assert image.head is text.head
    hidden = torch.randn(3, 8)
    for _ in range(50):
        assert torch.equal(image.second.linear(hidden), text.second.linear(hidden))
        training.update_generators(batch())


@pytest.mark.parametrize(
    ("parameters", "shared_values"),
    [
        ({}, 8 * 8 + 8 + 2 * 8 + 8 * 3 + 3),
        ({"shared_norm": "none"}, 8 * 8 + 8 + 8 * 3 + 3),
        ({"head": "separate"}, 8 * 8 + 8 + 2 * 8),
        ({"tie": "none", "head": "separate"}, 0),
        ({"tie": "init_only", "head": "separate"}, 0),
    ],
)
def test_sharing_saves_as_many_parameters_as_are_shared(parameters, shared_values):
    generators = [list(each.parameters()) for each in updates(**parameters).networks.generators.values()]
    unique = {id(each): each.numel() for own in generators for each in own}
    assert sum(each.numel() for own in generators for each in own) - sum(unique.values()) == shared_values


def test_running_statistics_are_shared_only_when_asked_for():
    image, text = updates(shared_norm="all").networks.generators.values()
    assert image.second.norm is text.second.norm


def test_layers_equal_at_the_start_only_part_with_the_first_update_and_untied_ones_never_met():
    def difference(training):
        image, text = training.networks.generators.values()
        return (image.second.linear.weight - text.second.linear.weight).abs().max().item()

    training = updates(tie="init_only")
    assert difference(training) == 0
    training.update_generators(batch())
    assert difference(training) > 0
    assert difference(updates(tie="none")) > 0


def test_with_full_sizes_the_networks_are_as_large_as_published():
    networks = build_networks({"image": 4096, "text": 300}, 20, CMGANs()).by_name()
    sizes = {name: sum(each.numel() for each in module.parameters()) for name, module in networks.items()}
    assert sizes["G_image"] == pytest.approx(10.5e6, rel=0.02)
    assert sizes["D_inter_image"] == (1024 + 4096) * 512 + 512 + 2 * 512 + 512 + 1
    assert sizes["D_intra_image"] == 4097


BUILT = {
    CMGANs: {"G_image", "G_text", "D_intra_image", "D_intra_text", "D_inter_image", "D_inter_text"},
    CMGANsInter: {"G_image", "G_text", "D_inter_image", "D_inter_text"},
    CMGANsCAE: {"G_image", "G_text"},
}
for full in (CMGANsRelease, CMGANsNone, CMGANsWS, CMGANsSC):
    BUILT[full] = BUILT[CMGANs]


@pytest.mark.parametrize("method", BUILT)
def test_networks_of_a_term_that_is_switched_off_are_not_built(method):
    training = updates(method)
    assert set(training.networks.by_name()) == BUILT[method]
    generator = training.networks.generators["image"]
    assert (generator.head is None) == (method in (CMGANsNone, CMGANsWS))
    assert (generator.decoder is None) == (method is CMGANsInter)
    watched = {name for name, _ in training.run_round([batch(), batch(1)], features(2))}
    assert any("semantic" in name for name in watched) == (method not in (CMGANsNone, CMGANsWS))
    assert any("reconstruction" in name for name in watched) == (method is CMGANsCAE)
    assert any("_inter_" in name for name in watched) == (method is not CMGANsCAE)
    assert any("_intra_" in name for name in watched) == (method not in (CMGANsCAE, CMGANsInter))


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        (CMGANsInter, ("intra",)),
        (CMGANsCAE, ("intra", "inter")),
        (CMGANsWS, ("head",)),
        (CMGANsNone, ("head",)),
    ],
)
def test_initial_values_of_a_part_that_is_switched_off_do_not_matter(method, parts, monkeypatch):
    def trained(kind):
        training = updates(kind, dropout=0.0)  # which draws from one stream for all parts
        training.run_round([batch(), batch(1)], features(2))
        return state(training)

    before, before_full = trained(method), trained(CMGANs)
    original = cross_modal_networks.stream
    monkeypatch.setattr(
        cross_modal_networks,
        "stream",
        lambda seed, name: original(seed + 1 if name.startswith(parts) else seed, name),
    )
    after, after_full = trained(method), trained(CMGANs)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not all(torch.equal(value, after_full[name]) for name, value in before_full.items())


def test_leaving_a_part_out_changes_the_initial_values_of_no_other():
    full, inter = state(updates()), state(updates(CMGANsInter))
    assert set(inter) < set(full)
    assert all(torch.equal(value, full[name]) for name, value in inter.items())


@pytest.mark.parametrize(
    ("method", "tie", "head", "activation"),
    [
        (CMGANs, "tied", "shared", "relu"),
        (CMGANsRelease, "init_only", "separate", "leaky"),
        (CMGANsNone, "none", "shared", "relu"),
        (CMGANsSC, "none", "shared", "relu"),
        (CMGANsWS, "tied", "shared", "relu"),
    ],
)
def test_each_method_has_the_architecture_its_name_says(method, tie, head, activation):
    image, text = updates(method).networks.generators.values()
    assert (image.second.linear is text.second.linear) == (tie == "tied")
    assert torch.equal(image.second.linear.weight, text.second.linear.weight) == (tie != "none")
    assert (image.head is text.head) == (head == "shared")
    assert type(image.first.activation) is (nn.ReLU if activation == "relu" else nn.LeakyReLU)


def test_the_gradient_is_clipped_when_asked_to_and_its_norm_told():
    loose, clipped = updates(), updates(gradient_clip=1e-3)
    for training in (loose, clipped):
        watched = dict(training.run_round([batch(), batch(1)], features(2), gradient_norms=True))
        norms = {name: value.item() for name, value in watched.items() if name.endswith("_gradient")}
        assert set(norms) == {f"{name}_gradient" for name in BUILT[CMGANs]}
        assert all(norm > 1e-3 for norm in norms.values())  # told as it was before clipping
        largest = max(
            torch.stack([each.grad.norm() for each in own if each.grad is not None]).norm().item()
            for name, own in training.parameters.items()
            if name == "G_text"
        )
        assert (largest <= 1.001e-3) == (training is clipped)


def test_the_rate_is_halved_every_so_many_epochs():
    method = CMGANs(learning_rate=0.4, halve_every=10)
    rates = [learning_rate_in(epoch, method) for epoch in (0, 9, 10, 19, 20)]
    np.testing.assert_allclose(rates, [0.4, 0.4, 0.2, 0.2, 0.1])
    training = updates()
    training.set_learning_rate(0.25)
    assert {group["lr"] for each in training.optimizers.values() for group in each.param_groups} == {0.25}


def test_building_networks_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    updates()
    assert torch.equal(torch.rand(2), expected)
