"""Pairs divided anew: sizes by category stay, what belongs together stays together, seeds repeat."""

from dataclasses import replace

import numpy as np
import pytest

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Parts, Split, base_name
from cmbench.datasets.splits import redrawn
from cmbench.errors import DatasetError


def split_names(dataset):
    return {name: split.ids.tolist() for name, split in dataset.splits}


def counts(dataset):
    return [np.bincount(split.labels, minlength=4).tolist() for _, split in dataset.splits]


def rows_by_id(dataset):
    return {
        name: (split.images[row].tobytes(), split.texts[row].tobytes(), int(split.labels[row]))
        for _, split in dataset.splits
        for row, name in enumerate(split.ids.tolist())
    }


def with_images(dataset, **rows):
    """Return the dataset with other images in some splits."""
    splits = {
        name: replace(split, images=rows[name]) if name in rows else split for name, split in dataset.splits
    }
    return Dataset("toy", splits["train"], splits["val"], splits["test"], dataset.class_names)


def test_every_pair_is_in_one_split_and_each_split_has_its_sizes_by_category(toy):
    drawn = redrawn(toy, 1)
    assert rows_by_id(drawn) == rows_by_id(toy)
    assert counts(drawn) == counts(toy)
    assert split_names(drawn) != split_names(toy)
    assert drawn.fingerprint != toy.fingerprint


def test_a_seed_gives_the_same_split_again_and_another_seed_another(toy):
    assert redrawn(toy, 1).fingerprint == redrawn(toy, 1).fingerprint
    assert redrawn(toy, 1).fingerprint != redrawn(toy, 2).fingerprint


def test_name_and_card_say_of_which_dataset_it_is_a_split(toy):
    drawn = redrawn(toy, 3)
    assert drawn.name == "toy (split 3)"
    assert base_name(drawn) == "toy"
    assert (drawn.card.split_of, drawn.card.split_seed) == (toy.fingerprint, 3)


def test_a_pair_is_in_the_test_part_as_often_as_its_share_says(toy):
    drawn = [redrawn(toy, seed) for seed in range(200)]
    share = np.mean(["train-0" in split.test.ids for split in drawn])
    expected = len(toy.test) / 168  # of all pairs; each category has the same share
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 200))


@pytest.mark.parametrize("distance", [0.0, 1e-4])
def test_pairs_of_one_picture_or_of_near_copies_stay_in_one_split(toy, distance):
    noise = np.random.default_rng(0).normal(size=toy.train.images.shape).astype(np.float32)
    images = toy.train.images.copy()
    images[40:] = images[:40] + distance * noise[40:]  # rows 40 apart have the same category
    for seed in range(5):
        drawn = redrawn(with_images(toy, train=images), seed)
        owner = {name: at for at, (_, split) in enumerate(drawn.splits) for name in split.ids.tolist()}
        assert all(owner[f"train-{row}"] == owner[f"train-{row + 40}"] for row in range(40))
        assert counts(drawn) == counts(toy)


def test_captions_of_one_picture_stay_in_one_split(toy):
    named = {
        name: replace(
            split, ids=np.array([f"{name}-{row % (len(split) // 2)}#{row}" for row in range(len(split))])
        )
        for name, split in toy.splits
    }
    dataset = Dataset("toy", named["train"], named["val"], named["test"], toy.class_names)
    owners = {}
    for at, (_, split) in enumerate(redrawn(dataset, 1).splits):
        for name in split.ids.tolist():
            owners.setdefault(name.partition("#")[0], set()).add(at)
    assert all(len(found) == 1 for found in owners.values())


def test_pairs_that_belong_together_by_the_card_stay_in_one_split(toy):
    named = {
        name: replace(
            split, ids=np.array([f"a/{row % 2}/{name}{row % (len(split) // 2)}" for row in range(len(split))])
        )
        for name, split in toy.splits
    }
    for name, split in named.items():
        named[name] = replace(split, ids=np.array([f"{row}/{id_}" for row, id_ in enumerate(split.ids)]))

    def splits_of_parts(shared_after):
        card = replace(toy.card, shared_after=shared_after)
        dataset = Dataset("toy", named["train"], named["val"], named["test"], toy.class_names, card)
        owners = {}
        for at, (_, split) in enumerate(redrawn(dataset, 1).splits):
            for name in split.ids.tolist():
                owners.setdefault(name.rpartition("/")[2], set()).add(at)
        return [len(found) for found in owners.values()]

    assert set(splits_of_parts("/")) == {1}
    assert max(splits_of_parts("")) > 1


def test_pairs_of_several_categories_and_their_parts_are_divided_too():
    random = np.random.default_rng(0)

    def split(name, n):
        labels = (random.random((n, 5)) < 0.4).astype(np.int64)
        labels[np.arange(n), np.arange(n) % 5] = 1
        lengths = random.integers(1, 4, n)
        parts = Parts(
            np.repeat(np.arange(n), lengths)[:, None].astype(np.float32),
            np.concatenate([[0], lengths.cumsum()]),
        )
        images = random.normal(size=(n, 9)).astype(np.float32)
        images[:, 0] = np.arange(n)  # as the parts say
        ids = np.array([f"{name}{row}" for row in range(n)])
        return Split(images, images[:, :4], labels, ids, image_parts=parts, text_parts=parts)

    dataset = Dataset("tags", split("a", 60), split("b", 20), split("c", 30), tuple("vwxyz"))
    drawn = redrawn(dataset, 1)
    assert [len(part) for _, part in drawn.splits] == [60, 20, 30]
    assert {*drawn.test.ids} != {*dataset.test.ids}
    for _, part in drawn.splits:
        for row in range(len(part)):
            assert set(part.image_parts[row].ravel().tolist()) == {part.images[row, 0]}


def test_features_of_networks_that_were_trained_on_the_dataset_are_warned_of(toy):
    def warned(dataset):
        return [finding.sentence for finding in dataset.findings if "too high" in finding.sentence]

    card = replace(toy.card, image_feature="small-cnn, trained on 80 pictures", text_feature="LSA")
    trained = Dataset("toy", toy.train, toy.validation, toy.test, toy.class_names, card)
    assert not warned(trained)
    assert not warned(redrawn(toy, 1))
    (sentence,) = warned(redrawn(trained, 1))
    assert sentence.startswith("the networks that made the image features were trained on the training pairs")


def test_splits_that_belong_to_a_dataset_are_refused(toy):
    with pytest.raises(DatasetError, match="retrieval set"):
        redrawn(replace(toy, retrieval=toy.train), 1)
    with pytest.raises(DatasetError, match="drawn anew already"):
        redrawn(redrawn(toy, 1), 2)
    with pytest.raises(DatasetError, match="split seed -1"):
        redrawn(toy, -1)
    kept = toy.train.labels != 0
    train = Split(toy.train.images[kept], toy.train.texts[kept], toy.train.labels[kept], toy.train.ids[kept])
    held = toy.validation.labels != 0
    validation = Split(
        *(
            array[held]
            for array in (
                toy.validation.images,
                toy.validation.texts,
                toy.validation.labels,
                toy.validation.ids,
            )
        )
    )
    zero_shot = Dataset("zero", train, validation, toy.test, toy.class_names, unseen_categories=True)
    with pytest.raises(DatasetError, match="without a training pair"):
        redrawn(zero_shot, 1)
