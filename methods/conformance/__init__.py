"""What every method has to keep, as checks for the command line and for tests; ``suite`` is read first."""

from cmbench.methods.conformance.subject import NonconformityError, Skipped, Subject
from cmbench.methods.conformance.suite import CHECKS, CheckResult, check, parametrize_with_checks, result_of

__all__ = [
    "CHECKS",
    "CheckResult",
    "NonconformityError",
    "Skipped",
    "Subject",
    "check",
    "parametrize_with_checks",
    "result_of",
]
