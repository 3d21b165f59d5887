"""Tables IV to VI: their rows, what stands in them, and what is said of rows that are missing."""

import csv
import io
import re
from itertools import product

import numpy as np
import pytest
from click.testing import CliRunner
from made_ablations import NAMES, PAPER, csv_rows, dataset, record, sections
from made_records import PROTOCOL
from printed_tables import columns_of

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.methods.parameters import parameters_of
from cmbench.methods.registry import load_method
from cmbench.report import table as leaderboard
from cmbench.report.ablation import ABLATIONS, VARIANTS, render
from cmbench.report.layout import View
from cmbench.store import Store

DASH = "\u2013"


def failed(name, seed=0):
    return {**record(name, seed=seed), "status": "out-of-memory", "map": None, "queries": None}


def all_six(**changes):
    return [record(name, 0.3 + 0.1 * at, **changes) for at, name in enumerate(NAMES)]


def labels(text):
    return {number: [row[0] for row in rows] for number, rows in sections(text).items()}


def test_the_rows_are_those_of_the_paper_in_its_order():
    assert labels(render(all_six())) == {number: [*rows.values()] for number, rows in PAPER.items()}


@pytest.mark.parametrize("name", NAMES)
def test_names_and_fixed_parameters_are_those_of_the_methods(name):
    method = load_method(name)
    assert (method.name, method.paper_name) == (name, VARIANTS[name].paper_name)
    parameters = parameters_of(type(method))
    only_one_value = {parameter.name for parameter in parameters if parameter.fixed}
    assert set(VARIANTS[name].fixed) == only_one_value
    assert set(VARIANTS) == set(NAMES)


def test_numbers_are_means_over_seeds_with_their_sample_deviation():
    values = np.random.default_rng(0).random((3, 2)).round(4)
    cells = [record("cmgans-ws", tuple(value), seed=seed) for seed, value in enumerate(values.tolist())]
    row = sections(render(cells))["IV"][1]
    columns = np.column_stack([values, values.mean(axis=1)])
    expected = [f"{column.mean():.3f} ± {column.std(ddof=1):.3f}" for column in columns.T]
    assert [cell.replace("*", "") for cell in row[1:]] == expected


def test_the_spread_over_queries_is_the_standard_error():
    text = render(all_six(), view=View(spread="queries"))
    assert sections(text)["VI"][1][1] == "0.600 ± 0.013"
    assert "± standard error over the queries of the test set" in text


def test_the_best_of_each_table_is_bold_and_nothing_in_one_with_missing_rows():
    values = {"cmgans": 0.5, "cmgans-ws": 0.6, "cmgans-inter": 0.4, "cmgans-cae": 0.5004}
    text = render([record(name, value) for name, value in values.items()])
    assert {number: [row[1] for row in rows] for number, rows in sections(text).items()} == {
        "IV": [DASH, "0.600", DASH, "0.500"],
        "V": ["0.400", "**0.500**"],
        "VI": ["**0.500**", "**0.500**"],
    }
    complete = render([*(record(name, 0.3) for name in NAMES if name != "cmgans"), record(value=0.5)])
    assert [row[1] for row in sections(complete)["IV"]] == ["0.300", "0.300", "0.300", "**0.500**"]


def test_a_method_without_a_record_has_dashes_and_the_footer_says_what_runs_it():
    text = render([record("cmgans"), record("cmgans-cae")])
    assert sections(text)["V"][0] == ["CM-GANs only inter", DASH, DASH, DASH]
    assert (
        "- No record of CM-GANs without ws&sc, CM-GANs with ws, CM-GANs with sc, CM-GANs only inter: "
        "'cmbench run --methods cmgans-none,cmgans-ws,cmgans-sc,cmgans-inter' runs them, with" in text
    )
    assert "No record" not in render(all_six())


def test_failed_cells_are_spelled_out_beside_what_finished():
    cells = [record("cmgans-ws", 0.4, seed=0), failed("cmgans-ws", seed=1), failed("cmgans-sc")]
    rows = sections(render(cells))["IV"]
    assert rows[1:4] == [
        ["CM-GANs with ws", "0.400", "0.400", "0.400"],
        ["CM-GANs with ws", "*seed 1: out of memory*", "", ""],
        ["CM-GANs with sc", "*out of memory*", "", ""],
    ]


