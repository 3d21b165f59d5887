"""Split files: read with every mistake named; and splits drawn by lot."""

from collections import Counter
from pathlib import Path

import pytest

from cmbench.datasets.raw.contract import RawPair
from cmbench.datasets.raw.pictures import PictureFile
from cmbench.datasets.raw.splits import divided, drawn_splits, read_splits, shipped_splits
from cmbench.errors import DatasetError


def pairs_of(*ids):
    return [RawPair(id_, PictureFile(Path(f"{id_}.jpg")), ("One.",), 0) for id_ in ids]


def written(folder, text):
    path = folder / "splits.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def ids(parts):
    return [[pair.id for pair in part] for part in parts]


def test_pairs_are_divided_in_their_own_order(tmp_path):
    path = written(tmp_path, "id,split\nd,test\nb,train\nc,val\na,train\n")
    assert ids(divided(pairs_of("a", "b", "c", "d"), read_splits(path))) == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize(
    "text",
    [
        'id,split\n"a,1",train\nb,val\n',
        "id\tsplit\na,1\ttrain\nb\tval\n",
        '\ufeff# made by lot\r\nid , split\r\n\r\n# more\r\n"a,1", train\r\nb,val\r\n',
    ],
)
def test_commas_tabs_comments_and_the_ends_of_lines_of_windows_are_read(tmp_path, text):
    parts = divided(pairs_of("a,1", "b"), read_splits(written(tmp_path, text)))
    assert ids(parts) == [["a,1"], ["b"], []]


def test_pairs_may_be_named_by_position(tmp_path):
    path = written(tmp_path, "position,split\n2,train\n00,test\n1,val\n")
    assert ids(divided(pairs_of("x", "y", "z"), read_splits(path))) == [["z"], ["y"], ["x"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"splits\.csv: the header is ''; write id,split or position,split"),
        ("a,train\n", r"line 1: the header is 'a,train'"),
        ("id,split,why\n", r"line 1: the header is 'id,split,why'"),
        ("id,split\na\n", r"line 2: .*has not the two fields id and split"),
        ("id,split\na,train,now\n", r"line 2: .*has not the two fields"),
        ("# note\n\nid,split\na,train\na,val\n", r"line 5: the id 'a' stands already in .*line 4; keep one"),
        ("id,split\na,dev\n", r"line 2: unknown split 'dev'; write train, val, test"),
        ("position,split\n-1,val\n", r"line 2: the position '-1' is no number; count from 0"),
        pytest.param("position,split\n1,val\n" + "9" * 5000 + ",val\n", "no pair has", id="digits"),
        pytest.param("id,split\n" + "a" * 200_000 + ",val\n", "line 2: .*has not the two fields", id="long"),
        ("position,split\n1,val\n01,val\n", r"line 3: the position '1' stands already"),
        (b"id,split\n\xe9,val\n", r"splits\.csv is not UTF-8 \(.* at byte 9, in line 2\); save it as UTF-8"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        divided(pairs_of("a"), read_splits(written(tmp_path, text)))


def test_all_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(DatasetError, match=r"line 2: .*'dev'.*line 4: .*'a'"):
        read_splits(written(tmp_path, "id,split\nx,dev\na,val\na,val\n"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv cannot be read \(No such file"):
        read_splits(tmp_path / "none.csv")


def test_an_unknown_and_a_missing_id_are_named(tmp_path):
    splits = read_splits(written(tmp_path, "id,split\na,train\nq,val\n"))
    with pytest.raises(DatasetError) as caught:
        divided(pairs_of("a", "b"), splits)
    assert "line 3: no pair has the id 'q'; correct or remove the line" in str(caught.value)
    assert "the id 'b' is missing; add a line with its split" in str(caught.value)


def test_mistakes_are_told_in_the_order_of_the_file(tmp_path):
    splits = read_splits(written(tmp_path, "id,split\n" + "".join(f"q{at},val\n" for at in range(9))))
    with pytest.raises(DatasetError, match=".*".join(f"'q{at}'" for at in range(9))):
        divided([], splits)


def test_of_many_mistakes_some_are_told_and_the_rest_counted(tmp_path):
    splits = read_splits(written(tmp_path, "id,split\n"))
    with pytest.raises(DatasetError, match="and 5 more like these") as caught:
        divided(pairs_of(*(f"p{number}" for number in range(25))), splits)
    assert str(caught.value).count("is missing") == 20


def test_an_id_in_quotes_may_have_commas_and_quotes_and_begin_like_a_comment(tmp_path):
    path = written(tmp_path, 'id,split\n"with ""quotes"", commas",val\n"#c",test\nü,train\n')
    parts = divided(pairs_of("#c", 'with "quotes", commas', "ü"), read_splits(path))
    assert ids(parts) == [["ü"], ['with "quotes", commas'], ["#c"]]


@pytest.mark.parametrize("size", [1, 4, 5, 10, 14, 15, 99])
def test_a_tenth_of_each_category_is_for_validation_and_a_tenth_for_test(size):
    counts = Counter(drawn_splits(["cat"] * size))
    tenth = int(size / 10 + 0.5)
    assert (counts["val"], counts["test"]) == (tenth, tenth)
    assert counts["train"] == size - 2 * tenth > 0


def test_a_draw_is_stratified_and_the_same_each_time():
    labels = ["abc"[row % 3] for row in range(90)]
    words = drawn_splits(labels, seed=5)
    assert Counter(zip(labels, words, strict=True))["b", "val"] == 3
    assert words == drawn_splits(labels, seed=5)
    assert words != drawn_splits(labels, seed=6)


def test_a_further_category_does_not_change_the_draw_of_the_others():
    before = drawn_splits(["cat", "dog"] * 20)
    assert drawn_splits(["ant"] * 20 + ["cat", "dog"] * 20 + ["emu"] * 20)[20:60] == before
    assert drawn_splits(["cat"] * 20) != drawn_splits(["dog"] * 20), "each has lots of its own"


def test_every_pair_is_as_likely_to_be_drawn():
    drawn = Counter(
        row
        for seed in range(600)
        for row, word in enumerate(drawn_splits(["cat"] * 10, seed=seed))
        if word == "val"
    )
    assert sum(drawn.values()) == 600
    # Binomial(600, 0.1): mean 60, deviation 7.3; five deviations to each side.
    assert all(60 - 37 < drawn[row] < 60 + 37 for row in range(10))


def test_a_split_file_says_whose_it_is(tmp_path):
    assert read_splits(shipped_splits("wikipedia")).origin == "file wikipedia.csv, shipped with cmbench"
    path = written(tmp_path, "id,split\n").rename(tmp_path / "wikipedia.csv")
    assert read_splits(path).origin == "file wikipedia.csv, given"


def test_the_shipped_files_have_the_published_sizes():
    wikipedia = read_splits(shipped_splits("wikipedia"))
    assert Counter(wikipedia.words.values()) == {"val": 231, "test": 462}
    assert set(wikipedia.words) == {str(position) for position in range(693)}
    pascal = read_splits(shipped_splits("pascal_sentence"))
    assert Counter(pascal.words.values()) == {"train": 800, "val": 100, "test": 100}
