"""Parameters as annotated attributes: the constructor they make, what they allow, what is told of them."""

import inspect
import pickle
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import pytest
from sklearn.base import clone

from cmbench.errors import MethodError
from cmbench.methods.cfa import CFA
from cmbench.methods.contract import Method
from cmbench.methods.parameters import (
    REQUIRED,
    AnyFolder,
    Count,
    Number,
    SearchRange,
    SearchSpace,
    Words,
    check_parameters,
    constraints_of,
    defaults_of,
    parameters_of,
)
from cmbench.methods.registry import BUILT_IN, registry
from cmbench.plan import effective_parameters

STARTS = ("``", "(A", "gamma", "o, ", "r, ", "m, ", "τ")
"""How the meaning of a parameter may begin besides a capital letter: with a symbol of the objective, say."""


class Mapped(Method):
    """Maps nothing; it is only ever constructed."""

    advice: ClassVar[str] = "none"

    def fit(self, train, validation):
        return self

    def transform_images(self, images):
        return images

    def transform_texts(self, texts):
        return texts


class Fields(Mapped):
    """Two parameters, and much that is none."""

    kind: ClassVar[str] = "a class variable"
    name: str = "fields"
    advice: str = "more"
    size: Annotated[int, Count(1), SearchSpace(10, 20)] = 5
    """How many there are.

    And more of it.
    """
    share: Annotated[float | str, Number(0, 1, words=("auto",))] = "auto"
    _cache: dict = {}  # noqa: RUF012
    fitted_: int
    maps_: object = field(init=False)


class Changed(Fields):
    """Another default, another constraint and a parameter more."""

    share = 0.5
    "Half, as the paper says."
    size: Annotated[int, Words(6)] = 6
    seeds: list = field(default_factory=lambda: [1, 2])


class ByHand(Mapped):
    """A constructor of its own, beside annotations that only tell types."""

    size: int
    scale: Annotated[float, Number(0)] = 1.0

    def __init__(self, size: Annotated[int, Count(2)] = 3, mode="plain"):
        self.size, self.mode = size, mode


def names(method):
    return list(inspect.signature(method).parameters)


def only(method, name):
    [parameter] = [parameter for parameter in parameters_of(method) if parameter.name == name]
    return parameter


def test_annotated_attributes_make_a_constructor_with_keywords_only():
    assert names(Fields) == ["size", "share"]
    assert Fields(size=3).get_params() == {"size": 3, "share": "auto"}
    with pytest.raises(TypeError, match="positional"):
        Fields(3)
    with pytest.raises(TypeError, match="advice"):
        Fields(advice="no parameter")


def test_attributes_that_are_no_parameters_stay_what_they_are():
    method = Fields()
    assert (method.name, method.kind, method.advice, method._cache) == (
        "fields",
        "a class variable",
        "more",
        {},
    )
    assert not hasattr(method, "fitted_")
    assert not hasattr(method, "maps_")


def test_it_is_an_estimator_like_any_other():
    method = Fields(size=7).set_params(share=0.25)
    for other in (clone(method), pickle.loads(pickle.dumps(method))):
        assert type(other) is Fields
        assert other.get_params() == {"size": 7, "share": 0.25}
    assert repr(method) == "Fields(share=0.25, size=7)"
    assert method != Fields(size=7, share=0.25)
    assert len({method, Fields()}) == 2


def test_a_subclass_changes_a_default_by_an_assignment_and_inherits_the_rest():
    assert Changed().get_params() == {"size": 6, "share": 0.5, "seeds": [1, 2]}
    assert Changed().seeds is not Changed().seeds
    assert Fields().share == "auto"
    assert clone(Changed(share=1)).share == 1
    with pytest.raises(MethodError, match="changed: share is 2; use a number between 0 and 1 or 'auto'"):
        check_parameters(Changed(share=2))


def test_a_subclass_changes_what_is_allowed_and_what_is_tried_by_an_annotation():
    assert constraints_of(Changed)["size"] == Words(6)
    assert (Fields.tuning_space, Changed.tuning_space) == ({"size": (10, 20)}, {})


def test_a_search_space_written_out_replaces_that_of_the_fields():
    class Written(Fields):
        tuning_space: ClassVar = {"share": (0, 1)}

    class Below(Written):
        pass

    assert Written.tuning_space == Below.tuning_space == Below().tuning_space == {"share": (0, 1)}


def test_a_subclass_that_fixes_a_parameter_loses_it():
    class Fixing(Fields):
        fixed: ClassVar = {"size": 3}

    class Below(Fixing):
        share = 1.0

    assert names(Fixing) == names(Below) == ["share"]
    assert (Fixing().size, Below().get_params()) == (3, {"share": 1.0})
    assert "size" not in constraints_of(Below) | Below.tuning_space
    with pytest.raises(TypeError, match="size"):
        Below(size=3)


