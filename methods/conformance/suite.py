"""What every method has to keep, as checks that serve the command line and pytest alike.

A check is a function of a ``Subject``, a method with the parameters it is tried with, and raises
``NonconformityError`` with one sentence that names the remedy; it may return what it did not judge. A method
that cannot keep a check says so, with a reason, in the class attribute ``nonconforming`` ::

    nonconforming = {"seeds_differ": "the seed draws a few rows for a width, which seldom changes it"}

``check`` runs all of them and returns what came out; ``parametrize_with_checks`` makes tests of them ::

    @parametrize_with_checks([MyMethod], {MyMethod: {"epochs": 3}})
    def test_my_method_conforms(subject, check):
        check(subject)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import product
from typing import Any, Literal

from cmbench.methods.conformance.effects import gives_every_parameter_an_effect
from cmbench.methods.conformance.representations import (
    beats_chance,
    can_be_cloned,
    gives_usable_representations,
    leaves_global_numbers_alone,
    leaves_its_input_alone,
    looks_at_parts,
    maps_row_by_row,
    repeats_itself,
    says_whether_it_uses_labels,
    seeds_differ,
    stores_its_parameters,
)
from cmbench.methods.conformance.robustness import (
    copes_with_an_unseen_category,
    gives_the_same_on_a_gpu,
    goes_on_from_its_checkpoint,
    learns_from_few_rows,
    refuses_features_of_another_width,
    refuses_what_it_cannot_learn_from,
    survives_pickling,
    takes_memory_as_pairs_do,
    takes_time_as_pairs_do,
)
from cmbench.methods.conformance.subject import (
    NonconformityError,
    Skipped,
    Subject,
)
from cmbench.methods.contract import Method

Check = Callable[[Subject], str | None]
Status = Literal["passed", "failed", "expected", "skipped"]


@dataclass(frozen=True)
class CheckResult:
    """What came out of a check: ``message`` tells what failed, why that is expected, or is not judged."""

    check: str
    status: Status
    message: str = ""


CHECKS: tuple[Check, ...] = (
    stores_its_parameters,
    can_be_cloned,
    gives_usable_representations,
    beats_chance,
    maps_row_by_row,
    repeats_itself,
    leaves_global_numbers_alone,
    seeds_differ,
    leaves_its_input_alone,
    says_whether_it_uses_labels,
    looks_at_parts,
    refuses_what_it_cannot_learn_from,
    copes_with_an_unseen_category,
    refuses_features_of_another_width,
    learns_from_few_rows,
    survives_pickling,
    goes_on_from_its_checkpoint,
    gives_the_same_on_a_gpu,
    takes_time_as_pairs_do,
    takes_memory_as_pairs_do,
    gives_every_parameter_an_effect,
)


def check(method: type[Method], parameters: Mapping[str, Any] | None = None) -> list[CheckResult]:
    """Return what came out of every check of a method, with these parameters in place of its defaults."""
    subject = Subject(method, parameters or {})
    return [result_of(each, subject) for each in CHECKS]


def result_of(check: Check, subject: Subject) -> CheckResult:
    """Run a check and return what came out; an error of the method counts as a failure."""
    reasons, name = subject.method.nonconforming, check.__name__
    try:
        not_judged = check(subject)
    except Skipped as reason:
        return CheckResult(name, "skipped", str(reason))
    except NonconformityError as error:
        message = str(error)
    except (Exception, SystemExit) as error:
        message = f"{type(error).__name__}: {error}"
    else:
        return CheckResult(name, "passed", not_judged or "")
    if name in reasons:
        return CheckResult(name, "expected", reasons[name])
    return CheckResult(name, "failed", message)


def parametrize_with_checks(
    methods: Sequence[type[Method]], parameters: Mapping[type[Method], Mapping[str, Any]] | None = None
) -> Any:
    """Return a decorator that runs a test with ``subject`` and ``check`` for every method and check.

    A check that a method says it cannot keep is an expected failure, with the method's reason, and one that
    does not apply to it is skipped. Needs pytest.
    """
    import pytest

    subjects = [Subject(method, (parameters or {}).get(method, {})) for method in methods]
    cases = [
        pytest.param(
            subject,
            _skipping(check),
            id=f"{subject.method.name}-{check.__name__}",
            marks=_marks(subject, check, pytest),
        )
        for subject, check in product(subjects, CHECKS)
    ]
    return pytest.mark.parametrize(("subject", "check"), cases)


def _skipping(check: Check) -> Check:
    """Return a check that pytest skips where it does not apply."""
    import pytest

    @wraps(check)
    def skipping(subject: Subject) -> None:
        try:
            check(subject)
        except Skipped as reason:
            pytest.skip(str(reason))

    return skipping


def _marks(subject: Subject, check: Check, pytest: Any) -> list[Any]:
    reason = subject.method.nonconforming.get(check.__name__)
    return [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
