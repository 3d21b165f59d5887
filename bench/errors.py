"""Every error cmbench raises on purpose; catch ``CmbenchError`` to catch them all."""


class CmbenchError(Exception):
    """Base of all errors raised by cmbench. The message names the value and the remedy."""


class DatasetError(CmbenchError, ValueError):
    """A dataset is missing, unreadable, or breaks the dataset contract."""


class MethodError(CmbenchError, ValueError):
    """A method is unknown, cannot be imported, or was given input it cannot work with."""


class EvaluationError(CmbenchError, ValueError):
    """Representations or labels cannot be evaluated (shape, NaN, unknown protocol)."""


class StoreError(CmbenchError):
    """A record in a results store is unreadable or contradicts another."""


class ReportError(CmbenchError, ValueError):
    """A table or figure cannot be made from the records at hand."""