def test_a_constructor_written_by_hand_stays_also_in_a_subclass():
    class Below(ByHand):
        """Changes nothing."""

        extra: int = 3

    for kind in (ByHand, Below):
        assert names(kind) == ["size", "mode"]
        assert kind(4).get_params() == {"size": 4, "mode": "plain"}
        assert [parameter.type for parameter in parameters_of(kind)] == ["int", ""]
        with pytest.raises(MethodError, match="size is 1; use a whole number of 2 or more"):
            check_parameters(kind(1))


def test_a_constructor_by_hand_of_a_subclass_of_fields_keeps_what_they_allow():
    class Own(CFA):
        def __init__(self, n_components=5, extra=1):
            super().__init__(n_components=n_components)
            self.extra = extra

    assert names(Own) == ["n_components", "extra"]
    assert constraints_of(Own) == {"n_components": constraints_of(CFA)["n_components"]}
    with pytest.raises(MethodError, match="n_components is 0; use"):
        check_parameters(Own(0))


def test_of_two_bases_the_first_decides():
    class Both(Changed, Fields):
        seeds = None

    class Mixed(ByHand, Fields):
        pass

    assert Both().get_params() == {"size": 6, "share": 0.5, "seeds": None}
    assert Mixed(4).get_params() == {"size": 4, "mode": "plain"}


def test_a_dataclass_may_be_mixed_in():
    @dataclass
    class Sized:
        size: int = 4

    class Mixed(Sized, Mapped):
        scale: float = 2.0

    assert Mixed(size=1).get_params() == {"size": 1, "scale": 2.0}


def test_parameters_come_with_type_constraint_search_space_default_and_meaning():
    size = only(Fields, "size")
    assert (size.type, size.constraint, size.tried, size.default) == ("int", Count(1), (10, 20), 5)
    assert size.meaning == "How many there are.\n\nAnd more of it."
    assert (only(Fields, "share").type, only(Fields, "share").meaning) == ("float | str", "")
    assert (only(Changed, "size").meaning, only(Changed, "share").meaning) == (
        size.meaning,
        "Half, as the paper says.",
    )
    assert only(Changed, "seeds").default == [1, 2]
    assert only(Changed, "seeds").constraint is None


def test_parameters_of_the_class_itself_come_before_inherited_ones():
    assert [parameter.name for parameter in parameters_of(Changed)] == ["seeds", "size", "share"]


def test_a_class_without_source_has_parameters_without_meaning():
    names = {"Mapped": Mapped, "__name__": __name__}
    exec('class Made(Mapped):\n    size: int = 3\n    """Lost."""\n', names)
    [size] = parameters_of(names["Made"])
    assert (size.name, size.type, size.default, size.meaning) == ("size", "int", 3, "")


def test_a_parameter_without_default_is_required():
    class Needy(Mapped):
        size: Annotated[int, Count(1)]

    assert only(Needy, "size").default is REQUIRED
    with pytest.raises(MethodError, match="'needy' needs a value for its parameter 'size'"):
        effective_parameters(Needy, {}, None)


