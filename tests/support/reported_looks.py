"""The looks at validation that a training has reported so far."""

import json

from cmbench.methods.training.progress import Look


def looks_in(file):
    """Return the looks in a file, the oldest first; none if there is no file yet."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [Look(**json.loads(line)) for line in lines]
