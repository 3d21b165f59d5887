"""Training of the word CNN: what it learns, when it stops, and that it can be repeated."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from cmbench.datasets.features.word_cnn import WordCNNSettings, WordCNNShape, batch_of, train_word_cnn
from cmbench.errors import DatasetError

SMALL = WordCNNSettings(shape=WordCNNShape(maps=6), learning_rate=0.02, batch=16, epochs=12, patience=12)
WORDS, CLASSES = 30, 3


def table():
    values = np.random.default_rng(0).standard_normal((WORDS, 8)).astype(np.float32)
    values[0] = 0
    return values


def labelled(count, seed, *, noise=False):
    """Texts of random words that hold the pair of words of their category somewhere."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    texts = [random.integers(10, WORDS, random.integers(3, 12)) for _ in labels]
    for text, label in zip(texts, labels, strict=True):
        start = random.integers(0, len(text) - 1)
        if not noise:
            text[start : start + 2] = (2 * label + 2, 2 * label + 3)
    return texts, labels


def trained(settings=SMALL, *, noise=False):
    data = labelled(60, 1, noise=noise), labelled(30, 2, noise=noise)
    return train_word_cnn(table(), *data, classes=CLASSES, settings=settings)


@pytest.fixture(scope="module")
def usual():
    return trained()


@pytest.mark.parametrize(("optimiser", "rate"), [("adam", 0.02), ("adadelta", 2.0)])
def test_telling_phrases_are_learnt(optimiser, rate):
    result = trained(replace(SMALL, optimiser=optimiser, learning_rate=rate, epochs=30, patience=30))
    assert result.validation_accuracy > 0.9
    assert result.curves["loss"][-1] < 0.5 * result.curves["loss"][0]


def test_the_best_epoch_is_the_one_of_the_curves_and_its_network_is_kept(usual):
    curves = usual.curves
    assert {len(curve) for curve in curves.values()} == {12}
    ranked = sorted(
        range(12), key=lambda i: (-curves["validation_accuracy"][i], curves["validation_loss"][i], i)
    )
    assert usual.best_epoch == ranked[0] + 1
    texts, labels = labelled(30, 2)
    with torch.no_grad():
        logits = usual.network(*batch_of(texts))
    assert (logits.argmax(dim=1).numpy() == labels).mean() == usual.validation_accuracy
    loss = cross_entropy(logits, torch.from_numpy(labels)).item()
    assert loss == pytest.approx(curves["validation_loss"][usual.best_epoch - 1], rel=1e-4)


def test_a_longer_training_goes_through_the_same_epochs(usual):
    shorter = trained(replace(SMALL, epochs=5))
    for name, curve in shorter.curves.items():
        np.testing.assert_array_equal(curve, usual.curves[name][:5])


def test_training_ends_when_patience_does():
    result = trained(replace(SMALL, epochs=60, patience=3), noise=True)
    epochs = len(result.curves["loss"])
    assert epochs < 60, "validation accuracy on noise does not rise for long"
    assert epochs == result.best_epoch + 3


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(usual):
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002 - common random numbers must not matter
    again, other = trained(), trained(replace(SMALL, seed=1))
    for name, values in usual.network.state_dict().items():
        assert torch.equal(values, again.network.state_dict()[name])
    assert not torch.equal(usual.network.last.weight, other.network.last.weight)


def test_each_class_keeps_weights_within_the_largest_norm(usual):
    assert usual.network.last.weight.norm(dim=1).max() > 0.5
    limited = trained(replace(SMALL, largest_norm=0.5)).network.last.weight.norm(dim=1)
    assert limited.max().item() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("tuned", [True, False])
def test_word_vectors_change_where_they_are_tuned_and_only_of_words_in_training_texts(tuned):
    network = trained(replace(SMALL, shape=WordCNNShape(maps=6, tuned=tuned))).network
    changed = (network.words.weight.numpy(force=True) != table()).any(axis=1)
    seen = np.unique(np.concatenate(labelled(60, 1)[0]))
    np.testing.assert_array_equal(np.flatnonzero(changed), seen if tuned else [])


def test_a_batch_may_be_larger_than_all_texts_and_the_last_one_smaller():
    first, second = (trained(replace(SMALL, batch=batch, epochs=1)) for batch in (60, 1000))
    assert torch.equal(first.network.last.weight, second.network.last.weight)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(replace(SMALL, batch=59, epochs=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"longest": 0}, "longest is 0"),
        ({"shape": WordCNNShape(maps=0)}, "maps is 0"),
        ({"shape": WordCNNShape(widths=())}, "widths is empty"),
        ({"shape": WordCNNShape(widths=(3, 0))}, r"widths\[1\] is 0"),
        ({"shape": WordCNNShape(dropout=1.0)}, "dropout is 1.0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"largest_norm": -1.0}, "largest_norm is -1.0"),
        ({"optimiser": "sgd"}, "optimiser is 'sgd'; it must be one of adam, adadelta"),
        ({"learning_rate": 1e30}, "loss became .* lower learning_rate"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(DatasetError, match=message):
        trained(replace(SMALL, **changes))


def test_a_device_that_there_is_not_is_refused():
    with pytest.raises(DatasetError, match=r"device is 'abacus', .*; use 'auto', 'cpu' or 'cuda'"):
        trained(replace(SMALL, device="abacus"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_trains_the_same_network_but_for_rounding(usual):
    found = trained(replace(SMALL, device="cuda", epochs=2)).curves["loss"]
    np.testing.assert_allclose(found, usual.curves["loss"][:2], rtol=1e-3)
    assert trained(replace(SMALL, device="cuda", epochs=1)).network.device.type == "cpu"
