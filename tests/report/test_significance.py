"""Groups that cannot be told apart, in place of a lone best: which they are, and what is said of them."""

import csv
import io
import re

import numpy as np
import pytest
from made_records import TASKS, failed_record, made_record
from scipy import stats

from cmbench.errors import StoreError
from cmbench.report import ablation, significance
from cmbench.report.layout import COLUMNS, View
from cmbench.report.settings import settings
from cmbench.report.significance import Reading, best_groups
from cmbench.report.table import render

PAIRS = 200


def measured(method, ap, *, seed=None, **changes):
    """A record and its arrays, from the AP (pairs,) of every task."""
    record = made_record(method, float(np.mean(ap)), seed=seed, **changes)
    record["queries"] = dict.fromkeys(TASKS, len(ap))
    return record, {f"ap_{task}": np.asarray(ap) for task in TASKS}


def stored(*cells):
    """Records, and what gives the arrays of those that have some."""
    held = {record["key"]: arrays for record, arrays in cells if arrays is not None}

    def arrays(record):
        if record["key"] not in held:
            raise StoreError("no arrays")
        return held[record["key"]]

    return [record for record, _ in cells], arrays


def three():
    """A is best, B differs from it by chance alone, and C is worse throughout."""
    random = np.random.default_rng(0)
    base = random.uniform(0.2, 0.8, PAIRS)
    noise = random.normal(0, 0.1, PAIRS)
    return {"a": base, "b": base + noise - noise.mean() - 0.001, "c": base - 0.1 + noise / 4}


def cells_of(text, method):
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {method} ")]
    return [cell.strip() for cell in row.split("|")[2:-1]]


def test_the_group_that_cannot_be_told_from_the_best_is_bold_in_every_column():
    ap = three()
    records, arrays = stored(*(measured(name, values) for name, values in ap.items()))
    p = {name: stats.ttest_rel(ap["a"], ap[name]).pvalue for name in "bc"}
    assert p["b"] > 0.5
    assert p["c"] < 1e-6
    text = render(records, arrays=arrays)
    assert {cell.startswith("**") for name in "AB" for cell in cells_of(text, name)} == {True}
    assert {cell.startswith("**") for cell in cells_of(text, "C")} == {False}
    assert (
        "- Bold: the best of a column and all that cannot be told apart from it (paired permutation test "
        f"over {PAIRS} test pairs; two-sided, 5% after Holm's correction for the 3 comparison(s) of a "
        "column).\n" in text
    )


