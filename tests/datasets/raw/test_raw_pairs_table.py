"""Pairs of one's own: tables of every kind, and folders named after categories."""

import sys
from collections import Counter

import pandas as pd
import pytest
from pair_tables import HEADER, ROWS, png, refused, write_folder, write_splits, write_table

from cmbench.datasets.raw import pairs_table
from cmbench.datasets.raw.preparation import checked_pictures
from cmbench.errors import DatasetError


def changed(row, **values):
    """Return the rows with some cells of one of them changed."""
    cells = dict(zip(HEADER, ROWS[row], strict=True)) | values
    return [*ROWS[:row], tuple(cells.values()), *ROWS[row + 1 :]]


def test_a_table_is_read(tmp_path):
    loaded = checked_pictures(pairs_table.load(write_table(tmp_path)))
    assert loaded.name == "mine"
    assert loaded.class_names == ("cat", "dog")
    assert [(pair.id, pair.label) for pair in loaded.train] == [("a.png", 0), ("b.png", 1)]
    assert loaded.train[0].segments == ('A cat, "Tom".', "It sleeps.")
    assert loaded.train[1].text == "A dög."
    assert [pairs[0].id for pairs in (loaded.validation, loaded.test)] == ["c.png", "d.png"]


def test_the_byte_order_mark_and_the_blank_lines_of_spreadsheets_are_left_out(tmp_path):
    path = write_table(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    assert len(pairs_table.load(path).train) == 2


def test_ids_and_other_columns_may_be_given(tmp_path):
    rows = [(*row, f"pair {at}", "a note") for at, row in enumerate(ROWS)]
    loaded = pairs_table.load(write_table(tmp_path, rows, (*HEADER, "id", "note")))
    assert [pair.id for pair in loaded.train] == ["pair 0", "pair 1"]


def test_texts_may_lie_in_files(tmp_path):
    for image, text, *_ in ROWS:
        (tmp_path / f"{image}.txt").write_text(text, encoding="utf-8")
    rows = [(image, f"{image}.txt", *rest) for image, _, *rest in ROWS]
    path = write_table(tmp_path, rows, ("image", "text_file", "category", "split"))
    assert pairs_table.load(path).train[0].segments == ('A cat, "Tom".', "It sleeps.")
    (tmp_path / "a.png.txt").unlink()
    (tmp_path / "b.png.txt").write_bytes(b"caf\xe9")
    (tmp_path / "c.png.txt").write_text("\n")
    message = refused(path)
    assert "line 2: the text" in message
    assert "a.png.txt is missing" in message
    assert "b.png.txt is not UTF-8" in message
    assert "c.png.txt: the text is empty" in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": "no.png"}, r"mine\.csv, line 4: the image .*no\.png is missing"),
        ({"image": " "}, r"line 4: image is empty; fill it in, or leave the pair out"),
        ({"image": "d.png", "text": ROWS[3][1]}, r"line 6: the id 'd\.png#0' stands already in .*line 4"),
        ({"text": " \n"}, r"line 4: the text is empty"),
        ({"category": ""}, r"line 4: category is empty"),
        ({"category": " ; "}, r"line 4: category is ' ; ', which names none"),
        ({"split": "dev"}, r"line 4: unknown split 'dev'; write train, val, test"),
        ({"split": ""}, r"line 4: split is empty"),
    ],
)
def test_a_wrong_cell_is_named_with_its_line(tmp_path, values, message):
    # The text of the first row has two lines, so the second pair begins in line 4.
    with pytest.raises(DatasetError, match=message):
        pairs_table.load(write_table(tmp_path, changed(1, **values)))


def test_all_wrong_lines_are_told_at_once(tmp_path):
    rows = [*changed(1, image="no.png"), ("a.png", ROWS[0][1], "cat", "val")]
    message = refused(write_table(tmp_path, rows))
    assert "line 4: the image" in message
    assert "line 7: the id 'a.png#0' stands already in" in message


def test_a_row_with_too_few_or_too_many_fields_is_refused(tmp_path):
    for row in (("a.png", "A cat"), (*ROWS[0], "more")):
        message = refused(write_table(tmp_path, [row]))
        assert f"mine.csv, line 2: {len(row)} fields and 4 columns" in message
    rows = [*changed(1, image="no.png"), ("a.png", "A cat"), *changed(1, image="gone.png")]
    message = refused(write_table(tmp_path, rows))
    assert "no.png is missing" in message
    assert "line 7: 2 fields" in message
    assert "gone.png is missing" in message


