"""CM-GANs as a method: what it learns, what it keeps, and what its parameters do."""

import warnings
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from representations import represented
from sklearn.base import clone

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.cmgans.method import (
    CMGANs,
    CMGANsCAE,
    CMGANsInter,
    CMGANsNone,
    CMGANsRelease,
    CMGANsSC,
    CMGANsWS,
)
from cmbench.methods.parameters import parameters_of
from cmbench.methods.training.curves import DivergenceError
from cmbench.methods.training.deep_method import PRACTICAL
from cmbench.methods.views.inputs import MethodWarning

METHODS = (CMGANs, CMGANsRelease, CMGANsNone, CMGANsWS, CMGANsSC, CMGANsInter, CMGANsCAE)
TINY = {"embedding": 12, "hidden": 12, "discriminator_width": 8, "batch_size": 16, "device": "cpu"}
BRIEF = {**TINY, "epochs": 2, "eval_every": 2}


def fitted(toy, kind=CMGANs, **parameters):
    return kind(**{**BRIEF, **parameters}).fit(toy.train, toy.validation)


def views(n, *, seed, classes=2, distance=3.0, latent=4):
    """Pairs of two full-rank linear views of a latent point near the centre of its category."""
    random, fixed, mixing = (np.random.default_rng(each) for each in (seed, 5, 6))
    labels = np.arange(n) % classes
    points = distance * fixed.normal(size=(classes, latent))[labels] + random.normal(size=(n, latent))
    sides = [(points @ mixing.normal(size=(latent, width))).astype(np.float32) for width in (8, 6)]
    return Split(*sides, labels, np.arange(n).astype(str))


def test_two_separable_categories_are_told_apart_within_thirty_iterations():
    train, validation, test = (views(n, seed=seed) for n, seed in ((160, 1), (40, 2), (100, 3)))
    quick = {"learning_rate": 1e-3, "dropout": 0.0, "preprocessing": "none", "epochs": 3, "eval_every": 5}
    method = CMGANs(**{**TINY, **quick}).fit(train, validation)
    assert method.iterations_ == 30
    score = bimodal_map(method.transform_images(test.images), method.transform_texts(test.texts), test.labels)
    assert score > 0.95


def test_shuffled_labels_without_the_pairs_leave_retrieval_at_chance():
    train, validation, test = (views(n, seed=seed, distance=0.0) for n, seed in ((160, 1), (40, 2), (400, 3)))
    method = CMGANs(**TINY, w_inter=0, epochs=3, eval_every=5).fit(train, validation)
    score = bimodal_map(method.transform_images(test.images), method.transform_texts(test.texts), test.labels)
    assert score == pytest.approx(0.5, abs=0.04)


def re_paired(split):
    """Every image gets the text of another pair of its category."""
    random, texts = np.random.default_rng(0), split.texts.copy()
    for label in np.unique(split.labels):
        rows = np.flatnonzero(split.labels == label)
        texts[rows] = texts[random.permutation(rows)]
    return replace(split, texts=texts)


@pytest.mark.slow
def test_pairing_anew_within_categories_costs_the_weight_sharing_its_pairs_and_the_class_term_nothing():
    train, validation, test = (
        views(n, seed=seed, classes=4, distance=1.0) for n, seed in ((200, 1), (100, 2), (100, 3))
    )

    def score(kind, pairs, relevance):
        sizes = {"embedding": 32, "hidden": 32, "discriminator_width": 32, "batch_size": 32}
        published = CMGANs.presets["paper"]
        found = []
        for seed in (0, 1):
            method = kind(**sizes, **published, epochs=60, eval_every=20, stopping="none", random_state=seed)
            method.fit(pairs, validation)
            sides = method.transform_images(test.images), method.transform_texts(test.texts)
            found.append(bimodal_map(*sides, relevance))
        return np.mean(found)

    own_pair = np.arange(len(test))
    by_category = [score(CMGANsSC, pairs, test.labels) for pairs in (train, re_paired(train))]
    by_pair = [score(CMGANsWS, pairs, own_pair) for pairs in (train, re_paired(train))]
    assert by_category[1] > by_category[0] - 0.05, by_category
    assert by_pair[1] < 0.6 * by_pair[0], by_pair


