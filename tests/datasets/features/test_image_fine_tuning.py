"""Training of networks on pictures: they learn, the best state is kept, and seeds decide."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.datasets.features.backbones import Backbone, backbone_of, load_backbone
from cmbench.datasets.features.fine_tuning import fine_tune
from cmbench.datasets.features.image_training import FROM_SCRATCH, FineTuning, LabelledPictures
from cmbench.datasets.features.own_networks import SmallCNN
from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.features.weights import write_weights
from cmbench.datasets.raw.pictures import PictureArray
from cmbench.errors import DatasetError

TINY = Preprocessing(resize=18, crop=16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
SETTINGS = replace(FROM_SCRATCH, epochs=6, batch_size=16)


def stripes(number, seed, *, meaningless=False):
    """Return pictures of stripes, upright (category 1) or level (category 0), of random width and colour."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(number) % 2)
    pictures = []
    for row, label in enumerate(labels):
        wave = np.sin(np.arange(18) * random.uniform(1, 2) + random.uniform(0, 6)) > 0
        pixels = random.normal(100, 20, size=(18, 18, 3)) + 80 * wave[:, None, None] * random.random(3)
        shown = random.integers(2) if meaningless else label
        pixels = pixels.swapaxes(0, 1) if shown else pixels
        pictures.append(PictureArray(f"{seed}-{row}", np.clip(pixels, 0, 255).astype(np.uint8)))
    return LabelledPictures(pictures, labels)


def tiny(seed=0):
    torch.manual_seed(seed)
    return backbone_of(SmallCNN(3, width=16, channels=(8, 8)), "tiny", TINY)


def prepared(pictures):
    return np.stack([TINY.apply(each.read()) for each in pictures.pictures])


def accuracy_of(tuned, pictures):
    return float((tuned.scores(prepared(pictures)).argmax(axis=1) == pictures.labels).mean())


@pytest.fixture(scope="module")
def train():
    return stripes(128, seed=1)


@pytest.fixture(scope="module")
def validation():
    return stripes(40, seed=2)


@pytest.fixture(scope="module")
def tuned(train, validation):
    return fine_tune(tiny(), train, validation, SETTINGS)


def test_it_learns_what_new_pictures_show(tuned):
    assert accuracy_of(tuned, stripes(100, seed=3)) > 0.9
    curve = tuned.record.curves["training_loss"]
    assert curve[-1] < 0.5 * curve[0]


def test_the_state_that_is_kept_is_the_best(train, validation):
    settings = replace(SETTINGS, learning_rate=0.5, epochs=8)  # too large: accuracy goes up and down
    tuned = fine_tune(tiny(), train, validation, settings)
    accuracies = tuned.record.curves["validation_accuracy"]
    losses = tuned.record.curves["validation_loss"]
    ranked = sorted(range(8), key=lambda epoch: (-accuracies[epoch], losses[epoch]))
    assert tuned.record.best_epoch == ranked[0] + 1 != 8
    assert accuracy_of(tuned, validation) == pytest.approx(tuned.record.best_accuracy)
    scores = torch.from_numpy(tuned.scores(prepared(validation)))
    loss = nn.functional.cross_entropy(scores, torch.from_numpy(validation.labels))
    assert float(loss) == pytest.approx(losses[ranked[0]], rel=1e-4)


def test_training_ends_when_validation_does_not_improve(train):
    settings = replace(SETTINGS, epochs=50, patience=2, learning_rate=1e-6)
    meaningless = stripes(40, seed=4, meaningless=True)
    record = fine_tune(tiny(), train, meaningless, settings).record
    assert record.stopped
    epochs = len(record.curves["validation_accuracy"])
    assert epochs == record.best_epoch + 2 < 50


def test_the_seed_decides(train, validation, tuned):
    same = fine_tune(tiny(), train, validation, SETTINGS)
    other = fine_tune(tiny(), train, validation, replace(SETTINGS, seed=1))
    assert same.record == tuned.record
    assert same.backbone.weights_hash == tuned.backbone.weights_hash
    assert other.record != tuned.record


