"""What a table shows beside its measures, in which order, and that names survive in every format."""

import csv
import html
import io
import re
from html.parser import HTMLParser

import pytest
from made_records import TASKS, failed_record, made_dataset, made_error, made_record, on_split
from printed_tables import rows_of

from cmbench.errors import ReportError
from cmbench.report import ablation
from cmbench.report.layout import View
from cmbench.report.screen import text as on_screen
from cmbench.report.table import render, tables

FORMATS = ("markdown", "latex", "html", "text", "csv")


def seeds(name, *values, **changes):
    return [made_record(name, value, seed=seed, **changes) for seed, value in enumerate(values)]


class Cells(HTMLParser):
    """The texts of the cells of HTML tables, row by row, and all tags that are open at the end."""

    def __init__(self):
        super().__init__()
        self.rows, self.open, self.inside = [], [], False

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def html_rows(text):
    cells = Cells()
    cells.feed(text)
    assert cells.open == []
    return cells.rows


NAMES = ['a & b % c _d_ #1 <i> "q" > e', "动物 和 植物", "Ζώα και δέντρα", "قطة كبيرة", "x|y*z`"]


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_in_every_format(name):
    dataset = made_dataset(name, image_feature=name)
    records = [
        made_record("m", 0.5, paper_name=name, dataset=dataset),
        made_record("n", 0.4, dataset=dataset),
    ]
    written = {each: render(records, format=each) for each in FORMATS}
    assert name in [row[0] for row in html_rows(written["html"])]
    assert html.escape(name, quote=False) in written["html"].replace("&#34;", '"')
    assert "<i>" not in written["html"]
    assert name in [row["label"] for row in csv.DictReader(io.StringIO(written["csv"]))]
    assert name in " ".join(written["text"].split())
    unescaped = re.sub(r"\\([\\`*<>|\[\]_])", r"\1", written["markdown"])
    assert f"| {name} " in unescaped
    for part in re.findall(r"\w+", name):
        assert part.strip("_") in written["latex"]


@pytest.mark.parametrize("format_", FORMATS)
def test_the_order_of_the_records_does_not_matter_in_any_format(format_):
    cells = [*seeds("dcca", 0.2, 0.4), made_record("cca", 0.3), failed_record("cfa", error=made_error())]
    view = View(columns=["seconds", "profile"], sort="image_to_text")
    assert render(cells[::-1], format=format_, view=view) == render(cells, format=format_, view=view)


def test_facts_stand_beside_the_numbers():
    costs = {"durations": {"fit": 100.0, "transform": 23.0}, "peak_memory_bytes": 2_345_000_000}
    tuned = made_record("b", 0.4, weights=1_234_567, **costs)
    tuned["method"]["tuning"] = {"profile": "night", "trials": 40}
    view = View(columns=["seconds", "memory", "weights", "seeds", "trials", "profile", "family"])
    heading, *rows = rows_of(render([*seeds("a", 0.5, 0.3), tuned], view=view))
    assert heading[-7:] == ["seconds", "MB", "weights", "seeds", "trials", "profile", "family"]
    assert [row[-7:] for row in rows] == [
        ["1.8", "0", "24", "2", "0", "defaults", "traditional"],
        ["123", "2,345", "1,234,567", "1", "40", "night", "traditional"],
    ]
    old = made_record("old", 0.1)
    del old["weights"], old["method"]["defaults"]
    assert rows_of(render([old], view=view))[1][-5:-1] == ["\u2013", "1", "0", "\u2013"]
    assert "Columns: seconds of fitting" in render([old], view=View(columns=["seconds"]))


def test_a_failed_row_has_no_facts_and_every_row_as_many_cells():
    view = View(columns=["seconds", "weights"])
    records = [made_record("a"), failed_record("b", "out-of-memory")]
    assert {len(row) for row in rows_of(render(records, view=view))} == {9}
    latex = render(records, format="latex", view=view)
    assert r"\emph{out of memory}} & \textendash{} & \textendash{} \\" in latex
    last = html_rows(render(records, format="html", view=view))[-1]
    assert last == ["B", "out of memory", "\u2013", "\u2013"]
    assert "B: out of memory" in render(records, format="text", view=view)


