"""CCL and its coarse grain as methods: what they learn from, what they keep, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from representations import represented

from cmbench.datasets.draft import Parts
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.ccl import method as ccl_coarse
from cmbench.methods.ccl.method import CCL, CCLCoarse
from cmbench.methods.networks import pretraining as rbm_stack
from cmbench.methods.training.device import NetworkMap
from cmbench.methods.training.loop import Training
from cmbench.methods.views.inputs import MethodWarning
from cmbench.methods.views.maps import steps_of

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

SIZES = {"embedding": 6, "hidden_image": 10, "hidden_text": 9, "code": 8, "joint": 12, "width": 7}
BATCHES = {"rbm_batch_size": 16, "correlation_batch": 16, "class_batch": 16, "batch_size": 16}
BRIEF = {**SIZES, **BATCHES, "rbm_epochs": 4, "correlation_epochs": 2, "class_epochs": 3, "epochs": 3}
BRIEF |= {"joint_epochs": None, "device": "cpu"}
EPOCHS = 4 * 4 + 2 + 2 * (4 + 3) + 3  # RBMs, autoencoder, joint RBMs and classifiers, common space


def some_parts(features, seed):
    """From none to three noisy copies of each item."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 4, len(features))
    rows = np.repeat(np.arange(len(features)), counts)
    values = features[rows] + 0.5 * random.normal(size=(len(rows), features.shape[1]))
    return Parts(values.astype(np.float32), np.concatenate([[0], np.cumsum(counts)]))


def with_parts(split):
    return replace(split, image_parts=some_parts(split.images, 1), text_parts=some_parts(split.texts, 2))


def fitted(toy, kind=CCLCoarse, **parameters):
    return kind(**{**BRIEF, **parameters}).fit(with_parts(toy.train), with_parts(toy.validation))


@pytest.fixture(scope="module")
def default(toy):
    return represented(fitted(toy), toy.test)


def test_a_common_space_is_found(toy):
    sizes = {
        "hidden_image": 24,
        "hidden_text": 24,
        "code": 24,
        "joint": 32,
        "width": 24,
        "gaussian_rate": 0.01,
    }
    length = {"rbm_epochs": 30, "correlation_epochs": 20, "class_epochs": 30, "epochs": 30}
    method = CCLCoarse(embedding=24, **sizes, **BATCHES, **length, device="cpu").fit(
        toy.train, toy.validation
    )
    sides = method.transform_images(toy.test.images), method.transform_texts(toy.test.texts)
    assert bimodal_map(*sides, toy.test.labels) > 0.5, "chance is 0.29"


def test_the_coarse_grain_is_ccl_without_its_fine_grain(toy, monkeypatch):
    full = fitted(toy, CCL)
    split = with_parts(toy.test)
    both = CCL._grains
    monkeypatch.setattr(CCL, "_grains", lambda self, *splits: {"coarse": both(self, *splits)["coarse"]})
    without = fitted(toy, CCL)
    coarse = fitted(toy)
    assert np.array_equal(represented(without, split), represented(coarse, toy.test))
    assert not np.allclose(represented(full, split), represented(coarse, toy.test), atol=1e-2)


def test_the_coarse_grain_does_not_look_at_parts(toy, default):
    plain = CCLCoarse(**BRIEF).fit(toy.train, toy.validation)
    assert np.array_equal(represented(plain, toy.test), default)


def test_parts_of_training_validation_and_new_items_all_count(toy):
    method, split = fitted(toy, CCL), with_parts(toy.test)
    before = represented(method, split)
    other = replace(split, image_parts=some_parts(split.images, 5))
    assert not np.allclose(represented(method, other)[:, :6], before[:, :6], atol=1e-3)
    assert np.array_equal(represented(method, other)[:, 6:], before[:, 6:])
    train = replace(with_parts(toy.train), text_parts=some_parts(toy.train.texts, 7))
    again = CCL(**BRIEF).fit(train, with_parts(toy.validation))
    assert not np.allclose(represented(again, split), before, atol=1e-3)
    sides = (
        method.transform_images(toy.validation.images, with_parts(toy.validation).image_parts),
        (method.transform_texts(toy.validation.texts, with_parts(toy.validation).text_parts)),
    )
    assert method.validation_map_ == pytest.approx(bimodal_map(*sides, toy.validation.labels))


