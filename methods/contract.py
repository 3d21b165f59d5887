"""What a method is: an estimator in the manner of scikit-learn that maps images and texts into one space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeAlias, cast, dataclass_transform

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError, did_you_mean
from cmbench.methods.parameters import (
    FieldsSearchSpace,
    SearchRange,
    add_constructor,
    arguments_of,
    constraints_of,
)

Representations: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Features without labels or pairing, of which a transductive method learns the distribution.

    ``images`` is (n, d_image) and ``texts`` (m, d_text).
    """

    images: NDArray[np.float32]
    texts: NDArray[np.float32]


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class Method(ABC):
    """Base of every method: parameters, ``fit``, and two transforms.

    The parameters of a subclass are its annotated attributes, which make a constructor with
    keyword-only arguments. The annotation may say which values are allowed and which are worth trying,
    and the docstring under the attribute is its description ::

        class Mine(Method):
            n_components: Annotated[int, Count(1), SearchSpace(20, 50)] = 50
            "Size of the common space."

    ``cmbench.methods.parameters`` has ``Count``, ``Number``, ``Words`` and ``SearchSpace``. Values that are
    not allowed are refused when a run is planned; ``fit`` may call ``check_parameters(self)`` to refuse
    them when it is called without a plan. A subclass inherits parameters; it changes a default by an
    assignment (``n_components = 20``). Class variables (``ClassVar``), and names that begin or end in an
    underscore, are no parameters.

    A method that trains a network for each modality is shorter as a subclass of ``TrainedMethod``
    (``from cmbench.methods import TrainedMethod``): it writes its networks and its loss, and early
    stopping, checkpoints, devices, curves and guards come with it.

    A subclass may have a constructor written by hand instead. It stores the arguments untouched under
    the same names, so that ``get_params``, ``set_params`` and ``sklearn.base.clone`` work.

    These work as for any scikit-learn estimator, although this class is not derived from ``BaseEstimator``:
    importing that takes about a second of processor time, which every cell's process would pay. A
    method that wants the rest of it is derived from both, ``class Mine(BaseEstimator, Method)``.

    A method whose result depends on chance has a parameter ``random_state: int = 0``; the runner sets
    it to the seed of the cell, and runs a method without it only once.

    Attributes ending in ``_`` that ``fit`` sets to a number, a string or a boolean (the number of
    components chosen, say) are kept in the record of the cell. ``curves_``, a dictionary of float
    arrays (points,) by name, is kept beside it; ``cmbench plot training`` draws it.
    """

    name: ClassVar[str]
    """The name on the command line, lower case: ``cca``."""
    paper_name: ClassVar[str]
    """The name in tables, as the field writes it: ``CCA``. Default: ``name``."""
    family: ClassVar[Literal["traditional", "deep"]] = "traditional"
    citation: ClassVar[str] = ""
    """The paper in a line: authors, title, where and when."""
    bibtex: ClassVar[str] = ""
    """The paper as a BibTeX entry, for ``cmbench cite``; without it one is made of ``citation``."""
    uses_labels: ClassVar[bool] = True
    """Whether ``fit`` reads ``train.labels``. Choosing parameters on validation does not count."""
    multi_label: ClassVar[bool] = False
    """Whether ``fit`` can read labels that are a 0/1 matrix (n, c), where a pair may have several categories.

    A method that uses labels and cannot is left out on such data. One that uses none always runs.
    """
    equal_widths: ClassVar[bool] = False
    """Whether images and texts must have as many features as each other.

    A method that needs it is left out on other data.
    """
    shared_space: ClassVar[bool] = False
    """Whether features of images and texts must lie in one space, as the card of the dataset must say.

    A method that needs it is left out on other data.
    """
    uses_parts: ClassVar[bool] = False
    """Whether it looks at parts of items (regions of an image, segments of a text).

    Its ``transform_images`` and ``transform_texts`` then take those of their items as a second argument,
    ``parts: Parts | None = None``.
    """
    without_parts: ClassVar[str] = ""
    """The name of the method that runs in its place on a dataset without parts; none if empty."""
    version: ClassVar[int] = 1
    """Raise it when the same parameters give other representations: stored cells then run again."""
    tuning_space: ClassVar[Mapping[str, Sequence[Any] | SearchRange]] = cast(
        "Mapping[str, Sequence[Any] | SearchRange]", FieldsSearchSpace()
    )
    """Values worth trying, by parameter name. Default: those of each parameter's ``SearchSpace`` or
    ``SearchRange``."""
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Parameters of the base class that have one value in this class: they are no parameters of it."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Parameters in place of the defaults, by the name of the preset: ``paper`` holds what was published."""
    reads_test_labels: ClassVar[bool] = False
    """Whether it stands for the labels of the test items: the control ``oracle`` alone.

    What it maps to is put aside, and the evaluation, which alone holds those labels, ranks by them. A method
    of a plugin that says so is refused.
    """
    practical: ClassVar[tuple[str, ...]] = ()
    """Parameters that a result does not depend on, ``threads`` say: the key of a cell leaves them out.

    If ``checkpoint`` is one of them and None, the runner sets it to a folder of the results store, for
    this cell alone, in which an interrupted ``fit`` leaves its state, and finds it when the cell runs
    again. The folder is removed when the cell is done.
    """

    nonconforming: ClassVar[Mapping[str, str]] = {}
    """Why it cannot keep a check of ``cmbench.methods.conformance``, by the name of the check."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()
        if "paper_name" not in cls.__dict__:
            cls.paper_name = cls.name
        add_constructor(cls)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, sorted; if ``deep`` also those of a parameter that has its own.

        A parameter of a parameter is named ``OUTER__INNER``, as in scikit-learn.
        """
        params: dict[str, Any] = {}
        for name in sorted(_arguments(type(self))):
            params[name] = value = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                params |= {f"{name}__{inner}": held for inner, held in value.get_params().items()}
        return params

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name, ``OUTER__INNER`` for one of a parameter's own, and return the method.

        Raises ``MethodError`` for a name that is no parameter.
        """
        names = sorted(_arguments(type(self)))
        nested: dict[str, dict[str, Any]] = {}
        for name, value in parameters.items():
            outer, separator, inner = name.partition("__")
            if outer not in names:
                raise MethodError(
                    f"method {self.name!r} has no parameter {outer!r}{did_you_mean(outer, names)}; it has "
                    f"{', '.join(names) or 'none'}"
                )
            if separator:
                nested.setdefault(outer, {})[inner] = value
            else:
                setattr(self, outer, value)
        for outer, inner_parameters in nested.items():
            getattr(self, outer).set_params(**inner_parameters)
        return self

    def __repr__(self) -> str:
        """Return the constructor's call with the parameters that are not at their defaults."""
        defaults = _arguments(type(self))
        values = {name: repr(value) for name, value in self.get_params(deep=False).items()}
        changed = [f"{name}={text}" for name, text in values.items() if text != repr(defaults[name])]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn's own tools ask of an estimator; only they need scikit-learn here."""
        from sklearn.base import BaseEstimator

        return BaseEstimator.__sklearn_tags__(self)

    @property
    def wants_unlabelled(self) -> bool:
        """Whether ``fit`` takes, as ``unlabelled``, the features that will be mapped later.

        A method that returns True is transductive and has the signature
        ``fit(train, validation, unlabelled: Unlabelled | None = None)``.
        """
        return False

    @abstractmethod
    def fit(self, train: Split, validation: Split) -> Self:
        """Learn from ``train``; ``validation`` is for choosing parameters and for stopping."""

    @abstractmethod
    def transform_images(self, images: NDArray[np.float32]) -> Representations:
        """Map images (n, d_image) to the common representation (n, k), row by row."""

    @abstractmethod
    def transform_texts(self, texts: NDArray[np.float32]) -> Representations:
        """Map texts (n, d_text) to the common representation (n, k), row by row."""


