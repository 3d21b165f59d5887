"""The check that every parameter of a method changes what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
from cmbench.methods.conformance.subject import (
    NonconformityError,
    Skipped,
    Subject,
    easy_pairs,
    mapped,
    pairs_of,
)
from cmbench.methods.contract import Method
from cmbench.methods.parameters import Constraint, Count, Number, Parameter, parameters_of

CHECKED_ELSEWHERE = ("random_state", "device")  # seeds_differ, gives_the_same_on_a_gpu
SHORT = 2  # epochs of a fit that is to show an effect
MANY = 320  # pairs of a fit in which batches of different sizes differ
ALTERNATIVES = 8  # values of a parameter that are tried, at most
NUMBERS = (0.5, 0.1, 1.0, 0.01, 0.9)  # tried where there is no number to multiply


def gives_every_parameter_an_effect(subject: Subject) -> str | None:
    """Another value of each parameter changes representations, the course of training, or what a fit tells.

    Parameters that are ``practical`` may be without effect. One that counts only where others have
    certain values says so (``When`` in its annotation), and is tried with those. Returns which ones were
    without effect and are not judged, because the epochs that were given end before patience does.
    """
    judged = [parameter for parameter in parameters_of(subject.method) if _is_judged(subject, parameter)]
    if not judged:
        raise Skipped("has no parameters that could change anything")
    trials = Trials(subject)
    without = {parameter.name: values for parameter in judged if (values := trials.without_effect(parameter))}
    too_short = {name: said for name in without if (said := _epochs_that_end_first(subject, name))}
    without = {name: values for name, values in without.items() if name not in too_short}
    if without:
        tried = "; ".join(
            f"{name} ({', '.join(dict.fromkeys(map(repr, values)))})" for name, values in without.items()
        )
        raise NonconformityError(
            f"other values change nothing of {tried}: a study would tune what is never read. Use the "
            "parameter or leave it out; name it in practical if no result may depend on it, or annotate it "
            "with When(OTHER=VALUE) if it counts only then"
        )
    return f"not judged: {'; '.join(too_short.values())}" if too_short else None


def _epochs_that_end_first(subject: Subject, name: str) -> str:
    """Return that a patience cannot act, in words, where epochs or patience were given so; else nothing."""
    counted = f"{name.removesuffix('patience')}epochs"
    if not name.endswith("patience") or not {name, counted} & set(subject.parameters):
        return ""
    usual = {each.name: _usual_value(subject, each) for each in parameters_of(subject.method)}
    patience, epochs = usual.get(name), usual.get(counted)
    if not isinstance(patience, Integral) or not isinstance(epochs, Integral) or patience < epochs:
        return ""
    return f"{name} = {patience}, which needs more than {counted} = {epochs}; give {counted} beyond it"


def _is_judged(subject: Subject, parameter: Parameter) -> bool:
    if parameter.name in (*subject.method.practical, *CHECKED_ELSEWHERE) or parameter.fixed:
        return False
    return any(other_values(parameter, _usual_value(subject, parameter)))


def _usual_value(subject: Subject, parameter: Parameter) -> Any:
    return subject.parameters.get(parameter.name, parameter.default)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a fit gave: representations of images and of texts, the shapes of curves, and what it tells."""

    representations: tuple[NDArray[Any], NDArray[Any]]
    course: Mapping[str, tuple[int, ...]]
    told: Mapping[str, Any]

    @classmethod
    def of(cls, method: Method, test: Split) -> Outcome:
        """Return the outcome of a method that is fitted."""
        curves = {name: np.shape(values) for name, values in getattr(method, "curves_", {}).items()}
        told = {name: value for name, value in vars(method).items() if name.endswith("_")}
        told = {name: value for name, value in told.items() if isinstance(value, str | Real)}
        return cls(mapped(method, test), curves, told)

    def differs_from(self, other: Outcome, value: Any) -> bool:
        """Return whether anything tells the two apart, but for attributes that are just ``value``."""
        pairs = zip(self.representations, other.representations, strict=True)
        if self.course != other.course or not all(np.array_equal(*both) for both in pairs):
            return True
        return any(told != other.told.get(name) and told != value for name, told in self.told.items())


