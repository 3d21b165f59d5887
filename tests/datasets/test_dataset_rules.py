"""Every rule of the dataset contract, broken alone, and the fingerprint."""

from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, Draft, Parts, Split
from cmbench.datasets.rules import RULES, TYPES, broken_rules
from cmbench.errors import CmbenchError, DatasetError


def a_split(name, *, pairs=6, seed=0):
    chance = np.random.default_rng([seed, pairs])
    return Split(
        images=chance.normal(size=(pairs, 5)).astype(np.float32),
        texts=chance.normal(size=(pairs, 3)).astype(np.float32),
        labels=np.arange(pairs) % 3,
        ids=np.array([f"{name}{row}" for row in range(pairs)]),
        image_parts=Parts(chance.normal(size=(pairs, 2)).astype(np.float32), np.arange(pairs + 1)),
        image_groups=np.array([0, 0, 1, 1, 1]),
    )


def a_draft(**changes):
    parts = {
        "name": "toy",
        "train": a_split("a", pairs=9),
        "validation": a_split("b"),
        "test": a_split("c", pairs=7),
        "class_names": ("cat", "dog", "owl"),
    }
    return Draft(**(parts | changes))


def with_train(**changes):
    return a_draft(train=replace(a_split("a", pairs=9), **changes))


def as_dataset(draft):
    return Dataset(draft.name, draft.train, draft.validation, draft.test, draft.class_names, draft.card)


