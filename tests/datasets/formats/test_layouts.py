"""Files as authors publish them, each made here, read without a script; the arrays are those that went in."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from plain_arrays import PAIRS, assert_same, plain_arrays
from scipy.io import savemat

from cmbench.cli.main import cli
from cmbench.datasets.draft import Split
from cmbench.datasets.formats.files import check_file, load_file
from cmbench.datasets.formats.layouts import layout_of, words_of
from cmbench.datasets.soundness import findings
from cmbench.disk import damaged
from cmbench.errors import DatasetError


@pytest.fixture
def arrays():
    return plain_arrays()


LAYOUTS = {
    "I_tr": ("I_{}", "T_{}", "L_{}", {"train": "tr", "val": "va", "test": "te"}),
    "train_img": ("{}_img", "{}_txt", "{}_label", {"train": "train", "val": "val", "test": "test"}),
    "train_imgs_deep": (
        "{}_imgs_deep",
        "{}_texts_doc",
        "{}_imgs_labels",
        {"train": "train", "val": "valid", "test": "test"},
    ),
    "X_Y_L": ("X_{}", "Y_{}", "L_{}", {"train": "train", "val": "val", "test": "test"}),
    "camel": ("{}Images", "{}Texts", "{}Labels", {"train": "train", "val": "validation", "test": "test"}),
    "joined": ("img{}", "txt{}", "lab{}", {"train": "tr", "val": "val", "test": "te"}),
    "swapped": ("{}_images", "{}_texts", "{}_labels", {"train": "train", "val": "val", "test": "test"}),
    "X_img": ("X_img_{}", "X_txt_{}", "y_{}", {"train": "trn", "val": "vld", "test": "tst"}),
    "x and y": ("x_{}", "t_{}", "y_{}", {"train": "train", "val": "dev", "test": "test"}),
}


def in_layout(arrays, layout, names=PAIRS):
    images, texts, labels, words = LAYOUTS[layout]
    forms = {"images": images, "texts": texts, "labels": labels}
    return {
        form.format(words[name]): arrays[f"{kind}_{name}"] for name in names for kind, form in forms.items()
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".npz", ".mat", ""])
def test_keys_of_published_files_are_recognised(layout, suffix, arrays, tmp_path):
    named = in_layout(arrays, layout)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npz":
        np.savez(path, **named)
    elif suffix == ".mat":
        savemat(path, named)
    else:
        path.mkdir()
        for key, array in named.items():
            np.save(path / f"{key}.npy", array)
    dataset = load_file(path)
    assert_same(dataset, arrays)
    assert check_file(path).holds
    if layout == "swapped":  # as in the folders train, val and test of the documentation
        assert dataset.card.notes == ()
        return
    (note,) = dataset.card.notes
    told = dict(part.split(" as ") for part in note.replace(" was read as ", " as ").split(", "))
    assert set(told) == set(named)
    assert all(named[key] is arrays[meaning] for key, meaning in told.items())


def test_own_keys_need_no_note_and_go_before_others(arrays, tmp_path):
    extra = {"train_img": np.zeros((60, 9), np.float32), "note": np.array("x")}
    np.savez(tmp_path / "a.npz", **arrays, **extra)
    dataset = load_file(tmp_path / "a.npz")
    assert_same(dataset, arrays)
    assert dataset.card.notes == ()


@pytest.mark.parametrize("turned", [("images", "texts"), ("texts",)])
def test_a_column_for_each_pair_is_turned_and_said(turned, arrays, tmp_path):
    columns = {key: array.T if key.rpartition("_")[0] in turned else array for key, array in arrays.items()}
    np.savez(tmp_path / "a.npz", **columns)
    dataset = load_file(tmp_path / "a.npz")
    assert_same(dataset, arrays)
    names = ", ".join(f"{kind}_{name}" for kind in turned for name in PAIRS)
    assert dataset.card.notes == (f"transposed, since they had a column for each pair: {names}",)


def test_one_split_of_another_orientation_is_a_mistake_and_not_turned(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **{**arrays, "images_val": arrays["images_val"].T})
    with pytest.raises(DatasetError, match="unequal lengths"):
        load_file(tmp_path / "a.npz")


def test_two_keys_that_could_be_the_same_array_are_asked_about(arrays, tmp_path):
    images = arrays.pop("images_train")
    np.savez(tmp_path / "a.npz", **arrays, train_img=images, img_tr=images + 1)
    message = r"images_train could be train_img or img_tr; say which it is with --key images_train=train_img"
    with pytest.raises(DatasetError, match=message):
        load_file(tmp_path / "a.npz")
    dataset = load_file(tmp_path / "a.npz", keys={"images_train": "img_tr"})
    np.testing.assert_array_equal(dataset.train.images, images + 1)


def test_keys_of_any_name_can_be_given(arrays, tmp_path):
    names = {key: f"array{number}" for number, key in enumerate(arrays)}
    np.savez(tmp_path / "a.npz", **{names[key]: array for key, array in arrays.items()})
    assert_same(load_file(tmp_path / "a.npz", keys=names), arrays)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_train": "a"}, r"no array 'image_train' in a dataset \(did you mean 'images_train'\?\)"),
        ({"images_train": "b"}, "images_train should be 'b', which is not in the file"),
    ],
)
def test_a_wrong_key_is_answered_with_what_there_is(given, message):
    with pytest.raises(DatasetError, match=message):
        layout_of(["a"], given)


def test_labels_of_both_modalities_have_to_agree(arrays, tmp_path):
    labels = arrays.pop("labels_train")
    named = {"train_img_lab": labels, "train_txt_lab": labels}
    np.savez(tmp_path / "a.npz", **arrays, **named)
    np.testing.assert_array_equal(load_file(tmp_path / "a.npz").train.labels, labels)
    np.savez(tmp_path / "b.npz", **arrays, **named | {"train_txt_lab": labels[::-1]})
    with pytest.raises(DatasetError, match="train_img_lab and train_txt_lab differ"):
        load_file(tmp_path / "b.npz")


def test_words_are_taken_apart_as_people_write_them():
    assert words_of("train_imgs-Deep") == ("train", "imgs", "deep")
    assert words_of("testTxtLab") == ("test", "txt", "lab")
    assert words_of("XAll") == ("x", "all")
    assert words_of("Itr") == ("i", "tr")


def test_without_validation_pairs_the_message_says_how_to_draw_them(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **{key: array for key, array in arrays.items() if not key.endswith("val")})
    with pytest.raises(
        DatasetError, match=r"no validation pairs .*datasets convert .*a\.npz .* --validation 0\.1"
    ):
        load_file(tmp_path / "a.npz")


@pytest.fixture
def convert(tmp_path):
    """Return a function that converts a file and gives the new dataset and what was printed."""

    def converted(path, *options):
        output = tmp_path / "out.npz"
        result = CliRunner().invoke(cli, ["datasets", "convert", str(path), "-o", str(output), *options])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return load_file(output), " ".join(result.output.split())

    return converted


def test_a_converted_dataset_is_called_like_the_new_file_unless_it_says_a_name(arrays, tmp_path, convert):
    np.savez(tmp_path / "foreign.npz", **in_layout(arrays, "I_tr"))
    dataset, _ = convert(tmp_path / "foreign.npz")
    assert dataset.name == "out"
    assert dataset.fingerprint == load_file(tmp_path / "foreign.npz").fingerprint
    (tmp_path / "out.npz").unlink()
    np.savez(tmp_path / "foreign.npz", **in_layout(arrays, "I_tr"), name="flowers")
    assert convert(tmp_path / "foreign.npz")[0].name == "flowers"


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_validation_pairs_are_drawn_from_training_by_category_and_the_card_says_so(
    suffix, arrays, tmp_path, convert
):
    named = in_layout(arrays, "I_tr", ("train", "test"))
    path = tmp_path / f"a{suffix}"
    np.savez(path, **named) if suffix == ".npz" else savemat(path, named)
    dataset, printed = convert(path, "--validation", "0.2")
    assert np.bincount(dataset.validation.labels).tolist() == [3, 3, 3, 3]
    assert len(dataset.train) == 48
    assert (
        "12 of 60 training pairs (0.2 of each category) were drawn by cmbench for validation with seed 0"
        in printed
    )
    assert any("drawn by cmbench for validation" in note for note in dataset.card.notes)
    rows = {row.tobytes() for row in (*dataset.train.images, *dataset.validation.images)}
    assert rows == {row.tobytes() for row in arrays["images_train"]}
    np.testing.assert_array_equal(dataset.test.texts, arrays["texts_test"])
    assert check_file(tmp_path / "out.npz").rules[-1].holds


def test_the_draw_depends_on_the_seed_alone(arrays, tmp_path):
    from cmbench.datasets.formats.division import Shares

    np.savez(tmp_path / "a.npz", **in_layout(arrays, "I_tr", ("train", "test")))
    drawn = [load_file(tmp_path / "a.npz", shares=Shares(0.2, seed=seed)) for seed in (0, 0, 1)]
    ids = [dataset.validation.ids.tolist() for dataset in drawn]
    assert ids[0] == ids[1] != ids[2]


def test_pairs_without_a_category_are_drawn_apart_from_those_of_the_first():
    from cmbench.datasets.formats.division import drawn

    labels = np.zeros((40, 2), dtype=np.int64)
    labels[:4, 0] = labels[4:8, 1] = 1
    rows = np.random.default_rng(0).normal(size=(40, 3))
    split = Split(rows, rows, labels, np.arange(40).astype(str))
    for seed in range(4):
        _, validation = drawn(split, 0.25, seed=seed)
        assert validation.labels.sum(axis=0).tolist() == [1, 1]
        assert len(validation) == 10


def test_pairs_of_one_image_are_drawn_together(arrays, tmp_path):
    from cmbench.datasets.formats.division import Shares

    arrays["images_train"][:] = np.repeat(arrays["images_train"][:12], 5, axis=0)
    arrays["labels_train"][:] = np.repeat(np.arange(12) % 3, 5)
    arrays["labels_test"] %= 3
    np.savez(tmp_path / "a.npz", **in_layout(arrays, "I_tr", ("train", "test")))
    dataset = load_file(tmp_path / "a.npz", shares=Shares(0.25))
    assert len(dataset.validation) == 15
    assert not any("stand in training" in finding.sentence for finding in findings(dataset))


@pytest.mark.parametrize("named_by", ["image_ids_train", "ids_train"])
def test_crops_of_one_picture_are_drawn_together(named_by, arrays, tmp_path):
    from cmbench.datasets.formats.division import Shares

    arrays["labels_train"][:] = np.repeat(np.arange(12) % 3, 5)
    arrays["labels_test"] %= 3
    named = in_layout(arrays, "I_tr", ("train", "test"))
    pictures = np.repeat([f"picture{at}" for at in range(12)], 5)
    numbers = "" if named_by == "image_ids_train" else [f"#{row}" for row in range(60)]
    np.savez(tmp_path / "a.npz", **named, **{named_by: np.char.add(pictures, numbers)})
    dataset = load_file(tmp_path / "a.npz", shares=Shares(0.25))
    drawn, left = (
        {str(name).partition("#")[0] for name in (split.ids if named_by == "ids_train" else split.image_ids)}
        for split in (dataset.validation, dataset.train)
    )
    assert len(dataset.validation) == 15
    assert not drawn & left


@pytest.mark.parametrize(
    "keys", [("XAll", "YAll", "LAll"), ("IAll", "TAll", "LAll"), ("images", "texts", "labels")]
)
def test_pairs_that_are_not_divided_are_divided(keys, arrays, tmp_path, convert):
    whole = [
        np.concatenate([arrays[f"{kind}_{name}"] for name in PAIRS]) for kind in ("images", "texts", "labels")
    ]
    savemat(tmp_path / "a.mat", dict(zip(keys, whole, strict=True)))
    with pytest.raises(DatasetError, match=r"not divided .*--validation 0\.1 --test 0\.1"):
        load_file(tmp_path / "a.mat")
    dataset, printed = convert(tmp_path / "a.mat", "--validation", "0.2", "--test", "0.25")
    assert [len(split) for _, split in dataset.splits] == [56, 20, 28]
    assert "were drawn by cmbench for test" in printed
    assert not any("stand in" in finding.sentence for finding in findings(dataset))


def test_nothing_is_drawn_where_there_is_something(arrays, tmp_path, convert):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DatasetError, match=r"a test split already \(images_test\); leave out --test"):
        convert(tmp_path / "a.npz", "--test", "0.1")
    without = {key: array for key, array in arrays.items() if not key.endswith("_test")}
    np.savez(tmp_path / "b.npz", **without)
    with pytest.raises(DatasetError, match="no training pair may be one"):
        convert(tmp_path / "b.npz", "--test", "0.1")


@pytest.mark.parametrize("share", ["0", "1", "1.5"])
def test_a_share_lies_between_0_and_1(share, arrays, tmp_path, convert):
    np.savez(tmp_path / "a.npz", **in_layout(arrays, "I_tr", ("train", "test")))
    with pytest.raises(DatasetError, match="use one between 0 and 1"):
        convert(tmp_path / "a.npz", "--validation", share)


def test_what_was_converted_keeps_its_notes_and_reads_the_same_again(arrays, tmp_path, convert):
    np.savez(tmp_path / "a.npz", **in_layout(arrays, "train_img"))
    dataset, _ = convert(tmp_path / "a.npz", "--key", "images_train=train_img")
    assert_same(dataset, arrays)
    assert (
        "train_txt was read as texts_train, train_label as labels_train, val_img as" in dataset.card.notes[0]
    )
    assert dataset.fingerprint == load_file(tmp_path / "a.npz").fingerprint
    assert replace(dataset.card, notes=()) == replace(load_file(tmp_path / "a.npz").card, notes=())


def test_a_damaged_file_is_not_taken_for_one_of_python_objects():
    message = damaged(
        "a.mat", KeyError("Unable to synchronously open object (unable to determine object type)")
    )
    assert "it is damaged or incomplete" in message
    assert "Python objects" not in message
    assert "Python objects" in damaged(
        "a", ValueError("Object arrays cannot be loaded when allow_pickle=False")
    )


@pytest.mark.parametrize("kind", ["one category", "the test set"])
def test_validation_pairs_that_cannot_choose_are_replaced_by_others(kind, arrays, tmp_path, convert):
    if kind == "one category":
        arrays["labels_val"][:] = 2
    else:
        arrays |= {f"{key}_val": arrays[f"{key}_test"] for key in ("images", "texts", "labels")}
    np.savez(tmp_path / "a.npz", **arrays)
    assert any(finding.stops for finding in findings(load_file(tmp_path / "a.npz")))
    dataset, printed = convert(tmp_path / "a.npz", "--validation", "0.4")
    assert "validation pairs of the file were left out, and others drawn instead" in printed
    assert [len(split) for _, split in dataset.splits] == [36, 24, 20]
    assert not findings(dataset)


def test_no_key_is_guessed_to_mean_two_things(arrays, tmp_path):
    renamed = {
        key.replace("images", "view1").replace("texts", "view2"): array for key, array in arrays.items()
    }
    np.savez(tmp_path / "views.npz", **renamed)
    with pytest.raises(DatasetError, match="missing: images_train") as caught:
        load_file(tmp_path / "views.npz")
    assert "meant for" not in str(caught.value)


def test_square_features_beside_transposed_ones_are_not_guessed(arrays, tmp_path):
    square = {key: array[:9].T if array.ndim == 2 else array[:9] for key, array in arrays.items()}
    np.savez(tmp_path / "square.npz", **square)
    with pytest.raises(DatasetError, match=r"texts have a column for each pair, and images are square"):
        load_file(tmp_path / "square.npz")


def test_the_american_spelling_of_licence_is_understood(arrays, tmp_path):
    np.savez(tmp_path / "toy.npz", license="CC-BY", **arrays)
    assert load_file(tmp_path / "toy.npz").card.licence == "CC-BY"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.npz", b"", "empty"),
        ("a.npz", b"\n<!DOCTYPE html>", "a web page"),
        ("a.npz", b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        ("a.npz", b"MATLAB 5.0 MAT-file", r"a MATLAB file; let its name end in \.mat"),
        ("a.npz", b"\x93NUMPY", "a single array"),
        ("a.mat", b"PK\x03\x04", r"a ZIP archive.*let its name end in \.npz"),
        ("a.npz.gz", b"\x1f\x8b", "compressed by gzip"),
        ("a.pkl", b"\x80\x04", "a Python pickle"),
        ("a.pt", b"PK\x03\x04" + bytes(26) + b"a/data.pkl", "a file of torch.save, which is not read"),
        ("a.csv", b"image,text,category", "cmbench features extract pairs_table --from"),
    ],
)
def test_a_file_of_another_kind_is_told_what_it_is(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=kind) as caught:
        load_file(tmp_path / name)
    assert name in str(caught.value)
