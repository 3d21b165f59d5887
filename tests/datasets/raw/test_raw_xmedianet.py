"""XMediaNet in the layout that cmbench defines: lists, images and texts."""

import io
from dataclasses import replace

import pytest
from pair_tables import write_splits
from PIL import Image

from cmbench.datasets.raw import xmedianet
from cmbench.datasets.raw.preparation import checked_pictures
from cmbench.errors import DatasetError

WORDS = ("train", "val", "test")


def write_copy(folder, categories, sizes):
    """Write ``sizes`` pairs of each split, the categories taking turns."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "JPEG")
    (folder / "images").mkdir()
    (folder / "texts").mkdir()
    (folder / "categories.txt").write_text("\n".join(categories) + "\n")
    for word, size in zip(WORDS, sizes, strict=True):
        lines = []
        for at in range(size):
            image, text = f"images/{word}{at}.jpg", f"texts/{word}{at}.txt"
            (folder / image).write_bytes(buffer.getvalue())
            (folder / text).write_text(f"On {word} {at}.\n\nMore é.\n", encoding="utf-8")
            lines.append(f"{image}\t{text}\t{categories[at % len(categories)]}\n")
        (folder / f"{word}_list.txt").write_text("".join(lines))


@pytest.fixture
def copy(tmp_path, monkeypatch):
    monkeypatch.setattr(xmedianet, "CARD", replace(xmedianet.CARD, sizes=(4, 2, 3), categories=2))
    write_copy(tmp_path, ("snow owl", "bee"), (4, 2, 3))
    return tmp_path


def refused(folder):
    with pytest.raises(DatasetError) as caught:
        xmedianet.load(folder)
    return str(caught.value)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_pairs_are_those_of_the_lists_in_their_order(copy):
    loaded = checked_pictures(xmedianet.load(copy))
    assert loaded.class_names == ("snow owl", "bee")
    for word, pairs in loaded.splits:
        assert [pair.id for pair in pairs] == [f"images/{word}{at}.jpg" for at in range(len(pairs))]
        assert [pair.label for pair in pairs] == [at % 2 for at in range(len(pairs))]
    assert loaded.test[2].segments == ("On test 2.", "More é.")


def test_a_split_file_goes_before_the_lists(copy, tmp_path):
    loaded = xmedianet.load(copy)
    card = loaded.card.with_split_given()
    own = replace(loaded, validation=loaded.test, test=loaded.validation, card=card)
    write_splits(tmp_path / "own.csv", own)
    again = xmedianet.load(copy, tmp_path / "own.csv")
    assert [pair.id for pair in again.validation] == [pair.id for pair in loaded.test]
    assert [each.split_origin for each in (loaded, again)] == [
        "lists of the collection",
        "file own.csv, given",
    ]


@pytest.mark.parametrize("name", ["categories.txt", "train_list.txt"])
def test_a_file_that_is_to_be_written_is_not_asked_for_again(copy, name):
    (copy / name).unlink()
    assert (
        f"{name} cannot be read (No such file or directory); write it as 'cmbench datasets info"
        in refused(copy)
    )


@pytest.mark.slow
def test_the_full_dataset_has_the_published_counts(tmp_path):
    write_copy(tmp_path, [f"thing {number}" for number in range(200)], (32000, 4000, 4000))
    assert [len(pairs) for _, pairs in xmedianet.load(tmp_path).splits] == [32000, 4000, 4000]


def test_sizes_other_than_published_are_refused(copy):
    path = copy / "test_list.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert "test_list.txt has 2 pairs and should have 3; complete it, or give a split" in refused(copy)


def test_another_number_of_categories_than_published_is_refused(copy):
    (copy / "categories.txt").write_text("snow owl\nbee\ncat\n")
    assert "categories.txt names 3 categories and should name 2" in refused(copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\tbee", "\twasp", r"train_list\.txt, line 2: unknown category 'wasp'; add it to .*categories\.txt"),
        ("\tbee", "", r"line 2: .*has not the 3 fields image path, text path, category"),
        ("\tbee", "\tbee\t1", r"line 2: .*has not the 3 fields"),
        ("images/train1", "images/train0", r"line 2: the id 'images/train0\.jpg' stands already in .*line 1"),
        (
            "texts/train1",
            "texts/train0",
            r"line 2: the id 'text texts/train0\.txt' stands already in .*line 1",
        ),
        ("images/train1", "images/no", r"line 2: the image .*images/no\.jpg is missing; get the file again"),
        ("texts/train1", "texts/no", r"line 2: the text .*texts/no\.txt is missing"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(copy, old, new, message):
    change(copy / "train_list.txt", old, new)
    with pytest.raises(DatasetError, match=message):
        xmedianet.load(copy)


def test_an_image_of_two_lists_is_refused(copy):
    change(copy / "test_list.txt", "images/test0.jpg", "images/val0.jpg")
    message = refused(copy)
    assert "test_list.txt, line 1: the id 'images/val0.jpg' stands already in" in message
    assert "val_list.txt, line 1" in message


def test_broken_texts_and_lists_are_named(copy):
    (copy / "texts" / "val0.txt").write_text(" \n")
    (copy / "texts" / "val1.txt").write_bytes(b"caf\xe9")
    message = refused(copy)
    assert "val0.txt: the text is empty" in message
    assert "val1.txt is not UTF-8" in message
    (copy / "val_list.txt").write_bytes(b"\xe9\n")
    assert "val_list.txt is not UTF-8" in refused(copy)
    (copy / "val_list.txt").unlink()
    assert "val_list.txt cannot be read" in refused(copy)
