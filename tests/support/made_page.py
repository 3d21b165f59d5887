"""Pages for tests, of records and of arrays that are made up."""

from hashlib import sha256

import numpy as np
from made_records import TASKS
from parsed_html import parsed_html

from cmbench.errors import StoreError
from cmbench.report.page.document import document
from cmbench.report.page.sources import Study


def no_arrays(record):
    raise StoreError("no arrays here")


def page(records, arrays=no_arrays, *, figures=False, **options):
    return document(Study(tuple(records), arrays, ("runs",)), figures=figures, **options)


def html(*arguments, **options):
    return parsed_html(page(*arguments, **options))


def arrays_of(record, ids=None):
    """APs of ten pairs that differ by method and seed, as a store has them."""
    name = sha256(f"{record['method']['name']} {record['seed']}".encode()).digest()
    drawn = np.random.default_rng(list(name))
    arrays = {f"ap_{task}": drawn.uniform(size=10) for task in TASKS}
    return {**arrays, "ids": np.array(ids or [f"pair {at}" for at in range(10)]), "labels": np.arange(10) % 2}
