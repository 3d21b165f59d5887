"""The two spreads a table can show, on records of real runs."""

import re

import numpy as np
import pytest
from scipy.stats import sem

import cmbench
from cmbench.errors import ReportError
from cmbench.report.layout import View
from cmbench.report.table import render
from cmbench.store import Store


@pytest.fixture(scope="module")
def store(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spread")
    cmbench.run(toy, ["cfa", "kcca"], seeds=(0, 1, 2), store=folder, threads=1, memory="none")
    return Store(folder)


def numbers(text, method):
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {method} ")]
    return [[float(number) for number in re.findall(r"\d\.\d{3}", cell)] for cell in row.split("|")[2:-1]]


def test_the_spread_over_queries_is_the_standard_error_of_the_mean_ap(store):
    text = render(store.records(), view=View(spread="queries"))
    assert "± standard error over the queries of the test set; mean over 3 seed(s)" in text
    (cfa,) = [record for record in store.records() if record["method"]["name"] == "cfa"]
    ap = store.arrays(cfa)
    both = (ap["ap_image_to_text"] + ap["ap_text_to_image"]) / 2
    expected = [
        [ap[f"ap_{task}"].mean(), sem(ap[f"ap_{task}"])] for task in ("image_to_text", "text_to_image")
    ]
    np.testing.assert_allclose(numbers(text, "CFA")[:3], [*expected, [both.mean(), sem(both)]], atol=6e-4)


def test_the_spread_over_seeds_is_there_only_for_methods_with_seeds(store):
    text = render(store.records())
    assert [len(cell) for cell in numbers(text, "KCCA")] == [2] * 6
    assert [len(cell) for cell in numbers(text, "CFA")] == [1] * 6


def test_records_without_standard_errors_are_refused_with_the_remedy(store):
    old = [
        {name: value for name, value in record.items() if name != "standard_error"}
        for record in store.records()
    ]
    with pytest.raises(ReportError, match="no standard errors; run it again with --force"):
        render(old, view=View(spread="queries"))
