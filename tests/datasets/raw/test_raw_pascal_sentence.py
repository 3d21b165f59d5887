"""Pascal Sentence in both layouts: folders, and an archive with a table of captions."""

import io
import json
import shutil
import zipfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cmbench.datasets.raw import pascal_sentence
from cmbench.datasets.raw.preparation import checked_pictures
from cmbench.datasets.raw.splits import read_splits, shipped_splits
from cmbench.errors import DatasetError

CATEGORIES = ("bird", "cat")
WORDS = ("train", "val", "test")


def jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "JPEG")
    return buffer.getvalue()


def sentences(name):
    return [f"A photograph of {name}.", "Said again."]


def write_folders(folder, names, *, images="images", texts="sentences"):
    """Write a picture and its sentences for each name (``<category>/<name>``)."""
    for name in names:
        for path, content in (
            (folder / images / f"{name}.jpg", jpeg()),
            (folder / texts / f"{name}.txt", "\n".join(sentences(name)).encode()),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def write_files(folder, names):
    with zipfile.ZipFile(folder / "pascal_sentence_images.zip", "w") as archive:
        for name in names:
            archive.writestr(f"{name}.jpg", jpeg())
    table = {
        "captions": {f"{name.split('/')[1]}.jpg": sentences(name) for name in names},
        "category": {f"{name.split('/')[1]}.jpg": name.split("/")[0] for name in names},
    }
    write_table(folder, table)


def write_table(folder, table):
    (folder / "pascal_sentence_captions.json").write_text(json.dumps(table))


def read_table(folder):
    return json.loads((folder / "pascal_sentence_captions.json").read_text())


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The names of six pairs in two categories, 1/1/1 each, with card and split file to fit."""
    monkeypatch.setattr(pascal_sentence, "CATEGORIES", CATEGORIES)
    sizes = dict.fromkeys(WORDS, (1, 1))
    monkeypatch.setattr(
        pascal_sentence,
        "CARD",
        replace(pascal_sentence.CARD, sizes=(2, 2, 2), categories=2, class_sizes=sizes),
    )
    cut = tmp_path / "cut.csv"
    cut.write_text("id,split\n" + "".join(f"{c}_{w}.jpg,{w}\n" for c in CATEGORIES for w in WORDS))
    monkeypatch.setattr(pascal_sentence, "shipped_splits", lambda name: cut)
    return [f"{category}/{category}_{word}" for category in CATEGORIES for word in WORDS]


@pytest.fixture
def folder(tmp_path, names):
    write_folders(tmp_path / "copy", names)
    return tmp_path / "copy"


@pytest.fixture
def files(tmp_path, names):
    (tmp_path / "copy").mkdir()
    write_files(tmp_path / "copy", names)
    return tmp_path / "copy"


def refused(folder):
    with pytest.raises(DatasetError) as caught:
        pascal_sentence.load(folder)
    return str(caught.value)


def content(dataset):
    return [
        (split, pair.id, pair.label, pair.segments, pair.picture.read().shape)
        for split, pairs in dataset.splits
        for pair in pairs
    ]


EXPECTED = [
    (word, f"{name}_{word}.jpg", label, tuple(sentences(f"{name}/{name}_{word}")), (1, 1, 3))
    for word in WORDS
    for label, name in enumerate(CATEGORIES)
]


@pytest.mark.parametrize("images", ["images", "dataset", "."])
@pytest.mark.parametrize("texts", ["sentences", "sentence"])
def test_folders_are_read(tmp_path, names, images, texts):
    write_folders(tmp_path / "copy", names, images=images, texts=texts)
    assert content(pascal_sentence.load(tmp_path / "copy")) == EXPECTED


def test_an_archive_with_captions_is_read(files):
    assert content(pascal_sentence.load(files)) == EXPECTED


def test_the_full_dataset_has_the_published_counts(tmp_path):
    names = list(read_splits(shipped_splits("pascal_sentence")).words)
    placed = [
        f"{pascal_sentence.CATEGORIES[at // 50]}/{name.removesuffix('.jpg')}" for at, name in enumerate(names)
    ]
    write_folders(tmp_path, placed)
    loaded = pascal_sentence.load(tmp_path)
    assert [len(pairs) for _, pairs in loaded.splits] == [800, 100, 100]
    assert loaded.split_origin == "file pascal_sentence.csv, shipped with cmbench"
    for (_, pairs), each in zip(loaded.splits, (40, 5, 5), strict=True):
        assert Counter(pair.label for pair in pairs) == dict.fromkeys(range(20), each)
    (tmp_path / "images" / f"{placed[7]}.jpg").unlink()
    (tmp_path / "sentences" / f"{placed[7]}.txt").unlink()
    assert "has 49 pairs of 'aeroplane' and should have 50" in refused(tmp_path)


def test_the_real_pairs_are_those_of_the_feature_file(real_data):
    loaded = pascal_sentence.load(real_data)
    features = np.load(real_data / "pascal_sentence_mnv2_lsa300.npz")
    assert loaded.class_names == tuple(features["class_names"])
    for split, pairs in loaded.splits:
        assert [pair.id for pair in pairs] == features[f"ids_{split}"].tolist()
        assert [pair.label for pair in pairs] == features[f"labels_{split}"].tolist()


def test_the_real_pictures_and_captions_are_those_of_the_files(real_data):
    captions = read_table(real_data)["captions"]
    loaded = pascal_sentence.load(real_data)
    for pair in loaded.train[::100]:
        assert list(pair.segments) == captions[pair.id]
        assert min(pair.picture.read().shape[:2]) == 256


def test_a_split_file_of_ones_own_is_used_and_the_counts_are_still_verified(folder, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text((tmp_path / "cut.csv").read_text().replace("bird_val.jpg,val", "bird_val.jpg,train"))
    loaded = pascal_sentence.load(folder, own)
    assert [len(pairs) for _, pairs in loaded.splits] == [3, 1, 2]
    assert loaded.split_origin == "file own.csv, given"
    write_folders(folder, ["cat/more"])
    with pytest.raises(DatasetError, match="has 4 pairs of 'cat' and should have 3"):
        pascal_sentence.load(folder, own)


def test_images_and_texts_without_the_other_are_all_told(folder):
    (folder / "images" / "cat" / "cat_val.jpg").unlink()
    (folder / "sentences" / "bird" / "bird_test.txt").unlink()
    message = refused(folder)
    assert "sentences/cat/cat_val.txt has no image cat_val (.jpg, .jpeg, .png," in message
    assert "images/bird/bird_test.jpg has no text" in message


def test_a_whole_folder_of_texts_without_images_is_told(folder):
    shutil.rmtree(folder / "images" / "cat")
    assert refused(folder).count("has no image") == 3


def test_an_unknown_category_is_refused(folder):
    write_folders(folder, ["dragon/d"])
    assert "dragon/d.jpg: unknown category 'dragon'; the categories are bird, cat" in refused(folder)


def test_a_name_in_two_categories_is_refused(folder):
    write_folders(folder, ["cat/bird_val"])
    message = refused(folder)
    assert "cat/bird_val.jpg: the id 'bird_val.jpg' stands already in" in message


def test_two_pictures_of_one_name_are_refused(folder):
    (folder / "images" / "cat" / "cat_val.png").write_bytes(jpeg())
    assert "cat_val.png: the id 'cat/cat_val' stands already in" in refused(folder)


def test_empty_and_undecodable_sentences_are_refused(folder):
    (folder / "sentences" / "cat" / "cat_val.txt").write_text("\n \n")
    (folder / "sentences" / "bird" / "bird_val.txt").write_bytes(b"caf\xe9")
    message = refused(folder)
    assert "cat_val.txt: the text is empty" in message
    assert "bird_val.txt is not UTF-8" in message


def test_hidden_and_other_files_are_left_alone(folder):
    for name in (
        "images/.cache/x.jpg",
        "images/cat/.DS_Store",
        "images/cat/._a.jpg",
        "sentences/cat/read.me",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert content(pascal_sentence.load(folder)) == EXPECTED


def test_a_folder_in_neither_layout_is_told_how_to_get_the_dataset(tmp_path):
    message = refused(tmp_path)
    assert "holds neither a folder sentences nor a pascal_sentence*.zip" in message
    assert "Save the pictures" in message


def test_broken_pictures_are_all_found_by_reading_them(folder):
    for name in ("cat/cat_val", "bird/bird_train"):
        (folder / "images" / f"{name}.jpg").write_bytes(jpeg()[:100])
    with pytest.raises(DatasetError, match=r"bird_train\.jpg: no picture .*cat_val\.jpg: no picture"):
        checked_pictures(pascal_sentence.load(folder))


def test_entries_and_captions_without_the_other_are_all_told(files):
    table = read_table(files)
    table["captions"]["gone.jpg"] = table["captions"].pop("cat_val.jpg")
    write_table(files, table)
    message = refused(files)
    assert "captions.json: 'gone.jpg' has captions and no image" in message
    assert "images.zip:cat/cat_val.jpg has no captions" in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("category", "dragon", "'cat_val.jpg': unknown category 'dragon'"),
        ("category", None, "'cat_val.jpg': unknown category None"),
        ("category", "bird", "is in the category 'bird', and its image is .*zip:cat/cat_val.jpg"),
        ("captions", [], "'cat_val.jpg': the text is empty"),
        ("captions", ["", " "], "'cat_val.jpg': the text is empty"),
        ("captions", "A cat.", "'cat_val.jpg': the captions are 'A cat.'; write a list of sentences"),
        ("captions", [1], "the captions are .1."),
    ],
)
def test_a_wrong_value_in_the_table_is_named(files, key, value, message):
    table = read_table(files)
    table[key]["cat_val.jpg"] = value
    write_table(files, table)
    with pytest.raises(DatasetError, match=message):
        pascal_sentence.load(files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "captions.json is not JSON"),
        (b"[]", "captions.json has no object 'captions'"),
        (b'{"captions": {}}', "captions.json has no object 'category'"),
        (b'{"captions": {"a": ["b"], "a": ["c"]}}', "captions.json: the key 'a' stands twice"),
        (b'"\xe9"', "captions.json is not UTF-8"),
    ],
)
def test_a_broken_table_is_named(files, text, message):
    (files / "pascal_sentence_captions.json").write_bytes(text)
    assert message in refused(files)


def test_a_broken_archive_is_named(files):
    (files / "pascal_sentence_images.zip").write_bytes(b"no archive")
    assert "images.zip cannot be read" in refused(files)


def test_an_image_that_stands_twice_in_the_archive_is_refused(files):
    with zipfile.ZipFile(files / "pascal_sentence_images.zip", "a") as archive:
        archive.writestr("cat/bird_val.jpg", jpeg())
    assert "cat/bird_val.jpg: the id 'bird_val.jpg' stands already in bird/bird_val.jpg" in refused(files)


def test_one_table_of_captions_is_needed(files):
    shutil.copy(files / "pascal_sentence_captions.json", files / "pascal_sentence_old.json")
    assert "holds pascal_sentence_captions.json, pascal_sentence_old.json; leave one there" in refused(files)
    for path in files.glob("*.json"):
        path.unlink()
    assert "must hold one pascal_sentence*.json and holds none" in refused(files)
