"""Datasets in folders of ``.npy`` files, and what cmbench writes: memory-mapped, and never half."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, Draft, Parts, Split
from cmbench.datasets.formats.files import check_file, load_file
from cmbench.datasets.formats.numpy_files import load_array, load_split, save_folder, save_npz, save_split
from cmbench.datasets.registry import describe
from cmbench.errors import DatasetError

BIG_PAIRS, BIG_WIDTH = 40_000, 512
BIG_BYTES = BIG_PAIRS * BIG_WIDTH * 4  # 82 MB


def a_split(name, pairs):
    chance = np.random.default_rng(pairs)
    return Split(
        images=chance.normal(size=(pairs, 5)).astype(np.float32),
        texts=chance.normal(size=(pairs, 4)).astype(np.float32),
        labels=np.arange(pairs) % 3,
        ids=np.array([f"{name}{row}" for row in range(pairs)]),
        image_parts=Parts(
            chance.normal(size=(2 * pairs, 2)).astype(np.float32), 2 * np.arange(pairs + 1, dtype=np.int64)
        ),
        text_groups=np.array([1, 1, 1, 0]),
    )


@pytest.fixture
def dataset():
    card = Card(source="made up", licence="CC0", sizes=(9, 6, 7))
    return Dataset("toy", a_split("a", 9), a_split("b", 6), a_split("c", 7), ("cat", "dög", "red owl"), card)


@pytest.fixture
def big_folder(tmp_path, dataset):
    """Return a folder whose training images are 82 MB of zeros (a sparse file, so quick to make)."""
    folder = tmp_path / "big"
    texts = np.ones((BIG_PAIRS, 4), dtype=np.float32)
    labels = np.arange(BIG_PAIRS) % 3
    ids = np.arange(BIG_PAIRS).astype(np.str_)
    widened = [
        replace(split, images=np.ones((len(split), BIG_WIDTH), np.float32)) for _, split in dataset.splits
    ]
    train = replace(widened[0], texts=texts, labels=labels, ids=ids, image_parts=None)
    small = replace(train, images=np.ones((1, BIG_WIDTH), np.float32))
    save_folder(folder, Draft("big", small, *widened[1:], dataset.class_names))
    path = folder / "images_train.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(BIG_PAIRS, BIG_WIDTH)).flush()
    return folder


@pytest.fixture
def peak():
    """Return a function that gives the result of a call, and asserts that it never held the big array."""

    def measured(call, *arguments):
        tracemalloc.start()
        try:
            result = call(*arguments)
            assert tracemalloc.get_traced_memory()[1] < 0.8 * BIG_BYTES
        finally:
            tracemalloc.stop()
        return result

    return measured


def test_the_guard_on_memory_notices_a_whole_load(big_folder, peak):
    with pytest.raises(AssertionError):
        peak(np.load, big_folder / "images_train.npy")


def test_a_big_folder_is_loaded_fingerprinted_checked_and_saved_without_holding_it(
    big_folder, tmp_path, peak
):
    loaded = peak(load_file, big_folder)
    assert isinstance(loaded.train.images, np.memmap)
    peak(describe, loaded)
    assert all(rule.holds for rule in peak(check_file, big_folder).rules)
    peak(save_folder, tmp_path / "folder", loaded)
    peak(save_npz, tmp_path / "one.npz", loaded)
    peak(save_split, tmp_path / "split", "train", loaded.train)
    assert load_file(tmp_path / "folder").fingerprint == loaded.fingerprint
    assert load_file(tmp_path / "one.npz").fingerprint == loaded.fingerprint


def test_load_split_reads_no_features(big_folder, peak):
    split = peak(load_split, big_folder, "train")
    assert isinstance(split.images, np.memmap)
    assert not split.images.flags.writeable


def test_features_of_a_folder_are_memory_mapped_and_the_rest_is_in_memory(tmp_path, dataset):
    save_folder(tmp_path / "a", dataset)
    for _, split in load_file(tmp_path / "a").splits:
        features = (split.images, split.texts, split.image_parts.values)
        assert all(isinstance(array, np.memmap) for array in features)
        others = (split.labels, split.ids, split.image_parts.offsets, split.text_groups)
        assert not any(isinstance(array, np.memmap) for array in others)


def test_labels_saved_again_or_shorter_do_not_change_those_that_were_loaded(tmp_path, dataset):
    save_folder(tmp_path / "a", dataset)
    loaded = load_file(tmp_path / "a")
    np.save(tmp_path / "a" / "labels_test.npy", np.zeros(1, dtype=np.int64))
    np.testing.assert_array_equal(loaded.test.labels, dataset.test.labels)


def test_empty_parts_are_kept(tmp_path, dataset):
    none = Parts(np.empty((0, 2), dtype=np.float32), np.zeros(7, dtype=np.int64))
    without = replace(dataset, validation=replace(dataset.validation, image_parts=none))
    save_folder(tmp_path / "a", without)
    loaded = load_file(tmp_path / "a")
    assert loaded.fingerprint == without.fingerprint
    assert loaded.validation.image_parts[3].shape == (0, 2)


def test_load_array_gives_what_stands_there_and_names_what_does_not(tmp_path, dataset):
    save_split(tmp_path, "test", dataset.test, keys=("images",))
    images = load_array(tmp_path, "images_test")
    assert isinstance(images, np.memmap)
    np.testing.assert_array_equal(images, dataset.test.images)
    with pytest.raises(DatasetError, match=r"texts_test\.npy cannot be read"):
        load_array(tmp_path, "texts_test")


def test_a_replaced_file_does_not_change_under_whoever_mapped_it(tmp_path, dataset):
    save_split(tmp_path, "train", dataset.train)
    mapped = load_split(tmp_path, "train")
    save_split(tmp_path, "train", replace(mapped, images=mapped.images + 1))
    np.testing.assert_array_equal(mapped.images, dataset.train.images)
    np.testing.assert_array_equal(load_split(tmp_path, "train").images, dataset.train.images + 1)


def test_what_save_npz_and_save_folder_write_comes_back_the_same(tmp_path, dataset):
    save_npz(tmp_path / "a.npz", dataset)
    save_folder(tmp_path / "b", dataset)
    for path in (tmp_path / "a.npz", tmp_path / "b"):
        loaded = load_file(path)
        assert (loaded.fingerprint, loaded.name, loaded.card) == (dataset.fingerprint, "toy", dataset.card)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b"]


def test_a_dataset_whose_first_class_has_no_pairs_comes_back_the_same(tmp_path, dataset):
    shifted = Dataset(
        "toy",
        *(replace(split, labels=split.labels + 1) for _, split in dataset.splits),
        class_names=("nothing", *dataset.class_names),
    )
    save_npz(tmp_path / "a.npz", shifted)
    assert load_file(tmp_path / "a.npz").fingerprint == shifted.fingerprint


def test_a_folder_may_hold_texts_in_txt_files_and_no_card(tmp_path, dataset):
    save_folder(tmp_path / "my.data", dataset)
    for path in (tmp_path / "my.data").glob("*s*.npy"):
        if path.stem == "class_names" or path.stem.startswith("ids"):
            path.with_suffix(".txt").write_text(
                "\r\n".join(np.load(path).tolist()) + "\r\n", encoding="utf-8"
            )
            path.unlink()
    (tmp_path / "my.data" / "card.json").unlink()
    (tmp_path / "my.data" / "README.txt").write_text("not a key")
    loaded = load_file(tmp_path / "my.data")
    assert loaded.fingerprint == dataset.fingerprint
    assert loaded.name == "my.data"


def test_the_same_key_in_two_files_is_refused(tmp_path, dataset):
    save_folder(tmp_path / "a", dataset)
    (tmp_path / "a" / "class_names.txt").write_text("x\ny\nz")
    with pytest.raises(DatasetError, match=r"class_names stands in two files, one of them class_names\.txt"):
        load_file(tmp_path / "a")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("{", "card.json is not JSON"),
        ("[1]", "card.json holds a list"),
        ('{"source": {"a": 1}}', "source is {'a': 1}"),
        ('{"sizes": [9, 6.5, 7]}', "sizes is .9, 6.5, 7."),
    ],
)
def test_a_bad_card_is_refused(tmp_path, dataset, card, message):
    save_folder(tmp_path / "a", dataset)
    (tmp_path / "a" / "card.json").write_text(card)
    with pytest.raises(DatasetError, match=message):
        load_file(tmp_path / "a")


def test_a_folder_is_there_when_it_is_complete_and_not_before(tmp_path, dataset, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(json, "dumps", fail)  # the card is the last file
    with pytest.raises(OSError, match="disk full"):
        save_folder(tmp_path / "a", dataset)
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_behind_does_not_get_in_the_way(tmp_path, dataset):
    (tmp_path / ".a.unfinished").mkdir()
    (tmp_path / ".a.unfinished" / "images_train.npy").write_bytes(b"half")
    (tmp_path / ".a.unfinished" / "image_groups.npy").write_bytes(b"of another")
    (tmp_path / "a").mkdir()
    save_folder(tmp_path / "a", dataset)
    assert load_file(tmp_path / "a").fingerprint == dataset.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_writers_refuse_a_full_folder_and_a_wrong_ending(tmp_path, dataset):
    save_folder(tmp_path / "a", dataset)
    with pytest.raises(DatasetError, match="is not empty"):
        save_folder(tmp_path / "a", dataset)
    with pytest.raises(DatasetError, match=r"name it a\.npy\.npz"):
        save_npz(tmp_path / "a.npy", dataset)


def test_a_split_comes_back_from_a_folder_that_holds_no_other(tmp_path, dataset):
    save_split(tmp_path / "x" / "y", "train", dataset.train)
    loaded = load_split(tmp_path / "x" / "y", "train")
    assert replace(dataset, train=loaded).fingerprint == dataset.fingerprint
    with pytest.raises(DatasetError, match="missing: images_val, texts_val, labels_val;"):
        load_split(tmp_path / "x" / "y", "val")


def test_save_split_writes_only_the_keys_asked_for(tmp_path, dataset):
    save_split(tmp_path, "test", dataset.test, keys=("images", "image_parts", "text_groups"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "image_parts_test.npy",
        "image_parts_test_offsets.npy",
        "images_test.npy",
        "text_groups.npy",
    ]
    with pytest.raises(DatasetError, match="the split has no text_parts; it has images"):
        save_split(tmp_path, "test", dataset.test, keys=("text_parts",))
    with pytest.raises(DatasetError, match="unknown split 'validation'"):
        save_split(tmp_path, "validation", dataset.test)


def test_a_header_with_flipped_bits_is_a_message_whatever_its_parser_raises(tmp_path, toy):
    """The header of an ``.npy`` file is a Python literal; flipped bits lead its parser anywhere."""
    save_folder(tmp_path / "data", toy)
    path = tmp_path / "data" / "images_test.npy"
    whole, random = path.read_bytes(), np.random.default_rng(11)
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        for at in random.integers(10, 128, size=2):
            content[at] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
        try:
            load_file(tmp_path / "data")
        except DatasetError:
            refused += 1
    assert refused > 100
