"""A method in words: what ``cmbench methods NAME`` says of it."""

from typing import Annotated, ClassVar

import pytest

from cmbench.methods.contract import Method
from cmbench.methods.description import description_of, objective_of
from cmbench.methods.parameters import Count, SearchRange, SearchSpace, When
from cmbench.methods.registry import BUILT_IN, registry


class Described(Method):
    """Described: all that a description has.

    With X the rows ::

        minimise ‖X‖²

    by ``size`` steps.

    Attributes
    ----------
    size_ : not in the description
    """

    paper_name: ClassVar[str] = "D"
    citation: ClassVar[str] = "A. Author, Title, 2000"
    practical: ClassVar = ("threads",)
    presets: ClassVar = {"paper": {"size": 3, "threads": 1}}

    size: Annotated[int, Count(1), SearchSpace(2, 4)]
    """Steps, ``size`` of them.

    One more paragraph.
    """
    rate: Annotated[float, SearchRange(0.1, 1, log=True), When(size=2)] = 0.5
    threads: Annotated[int | None, Count(1, optional=True)] = None
    anything = 3

    def fit(self, train, validation):
        return self

    def transform_images(self, images):
        return images

    def transform_texts(self, texts):
        return texts


class Silent(Described):
    uses_labels: ClassVar[bool] = False


def test_a_description_has_facts_objective_parameters_and_presets():
    assert description_of(Described) == (
        """D
=
name       described
family     traditional
labels     used, one category a pair
parts      not used
reference  A. Author, Title, 2000

Described: all that a description has.

With X the rows:

    minimise ‖X‖²

by size steps.

Parameters
----------
size (no default)
    Steps, size of them.
    One more paragraph.
    Allowed: a whole number of 1 or more. Worth trying: 2, 4.
rate = 0.5
    Type: float. Counts only with size = 2. Worth trying: numbers from 0.1 to 1, evenly in their
    logarithm.
threads = None
    Allowed: a whole number of 1 or more or None. A result does not depend on it.

Presets
-------
paper
    size=3, threads=1"""
    )


def test_a_class_without_docstring_does_not_borrow_that_of_its_base():
    assert objective_of(Silent) == ""
    assert "all that a description has" not in description_of(Silent)
    assert "labels     not used" in description_of(Silent)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_method_is_described(name):
    method = registry()[name].load()
    text = description_of(method)
    assert objective_of(method)
    assert ("Parameters\n----------\n" in text) == bool(method().get_params())
    assert "``" not in text
    assert max(len(line) for line in text.splitlines()) <= 110
    assert all(f"\n{parameter} = " in text for parameter in method().get_params())
