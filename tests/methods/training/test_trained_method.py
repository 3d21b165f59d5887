"""The base of methods of which only networks and loss are new, through a contrastive method of 17 lines."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from representations import represented
from sklearn.base import clone
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

import cmbench
from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods import Finding, Loss, TrainedMethod
from cmbench.methods.training.curves import DivergenceError
from cmbench.methods.training.descent import decayed
from cmbench.methods.views.inputs import MethodWarning

PLUGIN = Path(__file__).parents[2] / "plugins" / "infonce.py"
BRIEF = {"epochs": 6, "batch_size": 16, "device": "cpu", "threads": 1}
QUIET = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")


def plugin():
    """The class in the plugin's file, as a module of its own."""
    folder = str(PLUGIN.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return __import__("infonce").InfoNCE


def fitted(toy, kind=None, **parameters):
    return (kind or plugin())(**{**BRIEF, **parameters}).fit(toy.train, toy.validation)


class Linear(TrainedMethod):
    """One layer a modality, and logits of categories for a loss."""

    def networks(self, widths, n_classes):
        return {name: nn.Linear(width, n_classes) for name, width in widths.items()}

    def loss(self, images, texts, labels):
        return {"of_images": cross_entropy(images, labels), "of_texts": cross_entropy(texts, labels)}


def test_a_method_that_declares_nothing_of_the_kind_is_searched_like_the_others():
    assert set(Linear.tuning_space) >= {"learning_rate", "weight_decay", "preprocessing"}


def test_a_contrastive_method_takes_no_more_than_25_lines():
    lines = [line for line in PLUGIN.read_text().splitlines() if line.strip()]
    assert len(lines) <= 25


def test_it_runs_as_a_plugin_and_brings_pairs_together(toy, tmp_path):
    settings = {"infonce": {"epochs": 30, "batch_size": 16, "device": "cpu"}}
    frame = cmbench.run(
        toy, ["infonce"], store=tmp_path / "results", plugins=[PLUGIN], parameters=settings, threads=1
    )
    assert frame["status"].tolist() == ["ok"]
    method = fitted(toy, epochs=30)
    sides = method.transform_images(toy.test.images), method.transform_texts(toy.test.texts)
    assert bimodal_map(*sides, np.arange(len(toy.test))) > 0.2, "chance is 0.09"


KILLED = """
import os, pickle, signal, sys
sys.path.insert(0, {plugins!r})
from cmbench.methods.training.loop import Checkpoint
from infonce import InfoNCE

save, saved = Checkpoint.save, []

def save_and_die(self, state):
    save(self, state)
    saved.append(state["epoch"])
    if len(saved) == {epochs}:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoint.save = save_and_die
train, validation = pickle.load(open({pairs!r}, "rb"))
InfoNCE(**{parameters!r}).fit(train, validation)
"""


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_training_killed_for_real_goes_on_to_the_result_of_an_undisturbed_one(toy, tmp_path, epochs):
    whole = fitted(toy)
    pairs, folder = tmp_path / "pairs.pickle", tmp_path / "checkpoints"
    pairs.write_bytes(pickle.dumps((toy.train, toy.validation)))
    parameters = {**BRIEF, "checkpoint": str(folder), "checkpoint_seconds": 0.0}
    script = KILLED.format(plugins=str(PLUGIN.parent), pairs=str(pairs), parameters=parameters, epochs=epochs)
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == -signal.SIGKILL
    assert len(os.listdir(folder)) == 1
    resumed = plugin()(**parameters).fit(toy.train, toy.validation)
    assert resumed.resumed_at_ == 5 * epochs
    assert np.array_equal(represented(resumed, toy.test), represented(whole, toy.test))
    assert resumed.best_iteration_ == whole.best_iteration_
    for name, values in whole.curves_.items():
        np.testing.assert_array_equal(resumed.curves_[name], values, err_msg=name)
    assert not os.listdir(folder)


def test_chance_comes_from_the_seed_alone_and_is_not_taken_from_the_caller(toy):
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    first = represented(fitted(toy), toy.test)
    assert torch.equal(torch.rand(1), before)
    torch.manual_seed(2)
    assert np.array_equal(represented(fitted(toy), toy.test), first)
    assert not np.allclose(represented(fitted(toy, random_state=1), toy.test), first, atol=1e-3)


def test_the_best_state_on_validation_is_kept_and_training_ends_without_a_better_one(toy):
    method = fitted(toy, epochs=500, patience=5, learning_rate=0.01)
    scores = method.curves_["validation_map"]
    assert method.validation_map_ == pytest.approx(scores.max(), abs=1e-6)
    assert method.best_iteration_ == method.curves_["iteration"][scores.argmax()]
    assert method.iterations_ == method.best_iteration_ + 5 * 5


class SingleStep(Linear):
    """One step of plain descent over all pairs, which is as long as the gradient."""

    def networks(self, widths, n_classes):
        built = super().networks(widths, n_classes)
        self.weights = [each for network in built.values() for each in network.parameters()]
        self.before = [each.detach().clone() for each in self.weights]
        return built

    def optimizer_of(self, networks):
        return torch.optim.SGD(self.weights, lr=1.0)


@pytest.mark.parametrize("largest", ["off", 0.01, 1e9])
def test_a_gradient_that_is_too_long_is_cut_to_the_largest_norm_over_both_networks(toy, largest):
    whole = {"epochs": 1, "batch_size": len(toy.train), "stopping": "none", "gradient_clip": largest}
    method = fitted(toy, SingleStep, **whole)
    gradient = np.hypot(method.curves_["image_gradient"][0], method.curves_["text_gradient"][0])
    moved = [after.detach() - before for after, before in zip(method.weights, method.before, strict=True)]
    step = torch.stack([each.norm() for each in moved]).norm().item()
    assert gradient > 0.1
    assert step == pytest.approx(0.01 if largest == 0.01 else gradient, rel=1e-3)


def test_terms_by_name_are_added_up_and_each_has_a_curve(toy):
    curves = fitted(toy).curves_
    assert curves.keys() == {
        *("iteration", "images", "texts", "loss", "validation_map", "image_gradient", "text_gradient")
    }
    np.testing.assert_allclose(curves["loss"], curves["images"] + curves["texts"], rtol=1e-5)
    assert curves["iteration"].tolist() == [5, 10, 15, 20, 25, 30]


def test_a_scalar_and_a_loss_with_curves_of_its_own_train_the_same(toy):
    class Scalar(Linear):
        def loss(self, images, texts, labels):
            return sum(super().loss(images, texts, labels).values())

    class Watched(Linear):
        def loss(self, images, texts, labels):
            terms = super().loss(images, texts, labels)
            return Loss(sum(terms.values()), {"share": terms["of_images"] / sum(terms.values())})

    scalar, watched = fitted(toy, Scalar), fitted(toy, Watched)
    np.testing.assert_allclose(represented(scalar, toy.test), represented(fitted(toy, Linear), toy.test))
    assert np.array_equal(represented(scalar, toy.test), represented(watched, toy.test))
    assert "loss" in scalar.curves_
    assert "loss" not in watched.curves_
    assert ((watched.curves_["share"] > 0) & (watched.curves_["share"] < 1)).all()


def test_labels_are_class_numbers_in_the_order_of_the_labels(toy):
    def gaps(split):
        return Split(split.images, split.texts, 3 * split.labels + 5, split.ids)

    method = Linear(**BRIEF).fit(gaps(toy.train), gaps(toy.validation))
    assert method.classes_.tolist() == [5, 8, 11, 14]
    assert np.array_equal(represented(method, toy.test), represented(fitted(toy, Linear), toy.test))
    with pytest.raises(MethodError, match="linear: category 17 of validation has no training pair"):
        Linear(**BRIEF).fit(gaps(toy.train), gaps(gaps_of(toy.validation)))


def test_labels_of_several_categories_reach_a_method_that_takes_them(toy):
    class Several(Linear):
        multi_label = True

        def loss(self, images, texts, labels):
            return binary_cross_entropy_with_logits(images + texts, labels.float())

    def several(split):
        return Split(split.images, split.texts, np.eye(4, dtype=np.int64)[split.labels], split.ids)

    method = Several(**BRIEF).fit(several(toy.train), several(toy.validation))
    assert method.transform_images(toy.test.images).shape == (48, 4)
    assert method.curves_["loss"][-1] < method.curves_["loss"][0]


def gaps_of(split):
    """The pairs with labels one higher."""
    return Split(split.images, split.texts, split.labels + 1, split.ids)


def test_representations_are_what_represent_makes_of_outputs(toy):
    class Signs(Linear):
        def represent(self, outputs):
            return np.sign(outputs)

    method = fitted(toy, Signs)
    plain = represented(fitted(toy, Linear, stopping="none"), toy.test)
    assert set(np.unique(represented(method, toy.test))) == {-1.0, 1.0}
    sides = method.transform_images(toy.validation.images), method.transform_texts(toy.validation.texts)
    assert method.validation_map_ == pytest.approx(bimodal_map(*sides, toy.validation.labels))
    assert method.curves_["validation_map"].max() == pytest.approx(method.validation_map_)
    last = fitted(toy, Signs, stopping="none")
    assert np.array_equal(represented(last, toy.test), np.sign(plain))


def test_another_score_decides_which_state_is_kept(toy):
    seen = []

    class Third(Linear):
        def score(self, outputs, train, validation):
            seen.append(outputs["image"](validation.images).shape)
            return Finding(-abs(len(seen) - 3.0), {"looks": float(len(seen))})

    method = fitted(toy, Third)
    assert method.best_iteration_ == 15
    assert method.curves_["looks"].tolist() == [1, 2, 3, 4, 5, 6]
    assert seen[0] == (40, 4)


def test_other_batches_and_another_optimiser_can_be_had(toy):
    drawn = []

    class Own(Linear):
        def batches(self, labels, run, purpose):
            assert labels.shape == (80,)
            return self

        rounds = 2

        def epoch(self, number):
            drawn.append(number)
            return iter([np.arange(10), np.arange(10, 20)])

        def optimizer_of(self, networks):
            return torch.optim.SGD([each for network in networks for each in network.parameters()], lr=0.0)

    first, second = fitted(toy, Own, epochs=1), fitted(toy, Own, epochs=3)
    assert drawn == [0, 0, 1, 2]
    assert second.iterations_ == 6
    assert np.array_equal(represented(first, toy.test), represented(second, toy.test)), "at a rate of 0"


@QUIET
def test_modules_by_other_names_are_trained_along(toy):
    class Headed(TrainedMethod):
        def networks(self, widths, n_classes):
            self.head_ = nn.Linear(3, n_classes)
            self.before_ = self.head_.weight.detach().clone()
            return {**{name: nn.Linear(width, 3) for name, width in widths.items()}, "head": self.head_}

        def loss(self, images, texts, labels):
            return cross_entropy(self.head_(images), labels) + cross_entropy(self.head_(texts), labels)

    method = fitted(toy, Headed)
    assert not torch.allclose(method.head_.weight, method.before_)
    assert method.transform_texts(toy.test.texts).shape == (48, 3)


def test_products_in_bfloat16_train_to_nearly_the_same(toy):
    exact, mixed = fitted(toy, stopping="none"), fitted(toy, stopping="none", precision="bfloat16")
    difference = np.abs(represented(exact, toy.test) - represented(mixed, toy.test))
    assert 0 < difference.mean() < 0.1 * np.abs(represented(exact, toy.test)).mean()


def test_it_is_an_estimator_and_can_be_pickled(toy):
    kind = plugin()
    method = fitted(toy, temperature=0.2)
    assert clone(method).get_params() == method.get_params() != kind().get_params()
    assert np.array_equal(
        represented(pickle.loads(pickle.dumps(method)), toy.test), represented(method, toy.test)
    )
    with pytest.raises(MethodError, match="infonce: temperature is 0; use a number"):
        fitted(toy, temperature=0)
    with pytest.raises(MethodError, match="infonce is not fitted"):
        kind().transform_images(toy.test.images)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"image": nn.Linear(12, 2)}, r"networks\(\) returned image, .* named 'text'"),
        ({}, r"networks\(\) returned nothing, .* named 'image'"),
    ],
)
def test_networks_that_are_missing_are_named(toy, returned, message):
    class Incomplete(Linear):
        def networks(self, widths, n_classes):
            return returned

    with pytest.raises(MethodError, match=message):
        fitted(toy, Incomplete)