def test_fine_rbms_learn_from_every_part_as_a_row_of_its_own(toy, monkeypatch):
    seen = []
    original = rbm_stack.train_rbm

    def watched(rbm, rows, settings, stage, run, *, validation):
        seen.append((run.prefix + stage, len(rows)))
        return original(rbm, rows, settings, stage, run, validation=validation)

    monkeypatch.setattr(rbm_stack, "train_rbm", watched)
    fitted(toy, CCL)
    train = with_parts(toy.train)
    for name, parts in (("image", train.image_parts), ("text", train.text_parts)):
        n_parts = np.maximum(np.diff(parts.offsets), 1).sum()
        rows = [("coarse_rbm1_", 80), ("coarse_rbm2_", 80), ("fine_rbm1_", n_parts), ("fine_rbm2_", n_parts)]
        assert {(stage + name, number) for stage, number in rows} <= set(seen)


def test_codes_are_standardised_by_training_items_of_their_own_modality(toy):
    method = fitted(toy)
    for grained, features in ((method.image_map_, toy.train.images), (method.text_map_, toy.train.texts)):
        *_, joint, classes, common, _ = steps_of(grained)
        joint_codes = joint(grained.steps[0](features))
        for codes, map_ in ((joint_codes, classes), (classes(joint_codes), common)):
            np.testing.assert_allclose(map_.scaling.mean, codes.mean(axis=0), rtol=1e-4)
            alive = np.isfinite(map_.scaling.scale)
            np.testing.assert_allclose(map_.scaling.scale[alive], codes.std(axis=0)[alive], rtol=1e-3)
        mapped = grained(features)
        np.testing.assert_allclose(mapped.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(mapped.std(axis=0), 1, rtol=1e-3)


def test_without_parts_ccl_refuses_to_be_fitted_or_to_map(toy, monkeypatch):
    with pytest.raises(MethodError, match=r"images come without parts.*ccl-coarse"):
        CCL(**BRIEF).fit(toy.train, toy.validation)
    with pytest.raises(MethodError, match="texts come without parts"):
        CCL(**BRIEF).fit(replace(with_parts(toy.train), text_parts=None), with_parts(toy.validation))
    with pytest.raises(MethodError, match="texts come without parts"):
        fitted(toy, CCL).transform_texts(toy.test.texts)
    monkeypatch.delattr(Training, "run")  # nothing is trained before
    with pytest.raises(MethodError, match="images come without parts"):
        CCL(**BRIEF).fit(with_parts(toy.train), toy.validation)


def test_the_optimiser_of_the_release_moves_biases_twice_as_fast(toy, monkeypatch):
    seen = []
    original = Training.run
    monkeypatch.setattr(
        Training, "run", lambda self, *a, **k: seen.append(self.optimizers) or original(self, *a, **k)
    )
    fitted(toy, optimizer="sgd")
    weights, biases = seen[-1]["common"].param_groups
    assert (weights["lr"], weights["momentum"], weights["weight_decay"]) == (1e-4, 0.9, 0.004)
    assert (biases["lr"], biases["momentum"], biases["weight_decay"]) == (2e-4, 0.9, 0.0)


def test_labels_may_have_gaps_and_count(toy, default):
    train = replace(toy.train, labels=toy.train.labels * 3 + 5)
    gaps = CCLCoarse(**BRIEF).fit(train, replace(toy.validation, labels=toy.validation.labels * 3 + 5))
    assert np.array_equal(represented(gaps, toy.test), default)
    shuffled = replace(toy.train, labels=np.random.default_rng(0).permutation(toy.train.labels))
    other = CCLCoarse(**BRIEF).fit(shuffled, toy.validation)
    assert not np.allclose(represented(other, toy.test), default)


class KilledError(Exception):
    """Stands for the end of the process."""


def tensors(*maps):
    """A copy of every tensor of network maps, scalings included."""
    found = []
    for code in maps:
        found += [values.detach().clone() for values in code.network.state_dict().values()]
        found += [torch.tensor(values) for values in (code.scaling.mean, code.scaling.scale)]
    return found


def test_no_stage_changes_what_an_earlier_one_learned(toy, monkeypatch):
    ended = []

    def watch(module, name, maps_of):
        original = getattr(module, name)

        def stage(*arguments, **keywords):
            result = original(*arguments, **keywords)
            maps = maps_of(result)
            ended.append((name, maps, tensors(*maps)))
            return result

        monkeypatch.setattr(module, name, stage)

    def of_grain(found):
        steps = [step for grain in found[0].values() for step in steps_of(grain)]
        return [step for step in steps if isinstance(step, NetworkMap)]

    watch(ccl_coarse, "learn_grain", of_grain)
    watch(ccl_coarse, "learn_class_codes", lambda found: found.map.steps)
    fitted(toy, CCL)
    assert [name for name, _, _ in ended] == ["learn_grain"] * 2 + ["learn_class_codes"] * 2
    for name, maps, before in ended:
        after = tensors(*maps)
        assert len(after) == len(before) > 4
        assert all(map(torch.equal, before, after)), name


@pytest.mark.parametrize(
    ("rate", "stage"),
    [
        ("gaussian_rate", "coarse_rbm1_image"),
        ("joint_rate", "joint_image"),
        ("learning_rate", r"(inter|image_intra|text_intra|loss|common)"),
    ],
)
def test_a_training_that_diverges_names_the_stage(toy, rate, stage):
    with pytest.raises(MethodError, match=rf"ccl-coarse: .*{stage}"):
        fitted(toy, **{rate: 1e30})


def test_representations_that_are_all_alike_are_warned_of(toy):
    with pytest.warns(MethodWarning, match=r"ccl-coarse: representations .* nearly equal"):
        assert fitted(toy, weight_decay=1e3, learning_rate=1e-2, epochs=20, post="none").collapsed_


def test_a_checkpoint_serves_no_training_on_other_parts(toy, tmp_path, monkeypatch):
    original, ran = Training._run_epoch, []

    def mortal(self, epoch):
        if len(ran) == 3:
            raise KilledError
        ran.append(epoch)
        return original(self, epoch)

    validation, brief = with_parts(toy.validation), {**BRIEF, "checkpoint_seconds": 0.0}
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_run_epoch", mortal)
        with pytest.raises(KilledError):
            CCL(**brief, checkpoint=tmp_path).fit(with_parts(toy.train), validation)
    assert list(tmp_path.iterdir())
    others = replace(with_parts(toy.train), image_parts=some_parts(toy.train.images, 2))
    assert CCL(**brief, checkpoint=tmp_path).fit(others, validation).resumed_at_ == 0
    assert CCL(**brief, checkpoint=tmp_path).fit(with_parts(toy.train), validation).resumed_at_ > 0


def test_curves_follow_all_stages_on_one_count(toy):
    curves = fitted(toy).curves_
    assert (np.diff(curves["iteration"]) > 0).all()
    assert {
        "coarse_rbm1_image_error",
        "coarse_correlation_loss",
        "joint_text_error",
        "image_accuracy",
    } <= set(curves)
    assert {"inter_loss", "image_intra_loss", "text_intra_loss", "validation_map"} <= set(curves)
    assert not {"coarse_image_to_text_loss", "coarse_text_to_image_loss"} & set(curves), "each its own"
    assert curves["iteration"][-1] == fitted(toy).iterations_ == 5 * EPOCHS


def test_the_state_that_is_kept_is_the_best_on_validation(toy):
    rates = (0.05, 0.1, 0.2, 0.02)  # which of them end below their best depends on the processor
    tried = (fitted(toy, epochs=12, learning_rate=rate, gaussian_rate=0.001) for rate in rates)
    method = next(each for each in tried if each.best_iteration_ < each.iterations_)
    curve = method.curves_["validation_map"]
    assert np.nanargmax(curve) < len(curve) - 1
    assert method.best_iteration_ == method.curves_["iteration"][np.nanargmax(curve)]
    assert method.validation_map_ == pytest.approx(np.nanmax(curve), abs=1e-6)
    assert fitted(toy, stopping="none").validation_map_ is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"margin": 0}, "margin is 0"),
        ({"alpha": "validation"}, "alpha is 'validation'; use a number between 0 and 1"),
        ({"w_inter": 0, "w_intra": 0}, "both weights are 0"),
        ({"weight_decay": "none"}, "weight_decay is 'none'"),
    ],
)
def test_bad_parameters_are_refused_with_the_remedy(toy, parameters, message):
    with pytest.raises(MethodError, match=f"ccl-coarse: {message}"):
        fitted(toy, **parameters)


def test_a_category_only_validation_has_is_an_error(toy):
    strange = replace(toy.validation, labels=toy.validation.labels + 1)
    with pytest.raises(MethodError, match="category 4 of validation has no training pair"):
        CCLCoarse(**BRIEF).fit(toy.train, strange)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_trains_to_nearly_the_same(toy):
    methods = [fitted(toy, CCL, device=device, stopping="none") for device in ("cpu", "cuda")]
    assert methods[1].device_ == "cuda"
    here, there = (represented(method, with_parts(toy.test)) for method in methods)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.99
