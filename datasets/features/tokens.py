"""Texts as rows of a table of word vectors."""

from __future__ import annotations

import math
import sys
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import FloatMatrix
from cmbench.datasets.features.word_vectors import WordVectors

Tokens = NDArray[np.int64]

PADDING, UNKNOWN = 0, 1
"""Rows of the table: zeros, which fill up texts, and the one vector of all words that have none."""

OFTEN = 2
"""A word without a vector gets one of its own if training texts hold it so many times."""

RANDOM_DEVIATION = 0.25 / math.sqrt(3)
"""Standard deviation of the uniform distribution within ±0.25, from which Kim draws vectors of words."""


def tokens_of(text: str) -> list[str]:
    """Return the words and signs of a text: runs of letters, digits and underscores, and each other sign.

    The text is normalised (NFC) before, and marks that combine with a letter, such as the vowels of Hindi,
    belong to its word. Where a language has no spaces between words, a run of them is one token.

    Captions and articles come without marked sentences. Tokenisers after the Penn Treebank expect one
    sentence at a time and leave full stops on words otherwise. This one is a regular expression, ours, by
    which scikit-learn's ``CountVectorizer`` divides texts. Its own skips signs and words of one letter,
    which a word CNN reads as well.

    >>> tokens_of("A man's double-decker bus, parked.")
    ['A', 'man', "'", 's', 'double', '-', 'decker', 'bus', ',', 'parked', '.']
    """
    return _tokeniser()(unicodedata.normalize("NFC", text))


@cache
def _tokeniser() -> Callable[[str], list[str]]:
    from sklearn.feature_extraction.text import CountVectorizer

    tokeniser: Callable[[str], list[str]]
    marks = "".join(filter(_combines, map(chr, range(sys.maxunicode + 1))))
    pattern = rf"\w[\w{marks}]*|[^\w\s]"
    tokeniser = CountVectorizer(lowercase=False, token_pattern=pattern).build_tokenizer()
    return tokeniser


def _combines(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def wanted_words(texts: Iterable[str]) -> set[str]:
    """Return all words of the texts, as written and in lower case: those to load vectors of.

    >>> sorted(wanted_words(["A boat"]))
    ['A', 'a', 'boat']
    """
    written = {token for text in texts for token in tokens_of(text)}
    return written | {token.lower() for token in written}


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words and their rows in a table of vectors, which starts with the rows of padding and unknown words.

    Parameters
    ----------
    rows : the row of each word
    table : float32 (rows, d), the vectors; row 0 is zeros
    """

    rows: dict[str, int]
    table: FloatMatrix = field(repr=False)

    @classmethod
    def of(cls, train_texts: Iterable[str], vectors: WordVectors, *, seed: int) -> Vocabulary:
        """Return all words that have vectors, and the unknown ones that training texts hold at least twice.

        Capitals of unknown words count as small letters. The vectors of these words, and the one that all
        others share, are drawn from N(0, variance in that dimension of the vectors of words in training
        texts), following Kim (2014), Section 4.3, who draws from a uniform distribution of this variance.
        Where fewer than two such vectors are given (``WordVectors.none``, say), they are drawn with the
        variance of the uniform distribution within ±0.25, that of Kim's own program.
        """
        counts = Counter(token for text in train_texts for token in tokens_of(text))
        rows_with_vectors: set[int] = set()
        unknown: Counter[str] = Counter()
        for token, count in counts.items():
            row = vectors.row(token)
            if row is None:
                unknown[token.lower()] += count
            else:
                rows_with_vectors.add(row)
        frequent = sorted(word for word, count in unknown.items() if count >= OFTEN)
        deviation = _deviation(vectors.values[sorted(rows_with_vectors)])
        drawn = np.random.default_rng(seed).standard_normal((1 + len(frequent), len(deviation))) * deviation
        first = UNKNOWN + 1
        rows = {word: first + row for word, row in vectors.rows.items()}
        rows |= {word: first + len(vectors) + number for number, word in enumerate(frequent)}
        padding = np.zeros((1, len(deviation)))
        table = np.concatenate([padding, drawn[:1], vectors.values, drawn[1:]]).astype(np.float32)
        return cls(rows, table)

    def row(self, token: str) -> int:
        """Return the row of a word as it is written, otherwise of its lower case, otherwise ``UNKNOWN``."""
        row = self.rows.get(token)
        return self.rows.get(token.lower(), UNKNOWN) if row is None else row

    def encoded(self, texts: Sequence[str], *, longest: int) -> list[Tokens]:
        """Return int64 (tokens,) for each text; a text without any token has none.

        Texts of more than ``longest`` tokens are cut there, and a warning says how many were.
        """
        encoded = [np.array([self.row(token) for token in tokens_of(text)], np.int64) for text in texts]
        cut = sum(len(rows) > longest for rows in encoded)
        if cut:
            warnings.warn(
                f"{cut} of {len(texts)} texts have more than {longest} tokens and were cut there; "
                "raise longest to keep them whole",
                stacklevel=2,
            )
        return [rows[:longest] for rows in encoded]


def _deviation(vectors: FloatMatrix) -> NDArray[np.float64]:
    if len(vectors) < 2:
        return np.full(vectors.shape[1], RANDOM_DEVIATION)
    deviation: NDArray[np.float64] = vectors.std(axis=0, dtype=np.float64)
    return deviation


def padded(encoded: Sequence[Tokens]) -> Tokens:
    """Return int64 (texts, tokens of the longest), filled up with ``PADDING`` behind each text.

    >>> padded([np.array([5, 6]), np.array([], np.int64)]).tolist()
    [[5, 6], [0, 0]]
    """
    rows = np.full((len(encoded), max(map(len, encoded), default=0)), PADDING, np.int64)
    for row, tokens in zip(rows, encoded, strict=True):
        row[: len(tokens)] = tokens
    return rows