def test_the_network_it_starts_from_does_not_change(train, validation):
    start = tiny()
    before = start.features(prepared(validation))
    tuned = fine_tune(start, train, validation, replace(SETTINGS, epochs=1))
    np.testing.assert_array_equal(start.features(prepared(validation)), before)
    assert tuned.backbone.weights_hash != start.weights_hash
    assert tuned.backbone.name == "tiny, fine-tuned"


def test_other_random_numbers_are_left_alone(train, validation):
    start = tiny()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fine_tune(start, train, validation, replace(SETTINGS, epochs=1))
    assert torch.equal(torch.rand(1), expected)


def test_rates_of_old_and_new_layers_differ(train, validation):
    start = tiny()
    settings = FineTuning(epochs=1, learning_rate=1e-12, new_layer_factor=1e10, weight_decay=0)
    tuned = fine_tune(start, train, validation, settings)
    old, new = dict(start.network.named_parameters()), dict(tuned.backbone.network.named_parameters())
    assert all(torch.allclose(old[name], new[name], atol=1e-7) for name in old)
    frozen = fine_tune(start, train, validation, replace(settings, new_layer_factor=1.0))
    assert not torch.allclose(tuned.categories.weight, frozen.categories.weight, atol=1e-4)


def test_the_rate_falls_as_a_cosine():
    settings = FineTuning(epochs=10, learning_rate=2.0)
    assert [settings.rate(epoch) for epoch in (0, 5)] == pytest.approx([2.0, 1.0])
    assert 0 < settings.rate(9) < 0.1


def test_what_was_learnt_is_loaded_from_a_file(tmp_path, train, validation):
    start = load_backbone("small-cnn", "random", "cpu")
    tuned = fine_tune(start, train, validation, replace(SETTINGS, epochs=1))
    write_weights(tmp_path / "w.pth", tuned.weights())
    loaded = load_backbone("small-cnn", tmp_path / "w.pth", "cpu")
    assert loaded.weights_hash == tuned.backbone.weights_hash
    images = np.random.default_rng(0).standard_normal((3, 3, 48, 48), dtype=np.float32)
    np.testing.assert_array_equal(loaded.features(images), tuned.backbone.features(images))
    assert tuned.weights()["last.weight"].shape == (2, 256)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_with_further_scores_learn_by_their_last_ones(name):
    pytest.importorskip("torchvision.models")
    start = load_backbone(f"torchvision:{name}", "random", "cpu")
    pictures = stripes(4, seed=1)
    tuned = fine_tune(start, pictures, pictures, FineTuning(epochs=1, batch_size=2))
    assert tuned.categories.in_features == start.width
    assert tuned.record.epochs == 1


def test_a_training_that_diverges_says_so(train, validation):
    with pytest.raises(
        DatasetError, match=r"tiny: training_loss became .* lower learning_rate, now 1e[+]?30"
    ):
        fine_tune(tiny(), train, validation, replace(SETTINGS, learning_rate=1e30))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, np.int64), "there are 40 pictures and 3 labels"),
        (np.zeros(40), "labels must be integers"),
        (np.full(40, -1), "labels must be integers from 0 on"),
        (np.full(40, 2), "no training picture is of category 2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(train, validation, labels, message):
    with pytest.raises(DatasetError, match=f"validation: .*{message}"):
        fine_tune(tiny(), train, LabelledPictures(validation.pictures, labels), SETTINGS)


def test_a_network_that_cannot_learn_is_refused(train, validation):
    fixed = Backbone("fixed", lambda images: images.mean((2, 3)), TINY, 3, "0", torch.device("cpu"))
    with pytest.raises(DatasetError, match="fixed cannot be trained"):
        fine_tune(fixed, train, validation, SETTINGS)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"patience": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"new_layer_factor": float("inf")},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"momentum": float("nan")},
        {"weight_decay": -1e-4},
        {"weight_decay": float("inf")},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(DatasetError, match=next(iter(settings))):
        FineTuning(**settings)
