"""Word vectors from files of every format, and what is said of damaged ones."""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import struct
import unicodedata
import zipfile

import numpy as np
import pytest

from cmbench.datasets.features import word_vectors as word_vector_binary
from cmbench.datasets.features.word_vectors import WordVectors, load_word_vectors
from cmbench.errors import DatasetError

WORDS = ("boat", "Zürich", "on")
VALUES = [[1.0, -0.5, 0.25], [0.0, 3.0, 2.0], [-1.0, 0.125, 8.0]]
LINES = [f"{word} " + " ".join(map(str, row)) for word, row in zip(WORDS, VALUES, strict=True)]
GLOVE = ("\n".join(LINES) + "\n").encode()
WORD2VEC = b"3 3\n" + ("\n".join(f"{line} " for line in LINES) + "\n").encode()


def binary(feed):
    """Return the binary format, each vector followed by ``feed``."""
    entries = [
        word.encode() + b" " + struct.pack("<3f", *row) + feed
        for word, row in zip(WORDS, VALUES, strict=True)
    ]
    return b"3 3\n" + b"".join(entries)


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


CONTENTS = {
    "glove.txt": GLOVE,
    "glove.txt.bz2": bz2.compress(GLOVE),
    "glove.txt.xz": lzma.compress(GLOVE),
    "glove.zip": zipped(vectors=GLOVE),
    "tabs.txt": GLOVE.replace(b" ", b"\t"),
    "a tab and spaces.txt": b"\n".join(line.replace(b" ", b"\t", 1) for line in GLOVE.split(b"\n")),
    "mark.txt": b"\xef\xbb\xbf" + GLOVE,
    "mark before a header.txt": b"\xef\xbb\xbf" + WORD2VEC,
    "utf16.txt": GLOVE.decode().encode("utf-16"),
    "utf16 big.txt.gz": gzip.compress(codecs.BOM_UTF16_BE + WORD2VEC.decode().encode("utf-16-be")),
    "text.bin": WORD2VEC,
    "text without a header.bin": GLOVE,
    "binary.txt": binary(b"\n"),
    "binary.bin.bz2": bz2.compress(binary(b"")),
    "binary.zip": zipped(vectors=binary(b"\n")),
    "not packed.txt.gz": GLOVE,
    "decomposed.txt": unicodedata.normalize("NFD", GLOVE.decode()).encode(),
    "glove.txt.gz": gzip.compress(GLOVE),
    "windows.txt": GLOVE.replace(b"\n", b"\r\n"),
    "word2vec.vec": WORD2VEC,
    "word2vec.bin": binary(b"\n"),
    "gensim.bin": binary(b""),
    "word2vec.bin.gz": gzip.compress(binary(b"\n")),
}


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", CONTENTS)
def test_every_format_gives_words_values_and_the_digest_of_the_file(tmp_path, name):
    vectors = load_word_vectors(written(tmp_path, name, CONTENTS[name]))
    assert vectors.words == WORDS
    assert vectors.values.dtype == np.float32
    np.testing.assert_array_equal(vectors.values, VALUES)
    assert vectors.digest == hashlib.sha256(CONTENTS[name]).hexdigest()


@pytest.mark.parametrize("name", [*CONTENTS, "vectors.npz"])
def test_only_wanted_words_are_kept(tmp_path, name):
    if name == "vectors.npz":
        np.savez(tmp_path / name, words=np.array(WORDS), vectors=np.array(VALUES))
    else:
        written(tmp_path, name, CONTENTS[name])
    vectors = load_word_vectors(tmp_path / name, {"on", "boat", "unheard-of"})
    assert vectors.words == ("boat", "on")
    np.testing.assert_array_equal(vectors.values, [VALUES[0], VALUES[2]])
    with pytest.raises(DatasetError, match="no vector for any word"):
        load_word_vectors(tmp_path / name, {"unheard-of"})


def test_an_npz_file_gives_float32(tmp_path):
    np.savez_compressed(tmp_path / "vectors.npz", words=np.array(WORDS), vectors=np.array(VALUES))
    vectors = load_word_vectors(tmp_path / "vectors.npz")
    assert vectors.words == WORDS
    assert vectors.values.dtype == np.float32
    np.testing.assert_array_equal(vectors.values, VALUES)


