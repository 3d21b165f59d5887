"""Controls give what can be computed without them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import evaluate
from cmbench.evaluation.protocol import get_protocol
from cmbench.execution.evaluating import evaluated
from cmbench.methods.beyond.controls import Identity, Majority, Random
from cmbench.methods.registry import BEYOND, BUILT_IN, CONTROLS, expanded, registry
from cmbench.plan import plan
from cmbench.report.settings import UNLEARNED
from cmbench.report.table import render
from cmbench.runner import run
from cmbench.store import Store
from cmbench.tuning import Budget, tune


def pairs_of(n=300, widths=(5, 5), classes=10):
    random = np.random.default_rng(0)
    views = [random.normal(size=(n, width)).astype(np.float32) for width in widths]
    return Split(*views, labels=np.sort(np.arange(n) % classes), ids=np.arange(n).astype(str))


def chance(n, relevant):
    harmonic = np.sum(1 / np.arange(1, n + 1))
    return ((relevant - 1) / (n - 1) * (n - harmonic) + harmonic) / n


def test_random_codes_give_the_expected_precision_of_a_random_order():
    pairs = pairs_of()
    maps = []
    for seed in range(20):
        method = Random(random_state=seed).fit(pairs, pairs)
        measured = evaluate(
            method.transform_images(pairs.images), method.transform_texts(pairs.texts), pairs.labels
        )
        maps.append(measured.map["image_to_text"])
    assert np.mean(maps) == pytest.approx(chance(300, 30), abs=4 * np.std(maps) / np.sqrt(20))


def test_a_random_code_depends_on_the_row_alone():
    pairs = pairs_of()
    method = Random(n_components=3).fit(pairs, pairs)
    codes = method.transform_texts(pairs.texts)
    np.testing.assert_array_equal(method.transform_texts(pairs.texts[7:8]), codes[7:8])
    assert not np.allclose(method.transform_images(pairs.texts)[0], codes[0])


def test_the_majority_ties_all_items_whatever_their_order():
    pairs = pairs_of()
    method = Majority().fit(pairs, pairs)
    measured = evaluate(
        method.transform_images(pairs.images), method.transform_texts(pairs.texts), pairs.labels
    )
    assert measured.map["text_to_image"] == pytest.approx(chance(300, 30))


def test_identity_returns_features_and_refuses_those_of_different_width():
    pairs = pairs_of()
    method = Identity().fit(pairs, pairs)
    np.testing.assert_array_equal(method.transform_images(pairs.images), pairs.images)
    with pytest.raises(MethodError, match=r"images have 5 features and texts 4"):
        Identity().fit(pairs_of(widths=(5, 4)), pairs)


def test_every_method_beyond_the_paper_is_in_one_group_but_the_second_row_of_acmr():
    there = {name for name, home in BUILT_IN.items() if ".beyond." in home}
    assert sorted(there) == sorted((*BEYOND, *CONTROLS, "acmr-released"))


def test_reports_rank_all_controls_but_bounds_and_those_that_are_chance():
    classes = {name: registry()[name].load() for name in CONTROLS}
    by_chance = {name for name, control in classes.items() if "beats_chance" in control.nonconforming}
    assert {*UNLEARNED} == {name for name in by_chance if not classes[name].reads_test_labels}


def test_a_group_stands_for_its_methods_each_once():
    assert expanded(["cca", "controls", "random"]) == ["cca", *CONTROLS]


def test_controls_run_as_cells_though_one_is_constant(toy, tmp_path):
    frame = run(toy, ["random", "majority"], store=tmp_path, memory=None)
    assert list(frame["status"]) == ["ok", "ok"]


def test_the_oracle_ranks_by_the_labels_of_the_test_items_though_its_process_has_none(toy, tmp_path):
    store = Store(tmp_path)
    run(toy, ["oracle", "cca"], store=tmp_path, memory=None)
    records = {record["method"]["name"]: record for record in store.records()}
    assert list(records["oracle"]["map"].values()) == pytest.approx([1.0] * 6)
    assert records["oracle"]["method"]["reads_test_labels"] is True
    assert "reads_test_labels" not in records["cca"]["method"]
    assert "warnings" not in records["oracle"]
    text = render(list(records.values()), arrays=store.arrays)
    assert re.search(r"\| Oracle § +\| 1.000 ", text)
    assert re.search(r"\| CCA .*\*\*", text)
    assert "No method, but the categories of the test items themselves" in text
    assert r"Oracle\textsuperscript{\S{}} & 1.000 &" in render(list(records.values()), format="latex")


def test_one_wrong_code_among_four_costs_what_can_be_counted_by_hand():
    """Categories 0, 0, 1, 1, and the first image coded as of 1: ties are a mean over all orders.

    It asks for two texts that tie after the two of the other category: places 3 and 4. Asked by a text of 0,
    the images of 0 are a hit and one of three that tie behind it, at each of places 2 to 4 alike. Asked by a
    text of 1, two of the first three hit, each pair of places alike.
    """
    images, texts = np.eye(2)[[1, 0, 1, 1]], np.eye(2)[[0, 0, 1, 1]]
    measured = evaluate(images, texts, np.array([0, 0, 1, 1])).map
    at_the_end = (1 / 3 + 2 / 4) / 2
    assert measured["image_to_text"] == pytest.approx((at_the_end + 3) / 4)
    first_and_behind = np.mean([(1 + 2 / place) / 2 for place in (2, 3, 4)])
    two_of_three = np.mean([(1 / 1 + 2 / 2) / 2, (1 / 1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])
    assert measured["text_to_image"] == pytest.approx((first_and_behind + two_of_three) / 2)


LINEAR = ("cca", "kcca", "cfa", "jrl", "lgcfl", "sm", "scm", "ridge", "lcfs", "jfssl")
DEEP = (
    "cmgans",
    "corr-ae",
    "dcca",
    "deep-sm",
    "cmdn",
    "ccl-coarse",
    "acmr",
    "dscmr",
    "contrastive",
    "triplet",
)


def first_and_by_chance(n, relevant):
    """The expected precision where one relevant item comes first and the others in a random order."""
    others = (relevant - 1) / (n - 1)
    hits = [others * (2 + (relevant - 2) / (n - 2) * (place - 2)) / place for place in range(2, n + 1)]
    return (1 + sum(hits)) / relevant


@pytest.mark.parametrize("methods", [LINEAR, pytest.param(DEEP, marks=pytest.mark.slow)])
def test_permuted_categories_of_test_items_leave_no_method_more_than_its_own_pair(toy, tmp_path, methods):
    """Whatever hands categories of test items to a method would leave it above, as it does the oracle."""
    permuted = np.random.default_rng(0).permutation(toy.test.labels)
    card = replace(toy.card, fingerprint="")
    mixed = replace(toy, test=replace(toy.test, labels=permuted), card=card)
    frame = run(mixed, [*methods, "oracle"], seeds=[0], store=tmp_path, memory=None, deadline="none")
    maps = dict(zip(frame["method"], frame["bimodal_average"], strict=True))
    assert maps.pop("oracle") == pytest.approx(1)
    assert set(maps) == set(methods)
    assert max(maps.values()) < first_and_by_chance(48, 12) < 0.39


def evaluated_by_labels(dataset, protocol):
    """The evaluation of an oracle whose process left nothing but zeros."""
    entry = registry()["oracle"]
    (cell,) = plan([dataset], [(entry, {})], seeds=[0], protocol=get_protocol(protocol))
    nothing = np.zeros((len(dataset.test), 1))
    return evaluated(cell, InOrder(), {"images": nothing, "texts": nothing}, None)


class InOrder:
    """Features that are handed out in the order of the dataset."""

    def in_order(self, modality, representations):
        return representations


@pytest.mark.parametrize("protocol", ["paper", "release", "hamming"])
def test_where_items_of_a_category_are_relevant_an_oracle_has_all_of_them_first(toy, protocol):
    assert list(evaluated_by_labels(toy, protocol).map.values()) == pytest.approx([1.0] * 6)


def test_where_items_share_one_of_several_categories_an_oracle_has_all_of_them_first(toy):
    codes = np.random.default_rng(0).integers(0, 2, (48, 4)) | np.eye(4, dtype=int)[toy.test.labels]
    splits = {
        name: replace(split, labels=codes[np.arange(len(split)) % 48])
        for name, split in (("train", toy.train), ("validation", toy.validation), ("test", toy.test))
    }
    several = replace(toy, **splits, card=replace(toy.card, fingerprint=""))
    assert list(evaluated_by_labels(several, "paper").map.values()) == pytest.approx([1.0] * 6)


def test_where_the_pair_is_relevant_an_oracle_is_a_random_order_within_the_category(toy):
    sizes = np.array([20, 12, 10, 6])
    labels = np.repeat(np.arange(4), sizes)
    uneven = replace(toy, test=replace(toy.test, labels=labels), card=replace(toy.card, fingerprint=""))
    expected = sum(size * np.mean(1 / np.arange(1, size + 1)) for size in sizes) / 48
    measured = evaluated_by_labels(uneven, "pairs").map
    assert measured["image_to_text"] == measured["text_to_image"] == pytest.approx(expected)


def test_where_a_picture_has_several_texts_an_oracle_finds_them_as_by_chance_among_their_category(toy):
    pictures = np.array([f"{at % 4} {at // 8}" for at in range(48)])  # two rows of one category each
    several = replace(toy, test=replace(toy.test, image_ids=pictures), card=replace(toy.card, fingerprint=""))
    assert sorted({list(pictures).count(name) for name in pictures}) == [2]
    measured = evaluated_by_labels(several, "pairs").map
    assert measured["image_to_text"] == pytest.approx(chance(12, 2))
    assert measured["text_to_image"] == pytest.approx(np.mean(1 / np.arange(1, 7)))


def test_a_plugin_that_says_it_reads_test_labels_is_refused(toy, tmp_path):
    plugin = tmp_path / "cheat.py"
    plugin.write_text(
        "from cmbench.methods.beyond.controls import Oracle\n\nclass Cheat(Oracle):\n    name = 'cheat'\n"
    )
    with pytest.raises(MethodError, match="'cheat' says that it reads test labels"):
        run(toy, ["cheat"], plugins=[plugin], store=tmp_path / "store", memory=None)


def test_identity_is_left_out_where_widths_differ_though_it_failed_there_before(toy, tmp_path):
    """It did fail, in records of earlier versions."""
    frame = run(toy, ["majority", "identity"], store=tmp_path, threads=1, memory="none", jobs=1)
    assert dict(zip(frame["method"], frame["status"], strict=True)) == {
        "majority": "ok",
        "identity": "left-out",
    }
    store = Store(tmp_path)
    (record,) = [each for each in store.records() if each["method"]["name"] == "identity"]
    assert "features of images as of texts, and here are 12 and 8" in record["error"]["message"]
    store.put({**record, "status": "failed"}, None)
    again = run(toy, ["majority", "identity"], store=tmp_path, threads=1, memory="none", jobs=1)
    assert sorted(again["status"]) == ["left-out", "ok"]
    table = render(list(store.records()))
    assert "Left out: Identity (it needs as many features" in table


def test_identity_is_left_out_of_equal_widths_unless_the_dataset_names_the_encoder_of_both(toy, tmp_path):
    def status_on(card):
        splits = {
            name: replace(split, images=split.images[:, :8])
            for name, split in (("train", toy.train), ("validation", toy.validation), ("test", toy.test))
        }
        dataset = replace(toy, **splits, card=card)
        (row,) = run(dataset, ["identity"], store=tmp_path, memory=None).itertuples()
        return row.status, row.error

    status, error = status_on(replace(toy.card, fingerprint=""))
    assert status == "left-out"
    assert "name their encoder under the key shared_space" in error
    assert status_on(replace(toy.card, fingerprint="", shared_space="CLIP")) == ("ok", None)


def test_a_search_leaves_out_what_cannot_run(toy, tmp_path):
    pytest.importorskip("optuna")
    told = []
    options = {"threads": 1, "memory": "none", "jobs": 1, "told": told.append, "store": tmp_path}
    found = tune(toy, ["identity", "majority"], budget=Budget(1, seeds=(0,)), **options)
    assert list(found.choices) == ["majority"]
    assert told[0].startswith("toy: left out identity: it needs as many features of images as of texts")
