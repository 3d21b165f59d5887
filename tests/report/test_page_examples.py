"""The retrieval examples of the page: which queries they are of, and what is said of them."""

import numpy as np
from made_page import arrays_of, html
from made_records import TASKS, failed_record, made_error, made_record, on_split


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
    assert any("cmbench report --pairs toy=FOLDER" in each.text for each in parsed.find("p", class_="absent"))


def test_without_rankings_the_page_says_which_command_stores_them():
    records = [made_record("ccl", 0.5), made_record("cca", 0.25)]
    told = [each.text for each in html(records).find("p", class_="absent")]
    assert any("cmbench run --dataset toy --methods ccl,cca --force" in text for text in told)


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