def test_a_standardised_item_is_represented_alone_as_in_a_batch(toy):
    method = fitted(toy, post="zscore_train", preprocessing="zscore")
    whole = method.transform_images(toy.test.images)
    alone = np.vstack([method.transform_images(toy.test.images[i : i + 1]) for i in range(len(whole))])
    np.testing.assert_allclose(alone, whole, rtol=1e-4, atol=1e-5)


def test_no_items_have_no_representations(toy):
    assert fitted(toy).transform_texts(toy.test.texts[:0]).shape == (0, 12)


def test_the_state_that_is_kept_is_the_best_on_validation_statistics_included(toy):
    method = fitted(toy, epochs=8, eval_every=3, learning_rate=0.01)
    curve = method.curves_["validation_map"]
    assert curve.argmax() < len(curve) - 1, "choose a setting whose best state is not the last"
    sides = method.transform_images(toy.validation.images), method.transform_texts(toy.validation.texts)
    assert bimodal_map(*sides, toy.validation.labels) == pytest.approx(curve.max(), abs=1e-6)
    assert method.validation_map_ == pytest.approx(curve.max(), abs=1e-6)
    assert method.best_iteration_ == method.curves_["iteration"][curve.argmax()]
    stopped_there = fitted(toy, eval_every=1000, stopping="none", learning_rate=0.01, epochs=8)
    assert not np.allclose(represented(stopped_there, toy.test), represented(method, toy.test))


def test_training_ends_when_patience_does(toy):
    method = fitted(toy, epochs=500, eval_every=1, patience=2)
    per_epoch = len(toy.train) // 16
    assert method.iterations_ == method.best_iteration_ + 2 * per_epoch < 500 * per_epoch


def test_the_last_rounds_count_though_no_look_is_due(toy):
    method = fitted(toy, epochs=1, eval_every=1000)
    assert method.curves_["iteration"].tolist() == [method.iterations_] == [5]


@pytest.mark.parametrize("kind", [CMGANsRelease])
def test_a_fixed_length_ignores_validation(toy, kind):
    random = np.random.default_rng(0)
    nonsense = replace(
        toy.validation,
        images=random.normal(size=toy.validation.images.shape).astype(np.float32),
        labels=random.permutation(toy.validation.labels),
    )
    method, again = (kind(**BRIEF).fit(toy.train, pairs) for pairs in (toy.validation, nonsense))
    assert np.array_equal(represented(method, toy.test), represented(again, toy.test))
    assert method.validation_map_ is None
    assert "validation_map" not in method.curves_
    assert method.best_iteration_ == method.iterations_


def test_labels_do_not_count_without_class_term_and_mismatches(toy):
    parameters = {"w_semantic": 0, "w_inter": 0, "sampler": "uniform", "stopping": "none"}
    shuffled = replace(toy.train, labels=np.random.default_rng(0).permutation(toy.train.labels))

    def both(**more):
        methods = (
            CMGANs(**BRIEF, **{**parameters, **more}).fit(train, toy.validation)
            for train in (toy.train, shuffled)
        )
        return [represented(method, toy.test) for method in methods]

    assert np.array_equal(*both())
    assert not np.allclose(*both(w_semantic=1))
    assert not np.allclose(*both(w_inter=1)), "the mismatches are of other categories"


@pytest.fixture(scope="module")
def default(toy):
    return represented(fitted(toy), toy.test)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("generator_loss", ("saturating", "literal")),
        ("shared_norm", ("none", "all")),
        ("tie", ("none", "init_only")),
    ],
)
def test_each_of_three_readings_of_the_paper_differs_from_the_others(toy, default, name, values):
    one, other = (represented(fitted(toy, **{name: value}), toy.test) for value in values)
    for first, second in combinations((default, one, other), 2):
        assert not np.allclose(first, second, rtol=1e-3)


def test_reconstruction_errors_differ(toy):
    relative, mse, l1 = (
        represented(fitted(toy, CMGANsCAE, reconstruction=kind), toy.test)
        for kind in ("relative", "mse", "l1")
    )
    assert not np.allclose(mse, l1)
    assert not np.allclose(relative, mse)


