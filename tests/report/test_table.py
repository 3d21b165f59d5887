"""Tables and data frames of records: layout, marks, failures, seeds, and what never shares a table."""

import csv
import io
import json
import random
import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from made_records import NUMBERS, PROTOCOL, TASKS, made_dataset, made_error, made_record, on_split
from printed_tables import columns_of, rows_of

import cmbench
from cmbench.errors import ReportError
from cmbench.report.cells import records_frame
from cmbench.report.layout import View
from cmbench.report.settings import PAPER_ORDER, failure_text
from cmbench.report.table import render, table

DATASET = made_dataset(
    fingerprint="0123456789abcdef" * 4,
    image_feature="MobileNetV2 pool",
    text_feature="300-d LSA",
    image_dimension=1280,
    text_dimension=300,
)
HEADINGS = ["Method"]
HEADINGS += ["image→text", "text→image", "bi-modal average", "image→all", "text→all", "all-modal average"]


def record(paper_name="CCA", value=0.5, **changes):
    """A record whose four MAPs are ``value``, or the four values given."""
    key = f"{paper_name}-{changes.get('seed')}-{changes.get('parameters')}"
    given = {"key": key, "name": paper_name.lower(), "dataset": DATASET, "protocol": PROTOCOL, **changes}
    return made_record(given.pop("name"), value, paper_name=paper_name, **given)


def failed(status, paper_name="CFA", *, error=None, total=50.04, **changes):
    durations = {"fit": None, "transform": None, "evaluate": None, "total": total}
    nothing = dict.fromkeys((*NUMBERS, "peak_memory_bytes"))
    return record(
        paper_name, **{**nothing, "status": status, "error": error, "durations": durations, **changes}
    )


def labels_of(records):
    return [row.label for row in table(records).rows]


def test_a_markdown_table_has_the_papers_columns_and_the_numbers_of_the_records():
    text = render([record("CCA", [0.1, 0.3, 0.25, 0.35]), record("KCCA", [0.2, 0.2, 0.15, 0.4])])
    assert rows_of(text) == [
        HEADINGS,
        ["KCCA", "**0.200**", "0.200", "**0.200**", "0.150", "**0.400**", "0.275"],
        ["CCA", "0.100", "**0.300**", "**0.200**", "**0.250**", "0.350", "**0.300**"],
    ]


def test_numbers_that_print_the_same_are_equally_best():
    values = {"A": 0.5004, "B": 0.4996, "C": 0.3, "D": 0.3, "E": 0.1}
    rows = rows_of(render([record(name, value) for name, value in values.items()]))
    assert [row[1] for row in rows[1:]] == ["**0.500**", "**0.500**", "0.300", "0.300", "0.100"]


def test_title_and_description_name_dataset_features_sizes_and_protocol():
    text = render([record()])
    assert text.startswith("### toy (01234567), protocol paper 1\n")
    assert (
        "Images: 1280-d MobileNetV2 pool; texts: 300-d LSA; 80/8/10 training/validation/test pairs; 2 cat"
        in text
    )


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (failed("timeout", limits={"deadline": 45.0, "memory": None}), "timeout after 45 s"),
        (failed("timeout", limits={"deadline": 21600.0, "memory": None}), "timeout after 6 h 0 min"),
        (failed("timeout"), "timeout after 50 s"),
        (failed("timeout", total=None), "timeout"),
        (failed("crashed", error=made_error(exit_status=-11)), "crashed (signal 11)"),
        (failed("crashed", error=made_error(exit_status=3)), "crashed (exit status 3)"),
        (failed("crashed"), "crashed"),
        (failed("out-of-memory"), "out of memory"),
        (failed("failed", error=made_error("ValueError")), "failed: ValueError"),
    ],
)
def test_a_failed_cell_is_spelled_out_across_its_row(made, expected):
    assert failure_text(made) == expected
    rows = rows_of(render([record("CCA", 0.5), made]))
    assert rows[1] == ["CFA", f"*{expected}*", "", "", "", "", ""]
    assert rows[2][1] == "**0.500**"
    assert rf"CFA & \multicolumn{{6}}{{l}}{{\emph{{{expected}}}}} \\" in render([made], format="latex")


def test_seeds_are_averaged_with_their_sample_deviation_and_counted_in_the_footer():
    seeds = [record("DCCA", value, seed=seed) for seed, value in enumerate((0.2, 0.3, 0.4))]
    text = render([*seeds, record("CCA", 0.1)])
    assert rows_of(text)[1][1] == "**0.300** ± 0.100"
    assert rows_of(text)[2][1] == "0.100"
    assert "- Seeds: 3 (mean ± sample standard deviation); methods without randomness run once." in text


