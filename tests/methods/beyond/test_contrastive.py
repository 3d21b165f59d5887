"""InfoNCE and hardest-negative triplets against loops and closed forms."""

import math

import numpy as np
import pytest
import torch

from cmbench.datasets.draft import Split
from cmbench.methods.beyond.contrastive import InfoNCE, Scale, Triplet, info_nce, triplet_loss


def outputs_of(n=7, k=5, seed=0):
    random = np.random.default_rng(seed)
    return (torch.tensor(random.normal(size=(n, k))) for _ in range(2))


def cosines_of(images, texts):
    images, texts = images.numpy(), texts.numpy()
    norms = np.linalg.norm(images, axis=1)[:, None] * np.linalg.norm(texts, axis=1)
    return images @ texts.T / norms


def test_info_nce_is_the_mean_of_two_cross_entropies_by_loops():
    images, texts = outputs_of()
    cosines, total = 5.0 * cosines_of(images, texts), 0.0
    for i in range(7):
        for row in (cosines[i], cosines[:, i]):
            total += math.log(sum(math.exp(value) for value in row)) - cosines[i, i]
    loss = info_nce(images, texts, torch.tensor(5.0, dtype=torch.float64))
    assert math.isclose(float(loss), total / 14, rel_tol=1e-12)


def test_info_nce_of_equal_items_is_the_logarithm_of_their_number_and_of_one_item_0():
    equal = torch.ones(6, 3)
    assert math.isclose(float(info_nce(equal, equal, torch.tensor(9.0))), math.log(6), rel_tol=1e-6)
    assert float(info_nce(equal[:1], equal[:1], torch.tensor(9.0))) == 0.0


def test_info_nce_does_not_change_when_modalities_are_swapped_or_pairs_permuted():
    images, texts = outputs_of()
    scale = torch.tensor(3.0, dtype=torch.float64)
    order = torch.randperm(7)
    loss = info_nce(images, texts, scale)
    torch.testing.assert_close(info_nce(texts, images, scale), loss)
    torch.testing.assert_close(info_nce(images[order], texts[order], scale), loss)


def test_triplets_are_what_loops_give():
    images, texts = outputs_of()
    cosines = cosines_of(images, texts)
    hardest = summed = 0.0
    for i in range(7):
        for row in (cosines[i], cosines[:, i]):
            costs = [max(0.0, 0.2 + row[j] - row[i]) for j in range(7) if j != i]
            hardest, summed = hardest + max(costs), summed + sum(costs)
    assert math.isclose(float(triplet_loss(images, texts, 0.2, hardest=True)), hardest, rel_tol=1e-12)
    assert math.isclose(float(triplet_loss(images, texts, 0.2, hardest=False)), summed, rel_tol=1e-12)


def test_triplets_of_perfect_pairs_and_of_one_pair_cost_nothing():
    eye = torch.eye(5)
    assert float(triplet_loss(eye, eye, 0.9, hardest=True)) == 0.0
    assert float(triplet_loss(eye[:1], eye[:1], 0.9, hardest=False)) == 0.0


def pairs_of(n=60):
    random = np.random.default_rng(0)
    latent = random.normal(size=(n, 4))
    views = [(latent @ random.normal(size=(4, width))).astype(np.float32) for width in (8, 6)]
    return Split(*views, labels=np.arange(n) % 3, ids=np.arange(n).astype(str))


def test_the_warm_up_of_triplets_ends_with_its_last_epoch(monkeypatch):
    seen = []
    original = triplet_loss

    def watched(*arguments, hardest):
        seen.append(hardest)
        return original(*arguments, hardest=hardest)

    monkeypatch.setattr("cmbench.methods.beyond.contrastive.triplet_loss", watched)
    pairs = pairs_of()
    Triplet(n_components=4, hidden_width=4, batch_size=30, epochs=4, warm_up=2).fit(pairs, pairs)
    assert seen == [False] * 4 + [True] * 4


@pytest.mark.parametrize("negatives", ["hardest", "all"])
def test_no_state_of_the_warm_up_of_triplets_is_kept(negatives, monkeypatch):
    """However much better it is than those after it; with all negatives there is no warm-up."""
    scores = iter([0.9, 0.8, 0.3, 0.2])
    monkeypatch.setattr("cmbench.methods.training.trained_method.bimodal_map", lambda *_: next(scores))
    pairs = pairs_of()
    settings = {"n_components": 4, "hidden_width": 4, "batch_size": 30, "epochs": 4, "warm_up": 2}
    method = Triplet(**settings, negatives=negatives).fit(pairs, pairs)
    assert method.best_iteration_ == (2 if negatives == "all" else 6)  # two batches in an epoch
    assert method.curves_["validation_map"].tolist() == [0.9, 0.8, 0.3, 0.2]


def test_a_training_that_ends_in_the_warm_up_keeps_its_last_state():
    pairs = pairs_of()
    method = Triplet(n_components=4, hidden_width=4, batch_size=30, epochs=2, warm_up=5).fit(pairs, pairs)
    assert method.best_iteration_ == 4


def test_with_all_negatives_the_sum_over_them_is_minimised_in_every_epoch():
    pairs = pairs_of()
    settings = {"n_components": 4, "hidden_width": 4, "batch_size": 30, "epochs": 3, "stopping": "none"}
    everywhere = Triplet(**settings, negatives="all").fit(pairs, pairs)
    warming = Triplet(**settings, warm_up=3).fit(pairs, pairs)
    np.testing.assert_array_equal(
        everywhere.transform_images(pairs.images), warming.transform_images(pairs.images)
    )


def test_partners_end_up_near_each_other():
    pairs = pairs_of()
    settings = {"n_components": 8, "hidden_width": 32, "batch_size": 30, "epochs": 40, "dropout": 0.0}
    for method_class in (InfoNCE, Triplet):
        method = method_class(**settings, learning_rate=1e-2, stopping="none")
        method.fit(pairs, pairs)
        images, texts = method.transform_images(pairs.images), method.transform_texts(pairs.texts)
        np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1.0, atol=1e-6)
        nearest = (images @ texts.T).argmax(axis=1)
        assert np.mean(nearest == np.arange(60)) > 0.8


def test_the_learned_scale_moves_and_stays_below_its_bound():
    pairs = pairs_of()
    method = InfoNCE(n_components=8, hidden_width=8, batch_size=30, epochs=5, temperature=0.0101)
    method.fit(pairs, pairs)
    assert float(method.scale_.logarithm.detach()) != -math.log(0.0101)
    assert float(method.scale_().detach()) <= 100.0
    assert float(Scale(math.log(200.0))().detach()) == pytest.approx(100.0)


def test_a_scale_that_has_come_to_its_bound_can_leave_it():
    scale = Scale(math.log(150.0))
    optimizer = torch.optim.SGD(scale.parameters(), lr=1e-4)
    for _ in range(3):
        optimizer.zero_grad()
        scale().sum().backward()
        optimizer.step()
    assert float(scale().detach()) < 99.0
