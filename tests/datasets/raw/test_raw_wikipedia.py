"""The Wikipedia distribution: small faithful copies, the published counts, and every way to be incomplete."""

import io
import shutil
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from click.testing import CliRunner
from pair_tables import write_splits
from PIL import Image
from scipy.io import savemat

from cmbench.cli.main import cli
from cmbench.datasets.formats.files import load_file
from cmbench.datasets.raw import wikipedia
from cmbench.datasets.raw.preparation import checked_pictures
from cmbench.datasets.raw.splits import shipped_splits
from cmbench.datasets.raw.wikipedia import published_features
from cmbench.errors import DatasetError

NAMES = (
    "art",
    "biology",
    "geography",
    "history",
    "literature",
    "media",
    "music",
    "royalty",
    "sport",
    "warfare",
)
TRAIN, TEST = (2, 1), (2, 2)  # of a small copy, by category
LISTS = {"train": "trainset_txt_img_cat.list", "test": "testset_txt_img_cat.list"}


def jpeg(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), (shade, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def document(text):
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<document name="A &amp; B">\n<image id="x"/>\n'
        f"<text>\n{text}\n</text>\n</document>\n"
    )


def write_copy(folder, labels, names):
    """Write the distribution; ``labels`` has the categories of the train and the test list, from 0."""
    (folder / "texts").mkdir()
    for name in names:
        (folder / "images" / name).mkdir(parents=True)
    (folder / "categories.list").write_text("\n".join(names) + "\n")
    for part, categories in labels.items():
        lines = []
        for at, label in enumerate(categories):
            text_id, image_id = f"{part}{at}-1.2", f"{part}{at}f"
            (folder / "images" / names[label] / f"{image_id}.jpg").write_bytes(jpeg(label))
            (folder / "texts" / f"{text_id}.xml").write_text(
                document(f"On {text_id}.\n\nMore &amp; more é.\n")
            )
            lines.append(f"{text_id}\t{image_id}\t{label + 1}\n")
        (folder / LISTS[part]).write_text("".join(lines))


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of 3 training and 4 test pairs of two categories, cut 2/2, all as the card says."""
    write_copy(tmp_path, {"train": [1, 0, 0], "test": [0, 1, 1, 0]}, NAMES[:2])
    sizes = {"train": TRAIN, wikipedia.TEST_LIST: TEST}
    card = replace(wikipedia.CARD, sizes=(3, 2, 2), categories=2, class_sizes=sizes)
    monkeypatch.setattr(wikipedia, "CARD", card)
    cut = tmp_path / "cut.csv"
    cut.write_text("position,split\n0,test\n1,val\n2,test\n3,val\n")
    monkeypatch.setattr(wikipedia, "shipped_splits", lambda name: cut)
    return tmp_path


def refused(folder, splits=None):
    with pytest.raises(DatasetError) as caught:
        wikipedia.load(folder, splits)
    return str(caught.value)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_pairs_stand_in_the_order_of_the_lists(copy):
    loaded = checked_pictures(wikipedia.load(copy))
    assert [pair.id for pair in loaded.train] == [f"train{at}-1.2|train{at}f" for at in range(3)]
    assert [pair.id for pair in loaded.validation] == ["test1-1.2|test1f", "test3-1.2|test3f"]
    assert [pair.id for pair in loaded.test] == ["test0-1.2|test0f", "test2-1.2|test2f"]
    assert [pair.label for pair in (*loaded.train, *loaded.test)] == [1, 0, 0, 0, 1]
    assert loaded.class_names == NAMES[:2]
    assert loaded.train[0].picture.name.endswith("biology/train0f.jpg")


def test_segments_are_the_sentences_of_all_paragraphs_that_say_something(copy):
    assert wikipedia.load(copy).train[1].segments == ("On train1-1.2.", "More & more é.")
    text = "Mr. Hill built it in the U.S. in 1850. It still stands!\n\n \nA mill"
    (copy / "texts" / "train0-1.2.xml").write_text(document(text))
    expected = ("Mr. Hill built it in the U.S. in 1850.", "It still stands!", "A mill")
    assert wikipedia.load(copy).train[0].segments == expected


def test_the_full_distribution_has_the_published_counts(tmp_path):
    sizes = wikipedia.CARD.class_sizes
    labels = {
        part: np.random.default_rng(0).permutation(np.repeat(np.arange(10), sizes[key])).tolist()
        for part, key in (("train", "train"), ("test", wikipedia.TEST_LIST))
    }
    write_copy(tmp_path, labels, NAMES)
    loaded = wikipedia.load(tmp_path)
    assert [len(pairs) for _, pairs in loaded.splits] == [2173, 231, 462]
    assert loaded.split_origin == "file wikipedia.csv, shipped with cmbench"
    counts = np.bincount([pair.label for pair in (*loaded.validation, *loaded.test)])
    assert counts.tolist() == [34, 88, 96, 85, 65, 58, 51, 41, 71, 104]
    (tmp_path / "texts" / "test7-1.2.xml").unlink()
    assert "test7-1.2.xml is missing" in refused(tmp_path)


def test_raw_pairs_are_those_of_the_feature_file(tmp_path, real_data):
    features = np.load(real_data / "wikipedia_cnn128_lda50.npz")
    listed = {
        "train": list(zip(features["ids_train"], features["labels_train"], strict=True)),
        "test": [None] * 693,
    }
    for split in ("val", "test"):
        for at, *pair in zip(
            features[f"{split}_index_in_693"],
            features[f"ids_{split}"],
            features[f"labels_{split}"],
            strict=True,
        ):
            listed["test"][at] = pair
    (tmp_path / "texts").mkdir()
    (tmp_path / "images" / "all").mkdir(parents=True)
    (tmp_path / "categories.list").write_text("\n".join(features["class_names"]))
    for part, pairs in listed.items():
        lines = []
        for id_, label in pairs:
            text_id, image_id = id_.split("|")
            (tmp_path / "texts" / f"{text_id}.xml").write_text(document("Said."))
            (tmp_path / "images" / "all" / f"{image_id}.jpg").touch()
            lines.append(f"{text_id}\t{image_id}\t{label + 1}\n")
        (tmp_path / LISTS[part]).write_text("".join(lines))
    for split, pairs in wikipedia.load(tmp_path).splits:
        assert [pair.id for pair in pairs] == features[f"ids_{split}"].tolist()
        assert [pair.label for pair in pairs] == features[f"labels_{split}"].tolist()


def test_a_split_file_of_ones_own_may_name_ids_or_positions(copy):
    loaded = wikipedia.load(copy)
    swapped = replace(loaded, validation=loaded.test, test=loaded.validation)
    write_splits(copy / "own.csv", swapped)
    assert [pair.id for pair in wikipedia.load(copy, copy / "own.csv").test] == [
        p.id for p in loaded.validation
    ]
    (copy / "own.csv").write_text("position,split\n0,train\n1,val\n2,test\n3,test\n")
    own = wikipedia.load(copy, copy / "own.csv")
    assert [len(pairs) for _, pairs in own.splits] == [4, 1, 2]
    assert own.card.sizes is None
    assert own.split_origin == "file own.csv, given"


def test_the_published_counts_are_verified_whatever_the_split(copy, monkeypatch):
    sizes = {"train": (1, 2), wikipedia.TEST_LIST: (2, 2)}
    monkeypatch.setattr(wikipedia, "CARD", replace(wikipedia.CARD, class_sizes=sizes))
    for splits in (None, copy / "cut.csv"):
        message = refused(copy, splits)
        assert "trainset_txt_img_cat.list has 2 pairs of 'art' and should have 1" in message
        assert "testset_txt_img_cat.list has" not in message
    sizes = {"train": TRAIN, wikipedia.TEST_LIST: (3, 1)}
    monkeypatch.setattr(wikipedia, "CARD", replace(wikipedia.CARD, class_sizes=sizes))
    assert "testset_txt_img_cat.list has 2 pairs of 'art' and should have 3" in refused(copy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t1\n", "\t3\n", "train.*list, line 2: unknown category '3'; they are 1 to 2"),
        ("\t2\n", "\t0\n", "line 1: unknown category '0'"),
        ("\t2\n", "\tart\n", "line 1: unknown category 'art'"),
        pytest.param("\t2\n", "\t" + "9" * 5000 + "\n", "line 1: unknown category '9", id="digits"),
        ("train2-1.2", "t" * 300, "line 3: the text .* is missing"),
        ("train1f\t1", "train1f", "line 2: .*has not the 3 fields text id, image id, category number"),
        ("train1f\t1", "train1f\t1\t1", "line 2: .*has not the 3 fields"),
        ("train1f\t1", "\t1", "line 2: .*has not the 3 fields"),
        ("train2f", "train1f", "line 3: the id 'image train1f' stands already in .*line 2"),
        ("train2-1.2", "train1-1.2", "line 3: the id 'text train1-1.2' stands already in .*line 2"),
    ],
)
def test_a_wrong_line_of_a_list_is_named(copy, old, new, message):
    change(copy / LISTS["train"], old, new)
    with pytest.raises(DatasetError, match=message):
        wikipedia.load(copy)


def test_lines_may_end_as_those_of_windows_do(copy):
    path = copy / LISTS["train"]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(wikipedia.load(copy).train) == 3


def test_every_missing_file_of_a_pair_is_told_at_once(copy):
    (copy / "images" / "art" / "train1f.jpg").unlink()
    (copy / "texts" / "test2-1.2.xml").unlink()
    message = refused(copy)
    assert "line 2: the image" in message
    assert "train1f.jpg is missing; get the file again" in message
    assert "testset_txt_img_cat.list, line 3: the text" in message


@pytest.mark.parametrize("name", ["categories.list", *LISTS.values()])
def test_a_missing_list_is_named(copy, name):
    (copy / name).unlink()
    message = refused(copy)
    assert f"{name} cannot be read (No such file" in message
    if name == "categories.list":  # the first that is looked for, so that this may be another folder
        assert "name the folder that holds it and trainset_txt_img_cat.list" in message


def test_wrong_category_names_are_refused(copy):
    (copy / "categories.list").write_text("art\n")
    assert "names 1 categories and should name 2" in refused(copy)
    (copy / "categories.list").write_text("biology\nart\n")
    message = refused(copy)
    assert "'biology' stands in the place of 'art'" in message
    assert "'art' stands in the place of 'biology'" in message
    (copy / "categories.list").write_text("art\nart\n")
    assert "the category 'art' stands twice" in refused(copy)


def test_an_image_in_two_folders_is_refused(copy):
    (copy / "images" / "biology" / "train1f.jpg").write_bytes(jpeg(0))
    message = refused(copy)
    assert "line 2: the image 'train1f' is" in message
    assert "art/train1f.jpg and" in message


def test_long_names_of_the_categories_are_those_of_some_copies(copy):
    (copy / "categories.list").write_text("Art & architecture\nBiology\n")
    assert wikipedia.load(copy).class_names == ("Art & architecture", "Biology")


def test_an_image_that_no_list_names_may_be_in_two_folders(copy):
    for name in ("art", "biology"):
        (copy / "images" / name / "other.jpg").touch()
    assert len(wikipedia.load(copy).train) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (document("  \n").encode(), "train0-1.2.xml: the text is empty"),
        (b"<document/>", "train0-1.2.xml has no <text> element"),
        (b"", "train0-1.2.xml has no <text> element"),
        (document("caf\xe9").encode("latin-1"), "train0-1.2.xml is not UTF-8"),
    ],
)
def test_a_broken_text_is_named(copy, content, message):
    (copy / "texts" / "train0-1.2.xml").write_bytes(content)
    assert message in refused(copy)


@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><d><text>&b;</text></d>',
        '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><d><text>&a;</text></d>',
    ],
)
def test_a_document_type_is_refused_before_it_is_parsed(copy, declaration):
    (copy / "texts" / "train0-1.2.xml").write_text(declaration)
    assert "declares a document type (DOCTYPE)" in refused(copy)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("Bread & butter at 3 < 4 &nbsp;€", ("Bread & butter at 3 < 4 \xa0€",)),
        ("A <i>slanted</i> & a <br> word.\n\nAnd more.", ("A slanted & a  word.", "And more.")),
    ],
)
def test_what_is_not_well_formed_is_read_between_the_tags(copy, text, segments):
    (copy / "texts" / "train0-1.2.xml").write_text(document(text))
    assert wikipedia.load(copy).train[0].segments == segments


def test_several_texts_of_a_document_are_all_read(copy):
    (copy / "texts" / "train0-1.2.xml").write_text(
        "<d><text>One <b>bold</b>.</text><p><text>Two.</text></p></d>"
    )
    assert wikipedia.load(copy).train[0].segments == ("One bold.", "Two.")


def write_features(folder, **changed):
    """Write features of 3 and 4 pairs, whose first column is the row."""
    matrices = {
        key: np.column_stack([np.arange(rows), np.full(rows, width)]).astype(np.float64)
        for key, rows, width in (("I_tr", 3, 128), ("T_tr", 3, 10), ("I_te", 4, 128), ("T_te", 4, 10))
    }
    savemat(folder / "raw_features.mat", {**matrices, **changed})


def test_the_features_of_the_distribution_are_those_of_the_lines(copy):
    write_features(copy)
    dataset = published_features(copy)
    raw = wikipedia.load(copy)
    for (_, pairs), (_, split), rows in zip(
        raw.splits, dataset.splits, ([0, 1, 2], [1, 3], [0, 2]), strict=True
    ):
        assert split.ids.tolist() == [pair.id for pair in pairs]
        assert split.labels.tolist() == [pair.label for pair in pairs]
        assert split.images.tolist() == [[row, 128] for row in rows]
        assert split.texts.tolist() == [[row, 10] for row in rows]


def test_the_features_of_the_distribution_need_neither_pictures_nor_texts(copy):
    write_features(copy)
    whole = published_features(copy)
    shutil.rmtree(copy / "images")
    shutil.rmtree(copy / "texts")
    assert published_features(copy).fingerprint == whole.fingerprint


def test_features_that_do_not_fit_the_lists_are_refused(copy):
    with pytest.raises(DatasetError, match=r"raw_features\.mat is missing; get the distribution again"):
        published_features(copy)
    write_features(copy, I_te=np.zeros((5, 2)))
    with pytest.raises(DatasetError, match=r"I_te has 5 rows, and testset_txt_img_cat\.list 4 lines"):
        published_features(copy)
    write_features(copy, I_te=np.zeros((4, 3)))
    with pytest.raises(DatasetError, match=r"raw_features\.mat: I_tr and I_te have \[2, 3\] columns"):
        published_features(copy)
    write_features(copy, T_te=np.zeros((4, 2)) * 1j)
    with pytest.raises(DatasetError, match=r"raw_features\.mat: T_te is complex"):
        published_features(copy)
    (copy / "raw_features.mat").write_bytes(b"not MATLAB at all" * 20)
    with pytest.raises(DatasetError, match=r"raw_features\.mat"):
        published_features(copy)


def test_the_checksum_beside_the_split_file_is_that_of_the_file(copy):
    shipped = sha256(shipped_splits("wikipedia").read_bytes()).hexdigest()
    line = f"wikipedia.csv, shipped with cmbench, SHA-256 {shipped}"
    assert line in CliRunner().invoke(cli, ["datasets", "info", "wikipedia"]).output
    printed = CliRunner().invoke(cli, ["datasets", "prepare", "wikipedia", "--from", str(copy)]).output
    assert line in printed
    assignment = wikipedia.load(copy).split_sha256
    assert [row.split()[0] for row in printed.splitlines() if assignment in row] == ["assignment"]


def test_the_command_writes_the_features_of_the_distribution(copy, tmp_path):
    write_features(copy)
    command = ["published", "--from", str(copy), "-o", str(tmp_path / "sift.npz")]
    result = CliRunner().invoke(cli, ["features", *command])
    assert result.exit_code == 0, result.output
    assert load_file(tmp_path / "sift.npz").fingerprint == published_features(copy).fingerprint
    assert CliRunner().invoke(cli, ["features", *command]).exit_code == 2