@pytest.mark.parametrize(
    ("made_of", "message"),
    [
        (lambda images: images.sum(dim=1), r"the loss 'loss' is a tensor of shape \(16,\)"),
        (
            lambda images: images.detach().sum(),
            r"the loss 'loss' is a tensor of shape \(\) without a gradient",
        ),
        (lambda images: {"a": images.sum(), "b": 1.0}, "the loss 'b' is a float"),
        (lambda images: {}, "the loss has no terms"),
    ],
)
def test_a_loss_that_cannot_be_descended_is_an_error(toy, made_of, message):
    class Wrong(Linear):
        def loss(self, images, texts, labels):
            return made_of(images)

    with pytest.raises(MethodError, match=f"wrong: {message}"):
        fitted(toy, Wrong)


def test_a_parameter_of_no_dimension_is_trained_and_does_not_decay(toy):
    class Scaled(Linear):
        def networks(self, widths, n_classes):
            self.scale = nn.Module()
            self.scale.weight = nn.Parameter(torch.tensor(1.0))
            return {**super().networks(widths, n_classes), "scale": self.scale}

        def loss(self, images, texts, labels):
            return cross_entropy(self.scale.weight * images, labels) + cross_entropy(texts, labels)

    scale = fitted(toy, Scaled).scale
    assert scale.weight.item() != 1.0
    groups = decayed([nn.Linear(3, 2), scale], 0.1)
    assert [[values.ndim for values in group["params"]] for group in groups] == [[2], [1, 0]]


