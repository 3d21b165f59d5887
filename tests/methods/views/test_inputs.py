"""What every traditional method asks of its input, parameters included."""

import numpy as np
import pytest
from sklearn.base import clone

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.cca import CCA, RCCA
from cmbench.methods.cfa import CFA
from cmbench.methods.jrl.method import JRL
from cmbench.methods.jrl.release import JRLRelease
from cmbench.methods.kcca.method import KCCA
from cmbench.methods.lgcfl.method import LGCFL
from cmbench.methods.parameters import constraints_of


class InductiveRelease(JRLRelease):
    """The released JRL on training rows alone, so that it is fitted like the others."""

    name = JRLRelease.name
    paper_name = JRLRelease.paper_name
    gamma = 10.0
    transductive = False


UNSUPERVISED = [CCA, RCCA, CFA, KCCA]
SUPERVISED = [JRL, InductiveRelease, LGCFL]
METHODS = UNSUPERVISED + SUPERVISED


def pairs(n=60, *, dtype=np.float32, seed=0, **changes):
    """Three categories seen through two views."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = np.random.default_rng(1).normal(size=(3, 4))[labels]
    mixing = [np.random.default_rng(d).normal(size=(4, d)) for d in (8, 6)]
    images, texts = ((centres @ m + rng.normal(size=(n, m.shape[1]))).astype(dtype) for m in mixing)
    return Split(
        **{"images": images, "texts": texts, "labels": labels, "ids": np.arange(n).astype(str), **changes}
    )


def with_value(matrix, row, value):
    changed = matrix.copy()
    changed[row, 0] = value
    return changed


BAD_TRAINING = {
    "images have shape": {"images": np.zeros(60)},
    r"texts have shape \(60, 0\)": {"texts": np.zeros((60, 0))},
    "images hold <U1 values": {"images": np.full((60, 3), "a")},
    "images row 5 holds NaN": {"images": with_value(pairs().images, 5, np.nan)},
    "texts row 59 holds NaN or infinity": {"texts": with_value(pairs().texts, 59, np.inf)},
    "texts are the same in every training row": {"texts": np.ones((60, 6), np.float32)},
    "60 training images but 59 texts": {"texts": pairs().texts[:59]},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("message", "changes"), BAD_TRAINING.items(), ids=BAD_TRAINING)
def test_bad_training_features_are_refused_by_view_and_reason(method, message, changes):
    with pytest.raises(MethodError, match=message):
        method().fit(pairs(**changes), pairs())


@pytest.mark.parametrize("method", METHODS)
def test_a_single_pair_is_refused(method):
    with pytest.raises(MethodError, match=r"images have 1 training row\(s\)"):
        method().fit(pairs(1), pairs())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")
def test_two_pairs_are_enough(method):
    train = pairs(2)
    fitted = method().fit(train, pairs())
    assert np.isfinite(fitted.transform_images(train.images)).all()


BAD_PARAMETERS = [
    (CCA, "n_components", 0),
    (CCA, "n_components", 2.5),
    (CCA, "n_components", "some"),
    (CCA, "n_components", True),
    (CCA, "ridge", -1e-3),
    (CCA, "ridge", float("nan")),
    (CCA, "corr_power", -1),
    (CCA, "solver", "qr"),
    (RCCA, "ridge", "auto"),
    (CFA, "scaling", "minmax"),
    (CFA, "normalise_rows", 1),
    (CFA, "sv_power", -0.5),
    (KCCA, "kappa", 0),
    (KCCA, "kappa", 1.0),
    (KCCA, "rank", 0),
    (KCCA, "tol", -1e-3),
    (KCCA, "sigma_scale", 0.0),
    (KCCA, "kernel", "rbf"),
    (KCCA, "normalise", "none"),
    (KCCA, "corr_power", None),
    (KCCA, "random_state", -1),
    (JRL, "gamma_rel", -0.1),
    (JRL, "sigma", "auto"),
    (JRL, "lam", -1),
    (JRL, "mu", 0),
    (JRL, "n_neighbours", 0),
    (JRL, "transductive", "yes"),
    (JRL, "max_passes", 0),
    (JRL, "tol", float("inf")),
    (InductiveRelease, "gamma", 0),
    (InductiveRelease, "retrieval", "cosine"),
    (LGCFL, "rho", "auto"),
    (LGCFL, "beta", -1.0),
    (LGCFL, "image_block", 0),
    (LGCFL, "text_block", 1.5),
    (LGCFL, "scaling", "none"),
    (LGCFL, "max_iterations", 0),
]


@pytest.mark.parametrize(("method", "parameter", "value"), BAD_PARAMETERS)
def test_a_bad_parameter_is_named_in_fit_with_its_value_and_a_remedy(method, parameter, value):
    unfitted = method(**{parameter: value})
    with pytest.raises(MethodError, match=f"{method.name}: {parameter} is .*; use ") as error:
        unfitted.fit(pairs(), pairs())
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_is_constrained_and_the_defaults_are_allowed(method):
    assert set(constraints_of(method)) == set(method().get_params())
    assert all(constraints_of(method)[name].accepts(value) for name, value in method().get_params().items())
    assert all(
        constraints_of(method)[name].accepts(v) for name, tried in method.tuning_space.items() for v in tried
    )


@pytest.mark.parametrize("method", METHODS)
def test_new_features_are_checked(method):
    fitted = method().fit(pairs(), pairs())
    with pytest.raises(MethodError, match="images have 6 features, but the method was fitted on 8"):
        fitted.transform_images(pairs().texts)
    with pytest.raises(MethodError, match="texts row 3 holds NaN"):
        fitted.transform_texts(with_value(pairs().texts, 3, np.nan))


@pytest.mark.parametrize("method", METHODS)
def test_transforming_before_fitting_says_so(method):
    with pytest.raises(MethodError, match=f"{method.name} is not fitted"):
        method().transform_images(pairs().images)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_alone_gives_the_same_as_in_the_batch(method, dtype):
    fitted = method().fit(pairs(dtype=dtype), pairs(dtype=dtype))
    new = pairs(20, seed=5, dtype=dtype)
    for transform, features in ((fitted.transform_images, new.images), (fitted.transform_texts, new.texts)):
        batch = transform(features)
        alone = np.vstack([transform(features[i : i + 1]) for i in range(20)])
        np.testing.assert_allclose(alone, batch, rtol=1e-10, atol=1e-10 * np.abs(batch).max())
        assert transform(features[:0]).shape == (0, batch.shape[1])


@pytest.mark.parametrize("method", METHODS)
def test_memory_mapped_features_give_the_same_as_arrays(method, tmp_path):
    train = pairs()
    for key in ("images", "texts"):
        np.save(tmp_path / f"{key}.npy", getattr(train, key))
    mapped = pairs(**{key: np.load(tmp_path / f"{key}.npy", mmap_mode="r") for key in ("images", "texts")})
    expected, found = (method().fit(split, train).transform_texts(train.texts) for split in (train, mapped))
    np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("method", METHODS)
def test_fitting_twice_or_a_clone_gives_the_same_and_leaves_the_data_alone(method):
    train = pairs()
    first = method().fit(train, train)
    images = first.transform_images(train.images)
    np.testing.assert_array_equal(clone(first).fit(train, train).transform_images(train.images), images)
    np.testing.assert_array_equal(train.images, pairs().images)


@pytest.mark.parametrize("method", METHODS)
def test_the_methods_tell_what_the_record_needs(method):
    fitted = method().fit(pairs(), pairs())
    assert fitted.transform_images(pairs().images).shape[1] == fitted.n_components_
    assert method.citation
    assert method.paper_name


BAD_LABELS = {
    r"labels have shape \(59,\); give one for each of the 60 pairs": np.zeros(59, np.int64),
    r"labels have shape \(60, 1\)": np.zeros((60, 1), np.int64),
    "labels are float64; give whole numbers": np.arange(60) / 2,
    "all training pairs have label 7; give at least two": np.full(60, 7),
}


@pytest.mark.parametrize("method", SUPERVISED)
@pytest.mark.parametrize(("message", "labels"), BAD_LABELS.items(), ids=BAD_LABELS)
def test_supervised_methods_refuse_labels_they_cannot_learn_from(method, message, labels):
    assert method.uses_labels
    with pytest.raises(MethodError, match=message):
        method().fit(pairs(labels=labels), pairs())


@pytest.mark.parametrize("method", UNSUPERVISED)
def test_unsupervised_methods_do_not_read_training_labels(method):
    assert not method.uses_labels
    plain, unlabelled = pairs(), pairs(labels=np.zeros(60, np.int64))
    fits = [method().fit(train, plain).transform_images(plain.images) for train in (plain, unlabelled)]
    np.testing.assert_array_equal(*fits)
