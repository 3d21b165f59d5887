"""One table over several datasets: means, ranks, wins, and what is said where they say nothing."""

import csv
import io
import re

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import TASKS, failed_record, made_record
from scipy import stats

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.report.layout import View
from cmbench.report.overview import render
from cmbench.store import Store

SCORES = {
    "first": {"a": 0.50, "b": 0.40, "c": 0.30},
    "second": {"a": 0.60, "b": 0.50, "c": 0.10},
    "third": {"a": 0.40, "b": 0.50, "c": 0.20},
}


def records(scores=SCORES):
    return [
        made_record(name, value, dataset=dataset)
        for dataset, values in scores.items()
        for name, value in values.items()
    ]


def sections(text):
    """The rows of every part by its heading."""
    found = {}
    for part in text.split("#### ")[1:]:
        lines = [line for line in part.splitlines() if line.startswith("|")]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
        found[part.partition("\n")[0]] = [rows[0], *rows[2:]]
    return found


def test_datasets_are_columns_and_rows_are_ordered_by_average_rank():
    found = sections(render(records()))
    heading = ["Method", "first", "second", "third", "average rank", "wins"]
    assert list(found) == ["bi-modal average", "all-modal average"]
    assert found["bi-modal average"] == [
        heading,
        ["A", "**0.500**", "**0.600**", "0.400", "1.33", "2"],
        ["B", "0.400", "0.500", "**0.500**", "1.67", "1"],
        ["C", "0.300", "0.100", "0.200", "3.00", "0"],
    ]


def test_controls_that_learn_nothing_are_shown_but_not_ranked():
    with_controls = {name: {**values, "random": 0.9} for name, values in SCORES.items()}
    text = render(records(with_controls))
    rows = sections(text)["bi-modal average"]
    assert [row[0] for row in rows[1:]] == ["A", "B", "C", "RANDOM"]
    assert rows[-1][-2:] == ["\u2013", "\u2013"]
    assert [row[-2:] for row in rows[1:4]] == [["1.33", "2"], ["1.67", "1"], ["3.00", "0"]]
    assert "Not ranked" not in text


def test_friedmans_test_is_that_of_scipy_and_ranks_that_differ_are_told():
    random = np.random.default_rng(0)
    scores = {
        f"d{at}": {
            name: float(0.9 - 0.1 * place + 0.01 * random.random()) for place, name in enumerate("abcd")
        }
        for at in range(8)
    }
    p = stats.friedmanchisquare(*([each[name] for each in scores.values()] for name in "abcd")).pvalue
    text = render(records(scores))
    assert f"all 4 methods on 8 datasets rank alike has p = {p:.3g}; average ranks that lie more than" in text
    assert "Not told apart from the best rank: A, B." in text
    nothing = {name: dict(zip("abc", values, strict=True)) for name, values in NOISE.items()}
    assert "so that ranks tell nothing apart" in render(records(nothing))


NOISE = {"first": (0.5, 0.4, 0.3), "second": (0.3, 0.5, 0.4), "third": (0.4, 0.3, 0.5)}


def test_a_method_that_a_dataset_lacks_is_shown_and_not_ranked():
    cells = [*records(), made_record("d", 0.9, dataset="first"), failed_record("d", dataset="second")]
    last = sections(render(cells))["bi-modal average"][-1]
    assert last == ["D", "**0.900**", "\u2013", "\u2013", "\u2013", "\u2013"]
    text = render(cells)
    assert "Not ranked, since not on all datasets: D." in text
    assert "Wins: on how many datasets a ranked method has the best number of all that are ranked" in text


def test_two_methods_are_too_few_for_the_test_and_one_for_ranks():
    two = {name: {"a": values["a"], "b": values["b"]} for name, values in SCORES.items()}
    assert "2 methods on 3 datasets are too few for Friedman's test" in render(records(two))
    one = {name: {"a": values["a"]} for name, values in SCORES.items()}
    assert "nothing is ranked" in render(records(one))
    one["first"] |= {"b": 0.4}
    assert "Not ranked, since not on all datasets: B." in render(records(one))


