"""Published tables beside ours: which, what is said of them, and how far the orders of methods agree."""

import csv
import io
from importlib.resources import files

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import PROTOCOL, TASKS, made_dataset, made_record, on_split
from printed_tables import cells_of
from scipy import stats

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.records import split_of
from cmbench.report.layout import DEFAULT_VIEW
from cmbench.report.overview import render as over_datasets
from cmbench.report.records import groups
from cmbench.report.settings import PAPER_ORDER
from cmbench.report.shape import render, shapes, tables
from cmbench.store import Store

SIZES = {"wikipedia_cnn": (2173, 231, 462), "pascal_lite": (800, 100, 100), "other": (800, 100, 100)}
NAMES = (*PAPER_ORDER, "DSCMR", "ACMR")
PUBLISHED = list(
    csv.DictReader(
        files("cmbench.report").joinpath("published_map.csv").read_text(encoding="utf-8").splitlines()
    )
)


def averages(table, dataset):
    rows = [row for row in PUBLISHED if (row["table"], row["dataset"]) == (table, dataset)]
    return {row["method"]: float(row["map"]) for row in rows if row["task"] == "bimodal_average"}


def dataset(name):
    sizes = dict(zip(("train", "validation", "test"), SIZES[name], strict=True))
    return made_dataset(name, sizes=sizes, image_dimension=128)


def records(name="wikipedia_cnn", methods=NAMES, *, protocol="paper"):
    values = np.random.default_rng(0).uniform(0.3, 0.5, len(methods))
    return [
        made_record(method.lower(), float(value), paper_name=method, dataset=dataset(name), protocol=protocol)
        for method, value in zip(methods, values, strict=True)
    ]


def test_each_published_table_of_our_methods_is_a_column_and_what_is_unknown_a_dash():
    text = render(records())
    assert cells_of(text, "Method")[2:6] == ["Table III", "JFSE", "SDML", "FGFusion"]
    assert cells_of(text, "JRL")[2:6] == ["0.454", "0.454", "0.330", "\u2013"]
    assert cells_of(text, "DSCMR")[2:6] == ["\u2013", "0.497", "\u2013", "0.504"]
    assert cells_of(text, "Method")[6:] == ["ACMR 2017", "ACMR 2017, shallow", "DSCMR 2019"]
    assert cells_of(text, "DSCMR")[6:] == ["\u2013", "\u2013", "0.499"]
    assert "best epoch and output on test" in text
    assert "confidence medium-high" in text


def test_a_table_that_copies_the_rows_of_the_paper_is_shown_for_rows_of_its_own_alone():
    text = render(records(methods=PAPER_ORDER))
    assert cells_of(text, "Method")[2:] == ["Table III", "SDML"]


def test_tau_is_that_of_scipy_over_the_methods_that_both_tables_have():
    made = records()
    found = {shape.heading: shape for shape in shapes(groups(made)[0], "Wikipedia", None)}
    assert list(found) == ["Table III", "JFSE"]  # the others share too few methods
    ours = {each["method"]["paper_name"]: each["map"]["bimodal_average"] for each in made}
    paper, since = averages("III", "Wikipedia"), averages("JFSE-T4", "Wikipedia")
    for heading, theirs in (("Table III", paper), ("JFSE", {**paper, **since})):
        shared = [name for name in ours if name in theirs]
        expected = stats.kendalltau([ours[name] for name in shared], [theirs[name] for name in shared])
        assert found[heading].tau == pytest.approx(expected.statistic)
        assert sorted(found[heading].methods) == sorted(shared)
        assert found[heading].interval is None
    assert f"Table III {found['Table III'].tau:.2f} over 11 methods (no interval: no values" in render(made)


def test_the_tables_of_the_paper_agree_as_the_scale_of_what_can_be_expected():
    paper, other = averages("III", "Wikipedia"), averages("II", "Pascal Sentence")
    expected = stats.kendalltau([paper[name] for name in paper], [other[name] for name in paper]).statistic
    assert round(expected, 2) == 0.71
    assert "Pascal Sentence and Wikipedia 0.71" in render(records())


def test_with_values_per_query_there_is_an_interval_around_the_order():
    made, held = records(methods=PAPER_ORDER), {}
    order = averages("III", "Wikipedia")
    random = np.random.default_rng(1)
    for each in made:
        ap = np.clip(order[each["method"]["paper_name"]] + random.normal(0, 0.05, 462), 0, 1)
        each["map"] = dict.fromkeys(each["map"], float(ap.mean()))
        held[each["key"]] = {f"ap_{task}": ap for task in TASKS}
    (shape,) = shapes(groups(made)[0], "Wikipedia", lambda record: held[record["key"]])
    low, high = shape.interval
    assert 0.7 < low <= shape.tau <= high <= 1
    assert f"(95 % interval {low:.2f} to {high:.2f}; p = {shape.p:.2g})" in render(
        made, arrays=lambda each: held[each["key"]]
    )
    del held[made[0]["key"]]["ap_image_to_text"]
    (shape,) = shapes(groups(made)[0], "Wikipedia", lambda record: held[record["key"]])
    assert shape.interval is None
    assert shape.reason == "no values per query are stored of CM-GANs"


