"""Files a report writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cmbench.disk import replacing
from cmbench.errors import ReportError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a path that becomes ``path`` when the block ends well; raises ``ReportError`` if it cannot."""
    try:
        with replacing(path) as beside:
            yield beside
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror or error}; choose another place") from error