def test_a_measure_among_the_columns_comes_beside_the_others():
    record = made_record("a", measures={"p@10": dict.fromkeys((*TASKS, "bimodal_average"), 0.7)})
    record["chance"] = {"map": {}, "p@10": {}}
    heading, row = rows_of(render([record], view=View(columns=["p@10", "seeds"])))
    assert heading[1:4] == ["image→text", "text→image", "bi-modal average"]
    assert heading[-4:] == ["P@10 image→text", "P@10 text→image", "P@10 bi-modal average", "seeds"]
    assert row[-4:] == ["**0.700**", "**0.700**", "**0.700**", "1"]
    with pytest.raises(ReportError, match="unknown column 'weight': there are seconds, processor, memory"):
        render([record], view=View(columns=["weight"]))


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, ["KCCA", "CCA", "X"]),
        ("image_to_text", ["CCA", "X", "KCCA"]),
        ("bi-modal average", ["CCA", "X", "KCCA"]),
        ("map", ["CCA", "X", "KCCA"]),
        ("seconds", ["X", "KCCA", "CCA"]),
        ("family", ["X", "KCCA", "CCA"]),
    ],
)
def test_rows_are_sorted_by_a_column_the_best_first(sort, expected):
    quick, slow = ({"durations": {"fit": fit, "transform": 0.0}} for fit in (1.0, 2.0))
    records = [
        made_record("cca", 0.9, **slow),
        made_record("kcca", 0.1, **quick),
        made_record("x", 0.5, family="deep", durations={"fit": 0.5, "transform": 0.1}),
        failed_record("broken"),
    ]
    labels = [row[0] for row in rows_of(render(records, view=View(sort=sort)))[1:]]
    assert [label for label in labels if label != "BROKEN"] == expected
    assert sort is None or labels[-1] == "BROKEN"


def test_an_unknown_column_to_sort_by_names_those_there_are():
    with pytest.raises(ReportError, match=r"no column 'size' to sort by; .* image_to_text, .*, family"):
        render([made_record()], view=View(sort="size"))


def test_digits_caption_and_label_are_those_asked_for():
    view = View(digits=5, caption="Of 50 % & more", label="tab:mine")
    latex = render([made_record("a", 0.123456789)], format="latex", view=view)
    assert r"\textbf{0.12346}" in latex
    assert "\\caption{Of 50 \\% \\& more}\n\\label{tab:mine}\n" in latex
    assert "### Of 50 % & more\n\n| Method" in render([made_record("a")], view=view)
    assert "<title>Of 50 % &amp; more</title>" in render([made_record("a")], format="html", view=view)
    with pytest.raises(ReportError, match="a label is for one table, and there are 2"):
        render([made_record(), made_record(dataset="other")], format="latex", view=view)


def test_a_row_that_is_not_at_defaults_says_so_and_the_footer_how():
    given = made_record("a", 0.5, parameters={"k": 50, "kernel": "rbf", "threads": 3})
    given["method"] |= {"defaults": {"k": 10, "threads": None}, "practical": ["threads"]}
    text = render([given, made_record("b", 0.4)])
    assert [row[0] for row in rows_of(text)[1:]] == ["A †", "B"]
    assert "- † Not at the defaults of the method, which stand in brackets: A (k=50 \\[10\\]).\n" in text
    assert r"A\textsuperscript{\textdagger{}} & \textbf{0.500}" in render([given], format="latex")
    assert "†" not in render([made_record("b", 0.4)])


def test_rows_tuned_with_fewer_trials_are_marked():
    tuned = [made_record(name, 0.5) for name in "abc"]
    tuned[0]["method"]["tuning"] = {"profile": "p", "trials": 40}
    tuned[1]["method"]["tuning"] = {"profile": "p", "trials": 12}
    text = render(tuned)
    assert [row[0] for row in rows_of(text)[1:]] == ["A", "B ‡", "C ‡"]
    assert "‡ Parameters chosen from fewer trials than the 40 of others: B 12, C none." in text


def test_warnings_stand_under_the_table_with_their_seeds():
    cells = seeds("a", 0.5, 0.4, 0.3)
    cells[0]["warnings"], cells[2]["warnings"] = ["a: collapsed", "odd"], ["odd"]
    cells += seeds("b", 0.2, 0.1, warnings=["at chance"])
    text = render(cells)
    assert [row[0] for row in rows_of(text)[1:]] == ["A !", "B !"]
    assert (
        "- ! Warnings: A: collapsed (in 1 of 3 runs: seed 0); A: odd (in 2 of 3 runs: seeds 0, 2); "
        "B: at chance.\n"
    ) in text.replace("\\", "")
    assert "! Warnings: A: collapsed" in on_screen(tables(cells))


def test_a_warning_of_some_splits_says_of_which_run_each_seed_is():
    cells = [record for own in seeds("a", 0.5, 0.4) for record in (own, on_split(own, 1))]
    for cell in cells[1:]:
        cell["warnings"] = ["odd"]
    assert "A: odd (in 3 of 4 runs: seed 1 and seeds 0, 1 on split 1)" in render(cells)


