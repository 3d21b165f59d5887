"""Runs under each protocol: measures, several categories or none, a retrieval set."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import made_record

from cmbench.agenda import planned, with_tuning_of
from cmbench.cli.main import cli
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Split
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.errors import DatasetError, ReportError
from cmbench.evaluation.evaluator import evaluate
from cmbench.evaluation.protocol import PAPER, get_protocol
from cmbench.execution.job import hand_out
from cmbench.methods.registry import load_method, registry
from cmbench.plan import plan
from cmbench.profile_files import Profile
from cmbench.report.comparison import compare_methods
from cmbench.report.layout import View
from cmbench.report.table import render
from cmbench.runner import run
from cmbench.store import Store

SMALL = {"cca": {"n_components": 3}}


def relabelled(dataset, labels, **changes):
    """The dataset with other labels of each split, by a function of the split's labels."""
    splits = {
        name: replace(getattr(dataset, name), labels=labels(getattr(dataset, name).labels))
        for name in ("train", "validation", "test")
    }
    return replace(dataset, **splits, **changes)


def tagged(dataset):
    """Each pair has its category, and every other pair of a category the next one too."""

    def tags(labels):
        matrix = np.eye(4, dtype=np.int64)[labels]
        matrix[::3] |= np.eye(4, dtype=np.int64)[(labels[::3] + 1) % 4]
        return matrix

    return relabelled(dataset, tags)


def unlabelled(dataset):
    return relabelled(dataset, lambda labels: np.zeros((len(labels), 0), np.int64), class_names=())