def with_value(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


TRAIN = a_split("a", pairs=9)
TYPES_RULE = "arrays have the right types"
LENGTHS_RULE = "arrays of a split have equal lengths"
DIMENSIONS_RULE = "splits have the same dimensions"
FINITE_RULE = "features are finite"
NAMES_RULE = "class names are distinct"
LABELS_RULE = "labels name a class"
TRAINED_RULE = "every validation and test class is trained"
IDS_RULE = "no id appears twice"
PARTS_RULE = "parts and groups fit the features"
CARD_RULE = "sizes and fingerprint are those of the card"

BROKEN = [
    (TYPES_RULE, with_train(images=TRAIN.images.astype(float)), "images_train is float64 of shape .9, 5."),
    (TYPES_RULE, with_train(images=TRAIN.images.astype(">f4")), "images_train is >f4"),
    (TYPES_RULE, with_train(texts=TRAIN.texts.tolist()), "texts_train is a list"),
    (TYPES_RULE, with_train(labels=TRAIN.labels[:, None]), r"labels_train is int64 of shape \(9, 1\)"),
    (TYPES_RULE, with_train(ids=np.arange(9)), "ids_train is int64"),
    (
        TYPES_RULE,
        with_train(image_parts=Parts(TRAIN.images, np.array([], dtype=np.int64))),
        "image_parts_train_offsets is empty",
    ),
    (TYPES_RULE, with_train(image_groups=np.zeros(5)), "image_groups_train is float64"),
    (TYPES_RULE, a_draft(class_names=("cat", "dog", 3)), "class_names holds 3"),
    (LENGTHS_RULE, with_train(ids=TRAIN.ids[:8]), "train has unequal lengths .*ids 8"),
    (
        LENGTHS_RULE,
        with_train(image_parts=Parts(TRAIN.image_parts.values, np.array([0, 9]))),
        "unequal lengths .*image_parts 1",
    ),
    (DIMENSIONS_RULE, with_train(texts=TRAIN.texts[:, :2]), r"texts have different .*train 2, val 3"),
    (
        DIMENSIONS_RULE,
        with_train(image_parts=replace(TRAIN.image_parts, values=TRAIN.images)),
        "image_parts have different dimensions",
    ),
    (FINITE_RULE, with_train(images=with_value(TRAIN.images, (4, 1), np.nan)), "images_train row 4"),
    (FINITE_RULE, with_train(texts=with_value(TRAIN.texts, (8, 0), -np.inf)), "texts_train row 8"),
    (
        FINITE_RULE,
        with_train(
            image_parts=replace(TRAIN.image_parts, values=with_value(TRAIN.image_parts.values, 3, np.inf))
        ),
        "image_parts_train row 3",
    ),
    (NAMES_RULE, a_draft(class_names=("cat", "dog", "cat")), "classes 0 and 2 are both called 'cat'"),
    (NAMES_RULE, a_draft(class_names=("cat", " ", "owl")), "class 1 has no name"),
    (LABELS_RULE, with_train(labels=with_value(TRAIN.labels, 5, 3)), r"labels_train row 5 holds 3, .*0\.\.2"),
    (
        LABELS_RULE,
        with_train(labels=with_value(TRAIN.labels, 0, -1)),
        "labels_train row 0 holds -1.*no label",
    ),
    (TRAINED_RULE, with_train(labels=np.minimum(TRAIN.labels, 1)), r"test has class\(es\) 2 that no"),
    (
        IDS_RULE,
        a_draft(test=replace(a_split("c", pairs=7), ids=a_split("a", pairs=7).ids)),
        r"id 'a0' is in train and again in test \(and 6 more ids are repeated\)",
    ),
    (IDS_RULE, with_train(ids=with_value(TRAIN.ids, 1, "a0")), "id 'a0' is twice in train; keep"),
    (
        PARTS_RULE,
        with_train(image_parts=replace(TRAIN.image_parts, offsets=np.arange(10) + 1)),
        "image_parts_train_offsets must run from 0 to 9",
    ),
    (
        PARTS_RULE,
        with_train(
            image_parts=replace(TRAIN.image_parts, offsets=np.array([0, 1, 2, 5, 4, 5, 6, 7, 8, 9])),
        ),
        "image_parts_train_offsets decrease at item 3",
    ),
    (PARTS_RULE, with_train(image_groups=np.arange(4)), r"image_groups of train has shape \(4,\)"),
    (PARTS_RULE, with_train(image_groups=np.arange(5)), "image_groups of val differs from that of train"),
    (PARTS_RULE, with_train(image_groups=None), "image_groups of test differs from that of train"),
    (CARD_RULE, a_draft(card=Card(sizes=(9, 6, 8))), r"has \(9, 6, 7\) train/val/test pairs"),
    (CARD_RULE, a_draft(card=Card(fingerprint="0" * 64)), "its card states 000000000000"),
]


@pytest.mark.parametrize(("rule", "draft", "message"), BROKEN, ids=[message for *_, message in BROKEN])
def test_a_broken_rule_gives_its_message_and_breaks_no_other_rule(rule, draft, message):
    broken = {sentence: problems for sentence, problems in broken_rules(draft) if problems}
    assert list(broken) == [rule]
    with pytest.raises(DatasetError, match=message) as caught:
        as_dataset(draft)
    assert "'toy'" in str(caught.value)


def test_every_rule_is_among_the_broken_ones_above():
    assert {rule for rule, _, _ in BROKEN} == {rule.sentence for rule in (TYPES, *RULES)}


def test_a_sound_dataset_keeps_every_rule():
    draft = a_draft(card=Card(sizes=(9, 6, 7), fingerprint=a_draft().fingerprint))
    assert list(broken_rules(draft)) == [(rule.sentence, []) for rule in (TYPES, *RULES)]
    assert as_dataset(draft).fingerprint == draft.fingerprint


def test_an_empty_split_and_a_transposed_matrix_are_named():
    train = TRAIN
    empty = Split(train.images[:0], train.texts[:0], train.labels[:0], train.ids[:0])
    with pytest.raises(DatasetError, match="val is empty"):
        as_dataset(a_draft(validation=empty))
    with pytest.raises(DatasetError, match=r"images_train looks transposed \(5 x 9\)"):
        as_dataset(with_train(images=np.ascontiguousarray(train.images.T)))


def test_all_broken_rules_are_told_at_once():
    draft = with_train(
        images=with_value(TRAIN.images, 0, np.nan), labels=with_value(TRAIN.labels, 0, 7), ids=TRAIN.ids[:8]
    )
    with pytest.raises(DatasetError) as caught:
        as_dataset(draft)
    for problem in ("unequal lengths", "images_train row 0", "holds 7"):
        assert problem in str(caught.value)
    assert isinstance(caught.value, CmbenchError)
    assert isinstance(caught.value, ValueError)


def fingerprint_by_hand(draft):
    """Hash as documented, without blocks."""
    parts = [b"cmbench dataset 1\n", f"class_names ({len(draft.class_names)},)\n".encode()]
    parts += [f"{len(name.encode())}:{name}".encode() for name in draft.class_names]
    for name, split in draft.splits:
        arrays = {
            f"images_{name}": split.images,
            f"texts_{name}": split.texts,
            f"labels_{name}": split.labels,
            f"ids_{name}": split.ids,
            f"image_parts_{name}": split.image_parts.values,
            f"image_parts_{name}_offsets": split.image_parts.offsets,
            f"image_groups_{name}": split.image_groups,
        }
        for key, array in arrays.items():
            parts.append(f"{key} {array.shape}\n".encode())
            if key.startswith("ids"):
                parts += [f"{len(text.encode())}:{text}".encode() for text in array.tolist()]
            else:
                parts.append(array.tobytes())
    return sha256(b"".join(parts)).hexdigest()


def test_the_fingerprint_is_the_documented_hash(monkeypatch):
    draft = a_draft(class_names=("cat", "dög", "owl"))
    expected = fingerprint_by_hand(draft)
    assert draft.fingerprint == expected
    monkeypatch.setattr("cmbench.datasets.draft.BLOCK_BYTES", 7)
    assert a_draft(class_names=("cat", "dög", "owl")).fingerprint == expected


CHANGED = {
    "an image value": with_train(images=with_value(TRAIN.images, (8, 4), 0.5)),
    "a text value": with_train(texts=with_value(TRAIN.texts, (0, 0), 0.5)),
    "a label": with_train(labels=with_value(TRAIN.labels, 0, 1)),
    "an id": with_train(ids=with_value(TRAIN.ids, 0, "aX")),
    "the order of ids": with_train(ids=TRAIN.ids[::-1]),
    "a part": with_train(
        image_parts=replace(TRAIN.image_parts, values=with_value(TRAIN.image_parts.values, 0, 0.5))
    ),
    "an offset": with_train(
        image_parts=replace(TRAIN.image_parts, offsets=with_value(TRAIN.image_parts.offsets, 1, 0))
    ),
    "a group": with_train(image_groups=np.array([0, 0, 0, 1, 1])),
    "no parts": with_train(image_parts=None),
    "the split of a pair": a_draft(validation=a_split("b", seed=1)),
    "swapped splits": a_draft(validation=a_split("c", pairs=7), test=a_split("b")),
    "the order of classes": a_draft(class_names=("dog", "cat", "owl")),
    "the bounds of class names": a_draft(class_names=("cat", "do", "gowl")),
    "one more class": a_draft(class_names=("cat", "dog", "owl", "emu")),
}


def test_the_fingerprint_changes_with_every_array_and_the_order_of_classes():
    prints = {what: draft.fingerprint for what, draft in CHANGED.items()} | {"nothing": a_draft().fingerprint}
    assert len(set(prints.values())) == len(prints)


def test_the_fingerprint_does_not_depend_on_name_card_or_memory_layout():
    images = np.asfortranarray(TRAIN.images)
    same = replace(
        with_train(images=images, ids=TRAIN.ids.astype("<U60")), name="other", card=Card(source="x")
    )
    assert same.fingerprint == a_draft().fingerprint


def test_names_and_ids_are_the_same_in_both_forms_of_an_accent():
    names = ("caf\u00e9", "cafe\u0301", "owl")
    problems = dict(broken_rules(a_draft(class_names=names)))
    assert "both called 'caf\u00e9'" in problems["class names are distinct"][0]
    ids = a_split("c", pairs=7).ids.astype("<U9")
    ids[0] = "cafe\u0301"
    train = a_split("a", pairs=9).ids.astype("<U9")
    train[4] = "caf\u00e9"
    draft = with_train(ids=train)
    problems = dict(broken_rules(replace(draft, test=replace(draft.test, ids=ids))))
    assert "in train and again in test" in problems["no id appears twice"][0]