def test_settings_of_a_method_are_rows_of_their_own_in_every_table():
    cells = [*all_six(), record("cmgans", 0.2, learning_rate=0.0002)]
    found = labels(render(cells))
    both = ["CM-GANs (learning_rate=0.0002)", "CM-GANs (learning_rate=0.001)"]
    assert [rows[-2:] for rows in found.values()] == [both] * 3
    assert [len(rows) for rows in found.values()] == [5, 3, 3]


def test_the_footer_says_in_what_rows_differ_besides_what_is_ablated():
    cells = [record("cmgans"), record("cmgans-ws", w_semantic=0.0), record("cmgans-none", tie="none")]
    assert "Rows differ" not in render(cells)
    cells.append(record("cmgans-cae", w_semantic=10.0, learning_rate=0.0002))
    assert (
        "- Rows differ in more than what is ablated: w_semantic=1.0 for CM-GANs; w_semantic=10.0 for "
        "CM-GANs-CAE; learning_rate=0.001 for CM-GANs, CM-GANs with ws, CM-GANs without ws&sc; "
        "learning_rate=0.0002 for CM-GANs-CAE." in render(cells).replace("\\", "")
    )


def test_versions_of_two_methods_are_no_difference_between_rows():
    newer = record("cmgans-cae")
    newer["method"] |= {"version": 2, "code_version": "2"}
    assert "Rows differ" not in render([record("cmgans"), newer])


def test_datasets_and_protocols_have_blocks_of_their_own_and_those_without_ablations_none():
    release = {"protocol": {**PROTOCOL, "name": "release"}}
    cells = [record(), {**record(), **release}, record(data=dataset("b")), record("cca", data=dataset("c"))]
    titles = re.findall("^### (.*)$", render(cells), flags=re.MULTILINE)
    assert titles == [
        "Ablations of CM-GANs, b (62000000), protocol paper 1",
        "Ablations of CM-GANs, toy (746f7900), protocol paper 1",
        "Ablations of CM-GANs, toy (746f7900), protocol release 1",
    ]


def test_other_methods_are_left_out():
    text = render([record(), record("cmgans-release", 0.9), record("cca", 0.9)])
    assert "RELEASE" not in text
    assert "CCA" not in text
    assert "0.900" not in text


@pytest.mark.parametrize("format_", ["markdown", "latex", "csv"])
def test_without_a_record_of_the_six_methods_there_is_an_error_that_says_what_to_run(format_):
    names = "cmgans-none,cmgans-ws,cmgans-sc,cmgans,cmgans-inter,cmgans-cae"
    with pytest.raises(ReportError, match=f"no records of CM-GANs .* 'cmbench run --methods {names}'"):
        render([record("cca")], format=format_)


def test_an_unknown_format_is_refused():
    with pytest.raises(ReportError, match="unknown table format 'xml'"):
        render(all_six(), format="xml")


def test_published_values_stand_beside_the_full_model_only_and_only_where_they_may():
    rows = sections(render(all_six(data=dataset("pascal_sentence"))))
    assert {(row[0], row[4]) for each in rows.values() for row in each} == {
        *((label, DASH) for label in NAMES.values() if label != "CM-GANs"),
        ("CM-GANs", "0.604"),
    }
    others = render(all_six(data=dataset("pascal_sentence", text_feature="LSA")))
    assert "ublished" not in others


def test_the_published_value_stands_there_before_the_full_model_was_run():
    text = render([record("cmgans-cae", data=dataset("pascal_sentence"))])
    assert sections(text)["VI"][1] == ["CM-GANs", DASH, DASH, DASH, "0.604"]
    assert text.count("Published values, Table II of arXiv 1710.05106 (CM-GANs)") == 1


def test_a_csv_leaves_out_a_dataset_without_ablations_as_other_formats_do():
    assert csv_rows([*all_six(), record("cmgans", data=dataset("another"))]) == csv_rows(all_six())


