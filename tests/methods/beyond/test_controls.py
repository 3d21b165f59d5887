"""Controls give what can be computed without them."""

import numpy as np
import pytest

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import evaluate
from cmbench.methods.beyond.controls import Identity, Majority, Random
from cmbench.methods.registry import BEYOND, BUILT_IN, CONTROLS, expanded
from cmbench.runner import run


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


def test_every_method_beyond_the_paper_is_in_a_group():
    there = {name for name, home in BUILT_IN.items() if ".beyond." in home}
    assert there - {*BEYOND, *CONTROLS} == {"acmr-released", "scm"} - {*BEYOND}
    assert expanded(["cca", "controls", "random"]) == ["cca", *CONTROLS]


def test_controls_run_as_cells_though_one_is_constant(toy, tmp_path):
    frame = run(toy, ["random", "majority"], store=tmp_path, memory=None)
    assert list(frame["status"]) == ["ok", "ok"]