def test_what_comes_before_broken_quotes_is_told_too(tmp_path):
    path = write_table(tmp_path, changed(1, image="no.png"))
    path.write_text(path.read_text() + '"e.png,broken\n')
    message = refused(path)
    assert "no.png is missing" in message
    assert "line 7: not CSV" in message


def test_columns_without_a_name_are_left_alone(tmp_path):
    rows = [(*row, "", "") for row in ROWS]
    assert len(pairs_table.load(write_table(tmp_path, rows, (*HEADER, "", ""))).train) == 2


@pytest.mark.parametrize(("separator", "called"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_table_with_other_separators_is_told_apart(tmp_path, separator, called):
    path = write_table(tmp_path)
    path.write_text(path.read_text().replace(",", separator))
    assert f"mine.csv: its columns are separated by {called}; save it with commas" in refused(path)


def test_a_caption_in_the_place_of_the_picture_is_named(tmp_path):
    assert "is missing" in refused(write_table(tmp_path, changed(1, image="a dög runs " * 30)))


def test_a_path_of_windows_is_told_how_to_be_written(tmp_path):
    assert r"in\b.png is missing; get the file again, or leave the pair out; write / in paths" in refused(
        write_table(tmp_path, changed(1, image=r"in\b.png"))
    )


def test_the_table_at_the_top_of_a_folder_is_read(tmp_path):
    path = write_table(tmp_path)
    own = tmp_path / "own.csv"
    own.write_text("id,split\na.png,train\nb.png,train\nc.png,test\nd.png,val\n")
    loaded = pairs_table.load(tmp_path, own)
    assert (loaded.name, loaded.test[0].id) == ("mine", "c.png")
    assert "holds several tables: mine.csv, own.csv; name the one to read" in refused(tmp_path)
    own.unlink()
    assert pairs_table.load(tmp_path).split_sha256 == pairs_table.load(path).split_sha256


def captioned(folder, categories, header=("image", "text", "category", "id")):
    """Write a table with three captions of each picture; ``categories`` has that of each picture."""
    rows = []
    for at, category in enumerate(categories):
        (folder / f"{at}.png").write_bytes(png())
        rows += [(f"{'./' * line}{at}.png", f"{at} {line}.", category, f"{at}-{line}") for line in range(3)]
    return write_table(folder, rows, header)


def test_a_drawn_split_keeps_the_pairs_of_a_picture_together(tmp_path):
    loaded = pairs_table.load(captioned(tmp_path, ["cat", "dog"] * 10))
    for _, pairs in loaded.splits:
        assert set(Counter(pair.id.partition("-")[0] for pair in pairs).values()) == {3}
    assert [len(pairs) for _, pairs in loaded.splits] == [48, 6, 6]


def test_texts_of_one_picture_are_numbered_where_they_have_no_ids(tmp_path):
    rows = [(f"{at}.png", f"{at} {line}.", "cat", "train") for at in range(2) for line in range(3)]
    for at in range(2):
        (tmp_path / f"{at}.png").write_bytes(png())
    loaded = pairs_table.load(write_table(tmp_path, [*rows, *ROWS[1:]]))
    assert [pair.id for pair in loaded.train] == [
        *(f"{at}.png#{line}" for at in range(2) for line in range(3)),
        "b.png",
    ]
    assert loaded.shares_pictures
    assert not pairs_table.load(write_table(tmp_path)).shares_pictures


def test_a_cell_may_name_several_categories(tmp_path):
    rows = [*changed(1, category="sky; dog;sky"), ("a.png", "More.", "cat;sky", "train")]
    loaded = pairs_table.load(write_table(tmp_path, rows))
    assert loaded.class_names == ("cat", "dog", "sky")
    assert [pair.labels for pair in loaded.train] == [(0,), (2, 1), (0, 2)]
    assert loaded.is_multi_label
    assert not pairs_table.load(write_table(tmp_path)).is_multi_label


def test_each_category_of_a_test_pair_must_be_in_training(tmp_path):
    message = refused(write_table(tmp_path, changed(3, category="dog;owl")))
    assert "the category 'owl' has no training pair" in message


def test_a_picture_in_two_splits_is_refused(tmp_path):
    path = captioned(tmp_path, ["cat", "dog"] * 10)
    words = {pair.id: word for word, pairs in pairs_table.load(path).splits for pair in pairs}
    (own := tmp_path / "own.csv").write_text(
        "id,split\n" + "".join(f"{id_},{word}\n" for id_, word in {**words, "0-1": "test"}.items())
    )
    assert words["0-0"] == "train"
    message = refused(path, own)
    assert "0.png is in train ('0-0') and in test ('0-1'); put all pairs of a picture into one" in message


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            ("picture", "text", "category", "split"),
            "has no column 'image' (is 'picture' meant? Call it 'image'); its columns are pict",
        ),
        (("image", "text", "class", "split"), "has no column 'category'"),
        (("image", "words", "category", "split"), "must have one of the columns text and text_file"),
        (("image", "text", "category", "text_file"), "must have one of the columns text and text_file"),
        (("image", "text", "category", "category"), "has the column 'category' twice"),
    ],
)
def test_wrong_columns_are_refused(tmp_path, header, message):
    assert message in refused(write_table(tmp_path, header=header))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column 'image'"),
        (b"image,text,category\na.png,caf\xe9,cat\n", "mine.csv is not UTF-8"),
        (b'image,text,category\na.png,"A cat,cat\n', "mine.csv, line 2: not CSV"),
        (b"image,text,category\na.png," + b"a" * 200_000 + b",cat\n", "column text_file"),
    ],
)
def test_a_broken_table_is_named(tmp_path, content, message):
    path = write_table(tmp_path)
    path.write_bytes(content)
    assert message in refused(path)