@pytest.mark.parametrize(
    ("kind", "parameters", "remedy"),
    [
        (CFA, {"n_components": "many"}, "a whole number of 1 or more, 'all' or 'validation'"),
        (CFA, {"scaling": 1}, "'none', 'center', 'zscore' or 'global'"),
        (ByHand, {"size": 2.5}, "a whole number of 2 or more"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_in_a_plan(kind, parameters, remedy):
    [(name, value)] = parameters.items()
    with pytest.raises(MethodError, match=f"{kind.name}: {name} is {value!r}; use {remedy}"):
        effective_parameters(kind, parameters, None)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_parameter_of_a_built_in_method_is_constrained_and_described(name):
    method = registry()[name].load()
    constraints = constraints_of(method)
    described = parameters_of(method)
    assert {*constraints} == {parameter.name for parameter in described} == {*method().get_params()}
    for parameter in described:
        assert parameter.meaning[0].isupper() or parameter.meaning.startswith(STARTS), parameter.name
        assert parameter.meaning.endswith("."), parameter.name
        assert parameter.type
        assert parameter.constraint.accepts(parameter.default)
        assert all(parameter.constraint.accepts(value) for value in parameter.tried)
    for preset in method.presets.values():
        assert all(constraints[parameter].accepts(value) for parameter, value in preset.items())


PLUGIN = """
from __future__ import annotations
from typing import TYPE_CHECKING, Annotated
from cmbench.methods.contract import Method
{imports}

class Mine(Method):
    {attribute}
    def fit(self, train, validation):
        return self
    def transform_images(self, images):
        return images
    def transform_texts(self, texts):
        return texts
"""
FOR_CHECKERS = """
if TYPE_CHECKING:
    from collections.abc import Sequence
    from cmbench.methods.parameters import Count
"""


def plugin(folder, attribute, *, imports=FOR_CHECKERS):
    file = folder / "mine.py"
    file.write_text(PLUGIN.format(imports=imports, attribute=attribute))
    return registry([file])["mine"].load()


def test_types_that_only_a_type_checker_imports_do_no_harm(tmp_path):
    method = plugin(tmp_path, 'sizes: Sequence[int] = (1, 2)\n    """Some."""')
    [sizes] = parameters_of(method)
    assert (sizes.type, sizes.constraint, sizes.default, sizes.meaning) == (
        "Sequence[int]",
        None,
        (1, 2),
        "Some.",
    )
    assert effective_parameters(method, {"sizes": [3]}, None) == {"sizes": [3]}


def test_a_constraint_that_only_a_type_checker_imports_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(MethodError, match=r"mine: size is annotated .*'Count' is not defined.*import it"):
        plugin(tmp_path, "size: Annotated[int, Count(1)] = 3")


def test_a_plugin_with_fields_is_checked_in_a_plan(tmp_path):
    method = plugin(
        tmp_path,
        "size: Annotated[int, Count(1)] = 3",
        imports="from cmbench.methods.parameters import Count",
    )
    assert effective_parameters(method, {"size": 2}, None) == {"size": 2}
    with pytest.raises(MethodError, match="mine: size is 0; use a whole number of 1 or more"):
        effective_parameters(method, {"size": 0}, None)


@pytest.mark.parametrize(
    ("constraint", "allowed", "refused", "text"),
    [
        (Words(True, False), [True, False], [1, 0, "True", None], "True or False"),
        (Words("a"), ["a"], ["b", None], "'a'"),
        (Number(0), [0, 1.5, 10**9], [-1, float("inf"), float("nan"), True, "1"], "a number of 0 or more"),
        (Number(0, open_ends=True), [1e-300], [0, 0.0], "a number above 0"),
        (Number(0, 1, words=("auto",)), [0, 1, "auto"], [2, "off"], "a number between 0 and 1 or 'auto'"),
        (Number(0, 1, open_ends=True), [0.5], [0, 1], "a number between 0 and 1, both excluded"),
        (Count(2), [2, 10], [1, 2.0, True, None, "2"], "a whole number of 2 or more"),
        (Count(1, optional=True), [1, None], [0], "a whole number of 1 or more or None"),
        (AnyFolder(), [None, "here"], [3, b"there"], "the path of a folder or None"),
    ],
)
def test_a_constraint_accepts_what_its_text_says(constraint, allowed, refused, text):
    assert str(constraint) == text
    assert all(constraint.accepts(value) for value in allowed)
    assert not any(constraint.accepts(value) for value in refused)


def test_a_range_of_numbers_is_a_search_space_too():
    class Ranged(Fields):
        share: Annotated[float, Number(0, 1), SearchRange(0.1, 0.9)] = 0.5
        """Of something."""

    assert Ranged.tuning_space["share"] == SearchRange(0.1, 0.9)
    assert list(Ranged.tuning_space["share"]) == [0.1, 0.9]


@pytest.mark.parametrize(
    ("low", "high", "options", "remedy"),
    [
        (0.0, 1.0, {"log": True}, "a logarithm needs a low end above 0; give 0.001, say, or leave out log"),
        (-1, 1, {"log": True}, "a logarithm needs a low end above 0"),
        (1.0, 0.5, {}, "the low end must be below the high one; give the smaller first"),
        (1, 1, {"whole": True}, "the low end must be below the high one"),
        (0.5, 3, {"whole": True}, "whole numbers need whole ends; round them, or leave out whole"),
        (0.0, float("inf"), {}, "its ends must be finite numbers"),
        (float("nan"), 1.0, {}, "its ends must be finite numbers"),
    ],
)
def test_a_range_from_which_nothing_can_be_drawn_is_refused_with_the_remedy(low, high, options, remedy):
    with pytest.raises(ValueError, match=rf"SearchRange\(low={low}, high={high}, .*\): {remedy}"):
        SearchRange(low, high, **options)


def test_a_refused_range_names_the_method_and_the_parameter(tmp_path):
    with pytest.raises(
        MethodError, match=r"mine: rate: SearchRange\(.*\): a logarithm needs a low end above 0"
    ):
        plugin(
            tmp_path,
            "rate: Annotated[float, SearchRange(0.0, 1.0, log=True)] = 0.1",
            imports="from cmbench.methods.parameters import SearchRange",
        )


def test_defaults_are_as_records_hold_them_and_arguments_without_one_have_none():
    class Sized:
        def __init__(self, size, widths=(8, 4), rate=0.1):
            pass

    assert defaults_of(Sized) == {"widths": [8, 4], "rate": 0.1}