def test_without_an_interval_it_says_whether_values_or_common_pairs_are_missing():
    made = records(methods=PAPER_ORDER)
    ap = {f"ap_{task}": np.full(462, 0.5) for task in TASKS}
    names = {0: [f"own {at}" for at in range(462)], 1: [f"drawn {at}" for at in range(462)]}
    made[-1] = on_split(made[-1], 1)
    text = render(made, arrays=lambda record: ap | {"ids": np.array(names[split_of(record)])})
    assert "(no interval: no split was run with every method; compare runs of the same splits; p = " in text
    assert "no values per query" not in text


def test_a_method_in_several_settings_has_no_place_in_the_order():
    made = records()
    twice = [
        made_record("cca", 0.9, paper_name="CCA", dataset=dataset("wikipedia_cnn"), parameters={"n": n})
        for n in (1, 2)
    ]
    others = [each for each in made if each["method"]["name"] != "cca"]
    (shape, _) = shapes(groups([*others, *twice])[0], "Wikipedia", None)
    assert "CCA" not in shape.methods
    assert len(shape.methods) == 10


def test_ccl_without_parts_stands_for_ccl_unless_this_is_there_too():
    coarse = made_record("ccl-coarse", 0.4, paper_name="CCL (coarse only)", dataset=dataset("wikipedia_cnn"))
    text = render([*records(methods=("CCA", "CFA")), coarse])
    assert cells_of(text, "CCL (coarse only)")[2] == "0.481"
    assert "CCL (coarse only) stands for CCL of the tables." in text
    (shape, _) = shapes(groups([*records(), coarse])[0], "Wikipedia", None)
    assert len(shape.methods) == 11


def test_the_collection_is_told_by_name_and_sizes_or_said():
    assert "published tables of Pascal Sentence" in render(records("pascal_lite"))
    with pytest.raises(ReportError, match=r"say which it is with '--published wikipedia\|pascal\|xmedianet'"):
        render(records("other"))
    assert "published tables of XMediaNet" in render(records("other"), collection="xmedianet")


@pytest.mark.parametrize("changes", [{"similarity": "hamming"}, {"cutoff": 50}, {"relevance": "pair"}])
def test_other_rules_of_ranking_are_never_set_beside_published_values(changes):
    made = records(protocol={**PROTOCOL, **changes})
    for collection in (None, "wikipedia"):
        with pytest.raises(ReportError, match="under a protocol that ranks as they do"):
            render(made, collection=collection)


def test_a_csv_has_a_row_for_each_method_and_table():
    rows = list(csv.DictReader(io.StringIO(render(records(methods=("SM", "JRL")), format="csv"))))
    found = {(row["method"], row["table"]): row for row in rows}
    assert len(rows) == len(found) == 6
    assert found["sm", "Rasiwasia 2010"]["published"] == "0.224"
    assert found["sm", "Rasiwasia 2010"]["split"] == "2173/0/693"
    assert found["sm", "Table III"]["published"] == ""
    with pytest.raises(ReportError, match="belong to 2 tables"):
        render([*records(), *records("pascal_lite")], format="csv")


def test_what_is_known_of_every_published_table_is_written_down_and_averages_are_those_of_the_tasks():
    text = files("cmbench.report").joinpath("published_tables.csv").read_text(encoding="utf-8")
    known = {(row["table"], row["dataset"]): row for row in csv.DictReader(text.splitlines())}
    assert set(known) == {(row["table"], row["dataset"]) for row in PUBLISHED}
    assert all(value or name == "repeats" for row in known.values() for name, value in row.items())
    for table in ("SCM-2010", "JFSSL-2016", "LCFS-2013"):
        values = {
            (row["method"], row["task"]): float(row["map"]) for row in PUBLISHED if row["table"] == table
        }
        for method, average in averages(table, "Wikipedia").items():
            mean = (values[method, "image_to_text"] + values[method, "text_to_image"]) / 2
            assert average == pytest.approx(mean, abs=0.001)


def test_the_table_over_datasets_tells_the_order_on_those_that_a_table_of_the_paper_is_of():
    text = over_datasets([*records(), *records("pascal_lite"), *records("other")])
    (line,) = [line for line in text.splitlines() if "Kendall's tau" in line]
    assert "over 11 methods" in line
    assert "on wikipedia_cnn with Table III of the paper; " in line.replace("\\", "")
    assert "on pascal_lite with Table II of the paper; " in line.replace("\\", "")
    assert "other with" not in line


def test_the_command_prints_it_in_every_format_and_refuses_what_does_not_fit(tmp_path):
    store = Store(tmp_path)
    for record in records():
        store.put(record)
    words = ["table", "--store", str(tmp_path), "--published"]
    assert CliRunner().invoke(cli, words).output == render(records(), arrays=store.arrays)
    for format_ in ("latex", "html", "text"):
        printed = CliRunner().invoke(cli, [*words, "wikipedia", "--format", format_])
        assert "Table III" in printed.output
    for more in (["--overview"], ["--ablation"], ["--sort", "seconds"]):
        assert CliRunner().invoke(cli, [*words, *more]).exit_code == 2
    assert tables(records(), view=DEFAULT_VIEW)[0].published_columns