def captioned(split, texts=3):
    """The first third of the pairs, each picture with three texts."""
    rows = np.repeat(np.arange(len(split) // texts), texts)
    names = np.array([f"{split.ids[row]}.jpg" for row in rows])
    return Split(
        split.images[rows],
        split.texts[: len(rows)],
        split.labels[rows],
        np.array([f"{name}#{line % texts}" for line, name in enumerate(names)]),
    )


def records_of(store):
    return {record["method"]["name"]: record for record in Store(store).records()}


def test_pairs_are_looked_for_among_distinct_pictures_and_the_table_says_so(toy, tmp_path):
    dataset = replace(unlabelled(toy), test=replace(captioned(toy.test), labels=np.zeros((48, 0), np.int64)))
    frame = run(dataset, ["cca", "deep-sm"], protocol="pairs", parameters=SMALL, store=tmp_path)
    record = records_of(tmp_path)["cca"]
    assert record["queries"] == {"image_to_text": 16, "text_to_image": 48}
    assert record["gallery"] == {"image_to_text": 48, "text_to_image": 16}
    method = load_method("cca", **SMALL["cca"]).fit(dataset.train, dataset.validation)
    mapped = method.transform_images(dataset.test.images), method.transform_texts(dataset.test.texts)
    alone = evaluate(*mapped, protocol="pairs", pictures=np.repeat(np.arange(16), 3))
    for measure in ("r@1", "r@5", "r@10", "medr"):
        assert record["measures"][measure] == pytest.approx(alone.measures[measure])
        assert record["chance"][measure] == pytest.approx(alone.chance[measure])
    kept = Store(tmp_path).arrays(record)
    assert kept["query_rows_image_to_text"].tolist() == list(range(0, 48, 3))
    assert kept["pictures"].tolist() == dataset.test.pictures.tolist()
    assert not (kept["first_text_to_image"] % 3).any()  # of the pairs of a picture, the first stands for it
    assert frame["r@1_image_to_text"][0] == pytest.approx(alone.measures["r@1"]["image_to_text"])
    assert frame["status"].tolist() == ["ok", "left-out"]
    table = render(Store(tmp_path).records())
    assert "image→text R@1" in table
    assert "text→image MedR" in table
    assert "image→all" not in table
    assert "relevant is the pair itself, a picture and its own texts" in table
    assert "R@1 " + f"{alone.chance['r@1']['image_to_text']:.3f} image→text" in table
    assert "Left out: Deep-SM (it learns from categories, and these pairs have none)." in table
    csv = render(Store(tmp_path).records(), format="csv")
    assert "r@1_image_to_text" in csv.splitlines()[0]
    latex = render(Store(tmp_path).records(), format="latex")
    assert r"\multicolumn{4}{c}{image$\to$text}" in latex
    compared = compare_methods(Store(tmp_path), Store(tmp_path).records(), "cca", "cca")
    assert "image→text" in compared
    assert "average" not in compared.partition("\n")[2].partition("Differences")[0]


def test_methods_of_one_category_are_left_out_of_several_and_the_reason_is_told(toy, tmp_path):
    save_npz(tmp_path / "tagged.npz", tagged(toy))
    options = ["--methods", "lgcfl,ccl", "--set", "lgcfl.rho=0.1", "--store", str(tmp_path / "store")]
    printed = CliRunner().invoke(cli, ["run", "--dataset", str(tmp_path / "tagged.npz"), *options])
    assert printed.exit_code == 0, printed.stderr
    reason = "it learns from one category a pair, and these pairs may have several"
    assert f"left out ccl-coarse: {reason}" in printed.stderr
    assert f"Left out: CCL (coarse only) ({reason})." in printed.stdout
    assert "relevant is what shares a category" in printed.stdout
    assert "4 categories (a pair may have several)" in printed.stdout
    alone = ["--methods", "ccl", "--store", str(tmp_path / "store")]
    nothing = CliRunner().invoke(cli, ["run", "--dataset", str(tmp_path / "tagged.npz"), *alone])
    assert f"left out ccl-coarse: {reason}" in nothing.stderr
    assert not nothing.stdout  # no table without rows
    assert nothing.exit_code == 1
    record = records_of(tmp_path / "store")["lgcfl"]
    assert record["dataset"]["test_counts"] == tagged(toy).test.labels.sum(axis=0).tolist()
    assert all(0 < value <= 1 for value in record["category_map"]["image_to_text"])


def test_measures_that_a_record_lacks_make_its_cell_run_again_and_none_is_lost(toy, tmp_path):
    run(toy, "cca", parameters=SMALL, store=tmp_path)
    first = records_of(tmp_path)["cca"]
    assert "measures" not in first
    run(toy, "cca", parameters=SMALL, store=tmp_path, measures=["p@10", "medr"])
    second = records_of(tmp_path)["cca"]
    assert second["key"] == first["key"]
    assert second["map"] == first["map"]
    assert set(second["measures"]) == {"p@10", "medr"}
    finished = second["provenance"]["finished"]
    run(toy, "cca", parameters=SMALL, store=tmp_path, measures=["p@10"])
    assert records_of(tmp_path)["cca"]["provenance"]["finished"] == finished
    run(toy, "cca", parameters=SMALL, store=tmp_path, measures="r@5")
    third = records_of(tmp_path)["cca"]
    assert set(third["measures"]) == {"r@5", "p@10", "medr"}
    records = Store(tmp_path).records()
    table = render(records, view=View(measures=["p@10", "medr"], spread="queries"))
    assert "P@10: relevant items among the first 10, over 10" in table
    assert "MedR bi-modal average" in table
    assert "image→all" not in table
    assert "image→all" in render(records)
    with pytest.raises(ReportError, match=r"no record of .* holds ndcg@3; .*--measures ndcg@3"):
        render(records, view=View(measures=["ndcg@3"]))
    assert render(records, view=View(measures=["map"])) == render(records)


@pytest.mark.parametrize("again", [{"force": True}, {"check_determinism": True}, {"measures": ["p@10"]}])
def test_a_cell_that_runs_again_without_its_profile_still_says_that_it_was_tuned(toy, tmp_path, again):
    profile = Profile("mine", {toy.fingerprint: {"cca": {"parameters": SMALL["cca"], "trials": 2}}})
    (cell,) = planned(toy, "cca", profile=profile, store=tmp_path).pending
    record = made_record("cca", key=cell.key)
    record["method"]["tuning"] = {"profile": "mine", "trials": 2}
    Store(tmp_path).put(record)
    (same,) = planned(toy, "cca", parameters=SMALL, store=tmp_path, **again).pending
    assert same.key == cell.key
    assert same.tuning == cell.tuning == record["method"]["tuning"]


def test_a_choice_that_a_record_tells_of_gives_way_to_one_that_says_more(toy, tmp_path):
    (cell,) = planned(toy, "cca", store=tmp_path).cells
    record = made_record("cca")
    itself, other, lent = {"trials": 2}, {"trials": 3}, {"trials": 2, "like": "kcca"}
    for known, given, said in [
        (None, None, None),
        (None, itself, itself),
        (itself, None, itself),
        (itself, other, other),
        (itself, lent, itself),
        (lent, itself, itself),
    ]:
        record["method"]["tuning"] = known
        assert with_tuning_of(replace(cell, tuning=given), record).tuning == said
    assert with_tuning_of(cell, None) is cell


def test_a_retrieval_set_is_ranked_for_each_test_pair(toy, tmp_path):
    shown = Split(toy.train.images[:30], toy.train.texts[:30], toy.train.labels[:30], toy.train.ids[:30])
    dataset = replace(toy, retrieval=shown)
    run(dataset, "cca", parameters=SMALL, store=tmp_path)
    record = records_of(tmp_path)["cca"]
    assert record["queries"]["image_to_text"] == 48
    assert record["gallery"] == {
        "image_to_text": 30,
        "text_to_image": 30,
        "image_to_all": 60,
        "text_to_all": 60,
    }
    kept = Store(tmp_path).arrays(record)
    assert kept["gallery_ids"].tolist() == shown.ids.tolist()
    assert kept["gallery_labels"].tolist() == shown.labels.tolist()
    assert kept["first_image_to_text"].shape == kept["first_text_to_all"].shape == (48, 20)
    assert kept["first_image_to_text"].max() < 30 <= kept["first_text_to_all"].max() < 60
    table = render(Store(tmp_path).records())
    assert "80/40/48 training/validation/test pairs, 30 pairs to retrieve" in table
    assert "the gallery is a retrieval set, in which no query stands" in table


def test_rows_of_test_and_retrieval_set_are_handed_out_in_one_order_and_come_back(toy, tmp_path):
    shown = Split(toy.train.images[:30], toy.train.texts[:30], toy.train.labels[:30], toy.train.ids[:30])
    handed = hand_out(replace(toy, retrieval=shown), tmp_path)
    for modality in ("images", "texts"):
        rows = handed.in_order(modality, np.load(tmp_path / f"{modality}_test.npy"))
        expected = np.concatenate([getattr(toy.test, modality), getattr(shown, modality)])
        np.testing.assert_array_equal(rows, expected)
    shuffled = np.load(tmp_path / "images_test.npy")
    assert not np.array_equal(shuffled[:48], toy.test.images)


def test_zero_shot_and_hamming_have_tables_of_their_own(toy, tmp_path):
    few = replace(toy, train=_of(toy.train, 3), validation=_of(toy.validation, 3), unseen_categories=True)
    run(few, "cca", parameters=SMALL, store=tmp_path, protocol="zeroshot")
    run(toy, "cca", parameters=SMALL, store=tmp_path, protocol="hamming")
    run(toy, "cca", parameters=SMALL, store=tmp_path)
    zero, hamming, paper = (
        render([record for record in Store(tmp_path).records() if record["protocol"]["name"] == name])
        for name in ("zeroshot", "hamming", "paper")
    )
    assert "Zero-shot: no training pair is of the test categories dog." in zero
    assert "Hamming distance of codes, in which a bit is 1 where a representation is above 0" in hamming
    assert "cosine similarity; full ranking" in paper
    assert render(Store(tmp_path).records()).count("### ") == 3


def _of(split, categories):
    rows = split.labels < categories
    return Split(split.images[rows], split.texts[rows], split.labels[rows], split.ids[rows])


@pytest.mark.parametrize(
    ("change", "protocol", "message"),
    [
        (unlabelled, "paper", "has no categories.*'pairs'"),
        (lambda toy: replace(toy, retrieval=toy.train), "pairs", "has a retrieval set"),
        (lambda toy: toy, "zeroshot", "every test category .* use protocol 'paper'"),
        (
            lambda toy: replace(
                toy, train=_of(toy.train, 3), validation=_of(toy.validation, 3), unseen_categories=True
            ),
            "paper",
            "1 categories without a training pair; use protocol 'zeroshot'",
        ),
    ],
)
def test_a_protocol_that_does_not_fit_the_dataset_is_refused_before_anything_runs(
    toy, tmp_path, change, protocol, message
):
    with pytest.raises(DatasetError, match=message):
        run(change(toy), "cca", protocol=protocol, store=tmp_path)


def test_keys_of_earlier_cells_do_not_change(toy):
    (cell,) = plan([toy], [(registry()["cca"], {})], seeds=[0], protocol=PAPER)
    assert cell.key == "76e5ae1ff3ab6b05"
    (release,) = plan([toy], [(registry()["cca"], {})], seeds=[0], protocol=get_protocol("release"))
    assert release.key == "bb95380d41bd0cee"


def test_a_dataset_with_categories_in_test_alone_is_made_only_on_request(toy):
    parts = _of(toy.train, 3), _of(toy.validation, 3), toy.test
    with pytest.raises(DatasetError, match="zeroshot"):
        Dataset("few", *parts, toy.class_names)
    assert Dataset("few", *parts, toy.class_names, unseen_categories=True).unseen_categories


def test_the_beginning_of_each_ranking_and_the_common_space_are_kept_with_the_record(toy, tmp_path):
    run(toy, "cfa", store=tmp_path)
    record = records_of(tmp_path)["cfa"]
    method = load_method("cfa").fit(toy.train, toy.validation)
    images, texts = method.transform_images(toy.test.images), method.transform_texts(toy.test.texts)
    kept = Store(tmp_path).arrays(record)
    similarity = (images / np.linalg.norm(images, axis=1, keepdims=True)) @ (
        texts / np.linalg.norm(texts, axis=1, keepdims=True)
    ).T
    count = min(20, len(toy.test))
    for task, rows in {"image_to_text": similarity, "text_to_image": similarity.T}.items():
        first = kept[f"first_{task}"]
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, np.argsort(-rows, axis=1)[:, :count])
        assert kept[f"query_rows_{task}"].tolist() == list(range(len(toy.test)))
        area = kept[f"precision_by_recall_{task}"].mean()
        assert area == pytest.approx(record["map"][task], abs=1e-6)
    assert record["dimension"] == images.shape[1]
    assert len(kept["component_values"]) == 2 * len(kept["component_rows"]) == 2 * len(toy.test)
