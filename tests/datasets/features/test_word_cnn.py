"""The word CNN against one that is written out in NumPy."""

import numpy as np
import pytest
import torch

from cmbench.datasets.features.word_cnn import WordCNN, WordCNNShape, batch_of, network_features

WORDS, DIMENSIONS, CLASSES = 9, 4, 3


def network_of(shape=None, seed=0):
    random = np.random.default_rng(seed)
    table = random.standard_normal((WORDS, DIMENSIONS)).astype(np.float32)
    table[0] = 0
    return WordCNN(table, shape or WordCNNShape(maps=5), CLASSES, torch.Generator().manual_seed(seed))


def texts_of(*lengths, seed=0):
    random = np.random.default_rng(seed)
    return [random.integers(1, WORDS, length) for length in lengths]


def expected_features(network, text):
    """Return the features of one text by loops over windows, filters, words and dimensions."""
    weights = {
        name: values.detach().numpy().astype(np.float64) for name, values in network.named_parameters()
    }
    features = []
    for block, width in enumerate(network.shape.widths):
        filters, biases = weights[f"blocks.{block}.weight"], weights[f"blocks.{block}.bias"]
        rows = np.zeros((max(len(text), width), DIMENSIONS))
        rows[: len(text)] = weights["words.weight"][text]
        for number in range(network.shape.maps):
            responses = []
            for start in range(len(rows) - width + 1):
                total = biases[number]
                for word in range(width):
                    for dimension in range(DIMENSIONS):
                        total += filters[number, dimension, word] * rows[start + word, dimension]
                responses.append(max(total, 0.0))
            features.append(max(responses))
    return np.array(features)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 6, 11])
def test_features_are_those_written_out(length):
    network = network_of()
    (text,) = texts_of(length)
    expected = expected_features(network, text)
    assert (expected > 0).any()
    np.testing.assert_allclose(network_features(network, [text])[0], expected, rtol=1e-6, atol=1e-7)
    with torch.no_grad():
        found = network.features(*batch_of([text]))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_logits_are_linear_in_features():
    network = network_of()
    (text,) = texts_of(7)
    weights, biases = (values.detach().numpy() for values in network.last.parameters())
    with torch.no_grad():
        logits = network(*batch_of([text]))[0]
    np.testing.assert_allclose(logits, weights @ expected_features(network, text) + biases, rtol=1e-4)


def test_padding_by_a_longer_text_of_the_batch_changes_nothing():
    network = network_of()
    with torch.no_grad():  # windows of padding alone would answer 100 everywhere
        for block in network.blocks:
            block.bias.fill_(100.0)
            block.weight.mul_(30.0)
    texts = texts_of(6, 40, 3, 0, 1)
    together = network_features(network, texts)
    alone = np.concatenate([network_features(network, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert (expected_features(network, texts[0]) < 100).any(), "there are filters that padding would win"
    np.testing.assert_allclose(together[0], expected_features(network, texts[0]), rtol=1e-5, atol=1e-4)


def test_padding_by_a_longer_text_changes_no_gradient():
    texts = texts_of(6, 40)
    gradients = []
    for batch in (texts[:1], texts):
        network = network_of()
        network(*batch_of(batch))[0].square().sum().backward()
        gradients.append([values.grad.numpy() for values in network.parameters()])
    for alone, together in zip(*gradients, strict=True):
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)
    assert not gradients[0][0][0].any(), "the vector of padding stays zero"


def test_the_default_makes_300_features_in_3_groups_of_100():
    shape = WordCNNShape()
    assert shape.features == 300
    assert shape.groups.dtype == np.int64
    np.testing.assert_array_equal(shape.groups, np.arange(300) // 100)
    assert network_features(network_of(shape), texts_of(5, 2)).shape == (2, 300)


def test_no_texts_have_no_features():
    assert network_features(network_of(), []).shape == (0, 15)


def test_norms_of_the_last_layer_are_limited_by_row_and_keep_their_direction():
    network = network_of()
    wanted = np.array([0.5, 3.0, 12.0])
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((15, 3)))[0].T
    with torch.no_grad():
        network.last.weight.copy_(torch.from_numpy(directions * wanted[:, None]))
    biases = network.last.bias.detach().clone()
    network.limit_norms(3.0)
    limited = network.last.weight.detach().numpy()
    np.testing.assert_allclose(limited, directions * np.array([[0.5], [3.0], [3.0]]), rtol=1e-5, atol=1e-6)
    assert torch.equal(network.last.bias, biases)


def test_dropout_leaves_out_features_only_where_random_numbers_are_given():
    network = network_of(WordCNNShape(maps=2000, dropout=0.25))
    batch = batch_of(texts_of(8))
    with torch.no_grad():
        network.last.weight.fill_(1.0)
        network.last.bias.zero_()
        plain, again = network(*batch), network(*batch)
        thinned = [network(*batch, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(plain, again)
    assert torch.equal(thinned[0], thinned[1])
    assert not torch.equal(thinned[0], thinned[2])
    assert thinned[0][0, 0].item() == pytest.approx(plain[0, 0].item(), rel=0.05), "the expectation is kept"


@pytest.mark.parametrize("tuned", [True, False])
def test_static_word_vectors_have_no_gradient(tuned):
    network = network_of(WordCNNShape(maps=2, tuned=tuned))
    network(*batch_of(texts_of(5))).sum().backward()
    assert (network.words.weight.grad is not None) is tuned


def test_making_a_network_leaves_the_common_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    first, second, other = network_of(), network_of(), network_of(seed=1)
    assert torch.equal(torch.rand(4), expected)
    for mine, same in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, same)
    assert not torch.equal(first.last.weight, other.last.weight)
