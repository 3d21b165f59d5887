"""The page of ``cmbench report``: what stands in its HTML, without a browser."""

import base64
import csv
import io
import json
import random
import re
from hashlib import sha256

import numpy as np
import pytest
from made_page import arrays_of, html, no_arrays, page
from made_records import TASKS, failed_record, made_dataset, made_error, made_record, on_split
from matplotlib.colors import to_rgb
from parsed_html import parsed_html
from PIL import Image

from cmbench.evaluation.protocol import PAIRS
from cmbench.evaluation.statistics import compare_all
from cmbench.report.description import describe
from cmbench.report.looks import MOST_BARS, looks
from cmbench.report.page.sources import Study
from cmbench.report.records import to_draw
from cmbench.report.settings import settings

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '{{ 7 * 7 }} & % _ # < > "',
    "<!-- ]]> &lt;b&gt; --!>",
    "\u732b\u3068 \u03b3\u03ac\u03c4\u03b1 \u0642\u0637\u0629",
)


def some_records(**changes):
    """Records of two datasets: two methods, one of which has two seeds, and a cell that failed."""
    records = []
    for dataset, shift in (("toy", 0.0), ("other", 0.0625)):
        records += [
            made_record("cca", (0.25 + shift, 0.5, 0.125, 0.375), dataset=dataset),
            made_record("ccl", (0.5 + shift, 0.25, 0.75, 0.25), dataset=dataset, seed=0, family="deep"),
            made_record("ccl", (0.75 - shift, 0.5, 0.5, 0.25), dataset=dataset, seed=1, family="deep"),
            failed_record("dcca", "timeout", dataset=dataset, seed=0, error=made_error("Timeout")),
        ]
    return records


def test_a_first_try_that_is_no_dataset_to_rank_on_is_named():
    text = page([*some_records(), made_record("cca", 0.5, dataset="toy-limit-20")])
    assert "2 datasets, protocol paper 1" in text
    assert "Left out, since of a part of the pairs alone (--limit): toy-limit-20." in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_data_are_text_and_nothing_else(name):
    dataset = made_dataset(name, class_names=[name, "dog"], image_feature=name, warnings=[name])
    records = [
        made_record(name, paper_name=name, dataset=dataset, family=name, parameters={name: name}),
        made_record("cfa", dataset=dataset, provenance={"command": [name, name], "processor": name}),
        failed_record("kcca", dataset=dataset, error=made_error(name, message=name)),
    ]
    parsed = html(records, lambda record: arrays_of(record, ids=[name] * 10), title=name)
    assert len(parsed.find("script")) == 3
    assert not parsed.find("img")
    assert not [
        element for element in parsed.within if any(key.startswith("on") for key in element.attributes)
    ]
    assert parsed.find("h1")[0].text == name
    assert name in {element.text.strip() for element in parsed.find("th", scope="row")}
    board = json.loads(parsed.find("script", id="data")[0].text)["dataset-1"]
    assert board["methods"][-1] == name
    assert set(board["ids"]) == {name}


def test_every_number_of_a_leaderboard_is_the_mean_of_the_records_behind_it():
    parsed = html(some_records())
    links = [link for table in parsed.find("table", class_="sortable board") for link in table.find("a")]
    numbers = [link for link in links if link.get("data-value")]
    assert len(numbers) == 2 * 2 * 2 + 2 * 2 * 6
    for link in numbers:
        (record,) = parsed.find("details", id=link["href"][1:])
        runs = record.find("td", data_column=link["data-column"])
        values = [float(run["data-value"]) for run in runs if run.get("data-value")]
        assert float(link["data-value"]) == pytest.approx(np.mean(values), abs=1e-15)
        assert link.text.startswith(f"{np.mean(values):.3f}")