def test_zscored_features_do_not_depend_on_the_units_of_each_column(toy):
    scale = np.geomspace(0.1, 10, toy.train.images.shape[1]).astype(np.float32)

    def in_other_units(split):
        return replace(split, images=split.images * scale + 5)

    for mode, same in (("zscore", True), ("none", False)):
        method = CMGANs(**{**BRIEF, "epochs": 1}, preprocessing=mode).fit(toy.train, toy.validation)
        again = clone(method).fit(in_other_units(toy.train), in_other_units(toy.validation))
        close = np.allclose(
            represented(method, toy.test), represented(again, in_other_units(toy.test)), atol=0.02
        )
        assert close is same


def test_normalised_rows_do_not_depend_on_their_length(toy):
    method = fitted(toy, preprocessing="rownorm")
    np.testing.assert_allclose(
        method.transform_texts(7 * toy.test.texts), method.transform_texts(toy.test.texts), atol=1e-5
    )
    plain = fitted(toy, preprocessing="none")
    assert not np.allclose(plain.transform_texts(7 * toy.test.texts), plain.transform_texts(toy.test.texts))


def test_post_normalisation_takes_the_statistics_of_training_items(toy):
    raw, post = (fitted(toy, post=mode, stopping="none") for mode in ("none", "zscore_train"))
    for side, features in (("images", toy.train.images), ("texts", toy.train.texts)):
        before, after = (getattr(method, f"transform_{side}")(features) for method in (raw, post))
        alive = before.std(axis=0) > 1e-6
        expected = (before - before.mean(axis=0))[:, alive] / before.std(axis=0)[alive]
        np.testing.assert_allclose(after[:, alive], expected, atol=1e-6)
        assert not after[:, ~alive].any()


def test_the_posterior_representation_is_a_distribution_over_the_categories(toy):
    rows = represented(fitted(toy, representation="posterior"), toy.test)
    np.testing.assert_allclose(rows.reshape(-1, 2, 4).sum(axis=2), 1, rtol=1e-5)


def test_memory_mapped_features_train_the_same(toy, tmp_path):
    for name in ("images", "texts"):
        np.save(tmp_path / f"{name}.npy", getattr(toy.train, name))
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "texts")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method = CMGANs(**BRIEF).fit(replace(toy.train, **mapped), toy.validation)
    assert np.array_equal(represented(method, toy.test), represented(fitted(toy), toy.test))


def test_labels_may_have_gaps_and_a_batch_may_be_larger_than_the_data(toy, default):
    gaps = replace(toy.train, labels=toy.train.labels * 3 + 5)
    method = CMGANs(**BRIEF).fit(gaps, replace(toy.validation, labels=toy.validation.labels * 3 + 5))
    assert np.array_equal(represented(method, toy.test), default)
    assert fitted(toy, batch_size=4096).iterations_ == 2


def test_curves_hold_a_finite_value_of_everything_for_each_look(toy):
    curves = fitted(toy, epochs=4, eval_every=5).curves_
    assert curves["iteration"].tolist() == [5, 10, 15, 20]
    for kind, players in (("loss", 4), ("accuracy", 4), ("gradient", 6), ("magnitude", 2)):
        names = [name for name in curves if name.endswith(f"_{kind}")]
        assert (
            len([name for name in names if name.startswith("D_") or kind in ("gradient", "magnitude")])
            == players
        )
    assert {"G_image_semantic_loss", "G_text_inter_loss", "G_text_intra_loss", "validation_map"} <= set(
        curves
    )
    assert all(values.shape == (4,) and np.isfinite(values).all() for values in curves.values())
    accuracies = [values for name, values in curves.items() if name.endswith("accuracy")]
    assert all(((values >= 0) & (values <= 1)).all() for values in accuracies)


def test_a_loss_that_is_not_finite_is_reported_with_its_term_and_step(toy):
    huge = replace(toy.train, images=toy.train.images * np.float32(1e37))
    with pytest.raises(
        DivergenceError, match=r"cmgans: \w+ became (nan|inf).* at step [12];.*gradient_clip"
    ) as caught:
        CMGANs(**BRIEF).fit(huge, toy.validation)
    assert caught.value.step in (1, 2)
    assert "image" in caught.value.term