def test_one_seed_on_several_splits_has_a_deviation_and_the_footer_says_so():
    cells = [record("DCCA", 0.2, seed=0), record("CCA", 0.1)]
    text = render([*cells, *(on_split(each, 1) for each in cells)])
    assert (
        "- Seeds: 1 (mean ± sample standard deviation); methods without randomness run once on each" in text
    )
    assert "Seeds: 1 (no spread); methods without randomness run once." in render(cells)


def test_the_spread_over_queries_is_of_as_many_seeds_as_each_row_has():
    cells = [record("CCL", 0.2, seed=seed) for seed in (0, 1)] + [record("DCCA", 0.2, seed=0)]
    text = render(cells, view=View(spread="queries"))
    assert (
        "± standard error over the queries of the test set; mean over seeds: 1 for DCCA; 2 for CCL." in text
    )


def test_the_sign_of_a_smaller_budget_stands_only_where_the_larger_one_has_a_number():
    small, large = record("CCA", 0.5), failed("timeout")
    for each, trials in ((small, 10), (large, 40)):
        each["method"]["tuning"] = {"profile": "mine", "trials": trials}
    assert "‡" not in render([small, large])


def test_the_footer_says_which_rows_average_over_how_many_seeds():
    cells = [record("CCL", 0.2, seed=seed) for seed in (0, 1)] + [record("DCCA", 0.2, seed=0)]
    assert "- Seeds (mean ± sample standard deviation): 1 for DCCA; 2 for CCL; methods" in render(cells)


def test_the_seed_among_the_parameters_does_not_split_a_row():
    cells = [
        record("DCCA", 0.2, seed=seed, parameters={"random_state": seed, "rate": 0.1}) for seed in (0, 1)
    ]
    assert labels_of(cells) == ["DCCA"]
    assert csv_rows(cells)[0]["parameters"] == '{"rate": 0.1}'


def test_a_failed_seed_gets_a_row_beside_the_mean_of_the_others():
    cells = [record("DCCA", value, seed=seed) for seed, value in enumerate((0.2, 0.4))]
    cells += [failed("timeout", "DCCA", seed=2), failed("timeout", "DCCA", seed=3)]
    cells += [failed("out-of-memory", "DCCA", seed=4)]
    _, mean, failure = rows_of(render(cells))
    assert mean[:2] == ["DCCA", "**0.300** ± 0.141"]
    assert failure[:2] == ["DCCA", "*seeds 2, 3: timeout after 50 s; seed 4: out of memory*"]


def test_settings_of_a_method_are_rows_labelled_by_the_parameters_that_differ():
    grid = product((10, 9), ("rbf", "linear"))
    cells = [record("KCCA", 0.2, parameters={"k": k, "kernel": kernel, "ridge": 0.1}) for k, kernel in grid]
    assert labels_of([*cells, record("CCA", parameters={"k": 3})]) == [
        "KCCA (k=9, kernel=linear)",
        "KCCA (k=9, kernel=rbf)",
        "KCCA (k=10, kernel=linear)",
        "KCCA (k=10, kernel=rbf)",
        "CCA",
    ]


def test_of_many_parameters_that_differ_a_label_names_those_that_tell_settings_apart():
    names = "abcde"
    chosen = [(1, 1, 1, 1, 1), (1, 2, 2, 2, 2), (1, 2, 3, 3, 3), (2, 1, 4, 4, 4)]
    cells = [record("CCA", parameters=dict(zip(names, values, strict=True))) for values in chosen]
    first = ["a=1, b=1, …", "a=1, b=2, …", "a=2, b=1, …"]
    assert labels_of([cells[0], cells[1], cells[3]]) == [f"CCA ({text})" for text in first]
    assert labels_of(cells)[1:3] == ["CCA (a=1, b=2, c=2, …)", "CCA (a=1, b=2, c=3, …)"]


@pytest.mark.parametrize(
    ("ridges", "told"),
    [
        ([0.018408328664605844, 9.862567709344884], ["0.01841", "9.863"]),
        ([0.1, 2.0], ["0.1", "2.0"]),
        ([0.018408328664605844, 0.018409], ["0.018408328664605844", "0.018409"]),
    ],
)
def test_a_label_tells_numbers_in_four_digits_where_those_tell_them_apart(ridges, told):
    cells = [record("CCA", parameters={"ridge": ridge}) for ridge in ridges]
    assert labels_of(cells) == [f"CCA (ridge={text})" for text in told]