class Trials:
    """Fits of a method on the easy pairs with one parameter changed, in three rounds.

    In the first they are short: ``SHORT`` epochs of everything that is counted in epochs. Only parameters of
    which those show no effect are tried with all epochs, and with labels of validation in disorder: what
    is best on validation is then a matter of luck, and how long to wait for it counts. The last round has
    ``MANY`` pairs, for what limits the size of a batch.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        train, validation, self.test = easy_pairs()
        disorder = np.random.default_rng(0).permutation(validation.labels)
        counted = {name for name in subject.arguments if name.endswith("epochs") and name != "eval_epochs"}
        short = dict.fromkeys(counted, SHORT)
        self.rounds: tuple[tuple[Mapping[str, int], Split, Split], ...] = (
            (short, train, validation),
            ({}, train, replace(validation, labels=disorder)),
            (short, pairs_of("train", MANY, 5), validation),
        )
        self._usual: dict[str, Outcome | None] = {}

    def without_effect(self, parameter: Parameter) -> list[Any]:
        """Return the values tried in vain; none if one had an effect, or if all were refused."""
        in_vain: list[Any] = []
        for length, *pairs in self.rounds:
            setting = {**length, **(parameter.when.values if parameter.when else {})}
            usual = self.usual(setting, *pairs)
            if usual is None:
                continue
            value = setting.get(parameter.name, _usual_value(self.subject, parameter))
            for other in other_values(parameter, value):
                found = self.outcome({**setting, parameter.name: other}, *pairs)
                if found is not None and found.differs_from(usual, other):
                    return []
                in_vain += [other] if found is not None else []
        return in_vain

    def usual(self, setting: Mapping[str, Any], train: Split, validation: Split) -> Outcome | None:
        """Return the outcome without a change; each setting is fitted once."""
        key = f"{setting} {len(train)} {validation.labels}"
        if key not in self._usual:
            self._usual[key] = self.outcome(setting, train, validation)
        return self._usual[key]

    def outcome(self, setting: Mapping[str, Any], train: Split, validation: Split) -> Outcome | None:
        """Return what a fit with these parameters gives; None if the method refuses them."""
        try:
            return Outcome.of(self.subject.fitted(train, validation, **setting), self.test)
        except (ValueError, ArithmeticError):
            return None


def other_values(parameter: Parameter, value: Any) -> Iterator[Any]:
    """Yield some values other than ``value`` that the parameter may have: those near it, then those declared.

    >>> from cmbench.methods.parameters import Words
    >>> list(other_values(Parameter("side", "str", Words("left", "right"), (), "left", ""), "left"))
    ['right']
    """
    constraint = parameter.constraint
    declared = chain(parameter.tried, getattr(constraint, "values", ()), getattr(constraint, "words", ()))
    proposed = {repr(other): other for other in chain(_near(value, constraint), declared)}
    proposed.pop(repr(value), None)
    allowed = (other for other in proposed.values() if constraint is None or constraint.accepts(other))
    return islice(allowed, ALTERNATIVES)


def _near(value: Any, constraint: Constraint | None) -> Sequence[Any]:
    if isinstance(value, bool):
        return (not value,)
    number = float(value) if isinstance(value, Real) else 0.0
    if isinstance(constraint, Count) or (constraint is None and isinstance(value, Integral)):
        count = int(number)
        return (count + 1, getattr(constraint, "low", 1), 10 * count, count // 2, count // 10, count // 100)
    if isinstance(constraint, Number) or isinstance(value, Real):
        return (10 * number, number / 10, 2 * number) if number else NUMBERS
    return ()