def test_every_number_of_a_run_is_that_of_its_record():
    records = {record["key"]: record for record in some_records()}
    shown = set()
    for row in html(records.values()).find("tr"):
        keys = [code.text for code in row.find("code")]
        cells = [cell for cell in row.find("td") if cell.get("data-column")]
        if keys and cells:
            maps = records[keys[0]]["map"] or {}
            values = {cell["data-column"]: cell.get("data-value") for cell in cells}
            assert {name: float(value) for name, value in values.items() if value} == maps
            shown.add(keys[0])
    assert shown == set(records)


def test_downloads_hold_the_tables():
    parsed = html(some_records())
    links = {link["download"]: link["href"] for link in parsed.find("a") if link.get("download")}
    assert {name.rpartition(".")[2] for name in links} == {"csv", "tex", "md"}
    text = base64.b64decode(links["toy-paper.csv"].partition("base64,")[2]).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["method"], row["image_to_text"]) for row in rows] == [
        ("ccl", "0.625"),
        ("dcca", ""),
        ("cca", "0.25"),
    ]


def test_failed_cells_are_told_with_what_happened():
    (table,) = html(some_records()).find("table", class_="failures")
    assert table.text.count("timeout") == 2
    assert table.text.count("a message") == 2


def test_warnings_of_methods_stand_at_their_row_and_in_a_list_once_for_all_seeds():
    records = [made_record("ccl", seed=seed, warnings=[f"it collapsed (MAP 0.{seed}1)"]) for seed in (0, 1)]
    parsed = html([*records, made_record("cca", repeats=True)])
    (table,) = parsed.find("table", class_="doubts")
    (row,) = [each for each in table.find("tr") if each.find("td")]
    assert [cell.text for cell in row.find("td")][1:] == ["seeds 0, 1", "it collapsed (MAP 0.01 to 0.11)"]
    marks = parsed.find("a", class_="doubted")
    assert len(marks) == 1


def test_runs_of_a_method_without_seeds_are_called_by_their_splits():
    lost = failed_record("cca", "timeout", error=made_error("Timeout"))
    warned = [{**made_record("cfa"), "warnings": ["it is odd"]}, made_record("cfa")]
    records = [lost, *(on_split(lost, 1), on_split(made_record("cca"), 2)), warned[0], on_split(warned[1], 1)]
    text = page([*records, made_record("jrl")])
    parsed = parsed_html(text)
    names = [
        [each.text for each in table.find("th", scope="row")] for table in parsed.find("table", class_="runs")
    ]
    assert names == [["one run"], ["own split", "split 1"], ["own split", "split 1", "split 2"]]
    headings = [each.text for each in parsed.find("h4") if "plit" in each.text or "run" in each.text]
    assert headings == ["One run", *["Own split", "Split 1"] * 2, "Split 2"]
    assert "own split, split 1: timeout" in parsed.find("table", class_="sortable board")[0].text
    assert "CFA: it is odd (in 1 of 2 runs: own split)" in text
    assert not re.search(r"[Ss]eeds? [Nn]one", text)


def test_parameters_that_are_not_at_defaults_are_told_with_these():
    record = made_record("cca", parameters={"ridge": 0.5, "solver": "auto"})
    record["method"]["defaults"] = {"ridge": 0.25}
    (fact,) = html([record]).find("div", data_fact="not at defaults")
    assert fact.text.strip().endswith("ridge=0.5 (default 0.25)")


def test_parameters_that_were_chosen_for_another_method_are_not_said_to_be_chosen_for_this_one():
    record = made_record("ablation")
    record["method"]["tuning"] = {"profile": "tuned", "trials": 1, "like": "cmgans"}
    (fact,) = html([record]).find("div", data_fact="tuned")
    said = "on validation pairs, profile tuned, for cmgans, from 1 trial"
    assert fact.find("dd")[0].text == said
    assert said in describe(record)


def test_searches_on_several_splits_are_told_each():
    records = [on_split(made_record(parameters={"a": split}), split) for split in (1, 2, 3)]
    for record, trials in zip(records, (5, 9, 9), strict=True):
        record["method"]["tuning"] = {"profile": "tuned", "trials": trials, "failed": 4, "each_split": "of a"}
    (fact,) = html(records).find("div", data_fact="tuned")
    assert fact.find("dd")[0].text == "; ".join(
        f"on validation pairs, profile tuned, from {trials} trials, of which 4 failed" for trials in (5, 9)
    )