def test_a_csv_is_one_table_with_the_number_of_the_papers_table():
    cells = [cell for cell in all_six() if cell["method"]["name"] not in ("cmgans-none", "cmgans-cae")]
    rows = csv_rows([*cells, failed("cmgans-cae")])
    assert [(row["table"], row["method"], row["paper_name"]) for row in rows] == [
        (number, *names) for number, listed in PAPER.items() for names in listed.items()
    ]
    assert [row["status"] for row in rows] == ["not run", *["ok"] * 5, "out of memory", "ok"]
    for row, at in zip(rows[1:4], (1, 2, 3), strict=True):
        assert float(row["bimodal_average"]) == 0.3 + 0.1 * at
    assert rows[0]["image_to_text"] == rows[6]["image_to_text"] == ""
    assert rows[0]["seeds"] == "0"


def test_a_csv_holds_published_values_of_rows_that_were_not_run():
    first = csv_rows([record("cmgans-cae", data=dataset("pascal_sentence"))])[3]
    assert (first["method"], first["status"], first["published_image_to_text"]) == (
        "cmgans",
        "not run",
        "0.603",
    )


def test_a_csv_of_two_datasets_is_refused_but_a_dataset_without_ablations_is_none():
    with pytest.raises(ReportError, match="belong to 2 tables"):
        render([record(), record(data=dataset("b"))], format="csv")
    assert len(csv_rows([record(), record("cca", data=dataset("b"))])) == 8


@pytest.mark.parametrize(("name", "columns"), [("toy", 4), ("pascal_sentence", 5)])
def test_a_latex_table_has_three_parts_whose_rows_are_of_equal_length(name, columns):
    cells = [record("cmgans", data=dataset(name)), {**failed("cmgans-cae"), "dataset": dataset(name)}]
    text = render(cells, format="latex")
    body = re.search(r"Method\n.*?\\midrule\n(.*)\\bottomrule", text, flags=re.DOTALL)[1]
    parts = body.split("\\midrule\n")
    assert [part.count("\\\\\n") for part in parts] == [5, 3, 3]
    assert {columns_of(line) for line in body.splitlines() if line != r"\midrule"} == {columns}
    for part, number in zip(parts, PAPER, strict=True):
        assert part.startswith(rf"\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\emph{{Table {number}: ")
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_a_latex_footer_shows_the_command_as_it_is_typed():
    text = render([record()], format="latex")
    assert "cmbench run -{}-methods cmgans-none,cmgans-ws" in text.replace("\\allowbreak{}", "")
    assert not re.search("--[a-z]", text)


def test_the_latex_label_is_not_that_of_the_leaderboard():
    label = re.compile(r"\\label\{(.*)\}")
    cells = all_six()
    assert (
        label.search(render(cells, format="latex"))[1]
        != (label.search(leaderboard.render(cells, format="latex"))[1])
    )


def test_the_order_of_the_records_does_not_matter():
    cells = [record(name, 0.4, seed=seed) for name, seed in product(NAMES, (0, 1))]
    assert render(cells[::-1]) == render(cells)


@pytest.fixture
def store(tmp_path):
    """A store of two datasets with the six methods, one of them under two protocols, and of CCA."""
    made = Store(tmp_path / "runs")
    release = {"protocol": {**PROTOCOL, "name": "release"}}
    changed = [{**cell, "key": f"{cell['key']}0", **release} for cell in all_six()]
    for cell in [*all_six(), *all_six(data=dataset("b")), *changed, record("cca", 0.9)]:
        made.put(cell)
    return made.folder


def call(*arguments, status=0):
    result = CliRunner().invoke(cli, ["table", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def test_the_command_prints_what_the_options_choose(store):
    text = call("--store", store, "--ablation", "--dataset", "toy", "--protocol", "paper")
    assert text == render(all_six())
    assert len(re.findall("^### ", call("--store", store, "--ablation"), flags=re.MULTILINE)) == 3


def test_the_command_writes_a_file_instead(store, tmp_path):
    target = tmp_path / "ablation.csv"
    options = ("--dataset", "b", "--format", "csv", "--spread", "queries")
    assert call("--store", store, "--ablation", *options, "--output", target) == f"wrote {target}\n"
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    assert len(rows) == sum(len(ablation.variants) for ablation in ABLATIONS) == 8
    assert {row["image_to_text_std"] for row in rows} == {"0.0125"}


def test_methods_cannot_be_chosen_as_well(store):
    assert "leave --methods out" in call("--store", store, "--ablation", "--methods", "cmgans", status=2)
