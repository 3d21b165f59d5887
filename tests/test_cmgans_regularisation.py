"""What CM-GANs offers against overfitting beyond the paper: dropout, moving averages, standardising."""

import numpy as np
import pytest
import torch

from cmbench.evaluator import bimodal_map
from cmbench.methods.cmgans import CMGANs
from cmbench.methods.cmgans_fitting import Fitting
from cmbench.methods.generator_map import learned_scalings
from cmbench.methods.training_checkpoint import Checkpoint

TINY = {"embedding": 12, "hidden": 12, "discriminator_width": 8, "batch_size": 16, "device": "cpu"}
BRIEF = {**TINY, "epochs": 4, "eval_every": 3}


def prepared(toy, **settings):
    return Fitting(
        CMGANs(**{**BRIEF, **settings}).settings(),
        toy.train,
        toy.validation,
        learned_scalings(toy.train, "none"),
    )


def state(generators):
    return {
        f"{name} {key}": value.detach().clone().double().numpy()
        for name, generator in generators.items()
        for key, value in generator.state_dict().items()
    }


def test_dropout_follows_the_seed_and_leaves_the_random_numbers_of_others_alone(toy):
    before = torch.random.get_rng_state()
    first, again = (
        CMGANs(**BRIEF, dropout=0.3).fit(toy.train, toy.validation).transform_images(toy.test.images)
        for _ in range(2)
    )
    assert np.array_equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_takes_inputs_of_the_encoder_in_training_only(toy):
    generator = prepared(toy, dropout=0.9).networks.generators["image"]
    rows = torch.from_numpy(toy.train.images)
    seen = []
    generator.first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    generator.train()(rows)
    generator.eval()(rows)
    dropped, whole = seen
    assert 0.8 < (dropped == 0).float().mean() < 1
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], 10 * rows[kept])
    assert torch.equal(whole, rows)


def test_a_moving_average_is_that_of_all_rounds(toy):
    fitting = prepared(toy, averaging=0.75)
    expected = None
    for draw in fitting.draws(0):
        fitting.train_round(draw, False)
        now = state(fitting.networks.generators)
        expected = now if expected is None else {k: 0.75 * expected[k] + 0.25 * now[k] for k in now}
    averages = state(fitting.evaluated())
    for key, values in expected.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_allclose(averages[key], values, rtol=1e-4, atol=1e-6, err_msg=key)


def test_what_the_generators_share_their_averages_share_too(toy):
    images, texts = prepared(toy, averaging=0.9).evaluated().values()
    assert images.second.linear.weight is texts.second.linear.weight
    assert images.head.weight is texts.head.weight
    assert images.second.norm.running_mean is not texts.second.norm.running_mean


def test_averages_are_what_is_chosen_and_kept(toy):
    fitting = prepared(toy, averaging=0.9)
    training = fitting.training()
    training.run(Checkpoint(None, seconds=60))
    assert fitting.validation_map() == pytest.approx(training.best.score)
    averaged, plain = (
        CMGANs(**BRIEF, averaging=decay).fit(toy.train, toy.validation).transform_images(toy.test.images)
        for decay in (0.9, 0.0)
    )
    assert not np.allclose(averaged, plain)


@pytest.mark.parametrize("post", ["none", "zscore_train"])
def test_the_state_is_chosen_by_the_representations_that_are_given_out(toy, post):
    method = CMGANs(**BRIEF, post=post).fit(toy.train, toy.validation)
    images = method.transform_images(toy.validation.images)
    texts = method.transform_texts(toy.validation.texts)
    score = bimodal_map(images, texts, toy.validation.labels)
    assert max(method.curves_["validation_map"]) == pytest.approx(score)
    assert method.validation_map_ == pytest.approx(score)