def test_pairs_that_belong_together_are_one_observation_and_controls_are_compared_with_nothing():
    random = np.random.default_rng(0)
    base = np.repeat(random.uniform(0.2, 0.8, PAIRS // 20), 20)
    better = base + np.repeat(random.normal(0.03, 0.05, PAIRS // 20), 20)
    cells = [measured("a", better), measured("b", base), measured("random", base - 0.1)]
    apart, arrays = stored(*cells)
    text = render(apart, arrays=arrays)
    assert not cells_of(text, "B")[0].startswith("**")
    assert "for the 1 comparison(s) of a column" in text
    for _, held in cells:
        held["units"] = np.arange(PAIRS) // 20 * 20
    text = render(apart, arrays=arrays)
    assert {cells_of(text, name)[0].startswith("**") for name in "AB"} == {True}
    assert f"over {PAIRS} test pairs in {PAIRS // 20} groups of what belongs together; two-sided" in text


def test_without_stored_values_the_best_number_is_bold_alone_and_the_footer_says_whose_are_missing():
    ap = three()
    complete = [measured(name, values) for name, values in ap.items()]
    records, arrays = stored(*complete[:2], (complete[2][0], None))
    for text in (render(records, arrays=arrays), render(records)):
        assert cells_of(text, "A")[0].startswith("**")
        assert not cells_of(text, "B")[0].startswith("**")
    assert "was not tested (no values per query are stored of C).\n" in render(records, arrays=arrays)
    assert "was not tested (no values per query are stored).\n" in render(records)


def test_one_method_alone_is_best_and_nothing_is_said_of_tests():
    records, arrays = stored(measured("a", three()["a"]))
    text = render([*records, failed_record("b")], arrays=arrays)
    assert cells_of(text, "A")[0].startswith("**")
    assert "Bold" not in text


def test_the_chance_of_seeds_counts_and_one_seed_is_named():
    ap = three()
    apart = measured("c", ap["a"] - 0.02)
    steady = [measured("a", ap["a"] + shift, seed=seed) for seed, shift in enumerate((-0.001, 0, 0.001))]
    shaky = [measured("a", ap["a"] + shift, seed=seed) for seed, shift in enumerate((-0.1, 0, 0.1))]
    records, arrays = stored(apart, *steady)
    assert not cells_of(render(records, arrays=arrays), "C")[0].startswith("**")
    records, arrays = stored(apart, *shaky)
    text = render(records, arrays=arrays)
    assert cells_of(text, "C")[0].startswith("**")
    assert "test pairs, several seeds nested in them;" in text
    records, arrays = stored(apart, steady[0])
    assert "Of A one seed finished, so that other seeds may differ more." in render(records, arrays=arrays)


def test_every_record_is_read_once_and_none_where_there_is_nothing_to_compare():
    records, arrays = stored(*(measured(name, values) for name, values in three().items()))
    read = []

    def counting(record):
        read.append(record["method"]["name"])
        return arrays(record)

    best_groups(settings(records), COLUMNS, counting)
    assert sorted(read) == ["a", "b", "c"]
    best_groups(settings(records[:1]), COLUMNS, counting)
    assert len(read) == 3


def test_who_shares_a_reading_shares_its_tests_and_sees_the_same_marks(monkeypatch):
    records, arrays = stored(*(measured(name, values) for name, values in three().items()))
    rows, made = settings(records), []
    compare = significance.compare_all
    monkeypatch.setattr(
        significance, "compare_all", lambda values: made.append(len(values)) or compare(values)
    )
    alone = best_groups(rows, COLUMNS, arrays)
    shared = Reading(arrays)
    assert best_groups(rows, COLUMNS, shared) == best_groups(rows, COLUMNS, shared) == alone
    assert made == [3] * len(COLUMNS) * 2
    assert best_groups(rows[:2], COLUMNS, shared) == best_groups(rows[:2], COLUMNS, arrays)


def test_letters_stand_behind_the_numbers_on_request():
    records, arrays = stored(*(measured(name, values) for name, values in three().items()))
    view = View(letters=True)
    markdown = render(records, arrays=arrays, view=view)
    latex = render(records, arrays=arrays, view=view, format="latex")
    assert [re.search("<sup>(.*)</sup>", cells_of(markdown, name)[0])[1] for name in "ABC"] == [*"aab"]
    assert re.findall(r"textsuperscript\{(.)\}", latex) == [*"aaaaaaaaaaaabbbbbb"]
    assert "Letters: methods that share one in a column cannot be told apart, and others can." in markdown
    plain, untested = render(records, arrays=arrays), render(records, view=view)
    assert not [text for text in (plain, untested) if "<sup>" in text or "Letters" in text]


def test_a_csv_holds_who_is_best_and_the_letters():
    records, arrays = stored(*(measured(name, values) for name, values in three().items()))
    rows = list(csv.DictReader(io.StringIO(render(records, arrays=arrays, format="csv"))))
    assert [row["text_to_all_best"] for row in rows] == ["True", "True", "False"]
    assert [row["text_to_all_group"] for row in rows] == ["a", "a", "b"]
    untested = list(csv.DictReader(io.StringIO(render(records, format="csv"))))
    assert [row["text_to_all_best"] for row in untested] == ["True", "False", "False"]
    assert [row["text_to_all_group"] for row in untested] == ["", "", ""]


def test_other_measures_are_tested_by_their_own_values_and_medians_not_at_all():
    cells = []
    for name, values in three().items():
        record, arrays = measured(name, values)
        hits = (values > 0.3).astype(float)
        by_task = {**dict.fromkeys(TASKS, hits.mean()), "bimodal_average": hits.mean()}
        record["measures"] = {"p@1": by_task, "medr": dict.fromkeys(by_task, 1.0)}
        record["measure_errors"] = {}
        record["chance"] = {"map": {}, "p@1": {}, "medr": {}}
        cells.append((record, {**arrays, **{f"p@1_{task}": hits for task in TASKS}}))
    records, arrays = stored(*cells)
    text = render(records, arrays=arrays, view=View(measures=["p@1", "medr"]))
    first = [cells_of(text, name)[0] for name in "ABC"]
    assert [cell.startswith("**") for cell in first] == [True, True, False]
    assert "In other columns the best number alone is bold: MedR is a median" in text


def test_an_ablation_marks_nothing_where_a_row_is_missing():
    ap = three()
    two = [measured("cmgans", ap["a"], seed=0), measured("cmgans-inter", ap["b"], seed=0)]
    records, arrays = stored(*two)
    table_v = ablation.render(records, arrays=arrays).partition("#### Table V:")[2].partition("#### ")[0]
    assert table_v.count("**") == 2 * 6
    assert ablation.render(records[:1], arrays=arrays).count("**") == 0


def test_the_order_of_the_records_does_not_matter():
    records, arrays = stored(*(measured(name, values) for name, values in three().items()))
    assert render(records[::-1], arrays=arrays) == render(records, arrays=arrays)


@pytest.mark.parametrize("values", [[0.5], [np.nan, 0.5]])
def test_a_test_that_is_impossible_says_why(values):
    records, arrays = stored(measured("a", [0.5] * len(values)), measured("b", [0.4] * len(values)))
    for name in "ab":
        arrays(next(each for each in records if each["method"]["name"] == name)).update(
            {f"ap_{task}": np.array(values) for task in TASKS}
        )
    text = render(records, arrays=arrays)
    assert "was not tested (fewer than two pairs have an AP of every method; nothing can be compared)" in text
