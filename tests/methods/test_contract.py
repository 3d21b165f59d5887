"""The contract of a method: an estimator that scikit-learn's own functions take, without importing it."""

import pickle
import subprocess
import sys
from inspect import signature
from typing import Annotated, Any

import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from cmbench.errors import MethodError
from cmbench.methods import Count, Method
from cmbench.methods.cca import CCA


class Maps:
    """What every method has to have, doing nothing."""

    def fit(self, train, validation):
        return self

    def transform_images(self, images):
        return images

    def transform_texts(self, texts):
        return texts


class Plain(Maps, Method):
    size: Annotated[int, Count(1)] = 3
    inner: Any = None


class EstimatorFirst(BaseEstimator, Maps, Method):
    size: Annotated[int, Count(1)] = 3


class EstimatorLast(Maps, Method, BaseEstimator):
    size: Annotated[int, Count(1)] = 3


class Regressor(RegressorMixin, Maps, Method):
    size: Annotated[int, Count(1)] = 3


class ByHand(Maps, Method):
    def __init__(self, size=3, **options):
        self.size = size


METHODS = [Plain, EstimatorFirst, EstimatorLast, Regressor, ByHand]


@pytest.mark.parametrize("method", METHODS)
def test_scikit_learn_clones_a_method_however_it_is_derived(method):
    fitted = method(size=7)
    fitted.found_ = 1
    copy = clone(fitted)
    assert type(copy) is method
    assert (copy.size, copy.get_params()["size"]) == (7, 7)
    assert not hasattr(copy, "found_")
    assert copy.set_params(size=8) is copy
    assert (copy.size, fitted.size) == (8, 7)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_printed_with_what_is_not_at_its_default(method):
    assert repr(method()) == f"{method.__name__}()"
    assert repr(method(size=7)) == f"{method.__name__}(size=7)"


def test_a_method_stands_in_a_pipeline_of_scikit_learn():
    assert repr(make_pipeline(CCA(n_components=5))) == "Pipeline(steps=[('cca', CCA(n_components=5))])"
    assert get_tags(Plain()).estimator_type is None
    assert get_tags(Regressor()).estimator_type == "regressor"


def test_a_pickled_method_is_as_it_was():
    copy = pickle.loads(pickle.dumps(CCA(n_components=5)))
    assert copy.get_params() == CCA(n_components=5).get_params()
    assert list(signature(CCA).parameters) == ["n_components", "ridge", "corr_power", "solver"]


def test_parameters_of_a_parameter_are_reached_by_two_names():
    method = Plain(inner=CCA(n_components=5))
    assert method.get_params()["inner__n_components"] == 5
    assert list(method.get_params(deep=False)) == ["inner", "size"]
    method.set_params(inner__n_components=6, size=4)
    assert (method.inner.n_components, method.size) == (6, 4)
    assert clone(method).inner is not method.inner


def test_setting_what_is_no_parameter_is_refused_with_the_nearest_name():
    method = CCA()
    with pytest.raises(MethodError, match=r"no parameter 'n_component' \(did you mean 'n_components'\?\)"):
        method.set_params(n_component=5)
    assert not hasattr(method, "n_component")


def test_the_process_of_a_cell_imports_nothing_that_a_method_may_not_need():
    code = (
        "import sys, cmbench.execution.child; "
        "print(*{'sklearn', 'scipy', 'torch', 'pandas', 'click', 'rich', 'jinja2'} & set(sys.modules))"
    )
    imported = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert imported.stdout.strip() == ""