def shown(parsed):
    """The pictures of a page, without the keys of their legends, which have their labels beside them."""
    return [picture for picture in parsed.find("img") if picture["alt"]]


def test_the_keys_of_a_legend_stand_beside_the_picture_as_they_are_in_it():
    records = [
        made_record(name, 0.5, category_map={task: [0.25, 0.5] for task in TASKS}) for name in ("cca", "cfa")
    ]
    parsed = html(records, figures=True)
    keys = parsed.find("ul", class_="keys")[0]
    labels = [setting.label for setting in settings(records)]
    assert [item.text.strip() for item in keys.find("li")] == labels
    for key, look in zip(keys.find("img"), looks(settings(records)), strict=True):
        content = base64.b64decode(key["src"].removeprefix("data:image/png;base64,"))
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).reshape(-1, 3)
        fill = np.round(255 * np.array(to_rgb(look.fill)))
        assert (np.abs(pixels - fill).max(axis=1) < 3).mean() > 0.3


def test_the_figure_of_categories_is_within_the_page_and_its_numbers_in_tables():
    records = [
        made_record(name, category_map={task: [0.25, at] for task in TASKS})
        for name, at in (("cca", 0.5), ("cfa", 0.75))
    ]
    parsed = html(records, figures=True)
    picture, _ = shown(parsed)
    assert base64.b64decode(picture["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert "CFA, CCA" in picture["alt"]
    tables = parsed.find("table", class_="categories")
    assert [[cell.text for cell in table.find("td")] for table in tables] == [
        ["0.250", "0.250", "0.750", "0.500"]
    ] * 2


def test_figures_of_what_arrays_hold_are_drawn_and_say_in_words_what_they_show():
    def arrays(record):
        kept = {f"precision_by_recall_{task}": np.linspace(1, 0.2, 100) for task in TASKS}
        return {**arrays_of(record), **kept, "curve_validation_map": np.array([0.1, np.nan, 0.3])}

    records = [made_record("ccl", seed=seed, family="deep") for seed in (0, 1)]
    parsed = html([*records, made_record("cca")], arrays, figures=True)
    pictures = [picture["alt"].partition(" for ")[0] for picture in shown(parsed)]
    assert pictures == [
        "Bars of the MAP of each category",
        "Curves of precision by recall in both directions",
        "MAP on validation pairs over the course of training, a line",
        "MAP against time of training and against memory",
    ]


def test_of_more_methods_than_can_be_told_apart_the_best_have_bars_which_the_command_names():
    methods = [f"m{at:02}" for at in range(MOST_BARS + 2)]
    records = [
        made_record(name, at / 20, category_map={task: [0.25, 0.5] for task in TASKS})
        for at, name in enumerate(methods)
    ]
    parsed = html(records, figures=True)
    picture = shown(parsed)[0]
    assert picture["alt"].count(",") == MOST_BARS - 1
    assert "M00" not in picture["alt"]
    assert "M01" not in picture["alt"]
    assert f"MAP per category, the best {MOST_BARS} of {MOST_BARS + 2}" in page(records)
    assert f"--methods {','.join(methods[2:])}" in page(records)


def test_a_bound_stands_in_the_table_and_in_no_figure_or_comparison():
    oracle = made_record("oracle", 1.0, category_map={task: [1.0, 1.0] for task in TASKS})
    oracle["method"]["reads_test_labels"] = True
    others = [
        made_record(name, category_map={task: [0.25, 0.5] for task in TASKS}) for name in ("cca", "cfa")
    ]
    parsed = html([oracle, *others], arrays_of, figures=True)
    assert all("ORACLE" not in picture["alt"] for picture in shown(parsed))
    assert json.loads(parsed.find("script", id="data")[0].text)["dataset-1"]["methods"] == ["CFA", "CCA"]
    assert "ORACLE" in parsed.find("table")[0].text
    assert [record["method"]["name"] for record in to_draw([oracle, *others])] == ["cca", "cfa"]
    assert to_draw([oracle, *others], ["oracle"]) == to_draw([oracle]) == [oracle]


def test_the_order_of_records_changes_no_byte():
    records = some_records()
    mixed = records.copy()
    random.Random(1).shuffle(mixed)
    assert page(mixed, figures=True) == page(records, figures=True)


def test_nothing_is_loaded_from_elsewhere():
    text = page(some_records(), lambda record: arrays_of(record))
    addresses = [
        element[name]
        for element in parsed_html(text).within
        for name in ("href", "src", "action", "data", "poster")
        if element.get(name)
    ]
    assert len(addresses) > 20
    assert all(address.startswith(("#", "data:")) for address in addresses)
    (style,) = parsed_html(text).find("style")
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_every_link_leads_to_a_place_on_the_page():
    parsed = html(some_records())
    places = [element["id"] for element in parsed.within if element.get("id")]
    assert len(places) == len(set(places))
    targets = {link["href"][1:] for link in parsed.find("a") if link["href"].startswith("#")}
    assert targets <= set(places)


def test_the_policy_lets_the_scripts_of_the_page_run_and_no_others():
    parsed = html(some_records())
    (policy,) = [each["content"] for each in parsed.find("meta") if each.get("http-equiv")]
    scripts = [each.text for each in parsed.find("script") if each.get("type") is None]
    digests = [base64.b64encode(sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert f"script-src {allowed};" in policy
    assert policy.startswith("default-src 'none'")


def test_the_licence_of_the_library_goes_with_it():
    assert "The above copyright notice and this permission notice shall be included" in page(some_records())


def test_without_arrays_the_page_says_so():
    parsed = html(some_records())
    told = [each.text for each in parsed.find("p", class_="absent")]
    assert any("results of single queries are not stored beside these records" in text for text in told)
    assert json.loads(parsed.find("script", id="data")[0].text) == {}


def test_a_method_without_arrays_is_named():
    def arrays(record):
        return no_arrays(record) if record["method"]["name"] == "cfa" else arrays_of(record)

    parsed = html([made_record("cca"), made_record("cfa"), made_record("kcca")], arrays)
    (told,) = [each.text for each in parsed.find("p", class_="absent") if "CFA" in each.text]
    assert told == "No results of single queries are stored of CFA."
    stored = [each.text for each in parsed.find("pre") if each.text.endswith(" --force")]
    assert stored[0] == "cmbench run --dataset toy --methods cfa --threads 1 --force"


def test_two_methods_are_compared_by_the_test_of_the_statistics():
    records = [record for record in some_records() if record["dataset"]["name"] == "toy"]
    board = json.loads(html(records, arrays_of).find("script", id="data")[0].text)["dataset-1"]
    assert board["methods"] == ["CCL", "CCA"]
    runs = [[arrays_of(records[1]), arrays_of(records[2])], [arrays_of(records[0])]]
    image_to_text = [np.stack([run["ap_image_to_text"] for run in each]) for each in runs]
    expected = compare_all(image_to_text)
    column = board["columns"][0]
    assert column["name"] == "image\u2192text"
    np.testing.assert_allclose(column["p"], expected.p, atol=1e-6)
    np.testing.assert_allclose(column["means"], expected.means)
    for packed, values in zip(column["ap"], image_to_text, strict=True):
        steps = np.frombuffer(base64.b64decode(packed), "<u2")
        np.testing.assert_allclose(steps / 65_534, values.mean(axis=0), atol=1e-5)
    assert board["categories"][:2] == ["cat", "dog"]


def test_the_queries_that_decide_stand_on_the_page_without_scripts():
    records = [made_record("cca"), made_record("cfa")]
    (table,) = html(records, arrays_of).find("table", class_="queries")
    average = [
        (arrays_of(each)["ap_image_to_text"] + arrays_of(each)["ap_text_to_image"]) / 2 for each in records
    ]
    first, second = sorted(average, key=lambda values: -values.mean())
    most = int(np.argmax(first - second))
    assert table.find("th", scope="row")[0].text == f"pair {most}"
    assert table.find("td")[3].text == f"{(first - second)[most]:+.3f}"


def test_what_changed_between_two_stores_is_told_row_by_row():
    before = [made_record("cca", 0.25), made_record("cfa", 0.5), made_record("jrl", 0.5)]
    after = [made_record("cca", 0.25), made_record("cfa", 0.75), made_record("kcca", 0.5, seed=0)]
    study = Study(tuple(before), no_arrays, ("earlier",))
    (section,) = html(after, before=study).find("section", id="changes")
    assert "1 new, 1 gone, 1 changed, 1 alike" in section.text
    rows = {row.find("th")[0].text: row for row in section.find("tr") if row.find("th", scope="row")}
    assert {name: row["class"] for name, row in rows.items()} == {
        "CFA": "changed",
        "KCCA": "new",
        "JRL": "gone",
    }
    numbers = [(cell.get("data-before"), cell.get("data-after")) for cell in rows["CFA"].find("td")[1:]]
    assert numbers == [("0.5", "0.75")] * 6
    assert rows["CFA"].text.count("+0.2500") == 6


def test_changed_parameters_and_seeds_are_named():
    before = [made_record("cca", 0.25, parameters={"n_components": 5}, seed=0)]
    after = [made_record("cca", 0.25, parameters={"n_components": 9}, seed=seed) for seed in (0, 1)]
    (section,) = html(after, before=Study(tuple(before), no_arrays, ("earlier",))).find(
        "section", id="changes"
    )
    assert "n_components from 5 to 9" in section.text
    assert "finished runs from seed 0 to seeds 0, 1" in section.text


def ranked_by_pair(recall, rank):
    """A record under the protocol of pairs, with these measures in both directions."""
    values = {"r@1": recall, "r@5": recall, "r@10": recall, "medr": rank}
    measures = {name: dict.fromkeys(TASKS[:2], value) for name, value in values.items()}
    maps = dict.fromkeys((*TASKS[:2], "bimodal_average"), 0.5)
    record = made_record(protocol=PAIRS.as_dict(), measures=measures, measure_errors={}, map=maps)
    sizes = dict.fromkeys(TASKS[:2], 40)
    return {**record, "queries": sizes, "gallery": sizes, "category_map": None}


def values_by_pair(record):
    """The values of 40 pairs of which a record of ``ranked_by_pair`` holds mean and median."""
    arrays = {"ids": np.array([f"pair {at}" for at in range(40)]), "labels": np.zeros(40, int)}
    for name, by_task in record["measures"].items():
        arrays |= {f"{name}_{task}": np.full(40, value) for task, value in by_task.items()}
    return arrays


def test_a_median_rank_that_became_larger_is_no_gain_and_was_not_tested_as_a_mean():
    before = Study((ranked_by_pair(0.25, 5.0),), values_by_pair, ("earlier",))
    (section,) = html([ranked_by_pair(0.5, 9.0)], values_by_pair, before=before).find("section", id="changes")
    assert "Numbers are R@1, R@5, R@10, MedR after" in section.text
    assert "Of MedR, a median of which less is better, no difference is tested." in section.text
    changes = [(small["class"], small.text, len(small.find("strong"))) for small in section.find("small")]
    assert changes == [*[("gained", "+0.2500", 1)] * 3, ("lost", "+4.0000", 0)] * 2


def test_stores_that_hold_the_same_say_so():
    records = some_records()
    study = Study(tuple(records), no_arrays, ("earlier",))
    (section,) = html(records, before=study).find("section", id="changes")
    assert "Nothing" in section.text
