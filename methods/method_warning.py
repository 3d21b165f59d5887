"""The warning every method gives when a fit is possible but deserves a second look."""

import warnings


class MethodWarning(UserWarning):
    """A fit went on, but something about the data or the parameters makes its result doubtful."""


def warn(message: str) -> None:
    """Give a ``MethodWarning`` on behalf of whoever called ``fit``.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("the kernel is poorly approximated; raise rank")
    >>> caught[0].category.__name__
    'MethodWarning'
    """
    warnings.warn(message, MethodWarning, stacklevel=3)