@pytest.mark.parametrize("chunk", [1, 2, 7, 13, 1000])
def test_binary_files_may_be_cut_into_pieces_anywhere(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(word_vector_binary, "CHUNK", chunk)
    vectors = load_word_vectors(written(tmp_path, "word2vec.bin", binary(b"\n")))
    assert vectors.words == WORDS
    np.testing.assert_array_equal(vectors.values, VALUES)


def test_words_may_hold_spaces_and_any_blank_of_unicode(tmp_path):
    content = "boat 1 2\n. . . 3 4\na\u00a0b 5 6\n\u0085 7 8\n".encode()
    vectors = load_word_vectors(written(tmp_path, "glove.txt", content))
    assert vectors.words == ("boat", ". . .", "a\u00a0b", "\u0085")
    np.testing.assert_array_equal(vectors.values, [[1, 2], [3, 4], [5, 6], [7, 8]])


def test_a_word_that_nobody_wanted_need_not_be_utf8(tmp_path):
    content = b"3 1\n" + b"".join(word + b" " + struct.pack("<f", 1) for word in (b"caf\xe9", b"a", b"b"))
    for name, text in (("a.bin", content), ("a.txt", b"caf\xe9 1\na 1\nb 1\n")):
        assert load_word_vectors(written(tmp_path, name, text), {"a", "b", "caf\u00e9"}).words == ("a", "b")


def test_where_a_header_declares_the_dimension_a_word_may_end_in_a_number(tmp_path):
    vectors = load_word_vectors(written(tmp_path, "a.txt", b"2 2\nno 5 1 2\n1 000 3 4\n"))
    assert vectors.words == ("no 5", "1 000")
    np.testing.assert_array_equal(vectors.values, [[1, 2], [3, 4]])


def test_the_first_vector_of_a_word_counts(tmp_path):
    vectors = load_word_vectors(written(tmp_path, "glove.txt", b"a 1 2\nb 3 4\na 5 6\n"))
    assert vectors.words == ("a", "b")
    np.testing.assert_array_equal(vectors.values, [[1, 2], [3, 4]])


def test_a_word_is_looked_up_as_it_is_written_before_its_lower_case():
    vectors = WordVectors(("us", "US", "Rome"), np.zeros((3, 2), np.float32))
    assert [vectors.row(word) for word in ("us", "US", "Us", "Rome", "rome", "ROME")] == [
        0,
        1,
        0,
        2,
        None,
        None,
    ]


DAMAGED = {
    "cut between values": ("a.txt", b"a 1 2 3\nb 1 2", "line 2 has 2 values, and 3 are expected"),
    "a value too many": ("a.txt", b"a 1 2\nb 1 2 3\n", "line 2 has 3 values, and 2 are expected"),
    "no number": ("a.txt", b"a 1 2\nb 1 x\n", "line 2: could not convert string to float: b'x'"),
    "not UTF-8": ("a.txt", b"a 1 2\n\xff\xfe 1 2\n", "line 2: the word .* is not UTF-8"),
    "NaN": ("a.txt", b"a 1 2\nb 1 nan\n", "line 2: the vector of 'b' holds nan"),
    "infinity": ("a.txt", b"a 1 2\nb -inf 1\n", "line 2: the vector of 'b' holds -inf"),
    "too large for float32": ("a.txt", b"a 1 2\nb 1e60 1\n", "line 2: the vector of 'b' holds inf"),
    "fewer lines than announced": (
        "a.txt",
        b"3 2\na 1 2\nb 1 2\n",
        "has 2 words, and its header announces 3",
    ),
    "more lines than announced": ("a.txt", b"1 2\na 1 2\nb 1 2\n", "has 2 words, and its header announces 1"),
    "nothing": ("a.txt", b"", "is empty"),
    "words alone": ("a.txt", b"a\nb\n", "line 1 has no values"),
    "cut inside a vector": ("a.bin", binary(b"\n")[:-9], "cut off at word 3 of 3"),
    "cut inside a word": ("a.bin", binary(b"\n")[:22], "cut off at word 2 of 3"),
    "too long": ("a.bin", binary(b"\n") + b"more", "goes on after the 3 words"),
    "no words at all": ("a.bin", b"9 3\n" + bytes(9000), "word 1 of 9 has no end"),
    "binary word not UTF-8": ("a.bin", b"1 1\n\xff " + bytes(4), "word 1 of 1: the word .* is not UTF-8"),
    "binary NaN": (
        "a.bin",
        b"1 1\na " + struct.pack("<f", np.nan),
        "word 1 of 1: the vector of 'a' holds nan",
    ),
    "gzip cut off": ("a.txt.gz", gzip.compress(GLOVE)[:-12], "cannot be read"),
    "gzip damaged": ("a.txt.gz", gzip.compress(GLOVE)[:12] + bytes(40), "cannot be read"),
    "zip": ("glove.6B.zip", b"PK", "unpack it"),
    "zip of several": ("a.zip", zipped(a=GLOVE, b=GLOVE), r"archive of 2 files \(a, b\); unpack it"),
    "a web page": ("a.txt", b"<!DOCTYPE html><html>", "is a web page"),
    "a pickle": ("a.model", b"\x80\x04\x95", "Python pickle"),
    "zstd": ("a.txt.zst", b"\x28\xb5\x2f\xfd123", "zstd; unpack it"),
    "a tar": ("a.tar.gz", gzip.compress(bytes(257) + b"ustar" + bytes(250)), "TAR archive; unpack it"),
    "commas": ("a.csv", b"a,1,2\nb,1,2\n", "separated by commas, write spaces"),
    "bzip2 cut off": ("a.bz2", bz2.compress(GLOVE)[:-12], "cannot be read"),
    "xz cut off": ("a.xz", lzma.compress(GLOVE)[:-12], "cannot be read"),
    "a pointer": ("a.bin", b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
    "an array": ("a.npy", b"\x93NUMPY\x01\x00", "a single array"),
    "JSON": ("a.txt", b'{"the": [1, 2]}', "is JSON"),
    "compressed twice": ("a.gz", gzip.compress(gzip.compress(GLOVE)), "compressed twice"),
    "fewer dimensions announced": (
        "a.txt",
        b"3 1\na 1 2\nb 3 4\nc 5 6\n",
        "each line has more values than the 1",
    ),
    "more dimensions announced": ("a.txt", b"2 3\na 1 2\nb 3 4\n", "line 2 has 2 values, and 3 are expected"),
    "big-endian": ("a.bin", b"1 2\na " + struct.pack(">2f", 1, 2), "hardly little-endian"),
    "not npz": ("a.npz", GLOVE, "is not an .npz archive"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_refused_by_name_and_place(tmp_path, case):
    name, content, message = DAMAGED[case]
    path = written(tmp_path, name, content)
    with pytest.raises(DatasetError, match=message) as caught:
        load_word_vectors(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"words": np.array(["a"], dtype=object), "vectors": np.ones((1, 2))}, "array of Python objects"),
        ({"words": np.array(["a"]), "vectors": np.array([[1, None]])}, "array of Python objects"),
        ({"words": np.array(["a"])}, "has no array 'vectors'"),
        ({"words": np.array([b"a"]), "vectors": np.ones((1, 2))}, "words is"),
        ({"words": np.array(["a"]), "vectors": np.ones((2, 2))}, "vectors is float64 of shape"),
        ({"words": np.array(["a"]), "vectors": np.ones((1, 2), int)}, "vectors is int64"),
        ({"words": np.array(["a", "b"]), "vectors": np.array([[1.0], [np.nan]])}, "row 1 of vectors"),
        ({"words": np.array(["a"]), "vectors": np.array([[1e300]])}, "holds inf"),
    ],
)
def test_arrays_that_are_no_word_vectors_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "vectors.npz", **arrays)
    with pytest.raises(DatasetError, match=message) as caught:
        load_word_vectors(tmp_path / "vectors.npz")
    assert "vectors.npz" in str(caught.value)