@pytest.mark.parametrize("encoder", [nn.Identity(), nn.BatchNorm1d(12).requires_grad_(False)])
def test_an_encoder_may_have_nothing_to_learn(toy, encoder):
    class Frozen(Linear):
        def networks(self, widths, n_classes):
            return {"image": encoder, "text": nn.Linear(widths["text"], widths["image"])}

        def loss(self, images, texts, labels):
            return (images.detach() - texts).square().mean()

    method = fitted(toy, Frozen)
    assert method.transform_images(toy.test.images).shape == method.transform_texts(toy.test.texts).shape
    assert set(method.curves_["image_gradient"]) == {0.0}
    assert all(method.curves_["text_gradient"] > 0)


def test_a_training_that_diverges_or_collapses_is_told(toy):
    with pytest.raises(DivergenceError, match=r"infonce: .* became nan"):
        fitted(toy, learning_rate=1e38)

    class Constant(Linear):
        def represent(self, outputs):
            return np.ones_like(outputs)

    with pytest.warns(MethodWarning, match="constant: representations .* nearly equal"):
        assert fitted(toy, Constant).collapsed_


def test_the_exports_need_pytorch_only_for_networks():
    script = (
        "import sys; from cmbench.methods import Method, Number; assert 'torch' not in sys.modules; "
        "from cmbench.methods import TrainedMethod; assert 'torch' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-P", "-c", script], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'Trained'"):
        _ = cmbench.methods.Trained
