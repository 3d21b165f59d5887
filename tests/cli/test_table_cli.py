"""The verbs ``table`` and ``plot`` on a store of records."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import TASKS, failed_record, made_record

from cmbench.cli.main import cli
from cmbench.cli.plot import plot
from cmbench.cli.table import table
from cmbench.errors import ReportError
from cmbench.store import Store


def record(data, method, protocol="paper"):
    return made_record(
        method,
        dataset=data,
        protocol=protocol,
        category_map={task: [0.25, 0.75] for task in TASKS},
    )


@pytest.fixture
def store(tmp_path):
    """A store of two datasets, one of them under two protocols."""
    records = [
        record("toy", "cca"),
        record("toy", "cfa"),
        record("toy", "cca", "release"),
        record("other", "cca"),
    ]
    for each in records:
        place = tmp_path / "runs" / "cells" / each["dataset"]["name"] / f"{each['key']}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(each))
    return tmp_path / "runs"


def call(verb, *arguments):
    """Run a verb as the command line does, errors passing through."""
    words = [verb.name, *map(str, arguments)]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def titles(text):
    return [line for line in text.splitlines() if line.startswith("### ")]


ONE = ("--dataset", "toy", "--protocol", "paper")


def test_a_table_says_that_times_are_with_different_libraries(store):
    (place,) = store.glob("cells/other/*.json")
    slow = record("other", "cca")
    fast = made_record("cfa", dataset="other", provenance={"preloaded": "fast.so"})
    for each in (slow, fast):
        (place.parent / f"{each['key']}.json").write_text(json.dumps(each))
    told = "different libraries loaded first (LD_PRELOAD; CFA had one)"
    shown = ("--store", store, "--dataset", "other", "--columns", "seconds", "--format", "markdown")
    for _ in range(2):  # from the records, and from the index
        assert told in call(table, *shown)


@pytest.mark.parametrize("format", ["markdown", "latex", "csv", "html", "text"])
def test_averages_are_shown_without_directions_in_every_format(store, format):
    words = ("--store", store, *ONE, "--format", format)
    narrow, whole = (call(table, *words, *more) for more in (("--averages",), ()))
    assert all(name in narrow for name in ("CCA", "CFA"))
    value = "0.5" if format == "csv" else "0.500"
    assert (narrow.count(value), whole.count(value)) == (2 * 2, 2 * 6)
    assert "CFA" in call(table, *words, "--averages", "--sort", "bimodal_average")


def test_averages_that_there_are_not_are_refused(store):
    with pytest.raises(ReportError, match="no column 'image_to_text' to sort by; there are bimodal_average"):
        call(table, "--store", store, *ONE, "--averages", "--sort", "image_to_text")
    for other in ("--overview", "--ablation", "--published"):
        result = CliRunner().invoke(cli, ["table", "--store", str(store), "--averages", other])
        assert result.exit_code == 2
        assert "--averages out" in " ".join(result.output.split())
    with pytest.raises(ReportError, match=r"'bimodal_average'.*; --averages shows the averages alone"):
        call(table, "--store", store, *ONE, "--columns", "bimodal_average")
    pairs = record("toy", "cca", "pairs")
    pairs["protocol"]["relevance"] = "pair"
    Store(store).put({**pairs, "measures": {name: {} for name in ("r@1", "r@5", "r@10", "medr", "rsum")}})
    with pytest.raises(ReportError, match=r"protocol pairs 1 has no averages.*; leave --averages out"):
        call(table, "--store", store, "--protocol", "pairs", "--averages")


def test_a_group_stands_for_its_members_that_have_records(store, tmp_path):
    words = ("--store", store, "--dataset", "toy", "--protocol", "paper", "--methods")
    assert call(table, *words, "paper") == call(table, *words, "cca,cfa") == call(table, *words, "cfa,paper")
    with pytest.raises(ReportError, match="no record of method 'controls'"):
        call(table, *words, "controls")
    assert call(table, "--store", store, "--dataset", "other", "--methods", "paper").count("| CCA ") == 1
    call(plot, "categories", *words, "paper", "-o", tmp_path / "bars.svg")
    assert "CFA" in (tmp_path / "bars.svg").read_text()


def test_a_group_has_what_ran_in_the_place_of_a_method_of_it(store):
    coarse = made_record("ccl-coarse", paper_name="CCL (coarse only)", dataset="other")
    (store / "cells" / "other" / f"{coarse['key']}.json").write_text(json.dumps(coarse))
    text = call(table, "--store", store, "--dataset", "other", "--methods", "paper")
    assert "| CCA " in text
    assert "| CCL (coarse only) " in text


def test_table_prints_every_dataset_and_protocol_in_a_table_of_its_own(store):
    assert titles(call(table, "--store", store)) == [
        "### other (6f746865), protocol paper 1",
        "### toy (746f7900), protocol paper 1",
        "### toy (746f7900), protocol release 1",
    ]


def test_table_keeps_what_the_options_choose(store):
    text = call(table, "--store", store, "--dataset", "toy", "--protocol", "paper", "--methods", "cfa")
    assert titles(text) == ["### toy (746f7900), protocol paper 1"]
    assert "| CFA " in text
    assert "| CCA " not in text


def test_table_writes_a_file_instead(store, tmp_path):
    (tmp_path / "new").mkdir()
    target = tmp_path / "new" / "table.tex"
    text = call(table, "--store", store, "--dataset", "other", "--format", "latex", "--output", target)
    assert r"\toprule" in target.read_text(encoding="utf-8")
    assert text == f"wrote {target}\n"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(("name", "part"), [("t.tex", r"\toprule"), ("t.csv", "method,"), ("t.md", "| CCA ")])
def test_the_ending_of_the_file_says_the_format(store, tmp_path, name, part):
    call(table, "--store", store, "--dataset", "other", "--output", tmp_path / name)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert part.lower() in text.lower()
    call(table, "--store", store, "--dataset", "other", "--format", "markdown", "--output", tmp_path / name)
    assert "| CCA " in (tmp_path / name).read_text(encoding="utf-8")


def test_a_file_whose_ending_names_no_format_is_refused(store, tmp_path):
    target = tmp_path / "table.docx"
    refused = CliRunner().invoke(cli, ["table", "--store", str(store), "-o", str(target)])
    assert refused.exit_code == 2
    assert re.search(r"end it in \.md, .*\.txt, or give --format", refused.output)
    assert not target.exists()
    call(table, "--store", store, "--dataset", "other", "-o", target, "--format", "csv")
    assert target.read_text().startswith("dataset,")


def test_a_csv_of_several_tables_is_refused_and_nothing_written(store, tmp_path):
    target = tmp_path / "table.csv"
    with pytest.raises(ReportError, match=r"belong to 3 tables .*--dataset"):
        call(table, "--store", store, "--format", "csv", "--output", target)
    assert not target.exists()
    call(table, "--store", store, "--format", "csv", "--output", target, "--dataset", "other")
    assert target.read_text().count("\n") == 2


@pytest.mark.parametrize("arguments", [[table], [plot, "categories"]])
def test_a_store_without_records_is_an_error_that_says_what_to_do(tmp_path, arguments):
    with pytest.raises(ReportError, match=r"no records in .*nowhere; run 'cmbench run' first"):
        call(*arguments, "--store", tmp_path / "nowhere")


def test_plot_writes_a_figure_named_after_the_dataset(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(
        plot,
        "categories",
        "--store",
        store,
        "--dataset",
        "toy",
        "--protocol",
        "paper",
        "--methods",
        "cca, CFA",
    )
    assert (tmp_path / "categories-toy.pdf").read_bytes().startswith(b"%PDF")


def test_plot_asks_to_choose_between_datasets_and_between_protocols(store, tmp_path):
    target = tmp_path / "figure.svg"
    with pytest.raises(ReportError, match="choose one dataset and one protocol"):
        call(plot, "categories", "--store", store, "--dataset", "toy", "--output", target)
    call(plot, "categories", "--store", store, "--dataset", "other", "--output", target)
    assert target.read_text().startswith("<?xml")


LIGHT = """
import pkgutil, sys
from importlib import import_module
import cmbench.report
for module in pkgutil.iter_modules(cmbench.report.__path__):
    import_module(f"cmbench.report.{module.name}")