def test_weights_that_an_update_leaves_infinite_are_reported(toy):
    with pytest.raises(DivergenceError, match=r"cmgans: .* at step"):
        fitted(toy, learning_rate=1e38, stopping="none")


def test_representations_that_are_all_alike_are_warned_of(toy):
    alike = {name: np.ones_like(getattr(toy.validation, name)) for name in ("images", "texts")}
    with pytest.warns(MethodWarning, match="nearly equal"):
        method = CMGANs(**BRIEF).fit(toy.train, replace(toy.validation, **alike))
    assert method.collapsed_
    assert method.mean_cosine_ == pytest.approx(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not fitted(toy).collapsed_


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tie": "both"}, "tie is 'both'; use 'tied', 'init_only' or 'none'"),
        ({"w_inter": -1}, "w_inter is -1"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"gradient_clip": 0}, "gradient_clip is 0"),
        ({"checkpoint": 3}, "checkpoint is 3; use the path of a folder or None"),
        ({"w_inter": 0, "w_intra": 0, "w_semantic": 0}, "nothing to learn"),
        ({"representation": "posterior", "w_semantic": 0}, "needs the class head"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(toy, parameters, message):
    with pytest.raises(MethodError, match=message):
        fitted(toy, **parameters)


@pytest.mark.parametrize(
    ("kind", "switches"),
    [
        (CMGANsNone, {"tie": "none", "w_semantic": 0.0}),
        (CMGANsWS, {"tie": "tied", "w_semantic": 0.0}),
        (CMGANsSC, {"tie": "none"}),
        (CMGANsInter, {"w_intra": 0.0, "w_reconstruction": 0.0}),
        (CMGANsCAE, {"w_inter": 0.0, "w_intra": 0.0, "w_reconstruction": 1.0}),
    ],
)
def test_an_ablation_shows_what_it_fixes_and_refuses_to_be_set_otherwise(toy, kind, switches):
    assert kind().get_params().items() >= switches.items()
    assert clone(kind()).get_params() == kind().get_params()
    for name, value in switches.items():
        other = "init_only" if name == "tie" else value + 0.25
        with pytest.raises(MethodError, match=f"{kind.name}: {name} is {other!r}; use {value!r}"):
            kind(**{name: other}, **BRIEF).fit(toy.train, toy.validation)


def test_a_single_category_is_refused(toy):
    with pytest.raises(MethodError, match="at least two categories"):
        CMGANs(**BRIEF).fit(replace(toy.train, labels=np.zeros(80, dtype=np.int64)), toy.validation)


def test_before_fitting_and_for_other_features_there_is_an_error(toy):
    with pytest.raises(MethodError, match="not fitted"):
        CMGANs().transform_images(toy.test.images)
    with pytest.raises(MethodError, match="fitted on 12"):
        fitted(toy).transform_images(toy.test.texts)


def test_every_parameter_is_checked_and_documented():
    assert all(parameter.constraint and parameter.meaning for parameter in parameters_of(CMGANs))
    assert set(PRACTICAL) < set(CMGANs().get_params())
    meanings = " ".join(parameter.meaning for parameter in parameters_of(CMGANs))
    assert all(f"(A{number})" in meanings for number in range(1, 17))


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_has_the_published_sizes(kind):
    method = kind()
    assert (method.embedding, method.hidden, method.discriminator_width) == (1024, 1024, 512)


def test_the_release_differs_from_the_paper_in_exactly_these_settings():
    paper, release = CMGANs(), CMGANsRelease()
    names = paper.get_params()
    assert {name for name in names if getattr(paper, name) != getattr(release, name)} == {
        "activation", "head", "tie", "resample", "stopping", "epochs", "patience", "dropout", "weight_decay",
        "learning_rate", "halve_every", "preprocessing",
    }  # fmt: skip
    assert set(names) > set(release.get_params()) > {"epochs", "embedding", "w_inter"}