def test_two_versions_of_a_methods_code_are_never_averaged():
    cells = [record("DCCA", 0.2, seed=0), record("DCCA", 0.4, seed=1, version=2)]
    assert labels_of(cells) == ["DCCA (code=1)", "DCCA (code=2)"]


def test_methods_that_share_a_paper_name_are_told_apart():
    assert labels_of([record("CCA"), record("CCA", name="mycca")]) == ["CCA [cca]", "CCA [mycca]"]


def test_rows_follow_the_paper_and_then_the_alphabet_whatever_the_order_of_the_records():
    names = ["CCL (coarse only)", *PAPER_ORDER, "Aardvark", "zebra"]
    assert PAPER_ORDER[0] == "CM-GANs"
    assert PAPER_ORDER[-1] == "CCA"
    cells = [record(name, seed=seed) for name in names for seed in (0, 1)]
    expected = render(cells)
    for seed in range(5):
        random.Random(seed).shuffle(cells)
        assert render(cells) == expected
    first, *others = PAPER_ORDER
    assert labels_of(cells) == [first, "CCL", "CCL (coarse only)", *others[1:], "Aardvark", "zebra"]


@pytest.mark.parametrize("change", [{"name": "release"}, {"version": 2}, {"cutoff": 50}])
def test_two_protocols_never_share_a_table(change):
    cells = [record("CCA"), record("CFA", protocol={**PROTOCOL, **change})]
    assert [len(rows_of(part)) for part in render(cells).split("### ")[1:]] == [2, 2]
    with pytest.raises(ReportError, match="belong to 2 tables"):
        table(cells)
    with pytest.raises(ReportError, match="belong to 2 tables"):
        render(cells, format="csv")


def test_one_dataset_under_two_names_is_one_table():
    cells = [record("CCA"), record("CFA", dataset={**DATASET, "name": "copy"})]
    made = table(cells)
    assert made.title == "copy = toy (01234567), protocol paper 1"
    assert [row.label for row in made.rows] == ["CFA", "CCA"]


def test_two_versions_of_a_dataset_never_share_a_table_and_their_titles_differ():
    cells = [record("CCA"), record("CCA", dataset={**DATASET, "fingerprint": "f" * 64})]
    titles = re.findall(r"^### (.*)$", render(cells), flags=re.MULTILINE)
    assert titles == ["toy (01234567), protocol paper 1", "toy (ffffffff), protocol paper 1"]
    with pytest.raises(ReportError, match="choose one dataset"):
        table(cells)


def test_two_records_of_one_cell_are_refused_instead_of_counted_as_seeds():
    with pytest.raises(ReportError, match="two records of one cell: cca with seed None"):
        render([record("CCA", 0.2), record("CCA", 0.4)])


def test_records_of_one_group_with_other_gallery_sizes_are_refused():
    odd = record("CFA", gallery=dict.fromkeys(TASKS, 9))
    with pytest.raises(ReportError, match=r"\(cca\) and \S+ \(cfa\) .* disagree on the gallery .* delete"):
        render([record("CCA"), odd])


def test_the_footer_defines_the_numbers():
    text = render([record()])
    for part in (
        "MAP under protocol paper, version 1: cosine similarity; full ranking (no cut-off); "
        "AP divides by all relevant items of the gallery; the query stays in the all-modal gallery",
        "ties by expectation",
        "Queries: 10 per task. Gallery items: 10 bi-modal, 20 all-modal.",
        "Chance (expected MAP of a random ranking): 0.6",
        f"cmbench {cmbench.__version__}; dataset fingerprint {DATASET['fingerprint']}.",
    ):
        assert part in text


def test_the_footer_tells_another_protocol_by_its_words():
    protocol = {**PROTOCOL, "cutoff": 50, "denominator": "min", "keep_query": False}
    text = render([record(protocol={**protocol, "normalisation": "test-zscore"})])
    assert "cut-off at rank 50 (MAP@50)" in text
    assert "or the cut-off, whichever is smaller; the query is left out of the all-modal gallery" in text
    assert "standardised over the test set" in text


def test_the_footer_names_the_rows_that_learnt_from_test_features():
    made = [record("CCA"), {**record("JRL"), "transductive": True}]
    assert "Transductive, fitted with the features of the test items at hand: JRL.\n" in render(made)
    assert "Transductive" not in render(made[:1])


def test_chance_is_left_out_where_the_class_counts_are_unknown():
    dataset = {key: value for key, value in DATASET.items() if key != "test_counts"}
    assert "Chance" not in render([record(dataset=dataset)])


def csv_rows(cells):
    return list(csv.DictReader(io.StringIO(render(cells, format="csv"))))


