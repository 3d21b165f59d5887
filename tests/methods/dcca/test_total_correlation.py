"""The total correlation against NumPy, scikit-learn, its invariances, and its derivative."""

import numpy as np
import pytest
import torch
from scipy.linalg import fractional_matrix_power
from sklearn.cross_decomposition import CCA as ScikitCCA

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.cca import CCA
from cmbench.methods.dcca.total_correlation import total_correlation

RIDGES = (0.0, 1e-3, 1e-1, 10.0)


def outputs(rows=60, widths=(5, 4), *, seed=0, shared=3):
    """Two correlated views of ``shared`` sources with unequal scales and means."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=(rows, shared))
    return [
        (latent @ random.normal(size=(shared, width)) + random.normal(size=(rows, width)))
        * np.linspace(0.5, 2.0, width)
        + 3.0
        for width in widths
    ]


def white(rows, width):
    """Return centred columns that are orthogonal to each other."""
    random = np.random.default_rng(2).normal(size=(rows, width))
    return np.linalg.qr(random - random.mean(axis=0))[0]


def total(first, second, ridge=0.0):
    return total_correlation(torch.as_tensor(first), torch.as_tensor(second), ridge=ridge).total.item()


def whitened(first, second, ridge):
    """Return T, written out with NumPy's covariance and SciPy's matrix power."""
    o = first.shape[1]
    joint = np.cov(first.T, second.T)
    own, other = joint[:o, :o] + ridge * np.eye(o), joint[o:, o:] + ridge * np.eye(len(joint) - o)
    return fractional_matrix_power(own, -0.5) @ joint[:o, o:] @ fractional_matrix_power(other, -0.5)


def gradients(first, second, ridge):
    views = [torch.tensor(each, requires_grad=True) for each in (first, second)]
    total_correlation(*views, ridge=ridge).total.backward()
    return [view.grad.numpy() for view in views]


@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize("widths", [(5, 4), (3, 6), (4, 4), (1, 3)])
def test_it_is_the_sum_of_singular_values_of_the_whitened_covariance(ridge, widths):
    views = outputs(widths=widths)
    expected = np.linalg.svd(whitened(*views, ridge), compute_uv=False).sum()
    assert total(*views, ridge) == pytest.approx(expected, abs=1e-11)


def test_without_a_ridge_it_is_the_sum_of_the_canonical_correlations():
    first, second = outputs(rows=200)
    ours = CCA(n_components="all", ridge=0.0)
    pairs = Split(first, second, np.arange(200) % 3, np.arange(200).astype(str))
    assert total(first, second) == pytest.approx(ours.fit(pairs, pairs).correlations_.sum(), abs=1e-10)
    projected = (
        ScikitCCA(n_components=4, tol=1e-12, max_iter=100_000).fit(first, second).transform(first, second)
    )
    correlations = [np.corrcoef(*pair)[0, 1] for pair in zip(*(side.T for side in projected), strict=True)]
    assert total(first, second) == pytest.approx(sum(correlations), abs=1e-6)


def test_it_is_none_of_the_norms_that_other_programs_maximise():
    first, second = outputs(seed=4)
    t, right = whitened(first, second, 0.0), total(first, second)
    singular = np.linalg.svd(t, compute_uv=False)
    wrong = {
        "sum of squares": np.square(singular).sum(),
        "square root of the Frobenius sum": np.sqrt(np.square(t).sum()),
        "smallest eigenvalues": np.sqrt(np.sort(np.linalg.eigvalsh(t.T @ t))[:2]).sum(),
        "trace": np.trace(t),
    }
    for name, value in wrong.items():
        assert abs(right - value) > 0.05, name
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.sqrt(t.T @ t)).any(), "the element-wise root of TᵀT, of negative entries"
    assert right == pytest.approx(singular.sum(), abs=1e-11)


@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize("widths", [(3, 2), (2, 4), (3, 3)])
def test_the_closed_form_is_the_derivative(ridge, widths):
    views = [torch.tensor(each, requires_grad=True) for each in outputs(rows=9, widths=widths)]
    assert torch.autograd.gradcheck(
        lambda first, second: total_correlation(first, second, ridge=ridge).total, views, atol=1e-7, rtol=1e-6
    )


def test_the_derivative_is_that_of_autograd_through_the_decompositions():
    first, second = outputs()
    views = [torch.tensor(each, requires_grad=True) for each in (first, second)]
    a, b = (view - view.mean(dim=0) for view in views)
    half = [torch.linalg.cholesky(each.T @ each / 59 + 0.1 * torch.eye(each.shape[1])) for each in (a, b)]
    cross = torch.linalg.solve(half[0], a.T @ b / 59) @ torch.linalg.inv(half[1]).T
    torch.linalg.matrix_norm(cross, "nuc").backward()
    for ours, view in zip(gradients(first, second, 0.1), views, strict=True):
        np.testing.assert_allclose(ours, view.grad, atol=1e-13)


def test_the_derivative_exists_where_eigenvalues_coincide():
    alike = white(40, 4)
    for gradient in gradients(alike, alike @ np.diag([1, -1, 1, -1.0]), 1e-3):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("ridge", RIDGES)
def test_moving_all_outputs_of_a_view_changes_nothing(ridge):
    first, second = outputs()
    assert total(first + 7.0, second - 5.0, ridge) == pytest.approx(total(first, second, ridge), abs=1e-11)
    for gradient in gradients(first, second, ridge):
        np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-13)
        assert np.abs(gradient).max() > 1e-4


def test_invertible_maps_of_either_view_change_nothing_without_a_ridge():
    first, second = outputs()
    random = np.random.default_rng(5)
    mapped = first @ random.normal(size=(5, 5)) + 1, second @ random.normal(size=(4, 4)) - 2
    assert total(*mapped) == pytest.approx(total(first, second), abs=1e-9)
    assert total(first / 10, second, 1.0) < total(first, second, 1.0) - 0.1, "with one they do"


def test_it_lies_between_0_and_the_number_of_outputs_and_reaches_both():
    first, second = outputs()
    assert 0 < total(first, second) < 4
    assert total(first, first @ np.random.default_rng(1).normal(size=(5, 5))) == pytest.approx(5, abs=1e-9)
    basis = white(50, 7)
    assert total(basis[:, :3], basis[:, 3:]) == pytest.approx(0, abs=1e-12)


def test_of_two_scalars_it_is_the_absolute_correlation():
    first, second = (each[:, :1] for each in outputs(seed=3))
    expected = abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1])
    assert total(first, second) == pytest.approx(expected, abs=1e-13)
    assert total(first, -second) == pytest.approx(expected, abs=1e-13)


def test_a_larger_ridge_gives_less():
    views = outputs()
    found = [total(*views, ridge) for ridge in (0.0, 1e-4, 1e-2, 0.1, 1.0, 10.0, 100.0)]
    assert (np.diff(found) < 0).all(), found


def test_condition_numbers_are_those_of_the_ridged_covariances():
    first, second = outputs()
    found = total_correlation(torch.tensor(first), torch.tensor(second), ridge=0.3).conditions
    expected = [np.linalg.cond(np.cov(each.T) + 0.3 * np.eye(each.shape[1])) for each in (first, second)]
    np.testing.assert_allclose([each.item() for each in found], expected)


def test_outputs_in_float32_are_correlated_in_float64():
    narrow = [each.astype(np.float32) for each in outputs()]
    found = total_correlation(*map(torch.tensor, narrow), ridge=1e-3).total
    assert found.dtype == torch.float64
    wide = total(*(each.astype(np.float64) for each in narrow), 1e-3)
    assert found.item() == pytest.approx(wide, abs=1e-12)
    assert gradients(*narrow, 1e-3)[0].dtype == np.float32


def test_a_dead_output_leaves_value_and_derivative_finite():
    first, second = outputs()
    first[:, 2] = 0.0
    for ridge in (0.0, 1e-3):
        assert 0 < total(first, second, ridge) <= 4
        assert all(np.isfinite(gradient).all() for gradient in gradients(first, second, ridge))
    condition = total_correlation(torch.tensor(first), torch.tensor(second), ridge=0.0).conditions[0]
    assert 1e8 < condition.item() < 1e13


def test_nan_gives_nan_and_no_error():
    first, second = outputs()
    first[3, 1] = np.nan
    assert np.isnan(total(first, second, 0.1))
    assert all(np.isnan(gradient).all() for gradient in gradients(first, second, 0.1))


def test_no_more_pairs_than_outputs_is_refused():
    first, second = outputs(rows=5)
    with pytest.raises(MethodError, match=r"5 pairs cannot tell 5 outputs apart; lower n_components below 5"):
        total(first, second)
    with pytest.raises(MethodError, match="60 outputs of one view and 59"):
        total(outputs()[0], outputs()[1][:59])
