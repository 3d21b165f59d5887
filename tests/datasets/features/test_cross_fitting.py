"""Features of training items by networks that did not learn from them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from cmbench.datasets.features.cross_fitting import RIDGES, Alignment, cross_fit, stratified_folds
from cmbench.errors import DatasetError

CATEGORIES, WIDTH, ITEMS = 4, 6, 240
LABELS = np.random.default_rng(0).permutation(np.arange(ITEMS) % CATEGORIES)


def essence(items):
    """What all networks see of items, which are numbers: nothing about their labels."""
    return np.stack([np.random.default_rng(item).standard_normal(WIDTH) for item in items])


class Memory:
    """A network that sees the essence of items, remembers the labels of those learnt, and turns it all."""

    def __init__(self, fold, rows, labels=LABELS):
        self.known = dict(zip(rows.tolist(), labels[rows].tolist(), strict=True))
        square = np.random.default_rng(1000 + fold).standard_normal((WIDTH + CATEGORIES,) * 2)
        self.turned = np.linalg.qr(square)[0]
        self.shift = np.random.default_rng(2000 + fold).standard_normal(WIDTH + CATEGORIES)

    def __call__(self, items):
        guesses = np.stack([np.random.default_rng(item + 5000).random(CATEGORIES) for item in items])
        memory = np.array(
            [
                np.eye(CATEGORIES)[self.known[item]] if item in self.known else guess / guess.sum()
                for item, guess in zip(items, guesses, strict=True)
            ]
        )
        return (np.hstack([essence(items), memory]) @ self.turned + self.shift).astype(np.float32)


@pytest.fixture(scope="module")
def memorised():
    return cross_fit(range(ITEMS), LABELS, Memory, folds=5, seed=3)


def accuracy(features, labels):
    return cross_val_score(LogisticRegression(C=100, max_iter=500), features, labels, cv=5).mean()


def test_labels_of_training_items_do_not_come_through(memorised):
    plain = Memory(0, np.arange(ITEMS))(range(ITEMS))
    assert accuracy(plain, LABELS) == 1.0, "a network that has learnt them knows them"
    standard_error = np.sqrt(0.25 * 0.75 / ITEMS)
    assert abs(accuracy(memorised.train, LABELS) - 0.25) < 3 * standard_error
    classifier = LogisticRegression(C=100, max_iter=500).fit(plain, LABELS)
    assert classifier.score(memorised.features(range(ITEMS, 2 * ITEMS)), LABELS) < 0.5


def test_networks_that_are_turned_give_what_the_first_one_gives(memorised):
    first = Memory(0, np.flatnonzero(memorised.folds != 0))
    unaware = Memory(0, np.zeros(0, np.int64))
    np.testing.assert_allclose(memorised.train, unaware(range(ITEMS)), atol=1e-3)
    new = range(ITEMS, ITEMS + 30)
    np.testing.assert_allclose(memorised.features(new), first(new), atol=1e-3)
    assert memorised.train.dtype == memorised.features(new).dtype == np.float32


def test_each_row_comes_from_the_network_of_its_fold_mapped_by_rows_that_both_learnt():
    random = np.random.default_rng(4)
    views = random.standard_normal((4, ITEMS, 5)).astype(np.float32)
    learnt = {}

    def learn(fold, rows):
        learnt[fold] = rows
        return lambda items: views[fold][list(items)]

    fitted = cross_fit(range(ITEMS), LABELS, learn, folds=4)
    for fold in range(4):
        np.testing.assert_array_equal(learnt[fold], np.flatnonzero(fitted.folds != fold))
        rows = np.flatnonzero(fitted.folds == fold)
        expected = views[0][rows]
        if fold:
            shared = np.intersect1d(learnt[0], learnt[fold])
            expected = Alignment.fitted(views[fold][shared], views[0][shared]).mapped(views[fold][rows])
        np.testing.assert_array_equal(fitted.train[rows], expected)


def test_new_items_have_the_mean_of_all_networks():
    shifts = (0.0, 3.0, -9.0)

    def learn(fold, rows):
        # The later networks see new items differently, and training items as the first one does.
        return lambda items: (essence(items) + shifts[fold] * (np.array(items) >= ITEMS)[:, None]).astype(
            "f4"
        )

    fitted = cross_fit(range(ITEMS), LABELS, learn, folds=3)
    new = range(ITEMS, ITEMS + 4)
    np.testing.assert_allclose(fitted.features(new), essence(new) - 2, atol=1e-3)


def test_parts_go_the_way_of_their_item(memorised):
    parts = [(row,) * (row % 3) for row in range(ITEMS)]
    found = memorised.train_part_features(parts)
    assert found.values.dtype == np.float32
    for row in range(ITEMS):
        np.testing.assert_allclose(
            found[row], np.tile(memorised.train[row], (row % 3, 1)), rtol=1e-5, atol=1e-5
        )
    new = memorised.part_features([(ITEMS, ITEMS + 1), (), (ITEMS + 2,)])
    assert new.offsets.tolist() == [0, 2, 2, 3]
    np.testing.assert_allclose(new.values, memorised.features(range(ITEMS, ITEMS + 3)), rtol=1e-5, atol=1e-5)
    with pytest.raises(DatasetError, match="parts of 1 items and 240 training items"):
        memorised.train_part_features([(1, 2)])


def test_the_same_seed_gives_the_same_bits_and_another_one_other_folds(memorised):
    again, other = (cross_fit(range(ITEMS), LABELS, Memory, folds=5, seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(again.train, memorised.train)
    assert (other.folds != memorised.folds).any()


def test_folds_have_equal_shares_of_each_category():
    labels = np.repeat([0, 1, 5], [10, 21, 5])
    folds = stratified_folds(labels, 5, seed=0)
    for label, shares in ((0, {2}), (1, {4, 5}), (5, {1})):
        assert set(np.bincount(folds[labels == label], minlength=5)) == shares


@pytest.mark.parametrize("folds", [-1, 0, 2, 6])
def test_folds_that_cannot_be_are_refused(folds):
    with pytest.raises(DatasetError, match=f"folds is {folds}; .* at most the 5 items of category 1"):
        stratified_folds(np.repeat([0, 1, 2], [9, 5, 7]), folds, seed=0)


def test_no_items_are_refused():
    with pytest.raises(DatasetError, match="0 items"):
        cross_fit([], np.zeros(0, np.int64), Memory)


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        (np.zeros((3, 2)), r"fold 1 gives features of shape \(3, 2\) for 240 items"),
        (np.zeros(ITEMS), r"fold 1 gives features of shape \(240,\)"),
        (np.full((ITEMS, 2), np.nan), "fold 1 gives features that are not finite"),
    ],
)
def test_features_that_are_none_are_refused(gives, message):
    def learn(fold, rows):
        return lambda items: gives if fold == 1 else np.ones((ITEMS, 2))

    with pytest.raises(DatasetError, match=message):
        cross_fit(range(ITEMS), LABELS, learn)
    with pytest.raises(DatasetError, match="240 items and 1 labels"):
        cross_fit(range(ITEMS), LABELS[:1], learn)


@pytest.mark.parametrize(("unit", "rows"), [(1.0, 60), (1e-4, 60), (1e5, 9)])
def test_an_exact_linear_relation_is_recovered(unit, rows):
    random = np.random.default_rng(6)
    weights, shift = random.standard_normal((7, 3)), np.array([5.0, -40.0, 0.0])
    source = unit * random.standard_normal((rows, 7)) + 3 * unit
    target = source / unit @ weights + shift
    alignment = Alignment.fitted(source.astype(np.float32), target.astype(np.float32))
    new = unit * random.standard_normal((20, 7))
    found = alignment.mapped(new.astype(np.float32))
    np.testing.assert_allclose(found, new / unit @ weights + shift, atol=1e-3)


def ridge(source, target, weight):
    """Return weights and intercept by the normal equations."""
    centre, mean = source.mean(axis=0), target.mean(axis=0)
    gram = (source - centre).T @ (source - centre) + weight * np.eye(source.shape[1])
    weights = np.linalg.solve(gram, (source - centre).T @ (target - mean))
    return weights, mean - centre @ weights


@pytest.mark.parametrize("rows", [12, 40])
def test_the_ridge_is_the_one_that_leaving_each_row_out_prefers(rows):
    random = np.random.default_rng(rows)
    source = random.standard_normal((rows, 15)) * np.linspace(0.5, 2, 15) + 1
    target = source @ random.standard_normal((15, 4)) + 4 * random.standard_normal((rows, 4))
    scale = source.var(axis=0).mean() * rows
    errors = []
    for weight in RIDGES * scale:
        error = 0.0
        for row in range(rows):
            others = np.arange(rows) != row
            weights, intercept = ridge(source[others], target[others], weight)
            error += np.square(source[row] @ weights + intercept - target[row]).sum()
        errors.append(error)
    best = int(np.argmin(errors))
    assert 0 < best < len(RIDGES) - 1, "neither end of the range is chosen"
    weights, intercept = ridge(source, target, RIDGES[best] * scale)
    found = Alignment.fitted(source, target)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.intercept, intercept, rtol=1e-6, atol=1e-9)


def test_constant_features_are_mapped_to_the_mean():
    target = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
    alignment = Alignment.fitted(np.ones((2, 3), np.float32), target)
    np.testing.assert_allclose(alignment.mapped(np.ones((1, 3), np.float32)), [[2, 4]], rtol=1e-6)