from cmbench.cli.plot import plot
from cmbench.cli.table import table
store, target = sys.argv[1:]
table(["--store", store], standalone_mode=False)
table(["--store", store, "--ablation"], standalone_mode=False)
plot(["categories", "--store", store, "--dataset", "other", "--output", target], standalone_mode=False)
plot(["training", "cmgans", "--store", store, "--output", target], standalone_mode=False)
print("heavy:", sorted({"torch", "sklearn", "matplotlib.pyplot"} & set(sys.modules)))
"""

THIN = """
import sys
import cmbench.cli.table, cmbench.cli.plot
print("heavy:", sorted({"torch", "sklearn", "matplotlib", "pandas", "jinja2", "tabulate"} & set(sys.modules)))
"""


def last_line(code, *arguments):
    command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]


def test_reporting_imports_neither_torch_nor_scikit_learn_nor_pyplot(store, tmp_path):
    Store(store).put(record("toy", "cmgans"), {"curve_iteration": np.arange(3.0), "curve_loss": np.ones(3)})
    assert last_line(LIGHT, store, tmp_path / "figure.pdf") == "heavy: []"


def test_importing_the_verbs_imports_nothing_heavy():
    assert last_line(THIN) == "heavy: []"


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        (("r@1",), "R@1"),
        (("r@1", "p@3"), "R@1 P@3"),
        (("r@1", "r@5", "medr", "p@3"), "R@1 R@5 P@3 MedR"),
        (("r@1", "r@5", "r@10", "medr", "rsum", "p@3"), "R@1 R@5 R@10 MedR"),
        ((), ""),
    ],
)
def test_what_was_measured_is_shown_where_that_is_not_what_the_protocol_reports(store, measured, shown):
    pairs = record("toy", "cca", "pairs")
    pairs["protocol"]["relevance"] = "pair"
    Store(store).put({**pairs, "measures": {name: dict.fromkeys(TASKS[:2], 0.25) for name in measured}})
    printed = call(table, "--store", store)
    headings = [
        heading for heading in ("R@1", "R@5", "R@10", "P@3", "MedR") if re.search(rf"{heading}\b", printed)
    ]
    assert headings == shown.split()
    assert printed.count("### ") == 4


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", [["table"], ["clean"]])
def test_streams_that_are_closed_are_no_error(store, words, closed):
    Store(store).put(failed_record("dcca"))
    command = [sys.executable, "-m", "cmbench", *words, "--store", str(store)]
    without = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    done = subprocess.run(without, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
