"""Texts become rows of a table of word vectors."""

import json
import re
import unicodedata
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import characters, text
from scipy.stats import uniform

from cmbench.datasets.features.tokens import (
    PADDING,
    UNKNOWN,
    Vocabulary,
    padded,
    tokens_of,
    wanted_words,
)
from cmbench.datasets.features.word_vectors import WordVectors, load_word_vectors

VECTORS = WordVectors(("boat", "US", "us"), np.array([[1, 10], [2, 20], [3, 60]], np.float32))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n\t", []),
        ("A boat.", ["A", "boat", "."]),
        ("One ends. Two\nbegins.", ["One", "ends", ".", "Two", "begins", "."]),
        (
            "Zürich's tram-line, 3.5 km!",
            ["Zürich", "'", "s", "tram", "-", "line", ",", "3", ".", "5", "km", "!"],
        ),
        ("...", [".", ".", "."]),
        ("новый 日本", ["новый", "日本"]),
        ("Cafe\u0301, u\u0308ber", ["Café", ",", "über"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("x\u0302\u0331y", ["x\u0331\u0302y"]),
    ],
)
def test_words_and_marks_are_parted(text, tokens):
    assert tokens_of(text) == tokens


@settings(max_examples=200, deadline=None)
@given(text())
def test_tokens_are_runs_of_word_characters_and_marks_on_them_and_single_signs(written):
    normal = unicodedata.normalize("NFC", written)
    expected, before = [], ""
    for character in normal:
        mark = unicodedata.category(character).startswith("M")
        if before == "word" and (mark or re.match(r"\w", character)):
            expected[-1] += character
            continue
        before = "word" if re.match(r"\w", character) else "other"
        if not character.isspace():
            expected.append(character)
    assert tokens_of(written) == expected
    assert "".join(expected) == "".join(normal.split())


@given(text(alphabet=characters(max_codepoint=0x2FF)))
def test_tokens_of_texts_without_combining_marks_are_runs_of_word_characters(written):
    assert tokens_of(written) == re.findall(r"\w+|[^\w\s]", written)


def test_wanted_are_words_as_written_and_in_lower_case():
    assert wanted_words(["A boat", "a Boat"]) == {"A", "a", "boat", "Boat"}


def test_known_words_have_their_vectors_whether_training_texts_hold_them_or_not():
    vocabulary = Vocabulary.of(["nothing here"], VECTORS, seed=0)
    for word, vector in zip(VECTORS.words, VECTORS.values, strict=True):
        np.testing.assert_array_equal(vocabulary.table[vocabulary.row(word)], vector)
    assert vocabulary.row("Boat") == vocabulary.row("BOAT") == vocabulary.row("boat")
    assert len({vocabulary.row(word) for word in ("US", "us")}) == 2


def test_unknown_words_seen_twice_have_vectors_of_their_own_and_others_share_one():
    vocabulary = Vocabulary.of(["A sloop and", "a ketch and a yawl"], VECTORS, seed=0)
    assert vocabulary.row("and") > UNKNOWN
    assert vocabulary.row("a") == vocabulary.row("A") > UNKNOWN, (
        "seen three times, with and without a capital"
    )
    assert vocabulary.row("a") != vocabulary.row("and")
    assert {vocabulary.row(word) for word in ("sloop", "ketch", "yawl", "unheard-of")} == {UNKNOWN}
    assert len(vocabulary.table) == 2 + len(VECTORS) + 2
    assert not vocabulary.table[PADDING].any()
    assert vocabulary.table[UNKNOWN].all()


def test_drawn_vectors_have_the_variance_of_the_known_in_each_dimension():
    text = "Boat US us " + " ".join(f"word{number}" for number in range(4000))
    table = Vocabulary.of([text, text], VECTORS, seed=0).table
    drawn = table[2 + len(VECTORS) :].astype(np.float64)
    assert len(drawn) == 4000
    expected = np.array([np.std([1, 2, 3]), np.std([10, 20, 60])])
    np.testing.assert_allclose(drawn.std(axis=0), expected, rtol=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0) / expected, 0, atol=0.06)


def test_what_is_drawn_depends_on_the_vectors_of_words_in_training_texts_alone():
    more = WordVectors(
        ("ketch", *VECTORS.words, "yawl"), np.r_[[[9, 9]], VECTORS.values, [[-1e6, 1e6]]].astype("f4")
    )
    for texts in (["a boat of us", "a sloop"], ["boat boat"], ["a sloop", "a"]):
        few, many = (Vocabulary.of(texts, vectors, seed=0) for vectors in (VECTORS, more))
        for word in ("a", "sloop", "of"):
            np.testing.assert_array_equal(few.table[few.row(word)], many.table[many.row(word)])


def test_without_given_vectors_all_are_drawn_with_the_deviation_of_uniform_within_a_quarter():
    words = " ".join(f"word{number}" for number in range(4000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vocabulary = Vocabulary.of([words, words, "once"], WordVectors.none(3), seed=0)
    drawn = vocabulary.table[UNKNOWN:].astype(np.float64)
    assert drawn.shape == (4001, 3)
    assert vocabulary.row("once") == UNKNOWN
    expected = uniform(-0.25, 0.5).std()
    np.testing.assert_allclose(drawn.std(axis=0), expected, rtol=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.06 * expected)
    assert not vocabulary.table[PADDING].any()


def test_the_seed_alone_decides_what_is_drawn():
    texts = ["a b c", "c b a"]
    tables = [
        Vocabulary.of(order, VECTORS, seed=seed).table
        for order, seed in ((texts, 0), (texts[::-1], 0), (texts, 1))
    ]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert (tables[0][UNKNOWN] != tables[2][UNKNOWN]).all()


def test_texts_are_rows_of_their_words_and_empty_ones_padding_alone():
    vocabulary = Vocabulary.of([], VECTORS, seed=0)
    encoded = vocabulary.encoded(["us boat", "", "a"], longest=5)
    assert [each.tolist() for each in encoded] == [[4, 2], [], [UNKNOWN]]
    assert padded(encoded).tolist() == [[4, 2], [PADDING, PADDING], [UNKNOWN, PADDING]]
    assert padded([]).shape == (0, 0)


def test_long_texts_are_cut_and_counted(recwarn):
    vocabulary = Vocabulary.of([], VECTORS, seed=0)
    assert [len(each) for each in vocabulary.encoded(["us us us", "us us"], longest=3)] == [3, 2]
    assert not recwarn
    with pytest.warns(UserWarning, match="1 of 2 texts have more than 2 tokens"):
        encoded = vocabulary.encoded(["boat us us", "us us"], longest=2)
    assert [each.tolist() for each in encoded] == [[2, 4], [4, 4]]


def test_the_tokens_of_real_captions_have_vectors(real_data):
    vectors = load_word_vectors(real_data / "glove_twitter_25d_12k.npz")
    captions = json.loads((real_data / "pascal_sentence_captions.json").read_text("utf-8"))["captions"]
    tokens = [token for each in captions.values() for token in tokens_of(" ".join(each))]
    words = [token for token in tokens if token[0].isalnum()]
    assert np.mean([vectors.row(word) is not None for word in words]) == pytest.approx(0.93, abs=0.005)