def test_marks_are_those_of_each_dataset_by_the_paired_test():
    random = np.random.default_rng(0)
    base = random.uniform(0.2, 0.8, 200)
    cells, held = [], {}
    for dataset in ("first", "second"):
        for name, shift in (("a", 0.0), ("b", -0.001), ("c", -0.2)):
            noise = random.normal(0, 0.1, 200)
            ap = base + shift + noise - noise.mean()
            record = made_record(name, float(ap.mean()), dataset=dataset, queries=dict.fromkeys(TASKS, 200))
            cells.append(record)
            held[record["key"]] = {f"ap_{task}": ap for task in TASKS}
    rows = sections(render(cells, arrays=lambda record: held[record["key"]]))["bi-modal average"][1:]
    bold = {row[0]: [cell.startswith("**") for cell in row[1:3]] for row in rows}
    assert bold == {"A": [True, True], "B": [True, True], "C": [False, False]}


def test_two_protocols_have_a_table_each_and_one_dataset_has_none():
    release = [made_record("a", 0.1, dataset=name, protocol="release") for name in SCORES]
    titles = re.findall("^### (.*)$", render([*records(), *release]), flags=re.MULTILINE)
    assert titles == ["3 datasets, protocol paper 1", "3 datasets, protocol release 1"]
    with pytest.raises(ReportError, match="no protocol has finished cells on two datasets"):
        render(records({"first": SCORES["first"]}))


def test_two_versions_of_a_dataset_are_told_apart():
    cells = records({"first": SCORES["first"], "second": SCORES["second"]})
    for cell in cells[3:]:
        cell["dataset"]["name"] = "first"
    heading = sections(render(cells))["bi-modal average"][0]
    assert heading[1:3] == ["first (66697273)", "first (7365636f)"]


def test_a_first_try_on_a_part_of_the_pairs_is_no_dataset_to_rank_on():
    tried = [made_record("a", 0.9, dataset="first-limit-20")]
    text = render([*records(), *tried])
    told = "Left out, since of a part of the pairs alone (--limit): first-limit-20."
    assert told in text
    assert text.replace(f"- {told}\n", "") == render(records())


def test_settings_whose_labels_leave_out_what_differs_between_datasets_are_no_one_row():
    cells = []
    for dataset, other in (("first", 2), ("second", 3)):
        for depth in ("validation", 4):
            rest = dict.fromkeys("bcd", other if depth == "validation" else 0)
            parameters = {"a": depth, **rest}
            cells.append(made_record("cca", 0.5, dataset=dataset, parameters=parameters))
        cells.append(made_record("cfa", 0.4, dataset=dataset))
    rows = {row[0] for row in sections(render(cells))["bi-modal average"][1:]}
    assert rows == {
        "CFA",
        "CCA (a=4, …)",
        "CCA (a=validation, b=2, c=2, d=2)",
        "CCA (a=validation, b=3, c=3, d=3)",
    }


def test_a_csv_is_one_table_and_the_order_of_records_does_not_matter():
    rows = list(csv.DictReader(io.StringIO(render(records(), format="csv"))))
    assert len(rows) == 6
    assert rows[0]["label"] == "A"
    assert float(rows[0]["average_rank"]) == pytest.approx(4 / 3)
    assert (rows[0]["first"], rows[0]["wins"]) == ("0.5", "2")
    for format_ in ("markdown", "latex", "html", "text", "csv"):
        assert render(records()[::-1], format=format_) == render(records(), format=format_)


def test_the_command_prints_it_and_refuses_what_does_not_fit(tmp_path):
    store = Store(tmp_path)
    for record in records():
        store.put(record)
    words = ["table", "--store", str(tmp_path), "--overview"]
    printed = CliRunner().invoke(cli, words)
    assert printed.output == render(records(), view=View())
    for more, said in ((["--ablation"], "two tables"), (["--sort", "seconds"], "sorts by average rank")):
        refused = CliRunner().invoke(cli, [*words, *more])
        assert refused.exit_code == 2
        assert said in " ".join(refused.output.split())