def _arguments(method: type) -> dict[str, Any]:
    """Return the arguments of a constructor with their defaults; ``**keywords`` are none that has a name."""
    arguments = arguments_of(method).values()
    return {one.name: one.default for one in arguments if one.kind is not one.VAR_KEYWORD}


_TEXTS = ("paper_name", "citation", "bibtex", "without_parts")
_SWITCHES = ("uses_labels", "multi_label", "equal_widths", "shared_space", "uses_parts", "reads_test_labels")


def check_class(method: type[Method]) -> None:
    """Raise ``MethodError`` for the first class variable of a method that is not of the kind it must be."""
    for name, right, kind in _rules(method):
        value = getattr(method, name)
        if not right(value):
            raise MethodError(f"method {method.name!r}: its class variable {name} is {value!r}; use {kind}")
    _check_space(method)


def _check_space(method: type[Method]) -> None:
    """Raise ``MethodError`` for the first value of the search space that is no value of its parameter."""
    parameters, constraints = _arguments(method), constraints_of(method)
    for name, values in method.tuning_space.items():
        if name not in parameters:
            raise MethodError(
                f"method {method.name!r}: its search space has {name!r}, which is none of its parameters; it "
                f"has {', '.join(parameters) or 'none'}"
            )
        kind = int if isinstance(values, SearchRange) and values.whole else float
        for value in map(kind, values) if isinstance(values, SearchRange) else values:
            if name in constraints and not constraints[name].accepts(value):
                use = constraints[name]
                raise MethodError(
                    f"method {method.name!r}: its search space has {name} = {value!r}; use {use}"
                )


def _rules(method: type[Method]) -> Iterator[tuple[str, Callable[[Any], bool], str]]:
    """Yield class variables, what says whether their value is right, and what it should be, in words."""
    parameters = sorted(_arguments(method))
    for name in _TEXTS:
        yield name, lambda value: isinstance(value, str), "a text"
    for name in _SWITCHES:
        yield name, lambda value: isinstance(value, bool), "True or False"
    yield "family", lambda value: value in ("traditional", "deep"), "'traditional' or 'deep'"
    yield "version", lambda value: type(value) is int, "a whole number"
    yield (
        "practical",
        lambda value: isinstance(value, tuple | list) and all(name in parameters for name in value),
        f"a tuple of names of its parameters, which are {', '.join(parameters) or 'none'}",
    )
    yield "presets", _all_of(Mapping), "a dictionary of dictionaries, parameters by the name of the preset"
    yield "nonconforming", _all_of(str), "a dictionary of reasons by the name of the check"
    yield (
        "tuning_space",
        lambda value: isinstance(value, Mapping) and all(map(_can_be_searched, value.values())),
        "a dictionary of lists of values, or of SearchRange, by the name of the parameter",
    )


def _all_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(isinstance(one, kind) for one in value.values())


def _can_be_searched(values: Any) -> bool:
    if isinstance(values, SearchRange):
        return True
    return isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
