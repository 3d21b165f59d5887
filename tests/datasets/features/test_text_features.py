"""Features of texts from a word CNN, of toy texts and of real captions."""

import json
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmbench.datasets.features.text_features import fit_text_extractor
from cmbench.datasets.features.tokens import UNKNOWN, wanted_words
from cmbench.datasets.features.word_cnn import WordCNNSettings, WordCNNShape
from cmbench.datasets.features.word_vectors import WordVectors, load_word_vectors
from cmbench.errors import DatasetError

NOUNS = (("boat", "sail", "harbour"), ("dog", "bone", "kennel"), ("train", "rail", "station"))
FILLERS = ("the", "is", "near", "with", "some", "other", "very", "old", "new", "and")
SMALL = WordCNNSettings(
    shape=WordCNNShape(maps=8), learning_rate=0.02, batch=16, epochs=10, patience=10, longest=40
)


def vectors():
    words = (*(noun for nouns in NOUNS for noun in nouns), *FILLERS)
    values = np.random.default_rng(5).standard_normal((len(words), 6)).astype(np.float32)
    return WordVectors(words, values, "0123456789abcdef" * 4)


def sentences(count, seed):
    """Sentences of fillers with a noun of their category, and the categories."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(NOUNS)
    texts = []
    for label in labels:
        words = [*random.choice(FILLERS, 5), random.choice(NOUNS[label])]
        texts.append(" ".join(random.permutation(words)))
    return texts, labels


TRAIN, VALIDATION = sentences(60, 1), sentences(30, 2)


@pytest.fixture(scope="module")
def extractor():
    return fit_text_extractor(*TRAIN, *VALIDATION, vectors(), SMALL)


def test_a_linear_classifier_tells_the_categories_of_new_texts():
    texts, labels = sentences(90, 3)
    longer = replace(SMALL, shape=WordCNNShape(maps=30), epochs=30, patience=30)
    learnt = fit_text_extractor(*sentences(150, 4), *VALIDATION, vectors(), longer)
    classifier = LogisticRegression(max_iter=1000).fit(learnt.features(TRAIN[0]), TRAIN[1])
    assert classifier.score(learnt.features(texts), labels) > 0.9


def test_features_have_the_promised_form(extractor):
    features = extractor.features(VALIDATION[0])
    assert features.dtype == np.float32
    assert features.shape == (30, 24)
    assert (features >= 0).all()
    assert np.array_equal(extractor.groups, np.repeat([0, 1, 2], 8))
    assert extractor.groups.dtype == np.int64
    assert fit_text_extractor(
        *TRAIN, *VALIDATION, vectors(), replace(SMALL, epochs=1, shape=WordCNNShape())
    ).features(["a boat"]).shape == (1, 300)


def test_a_text_has_the_same_features_alone_as_among_others(extractor):
    texts = ["the boat", "", "dog " * 30, "unheard-of words"]
    together = extractor.features(texts)
    alone = np.concatenate([extractor.features([text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=1e-6)
    assert extractor.features([]).shape == (0, 24)


def test_an_empty_text_has_the_features_of_padding_alone(extractor):
    biases = [block.bias.detach().numpy() for block in extractor.trained.network.blocks]
    expected = np.maximum(np.concatenate(biases), 0)
    for text in ("", " \n"):
        np.testing.assert_allclose(extractor.features([text])[0], expected, rtol=1e-6)


def test_the_same_seed_gives_the_same_features(extractor):
    again = fit_text_extractor(*TRAIN, *VALIDATION, vectors(), SMALL)
    other = fit_text_extractor(*TRAIN, *VALIDATION, vectors(), replace(SMALL, seed=1))
    expected = extractor.features(VALIDATION[0])
    np.testing.assert_array_equal(again.features(VALIDATION[0]), expected)
    assert not np.allclose(other.features(VALIDATION[0]), expected)


def test_categories_are_learnt_without_given_word_vectors():
    longer = replace(SMALL, shape=WordCNNShape(maps=30), epochs=30, patience=30)
    learnt = fit_text_extractor(*sentences(150, 4), *VALIDATION, WordVectors.none(8), longer)
    assert learnt.trained.validation_accuracy > 0.9
    assert "tuned 8-d word vectors drawn at random (no given word vectors), seed 0" in learnt.describe()


def test_sentences_are_learnt_from_like_texts_of_their_own():
    parts = [(text, text.partition(" ")[2]) if row % 3 else () for row, text in enumerate(TRAIN[0])]
    texts = [*TRAIN[0], *(each for own in parts for each in own)]
    own_labels = [label for own, label in zip(parts, TRAIN[1], strict=True) for _ in own]
    labels = np.array([*TRAIN[1], *own_labels])
    found = fit_text_extractor(*TRAIN, *VALIDATION, vectors(), SMALL, sentences=parts)
    expected = fit_text_extractor(texts, labels, *VALIDATION, vectors(), SMALL)
    np.testing.assert_array_equal(found.features(VALIDATION[0]), expected.features(VALIDATION[0]))
    assert "trained on 60 texts and their 80 sentences of 3 categories" in found.describe()
    assert expected.sentences == 0


def test_a_word_of_one_text_is_not_frequent_because_its_sentences_hold_it_again():
    texts = [f"{TRAIN[0][0]} sloop", *TRAIN[0][1:]]
    brief = replace(SMALL, epochs=1)
    for given in (None, [(text,) for text in texts]):
        found = fit_text_extractor(texts, TRAIN[1], *VALIDATION, vectors(), brief, sentences=given)
        assert found.vocabulary.row("sloop") == UNKNOWN


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("a boat",)], "sentences of 1 texts and 60 training texts"),
        (["a boat"] * 60, r"sentences\[0\] is one text; give a list"),
        ([(None,)] * 60, r"sentences\[0\]\[0\] is a NoneType"),
    ],
)
def test_sentences_that_do_not_fit_are_refused(given, message):
    with pytest.raises(DatasetError, match=message):
        fit_text_extractor(*TRAIN, *VALIDATION, vectors(), SMALL, sentences=given)


def test_long_texts_are_cut_with_a_warning(extractor):
    with pytest.warns(UserWarning, match="1 of 2 texts have more than 40 tokens"):
        features = extractor.features(["the " * 40 + "boat", "the " * 40])
    np.testing.assert_array_equal(features[0], features[1])


def test_a_sentence_describes_where_features_come_from(extractor):
    sentence = extractor.describe()
    for said in (
        "filters over 3, 4, 5 words with 8 maps each",
        "60 texts of 3 categories",
        "19 tuned 6-d word vectors (SHA-256 0123456789ab)",
        "seed 0",
        f"best of 10 epochs: {extractor.trained.best_epoch}",
    ):
        assert said in sentence
    static = replace(SMALL, epochs=1, shape=WordCNNShape(maps=2, tuned=False))
    unfiled = WordVectors(vectors().words, vectors().values)
    assert (
        "static 6-d word vectors (from no file)"
        in fit_text_extractor(*TRAIN, *VALIDATION, unfiled, static).describe()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: "one text"}, "train_texts is one text; give a list"),
        ({0: ["a", None], 1: np.array([0, 1])}, r"train_texts\[1\] is a NoneType"),
        ({1: np.zeros(60)}, "train_labels are float64"),
        ({1: np.zeros(59, np.int64)}, r"shape \(59,\) for 60 texts"),
        ({1: np.arange(60) - 1}, "train_labels hold -1"),
        ({2: [], 3: np.zeros(0, np.int64)}, "validation_texts are empty"),
        ({3: np.arange(30)}, "validation_labels hold 3, which no training text has"),
    ],
)
def test_texts_and_labels_that_do_not_fit_are_refused(changes, message):
    arguments = [*TRAIN, *VALIDATION]
    for position, value in changes.items():
        arguments[position] = value
    with pytest.raises(DatasetError, match=message):
        fit_text_extractor(*arguments, vectors(), SMALL)


@pytest.mark.slow
def test_a_linear_classifier_tells_the_categories_of_real_captions(real_data):
    described = json.loads((real_data / "pascal_sentence_captions.json").read_text("utf-8"))
    names = sorted(set(described["category"].values()))
    segments = {
        part: [tuple(described["captions"][name]) for name in ids] for part, ids in described["split"].items()
    }
    labels = {
        part: np.array([names.index(described["category"][name]) for name in ids])
        for part, ids in described["split"].items()
    }
    texts = {part: [" ".join(each) for each in found] for part, found in segments.items()}
    word_vectors = load_word_vectors(
        real_data / "glove_twitter_25d_12k.npz", wanted_words(chain.from_iterable(texts.values()))
    )
    accuracies = []
    for seed in range(3):
        extractor = fit_text_extractor(
            *(texts["train"], labels["train"], texts["val"], labels["val"]),
            word_vectors,
            WordCNNSettings(seed=seed),
            sentences=segments["train"],
        )
        features = {part: extractor.features(each) for part, each in texts.items()}
        accuracies.append(linear_accuracies(features, labels))
    validation, test = np.mean(accuracies, axis=0)
    assert validation >= 0.72
    assert test >= 0.72, "0.750 is the accuracy of latent semantics; of 100 texts the standard error is 0.045"


def linear_accuracies(features, labels):
    """Return the accuracies on validation and test texts; of equal C on validation the smallest is taken."""
    classifiers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500)).fit(
            features["train"], labels["train"]
        )
        for c in (1e-4, 1e-3, 1e-2, 1e-1)
    ]
    best = max(classifiers, key=lambda each: each.score(features["val"], labels["val"]))
    return [best.score(features[part], labels[part]) for part in ("val", "test")]
