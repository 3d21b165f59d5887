"""Columns, categories and file names of one's own pairs, however they are written."""

import unicodedata

import pytest
from pair_tables import ROWS, png, refused, write_folder, write_table

from cmbench.datasets.raw import pairs_table
from cmbench.errors import DatasetWarning


@pytest.mark.parametrize(
    "header",
    [
        ("Image", "Text", "Category", "Split"),
        ("IMAGE ", "text", "CATEGORY", "split"),
        ("\u0130mage", "Text", "category", "Split"),
    ],
)
def test_capitals_of_columns_do_not_matter(tmp_path, header):
    dataset = pairs_table.load(write_table(tmp_path, header=header))
    assert [len(pairs) for _, pairs in dataset.splits] == [2, 1, 1]


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (("image", "caption", "category", "split"), "is 'caption' meant? Call it 'text'"),
        (("Bild", "text", "category", "split"), "is 'Bild' meant? Call it 'image'"),
        (("image", "text", "cat\u00e9gorie", "split"), "is 'cat\u00e9gorie' meant? Call it 'category'"),
        (("image_path", "text", "label", "split"), "is 'image_path' meant? Call it 'image'"),
    ],
)
def test_a_column_that_is_called_otherwise_is_asked_about(tmp_path, header, hint):
    assert hint in refused(write_table(tmp_path, header=header))


def test_categories_that_differ_in_capitals_alone_are_warned_of_and_noted(tmp_path):
    rows = [*ROWS[:3], ("d.png", "A cat.", "CAT ", "train"), ("a.png", "Another.", "dog", "test")]
    rows[0] = ("e.png", *rows[0][1:])
    (tmp_path / "e.png").write_bytes(png())
    with pytest.warns(
        DatasetWarning, match="the categories 'CAT', 'cat' differ in capitals, spaces or hyphens alone"
    ):
        dataset = pairs_table.load(write_table(tmp_path, rows))
    assert dataset.class_names == ("CAT", "cat", "dog")
    assert "'CAT', 'cat'" in dataset.card.notes[0]


@pytest.mark.parametrize(("stored", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accented_names_are_found_however_they_are_stored(tmp_path, stored, written):
    name, category = "caf\u00e9.png", "m\u00e8re"
    rows = [
        ("a.png", "One.", unicodedata.normalize(stored, category), "train"),
        (unicodedata.normalize(written, name), "Two.", unicodedata.normalize(written, category), "val"),
        ("b.png", "Three.", category, "test"),
    ]
    path = write_table(tmp_path, rows)
    (tmp_path / unicodedata.normalize(stored, name)).write_bytes(png())
    dataset = pairs_table.load(path)
    assert dataset.class_names == (category,)
    assert dataset.validation[0].id == name
    dataset.validation[0].picture.read()
    splits = tmp_path / "splits" / "s.csv"
    splits.parent.mkdir()
    lines = [f"a.png,test\n{unicodedata.normalize('NFD', name)},train\nb.png,val\n"]
    splits.write_text("id,split\n" + "".join(lines), "utf-8")
    assert [pair.id for pair in pairs_table.load(path, splits).train] == [name]


@pytest.mark.parametrize(("picture", "text"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_the_halves_of_a_pair_are_found_in_both_forms_of_an_accent(tmp_path, picture, text):
    write_folder(tmp_path / "pairs", {"art": 9})
    folder = tmp_path / "pairs" / "art"
    (folder / unicodedata.normalize(picture, "caf\u00e9.jpg")).write_bytes(png("JPEG"))
    (folder / unicodedata.normalize(text, "caf\u00e9.txt")).write_text("A place.")
    dataset = pairs_table.load(tmp_path / "pairs")
    ids = {pair.id for _, pairs in dataset.splits for pair in pairs}
    assert "art/caf\u00e9" in ids
    assert len(ids) == 10