def test_an_npz_file_that_is_cut_off_is_refused(tmp_path):
    np.savez(tmp_path / "vectors.npz", words=np.array(WORDS), vectors=np.array(VALUES))
    whole = (tmp_path / "vectors.npz").read_bytes()
    with pytest.raises(DatasetError, match=r"cut\.npz cannot be read .* damaged or incomplete"):
        load_word_vectors(written(tmp_path, "cut.npz", whole[:-100]))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"absent\.txt cannot be read"):
        load_word_vectors(tmp_path / "absent.txt")


def test_there_may_be_no_words():
    nothing = WordVectors.none(7)
    assert (len(nothing), nothing.values.shape, nothing.digest) == (0, (0, 7), "")
    assert nothing.row("boat") is None
    with pytest.raises(DatasetError, match="dimension is 0"):
        WordVectors.none(0)


@pytest.mark.parametrize(
    ("words", "values", "message"),
    [
        (("a", "a"), np.zeros((2, 1), np.float32), "1 of 2 words stand twice"),
        (("a",), np.zeros((2, 1), np.float32), r"shape \(2, 1\) for 1 words"),
        (("a",), np.zeros((1, 1)), "float64"),
    ],
)
def test_vectors_that_do_not_fit_their_words_are_refused(words, values, message):
    with pytest.raises(DatasetError, match=message):
        WordVectors(words, values)


def test_several_blanks_between_fields_are_one(tmp_path):
    vectors = load_word_vectors(written(tmp_path, "a.txt", b"a  1   2\n b 3 4 \n"))
    assert vectors.words == ("a", "b")
    assert vectors.values.tolist() == [[1, 2], [3, 4]]


def test_words_of_an_npz_file_are_found_however_accents_are_stored(tmp_path):
    np.savez(tmp_path / "a.npz", words=np.array(["cafe\u0301"]), vectors=np.ones((1, 2)))
    assert load_word_vectors(tmp_path / "a.npz", {"caf\u00e9"}).words == ("caf\u00e9",)
