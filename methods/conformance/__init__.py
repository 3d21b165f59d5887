"""What every method has to keep, as checks for the command line and for tests; ``suite`` is read first."""

from cmbench.methods.conformance.subject import NonconformityError, Skipped, Subject
from cmbench.methods.conformance.suite import CHECKS, Finding, check, finding_of, parametrize_with_checks

__all__ = [
    "CHECKS",
    "Finding",
    "NonconformityError",
    "Skipped",
    "Subject",
    "check",
    "finding_of",
    "parametrize_with_checks",
]