def test_a_file_that_is_no_table_and_a_missing_one_are_refused(tmp_path):
    (tmp_path / "mine.xlsx").touch()
    assert "mine.xlsx is neither a .csv nor a .parquet file nor a folder" in refused(tmp_path / "mine.xlsx")
    assert "none.csv cannot be read" in refused(tmp_path / "none.csv")


def test_a_category_that_is_not_in_training_is_refused(tmp_path):
    assert "the category 'owl' has no training pair" in refused(
        write_table(tmp_path, changed(3, category="owl"))
    )


def test_a_split_without_pairs_is_refused(tmp_path):
    assert "no pair is in val" in refused(write_table(tmp_path, changed(2, split="train")))
    rows = [row[:3] for row in ROWS]
    message = refused(write_table(tmp_path, rows, HEADER[:3]))
    assert "no pair is in test; a drawn split needs five pictures of some category, or give one" in message


def test_a_split_file_goes_before_the_column(tmp_path):
    path = write_table(tmp_path)
    (tmp_path / "own.csv").write_text("id,split\na.png,train\nb.png,train\nc.png,test\nd.png,val\n")
    loaded = pairs_table.load(path, tmp_path / "own.csv")
    assert loaded.test[0].id == "c.png"
    assert loaded.split_origin == "file own.csv, given"
    assert pairs_table.load(path).split_origin == "column split of the table"


def test_without_a_split_one_is_drawn_that_a_split_file_can_hold(tmp_path):
    folder = write_folder(tmp_path / "my.pairs", {"cat": 20, "dog": 30})
    loaded = pairs_table.load(folder)
    assert [len(pairs) for _, pairs in loaded.splits] == [40, 5, 5]
    assert loaded.split_origin == "drawn by cmbench with seed 0, 80/10/10"
    assert Counter(pair.label for pair in loaded.test) == {0: 2, 1: 3}
    write_splits(tmp_path / "drawn.csv", loaded)
    for again in (pairs_table.load(folder), pairs_table.load(folder, tmp_path / "drawn.csv")):
        for (_, pairs), (_, first) in zip(again.splits, loaded.splits, strict=True):
            assert [pair.id for pair in pairs] == [pair.id for pair in first]


def test_a_folder_of_categories_is_read(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "my.pairs", {"dog": 5, "cat": 5})
    (folder / "cat" / "00.jpg").rename(folder / "cat" / "00.PNG")
    monkeypatch.chdir(folder)
    for path in (folder, folder.relative_to(folder)):
        loaded = checked_pictures(pairs_table.load(path))
        assert (loaded.name, loaded.class_names) == ("my.pairs", ("cat", "dog"))
        pairs = {pair.id: pair.text for _, split in loaded.splits for pair in split}
        assert pairs == {f"{name}/{at:02}": f"{name} {at}" for name in ("cat", "dog") for at in range(5)}