def test_warnings_that_differ_in_numbers_alone_are_said_once():
    cells = seeds("random", 0.2, 0.3, 0.4)
    for cell, reached in zip(cells, ("0.021", "0.2", "-1e-3"), strict=True):
        cell["warnings"] = [f"text→image is at chance (MAP {reached}, of 0.25)"]
    cells[0]["warnings"] += ["unit 3 is dead", "unit 5 is dead"]  # of one run: two things, no range
    cells[1]["warnings"] += ["unit 5 is dead"]
    text = render(cells).replace("\\", "")
    assert (
        "- ! Warnings: RANDOM: text→image is at chance (MAP -1e-3 to 0.2, of 0.25); "
        "RANDOM: unit 3 is dead (in 1 of 3 runs: seed 0); "
        "RANDOM: unit 5 is dead (in 2 of 3 runs: seeds 0, 1).\n"
    ) in text


def test_a_column_of_times_says_which_rows_had_a_library_that_others_had_not():
    durations = {"fit": 1.0, "transform": 1.0, "processor": 3.0}
    made = [
        made_record(name, durations=durations, provenance={"preloaded": preloaded})
        for name, preloaded in (("a", "fast.so"), ("b", None), ("c", None))
    ]
    told = "Times are of runs with different libraries loaded first (LD_PRELOAD; A had one)."
    assert told in render(made, view=View(columns=("processor",)))
    assert "LD_PRELOAD" not in render(made, view=View(columns=("memory",)))
    assert "LD_PRELOAD" not in render(made[1:], view=View(columns=("processor",)))


def test_a_csv_holds_costs_errors_and_where_parameters_come_from():
    given = made_record("a", 0.5, parameters={"k": 50}, warnings=["odd"])
    given["method"]["defaults"] = {"k": 10}
    (row,) = csv.DictReader(io.StringIO(render([given], format="csv")))
    assert (row["fit_seconds"], row["total_seconds"], row["peak_memory_bytes"]) == ("1.5", "50.0", "1000")
    assert (row["weights"], row["trials"], row["changed"], row["warnings"]) == ("24", "0", '{"k": 50}', "odd")
    assert row["image_to_text_standard_error"] == "0.0125"
    assert "preset" in row
    assert "profile" in row


def wide(text):
    return max(map(len, text.splitlines()))


def test_a_terminal_of_80_columns_is_wide_enough_for_all():
    cells = [*seeds("corr-ae", 0.512, 0.498, paper_name="CM-GANs without ws&sc"), made_record("cca", 0.2)]
    assert "0.505*" in on_screen(tables(cells))
    for verbose in (False, True):
        for view in (View(), View(letters=True), View(columns=["seconds", "memory", "weights", "profile"])):
            assert wide(on_screen(tables(cells, view=view), verbose=verbose)) <= 80
    assert "±" not in on_screen(tables(cells), width=85).partition("Seeds")[0]
    assert "0.505±0.010" in re.sub(r"\*", "", on_screen(tables(cells), width=120))
    assert "0.505±0.010" in re.sub(r"\*", "", on_screen(tables(cells), verbose=True))


def test_a_terminal_shows_the_best_in_colour_and_details_on_request():
    cells = [made_record("a", 0.5), made_record("b", 0.4), failed_record("c", "out-of-memory")]
    coloured = on_screen(tables(cells), colour=True)
    assert "\x1b[1;32m0.500\x1b[0m" in coloured
    assert "\x1b[1;32m0.400" not in coloured
    assert "Green: the best number" in coloured
    assert "*: the best number" in on_screen(tables(cells))
    assert "\x1b" not in on_screen(tables(cells))
    assert "ties by expectation" not in on_screen(tables(cells))
    assert "ties by" in on_screen(tables(cells), verbose=True)
    assert "C: out of memory" in on_screen(tables(cells))


def test_a_terminal_gets_no_control_characters_and_no_lines_it_cannot_show():
    evil = made_record("a", paper_name="\x1b[31mred\a", dataset=made_dataset("da\x1b]0;t"))
    text = on_screen(tables([evil]), colour=True)
    assert r"\x1b[31mred\x07" in text
    assert "\x1b[31m" not in text
    assert "\x07" not in text
    on_screen(tables([made_record("a")]), encoding="ascii").partition("Seeds")[0].replace("→", "").encode(
        "ascii"
    )


def test_an_ablation_is_shown_in_every_format():
    cells = [made_record(name, 0.5, seed=0, paper_name=name) for name in ablation.VARIANTS]
    for format_ in FORMATS:
        assert "cmgans-sc" in ablation.render(cells, format=format_)
    headings = [row[0] for row in html_rows(ablation.render(cells, format="html")) if len(row) == 1]
    assert [heading.partition(":")[0] for heading in headings] == ["Table IV", "Table V", "Table VI"]


def test_a_label_that_latex_would_misread_is_refused():
    for label in ("a_b%c", "x{", "tab:a\\b", " "):
        with pytest.raises(ReportError, match=r"so that LaTeX cannot refer to it; give letters"):
            View(label=label)
    assert View(label="tab:a_b-c").label == "tab:a_b-c"