def test_a_csv_gives_back_the_numbers_at_full_precision():
    values = np.random.default_rng(0).random((3, 4)).tolist()
    cells = [record("DCCA", value, seed=seed) for seed, value in enumerate(values)] + [failed("timeout")]
    finished, failure = csv_rows(cells)
    assert (finished["method"], finished["status"], finished["seeds"]) == ("dcca", "ok", "3")
    assert (failure["method"], failure["status"], failure["seeds"]) == ("cfa", "timeout after 50 s", "0")
    for at, task in enumerate(TASKS):
        column = np.asarray(values)[:, at]
        assert float(finished[task]) == pytest.approx(column.mean(), rel=1e-15)
        assert float(finished[f"{task}_std"]) == pytest.approx(column.std(ddof=1), rel=1e-14)
        assert failure[task] == ""
    assert (finished["protocol"], finished["fingerprint"]) == ("paper", DATASET["fingerprint"])
    assert "published_image_to_text" not in finished


def test_a_csv_of_one_seed_holds_the_exact_number_and_no_deviation():
    value = 0.1 + 0.2
    (row,) = csv_rows([record("CCA", value)])
    assert float(row["image_to_text"]) == value
    assert row["image_to_text_std"] == ""


def test_a_latex_table_has_booktabs_rules_and_rows_of_equal_length():
    text = render([record("CCA"), record("DCCA", 0.2, seed=0), failed("timeout")], format="latex")
    head, body = re.search(r"\\toprule\n(.*)\\midrule\n(.*)\\bottomrule", text, flags=re.DOTALL).groups()
    assert r"\begin{tabular}{@{}lllllll@{}}" in text
    assert "\\cmidrule(lr){2-4}\n\\cmidrule(l){5-7}" in head
    assert [columns_of(line) for line in body.splitlines()] == [7, 7, 7]
    first, _, second = (
        part.replace("\n", "") for part in re.split(r"(\n\\cmidrule.*)\n(?=Method)", head, flags=re.S)
    )
    assert columns_of(first) == 7
    assert columns_of(second) == 7
    assert r"\multicolumn{3}{c}{Bi-modal}" in head
    assert "image$\\to$text & text$\\to$image & average" in head
    assert r"\textbf{0.500}" in body
    assert r"& 0.200 &" in body
    for environment in ("table*", "tabular", "minipage"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}") == 1
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_shows_special_characters_as_they_are():
    dataset = {**DATASET, "name": "50%_a&b#1", "image_feature": r"~x^2 {a\b} $y$"}
    text = render([record("C_A", dataset=dataset, parameters={"a_b": 1})], format="latex")
    assert r"50\%\_a\&b\#1" in text
    assert r"\textasciitilde{}x\textasciicircum{}2 \{a\textbackslash{}b\} \$y\$" in text
    assert r"C\_A &" in text
    assert text.isascii()


def test_markdown_shows_special_characters_as_they_are():
    text = render([record("a|b*", dataset={**DATASET, "name": "<i>"})])
    assert r"### \<i\> (01234567)" in text
    assert [row[0] for row in rows_of(text)] == ["Method", r"a\|b\*"]


def test_no_records_and_unknown_formats_are_refused():
    for format_ in ("markdown", "latex", "csv"):
        with pytest.raises(ReportError, match="no records"):
            render([], format=format_)
    with pytest.raises(
        ReportError, match="unknown table format 'xml'; use markdown, latex, html, text or csv"
    ):
        render([record()], format="xml")


def test_a_frame_has_one_typed_row_per_cell():
    cells = [
        record("DCCA", 0.25, seed=3, parameters={"b": 1, "a": None}),
        failed("failed", error=made_error()),
    ]
    frame = records_frame(cells)
    assert frame["key"].tolist() == [cell["key"] for cell in cells]
    assert frame["seed"].tolist() == [3, pd.NA]
    assert frame["parameters"][0] == json.dumps({"a": None, "b": 1})
    assert frame["status"].tolist() == ["ok", "failed"]
    assert frame["image_to_all"][0] == 0.25
    assert np.isnan(frame["image_to_all"][1])
    assert frame["fit_seconds"][0] == 1.5
    assert frame["error"][1] == "Error: a message"
    assert frame["allmodal_average"].dtype == np.float64


def test_a_frame_of_no_records_has_the_same_columns_and_types():
    empty, full = records_frame([]), records_frame([record()])
    assert len(empty) == 0
    assert empty.columns.tolist() == full.columns.tolist()
    assert empty["image_to_text"].dtype == full["image_to_text"].dtype