def test_images_and_texts_of_a_folder_without_the_other_are_all_told(tmp_path):
    folder = write_folder(tmp_path / "mine", {"dog": 5, "cat": 5})
    (folder / "cat" / "01.jpg").unlink()
    (folder / "dog" / "02.txt").unlink()
    (folder / "dog" / "03.txt").write_text("")
    message = refused(folder)
    assert "cat/01.txt has no image 01" in message
    assert "dog/02.jpg has no text" in message
    assert "dog/03.txt: the text is empty" in message


def test_pictures_of_all_usual_kinds_are_read(tmp_path):
    kinds = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF"}
    folder = write_folder(tmp_path / "mine", {"cat": len(kinds)})
    for at, (ending, kind) in enumerate(kinds.items()):
        (folder / "cat" / f"{at:02}.jpg").unlink()
        (folder / "cat" / f"{at:02}{ending}").write_bytes(png(kind))
    loaded = checked_pictures(pairs_table.load(folder))
    assert sum(len(pairs) for _, pairs in loaded.splits) == len(kinds)


def test_what_lies_in_no_category_or_too_deep_is_told(tmp_path):
    folder = write_folder(tmp_path / "mine", {"dog": 5, "cat": 5})
    write_folder(folder / "cat", {"small": 1})
    (folder / "top.webp").touch()
    for name in ("read me.txt", "cat/.small/x.jpg", "cat/notes/x.md", "cat/small/._x.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    message = refused(folder)
    assert "top.webp lies in no category; move it into the folder of its own" in message
    assert "cat/small/00.jpg lies in a folder within that of its category; move it up" in message
    assert "cat/small/00.txt lies in a folder within" in message
    assert message.count(";") == 5, "each problem and its remedy, and nothing else"


def test_an_empty_folder_is_refused(tmp_path):
    assert "no pair is in train" in refused(tmp_path)


def test_a_parquet_table_is_read(tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    write_table(tmp_path)
    table = pd.DataFrame(ROWS, columns=HEADER).assign(category=[7, 8, 7, 8], boxes=[[1.5]] * 4)
    table["text"] = [text.splitlines() for text in table["text"]]
    table.index = pd.Index([10**16 + at for at in range(4)], name="id")
    table.to_parquet(tmp_path / "mine.parquet")
    loaded = pairs_table.load(tmp_path / "mine.parquet")
    assert loaded.train[0].segments == ('A cat, "Tom".', "It sleeps.")
    assert loaded.train[0].id == "10000000000000000"
    assert loaded.class_names == ("7", "8")
    table.index = pd.RangeIndex(7, 11, name="id")
    table.to_parquet(tmp_path / "mine.parquet")
    assert [pair.id for pair in pairs_table.load(tmp_path / "mine.parquet").train] == ["7", "8"]
    (tmp_path / "mine.parquet").write_bytes(b"no table")
    assert "mine.parquet cannot be read" in refused(tmp_path / "mine.parquet")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("category", ["cat", None, "cat", "dog"], "mine.parquet, row 2: category is empty"),
        (
            "category",
            [0.0, 1.0, 0.0, 1.0],
            "row 1: category is 0.0, a float; write texts or whole numbers there",
        ),
        ("category", [True, False] * 2, "row 1: category is True, a bool"),
        ("text", [b"abc"] * 4, "row 4: text is b'abc', a bytes"),
        ("text", [[1, 2]] * 4, "row 2: text is [1, 2], a list"),
        ("image", [["a.png"]] * 4, "row 3: image is ['a.png'], a list"),
        ("image", [{"path": "a.png"}] * 4, "row 3: image is {'path': 'a.png'}, a dict"),
    ],
)
def test_a_cell_of_parquet_that_is_no_text_is_named(tmp_path, column, values, message):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    write_table(tmp_path)
    pd.DataFrame(ROWS, columns=HEADER).assign(**{column: values}).to_parquet(tmp_path / "mine.parquet")
    assert message in refused(tmp_path / "mine.parquet")


def test_without_pyarrow_a_parquet_table_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "mine.parquet").touch()
    assert "Parquet needs pyarrow; pip install pyarrow, or save the table as CSV" in refused(
        tmp_path / "mine.parquet"
    )
