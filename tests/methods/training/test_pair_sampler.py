"""The sampler of matched and mismatched pairs, by what it draws."""

import numpy as np
import pytest
from scipy.stats import chisquare

from cmbench.errors import MethodError
from cmbench.methods.training.batches import PairSampler

UNEVEN = np.repeat([2, 5, 11, 12], [1, 4, 30, 165])
ORDERS = pytest.mark.parametrize("order", ["classes", "uniform"])


def drawn(labels, *, epochs=1, order="classes", batch=20, seed=0, batches=3):
    sampler = PairSampler(labels, batch=batch, seed=seed, order=order)
    draws = [draw for epoch in range(epochs) for draw in sampler.epoch(epoch, batches=batches)]
    return np.stack([draw.anchors for draw in draws]), np.stack([draw.others for draw in draws])


@ORDERS
@pytest.mark.parametrize("labels", [UNEVEN, np.random.default_rng(0).permutation(UNEVEN), np.arange(40)])
def test_a_mismatched_pair_is_never_of_the_anchors_category(labels, order):
    anchors, others = drawn(labels, epochs=50, order=order)
    assert (labels[anchors[:, 0]] != labels[others]).all()


def test_categories_are_drawn_evenly_and_so_are_the_members_of_each():
    anchors, others = drawn(UNEVEN, epochs=200)
    for rows in (anchors.ravel(), others.ravel()):
        categories = np.unique(UNEVEN[rows], return_counts=True)[1]
        assert chisquare(categories).pvalue > 1e-3
        members = np.bincount(rows, minlength=len(UNEVEN))[UNEVEN == 12]
        assert chisquare(members).pvalue > 1e-3


def test_the_other_category_is_even_among_the_others():
    labels = np.arange(4)
    anchors, others = drawn(labels, epochs=3000, batch=4)
    for label in labels:
        counts = np.bincount(others[anchors[:, 0] == label], minlength=4)
        assert chisquare(np.delete(counts, label)).pvalue > 1e-3


def test_uniform_draws_every_pair_alike_and_every_mismatch_alike():
    anchors, others = drawn(UNEVEN, epochs=200, order="uniform")
    assert chisquare(np.bincount(anchors.ravel(), minlength=len(UNEVEN))).pvalue > 1e-3
    strangers = others[UNEVEN[anchors[:, 0]] == 12]
    assert chisquare(np.bincount(strangers, minlength=len(UNEVEN))[UNEVEN != 12]).pvalue > 1e-3


def test_uniform_anchors_do_not_depend_on_labels():
    shuffled = np.random.default_rng(3).permutation(UNEVEN)
    before, after = (drawn(labels, order="uniform") for labels in (UNEVEN, shuffled))
    assert (before[0] == after[0]).all()
    assert (before[1] != after[1]).any()


@ORDERS
def test_anchors_of_one_round_are_fresh_in_each_of_its_batches(order):
    anchors, _ = drawn(UNEVEN, order=order, batches=6)
    assert anchors.shape == (10, 6, 20)
    assert len(np.unique(anchors.reshape(-1, 20), axis=0)) == 60


def test_an_epoch_is_the_same_each_time_and_unlike_others():
    first, again, other_seed = (drawn(UNEVEN, seed=seed) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != other_seed[0]).any()
    sampler = PairSampler(UNEVEN, batch=20, seed=0)
    later = np.stack([draw.anchors for draw in sampler.epoch(1, batches=3)])
    assert (later != first[0]).any()


@pytest.mark.parametrize(("n", "batch", "used", "rounds"), [(130, 64, 64, 2), (10, 64, 10, 1), (2, 64, 2, 1)])
def test_the_batch_is_cut_to_the_pairs_there_are_and_the_rest_of_an_epoch_left_out(n, batch, used, rounds):
    sampler = PairSampler(np.arange(n) % 2, batch=batch, seed=0)
    assert (sampler.batch, sampler.rounds) == (used, rounds)


def test_a_single_category_is_refused():
    with pytest.raises(MethodError, match="at least two categories"):
        PairSampler(np.zeros(9, dtype=int), batch=4, seed=0)
