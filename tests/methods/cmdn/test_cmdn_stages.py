"""The stages of CMDN: what each learns from, and what it leaves alone."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from representations import represented
from scipy.special import expit

from cmbench.errors import MethodError
from cmbench.methods.cmdn import bimodal as bimodal_training
from cmbench.methods.cmdn import method as cmdn
from cmbench.methods.cmdn import separate_codes as cmdn_stages
from cmbench.methods.cmdn.method import CMDN
from cmbench.methods.training.device import NetworkMap
from cmbench.methods.views.maps import steps_of
from cmbench.methods.views.scaling import Scaling, UnitScaling

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

SIZES = {"first_level": 12, "sae_hidden": 9, "sae_code": 5, "hidden_image": 10, "hidden_text": 9}
SIZES |= {"code": 8, "joint": 11, "fusion": 7, "width": 8}
BATCHES = {"rbm_batch_size": 16, "class_batch": 16, "batch_size": 48}
LENGTH = {"rbm_epochs": 8, "class_epochs": 3, "epochs": 2}
LENGTH |= {"sae_epochs": None, "sae_rate": 0.02, "joint_epochs": None}
BRIEF = {**SIZES, **BATCHES, **LENGTH, "device": "cpu"}
EARLY = 4 * 8 + 4 * 8 + 8 + 2 * (8 + 3)  # autoencoders, RBMs, joint RBM, fusion and classifiers
EPOCHS = EARLY + 4 * 2


def fitted(toy, **parameters):
    return CMDN(**{**BRIEF, **parameters}).fit(toy.train, toy.validation)


@pytest.fixture(scope="module")
def method(toy):
    return fitted(toy)


@pytest.fixture(scope="module")
def default(toy, method):
    return represented(method, toy.test)


def tensors(*maps):
    """A copy of every tensor of maps, scalings included."""
    found = []
    for step in (step for each in maps for step in steps_of(each)):
        if isinstance(step, NetworkMap):
            found += [values.detach().clone() for values in step.network.state_dict().values()]
        scaling = step.scaling if isinstance(step, NetworkMap) else getattr(step, "__self__", None)
        if isinstance(scaling, Scaling):
            found += [torch.tensor(values) for values in (scaling.mean, scaling.scale)]
    return found


def parts_of(representation):
    """The maps that a representation consists of, by what they give."""
    names = ("intra", "unit", "inter", "joint", "classes", "common", "standardised")
    return SimpleNamespace(**dict(zip(names, steps_of(representation), strict=True)))


def remembered(monkeypatch, module, name, maps_of):
    """Have a stage leave the code maps it learned, and what they were when it ended."""
    kept, original = [], getattr(module, name)

    def stage(*arguments, **keywords):
        result = original(*arguments, **keywords)
        maps = maps_of(result)
        kept.append((maps, tensors(*maps)))
        return result

    monkeypatch.setattr(module, name, stage)
    return kept


def test_no_stage_changes_what_an_earlier_one_learned(toy, monkeypatch):
    learned = {
        "intra": remembered(monkeypatch, cmdn_stages, "learn_intra_codes", lambda found: [found[0]]),
        "inter": remembered(
            monkeypatch, cmdn_stages, "learn_inter_codes", lambda found: [*found[0].values()]
        ),
        "stack": remembered(
            monkeypatch,
            cmdn_stages,
            "train_stack",
            lambda stack: [NetworkMap(stack.network, "", UnitScaling(*np.ones((2, 1))))],
        ),
        "classes": remembered(monkeypatch, cmdn, "learn_class_codes", lambda found: [found.map]),
        "levels": remembered(monkeypatch, bimodal_training.Level, "of", lambda level: [*level.maps.values()]),
    }
    fitted(toy)
    assert {name: len(kept) for name, kept in learned.items()} == {
        "intra": 2,
        "inter": 1,
        "stack": 2,
        "classes": 2,
        "levels": 4,
    }
    for name, kept in learned.items():
        for maps, before in kept:
            after = tensors(*maps)
            assert len(after) == len(before) > 4
            assert all(map(torch.equal, before, after)), name


def watched(monkeypatch, module, name):
    """Have a function leave its arguments and its result."""
    seen, original = [], getattr(module, name)

    def call(*arguments, **keywords):
        result = original(*arguments, **keywords)
        seen.append((arguments, result))
        return result

    monkeypatch.setattr(module, name, call)
    return seen


def test_each_stage_learns_from_what_the_one_before_gives(toy, monkeypatch):
    joint = watched(monkeypatch, cmdn_stages, "train_rbm")
    classes = watched(monkeypatch, cmdn, "learn_class_codes")
    levels = watched(monkeypatch, cmdn, "train_levels")
    made = fitted(toy)
    views = {"image": toy.train.images, "text": toy.train.texts}
    maps = {"image": made.image_map_, "text": made.text_map_}
    inter = {name: parts_of(each).inter for name, each in maps.items()}
    below = [inter[name].network[:-1] for name in views]
    (_, rows, *_), _ = joint[0]
    scaled = [inter[name].scaling.apply(views[name]).astype(np.float32) for name in views]
    with torch.no_grad():
        expected = torch.hstack([net(torch.from_numpy(x)) for net, x in zip(below, scaled, strict=True)])
    torch.testing.assert_close(rows.rows(np.arange(80)), expected, atol=1e-5, rtol=1e-4)
    for ((codes, widths, *_, name, _), result), split in zip(classes, views.items(), strict=True):
        assert (name, dict(widths)) == (split[0], {"intra": 5, "inter": 11})
        np.testing.assert_allclose(codes[0], maps[name].steps[0](split[1]), atol=1e-6)
        assert codes[0].min() >= 0
        assert codes[0].max() <= 1
        assert result.map.steps[0](codes[0]).shape == (80, 7)
        assert result.train.shape == (80, 8)
        low, high = result.train.min(axis=0), result.train.max(axis=0)
        alive = high > low
        (_, _, *pairs, _), _ = levels[0]
        for given, found in ((result.train, pairs[0]), (result.validation, pairs[1])):
            unit = (given - low)[:, alive] / (high - low)[alive]
            np.testing.assert_allclose(found.views[name][:, alive], np.clip(unit, 0, 1), atol=1e-5)
            assert not found.views[name][:, ~alive].any()


@pytest.mark.parametrize("name", ["image", "text"])
def test_the_other_modality_is_inferred_by_ten_steps_of_mean_field(toy, method, name):
    made = parts_of(getattr(method, f"{name}_map_")).inter
    features = getattr(toy.test, f"{name}s")
    below, joint = made.network[:-1], made.network[-1].joint
    with torch.no_grad():
        known = below(torch.from_numpy(made.scaling.apply(features).astype(np.float32))).numpy()
    weight, bias, c = (
        values.detach().numpy() for values in (joint.weight, joint.visible_bias, joint.hidden_bias)
    )
    own, other = (slice(8), slice(8, 16)) if name == "image" else (slice(8, 16), slice(8))
    missing = expit(np.tile(bias[other], (len(known), 1)))
    for _ in range(10):
        hidden = expit(known @ weight[own] + missing @ weight[other] + c)
        missing = expit(hidden @ weight[other].T + bias[other])
    expected = expit(known @ weight[own] + missing @ weight[other] + c)
    np.testing.assert_allclose(made(features), expected, atol=1e-6)
    assert np.abs(made(features) - expit(known @ weight[own] + c)).max() > 1e-3


def test_the_code_of_the_stacked_autoencoder_keeps_its_proportions(toy, method):
    for made, features in ((method.image_map_, toy.train.images), (method.text_map_, toy.train.texts)):
        raw = parts_of(made).intra(features)
        unit = (raw - raw.min()) / (raw.max() - raw.min())
        np.testing.assert_allclose(made.steps[0](features)[:, :5], unit, atol=1e-6)


def test_a_level_learns_from_the_kept_codes_of_single_sides_of_the_one_below(toy, monkeypatch):
    made = watched(monkeypatch, bimodal_training, "BimodalFitting")
    method = fitted(toy, epochs=12, learning_rate=0.03)
    fittings = [fitting for _, fitting in made]
    assert [fitting.number for fitting in fittings] == [1, 2, 3, 4]
    assert [fitting.network.encoder[0].out_features for fitting in fittings] == [12, 6, 3, 1]
    for lower, upper in pairwise(fittings):
        encoder = lower.network.encoder[0]
        for below, above in ((lower.train, upper.train), (lower.validation, upper.validation)):
            p, q = below.views["image"], below.views["text"]
            for name, pair in (("image", (p, 0 * q)), ("text", (0 * p, q))):
                joined = torch.from_numpy(np.hstack(pair)).to(encoder.weight)
                code = torch.sigmoid(encoder(joined)).detach().numpy()
                np.testing.assert_allclose(above.views[name], code, atol=1e-6)
            assert np.array_equal(below.labels, above.labels)
    scores = [each.split(" ") for each in method.levels_.split(", ")]
    best = [fitting.validation_map() for fitting in fittings]
    assert [number for number, _ in scores] == ["1", "2", "3", "4"]
    np.testing.assert_allclose([float(score) for _, score in scores], best, atol=1e-4)


def test_a_number_of_levels_is_trained_and_the_last_one_represents(toy, method, default):
    for depth, width in ((1, 12), (2, 6), (3, 3)):
        made = fitted(toy, depth=depth)
        assert made.depth_ == depth
        assert made.iterations_ == 5 * (EARLY + 2 * depth)
        assert made.levels_ == ", ".join(method.levels_.split(", ")[:depth]), "of the same levels"
        assert represented(made, toy.test).shape == (48, 2 * width)
    assert (method.depth_, default.shape) == (4, (48, 2))


def test_the_best_level_is_chosen_on_validation(toy):
    chosen = fitted(toy, depth="validation")
    scores = [float(each.split(" ")[1]) for each in chosen.levels_.split(", ")]
    assert len(scores) == 4
    assert chosen.depth_ == 1 + int(np.argmax(scores))
    assert chosen.validation_map_ == pytest.approx(max(scores), abs=1e-4)
    assert chosen.depth_ < 4, "choose a setting whose best level is not the last"
    alone = fitted(toy, depth=chosen.depth_)
    assert np.array_equal(represented(chosen, toy.test), represented(alone, toy.test))
    assert chosen.best_iteration_ == alone.best_iteration_
    assert chosen.iterations_ == 5 * EPOCHS
    with pytest.raises(MethodError, match="depth is to be chosen on validation, but stopping is 'none'"):
        fitted(toy, depth="validation", stopping="none")


def test_labels_only_reach_the_classifier_and_the_levels(toy, method, default):
    shuffled = replace(toy.train, labels=np.random.default_rng(0).permutation(toy.train.labels))
    other = CMDN(**BRIEF).fit(shuffled, toy.validation)
    assert not np.allclose(represented(other, toy.test), default)
    for name, features in (("image_map_", toy.test.images), ("text_map_", toy.test.texts)):
        before, after = getattr(method, name), getattr(other, name)
        assert np.array_equal(before.steps[0](features), after.steps[0](features))
        assert all(map(torch.equal, tensors(parts_of(before).joint), tensors(parts_of(after).joint)))


def test_without_their_weight_levels_do_not_depend_on_labels(toy, monkeypatch):
    settings = {"label_weight": 0.0, "stopping": "none"}
    expected = represented(fitted(toy, **settings), toy.test)
    weighted = represented(fitted(toy, stopping="none"), toy.test)
    original = bimodal_training.TripledPairs

    def shuffled(codes, classes, device):
        return original(codes, np.random.default_rng(0).permutation(classes), device)

    monkeypatch.setattr(bimodal_training, "TripledPairs", shuffled)
    assert np.array_equal(represented(fitted(toy, **settings), toy.test), expected)
    assert not np.allclose(represented(fitted(toy, stopping="none"), toy.test), weighted)


def test_rates_by_default_are_those_of_the_release_for_sgd_and_three_thousandths_for_adam(toy, monkeypatch):
    made = watched(monkeypatch, bimodal_training, "BimodalFitting")
    fitted(toy, optimizer="sgd")
    fitted(toy)
    optimizers = [fitting.optimizer for _, fitting in made]
    for sgd in optimizers[:4]:
        assert (sgd.learning_rate, sgd.momentum_steps) == (0.05, 2 * 5 / 2)
        assert [group["weight_decay"] for group in sgd.param_groups] == [1e-4, 0.0]
        assert [group["momentum"] for group in sgd.param_groups] == pytest.approx([0.8339] * 2, abs=1e-3)
    for adam in optimizers[4:]:
        assert [group["lr"] for group in adam.param_groups] == [3e-3, 3e-3]
        assert [group["weight_decay"] for group in adam.param_groups] == [1e-4, 0.0]
