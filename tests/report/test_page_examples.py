"""The retrieval examples of the page: which queries they are of, and what is said of them."""

import numpy as np
import pytest
from made_page import arrays_of, html
from made_records import TASKS, failed_record, made_error, made_record, on_split

from cmbench.errors import ReportError
from cmbench.report.page.document import document
from cmbench.report.page.sources import Study


def with_rankings(record):
    """Arrays with rankings: those of CFA are right, those of others wrong."""
    arrays, shift = arrays_of(record), 0 if record["method"]["name"] == "cfa" else 1
    right = np.array([[(query + 2 * at + shift) % 10 for at in range(5)] for query in range(10)])
    for task in TASKS:
        arrays |= {f"first_{task}": right, f"query_rows_{task}": np.arange(10)}
        arrays[f"ap_{task}"] = np.full(10, 1.0 - shift)
    return arrays


def test_retrieval_examples_say_of_every_item_whether_it_is_relevant():
    parsed = html([made_record("cca", 0.25), made_record("cfa", 0.5)], with_rankings)
    examples = parsed.find("article", class_="example")
    assert examples[0].find("h4")[0].text == "image\u2192text: pair 0 cat"
    assert len(examples) == 4
    for example in examples:
        methods = [each.text.split()[0] for each in example.find("p", class_="answer")]
        right, wrong = example.find("ol")
        assert methods == ["CFA", "CCA"]
        assert [item["class"] for item in right.find("li")] == ["right"] * 5
        assert [item["class"] for item in wrong.find("li")] == ["wrong"] * 5
        assert all("not relevant" in item.text for item in wrong.find("li"))


def test_examples_without_pictures_say_how_to_get_them():
    parsed = html([made_record("cca", 0.25), made_record("cfa", 0.5)], with_rankings, figures=True)
    assert any("the option --pairs toy=FOLDER" in each.text for each in parsed.find("p", class_="absent"))


def test_pairs_of_a_dataset_that_the_page_does_not_have_are_refused(tmp_path):
    study = Study((made_record("cca", 0.25),), arrays_of, ("runs",))
    with pytest.raises(ReportError, match=r"--pairs tyo=.*: the page has no dataset 'tyo'; it has toy"):
        document(study, pairs={"tyo": tmp_path}, figures=False)


def with_rankings_of_splits(record):
    """The same with ids that name the split."""
    split = (record["dataset"].get("split_of") or {"seed": 0})["seed"]
    return {**with_rankings(record), "ids": np.array([f"pair {at} of split {split}" for at in range(10)])}


def test_methods_are_shown_with_the_same_test_pairs_those_of_a_split_that_all_have_finished():
    lost = failed_record("jrl", "timeout", error=made_error("Timeout"))
    drawn = [on_split(made_record(name, 0.5), 1) for name in ("jrl", "cfa")]
    parsed = html([made_record("cfa", 0.25), lost, *drawn], with_rankings_of_splits)
    examples = parsed.find("article", class_="example")
    assert len(examples) == 4
    for example in examples:
        assert [each.text.split()[0] for each in example.find("p", class_="answer")] == ["JRL", "CFA"]
        assert "of split 1" in example.text
        assert "of split 0" not in example.text


def test_methods_without_a_split_in_common_are_not_shown_together():
    parsed = html([made_record("cfa", 0.25), on_split(made_record("jrl", 0.5), 1)], with_rankings_of_splits)
    assert not parsed.find("article", class_="example")
    told = [each.text for each in parsed.find("p", class_="absent")]
    assert any("no split is finished for all methods" in text and "JRL: 1; CFA: 0" in text for text in told)


def with_aps(image_to_text, text_to_image):
    """Arrays that hold these APs by the name of a method, in each direction those of ten pairs."""

    def arrays(record):
        directions = zip(TASKS, (image_to_text, text_to_image), strict=False)
        aps = {f"ap_{task}": np.asarray(by_name[record["method"]["name"]]) for task, by_name in directions}
        return with_rankings(record) | aps

    return arrays


def test_queries_are_chosen_in_both_directions_by_the_two_methods_that_the_page_names():
    records = [made_record("cca", (0.9, 0.4, 0.5, 0.5)), made_record("jrl", (0.3, 0.6, 0.5, 0.5))]
    ahead = np.repeat(0.9, 10), np.repeat(0.3, 10)
    behind = [0.1] * 7 + [0.7, 0.7, 0.6], [0.9] * 7 + [0.3] * 3
    by_direction = [dict(zip(("cca", "jrl"), each, strict=True)) for each in (ahead, behind)]
    parsed = html(records, with_aps(*by_direction))
    examples = parsed.find("article", class_="example")
    assert [each.find("h4")[0].text.split(": ")[1] for each in examples[2:]] == ["pair 7 dog", "pair 8 cat"]
    (said,) = [each.text for each in parsed.find("p", class_="about") if "most ahead" in each.text]
    assert "at which CCA is most ahead of JRL, each of another category as long as there are any," in said
    by_direction[1]["cca"] = np.repeat(0.1, 10)
    told = [each.text for each in html(records, with_aps(*by_direction)).find("p", class_="about")]
    assert any("CCA is most ahead of JRL, or least behind it," in text for text in told)


def test_of_a_single_method_the_queries_are_those_of_its_lowest_ap():
    parsed = html(
        [made_record("cca")], with_aps({"cca": np.arange(10) / 10}, {"cca": np.arange(10, 0, -1) / 10})
    )
    asked = [each.find("h4")[0].text.split(": ")[1] for each in parsed.find("article", class_="example")]
    assert asked == ["pair 0 cat", "pair 1 dog", "pair 9 dog", "pair 8 cat"]
    (said,) = [each.text for each in parsed.find("p", class_="about") if "lowest AP" in each.text]
    assert "at which CCA has its lowest AP, each of another category" in said
    assert "ahead" not in said


def test_a_split_that_was_drawn_anew_is_named():
    records = [on_split(made_record(name), 2) for name in ("cca", "jrl")]
    told = [each.text for each in html(records, with_rankings).find("p", class_="about")]
    assert any("in its first finished run on split 2." in text for text in told)
