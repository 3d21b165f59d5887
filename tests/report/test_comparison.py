"""Two methods or two stores compared, against SciPy on the stored APs."""

import csv
import io
import re
import shutil
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import TASKS, made_dataset, made_record
from scipy import stats

import cmbench
from cmbench.cli.main import cli
from cmbench.errors import CmbenchWarning, ReportError
from cmbench.report.comparison import compare_methods, compare_stores
from cmbench.report.records import select
from cmbench.report.table import render
from cmbench.store import Store

QUICK = {"threads": 1, "memory": "none", "deadline": "60s"}


@pytest.fixture(scope="module")
def store(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    cmbench.run(toy, ["cca", "cfa"], store=folder, **QUICK)
    return Store(folder)


def row(text, name):
    line = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_comparison_holds_means_difference_and_error_of_the_stored_aps(store):
    records = {record["method"]["name"]: record for record in store.records()}
    text = compare_methods(store, store.records(), "cca", "CFA")
    first, second = (
        np.mean(
            [store.arrays(records[name])[f"ap_{task}"] for task in ("image_to_text", "text_to_image")], axis=0
        )
        for name in ("cca", "cfa")
    )
    _, shown_first, shown_second, mean, error, _, p, _ = row(text, "bi-modal average")
    assert float(shown_first) == pytest.approx(records["cca"]["map"]["bimodal_average"], abs=5e-5)
    assert float(shown_second) == pytest.approx(records["cfa"]["map"]["bimodal_average"], abs=5e-5)
    assert float(mean) == pytest.approx(np.mean(first - second), abs=5e-5)
    assert float(error) == pytest.approx(stats.sem(first - second), abs=5e-5)
    theirs = stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    assert float(p) == pytest.approx(theirs.pvalue, abs=0.02)


def test_what_ran_in_the_place_of_ccl_is_compared_by_its_name(store):
    records = [
        {**each, "method": {**each["method"], "name": "ccl-coarse", "paper_name": "CCL (coarse only)"}}
        if each["method"]["name"] == "cfa"
        else each
        for each in store.records()
    ]
    assert compare_methods(store, records, "cca", "ccl") == compare_methods(
        store, records, "cca", "ccl-coarse"
    )
    with pytest.raises(ReportError, match="no finished cell of 'cmdn'"):
        compare_methods(store, records, "ccl", "cmdn")


@pytest.mark.slow
def test_deep_sm_is_ahead_of_jrl_on_scenes_which_cannot_be_told_apart_from_lgcfl(tmp_path):
    as_measured = {"deep-sm": {"preprocessing": "zscore"}}
    cmbench.run("scenes", ["deep-sm", "jrl", "lgcfl"], store=tmp_path, parameters=as_measured, **QUICK)
    store = Store(tmp_path)

    def compared(*names):
        found = row(compare_methods(store, store.records(), *names), "bi-modal average")
        return [float(value.rstrip("*")) for value in (*found[3:5], *found[6:7])]

    difference, error, p = compared("deep-sm", "jrl")
    assert difference == pytest.approx(0.0218, abs=0.003)  # other processors have other last bits
    assert error == pytest.approx(0.0061, abs=0.0005)
    assert p < 0.01
    difference, error, p = compared("jrl", "lgcfl")
    assert difference == pytest.approx(0.0026, abs=0.001)
    assert 0.05 < p < 0.2


def test_a_copy_of_a_store_has_the_same_runs_and_is_not_compared_with_it(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "copy")
    copy = Store(tmp_path / "copy")
    text = compare_stores(store, copy)
    for name in ("CCA", "CFA"):
        assert row(text, name)[3:] == ["the same runs", "", "", "", ""]
    record = next(each for each in copy.records() if each["method"]["name"] == "cca")
    arrays = copy.arrays(record)
    copy.put(record, {**arrays, "ap_image_to_text": arrays["ap_image_to_text"] / 2})
    text = compare_stores(store, copy)
    assert row(text, "CFA")[3] == "the same runs"
    _, _, _, mean, _, _, p, corrected = row(text, "CCA")
    assert float(mean) > 0
    assert corrected.removesuffix("*") == p  # the other row is no test


def test_what_cannot_be_compared_is_named(store, tmp_path, toy):
    with pytest.raises(ReportError, match="no finished cell of 'jrl'; it has "):
        compare_methods(store, store.records(), "cca", "jrl")
    with pytest.raises(ReportError, match=r"'ccaa' \(did you mean 'cca'\?\); it has "):
        compare_methods(store, store.records(), "ccaa", "cca")
    with pytest.raises(ReportError, match="on toy alone give cca and --dataset toy; it has "):
        compare_methods(store, store.records(), "toy/cca", "cca")
    with pytest.raises(ReportError, match=r"no finished cell in common.* has .*cca.* on toy.* has none"):
        compare_stores(store, Store(tmp_path))
    shutil.copytree(store.folder, tmp_path / "two")
    cmbench.run(toy, ["cca"], store=tmp_path / "two", parameters={"cca": {"n_components": 2}}, **QUICK)
    two = Store(tmp_path / "two")
    with pytest.raises(ReportError, match=r"several settings of cca; .*n_components=2"):
        compare_methods(two, two.records(), "cca", "cfa")
    keys = [record["key"][:8] for record in two.records() if record["method"]["name"] == "cca"]
    given = {each["key"][:8]: each["method"]["parameters"]["n_components"] for each in two.records()}
    text = compare_methods(two, two.records(), *sorted(keys, key=lambda key: given[key] != 2))
    assert "first: CCA (n_components=2) (1 run), second: CCA (n_components=validation) (1 run)" in text


def test_a_cell_of_older_code_is_compared_where_its_key_names_it(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "copy")
    both = Store(tmp_path / "copy")
    record = next(each for each in store.records() if each["method"]["name"] == "cca")
    older = {**record, "key": "01d0", "method": {**record["method"], "code_version": "0"}}
    older["provenance"] = {**record["provenance"], "finished": "2020-01-01T00:00:00+00:00"}
    arrays = store.arrays(record)
    arrays["ap_image_to_text"] = arrays["ap_image_to_text"] / 2
    both.put(older, arrays)

    def compared(*names):
        return CliRunner().invoke(
            cli, ["compare", *names, "--store", str(both.folder)], catch_exceptions=False
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error", CmbenchWarning)
        text = compared("01d0", "cca").stdout
        assert "first: CCA (code=0) (1 run), second: CCA (code=1) (1 run)" in text
        _, old, new, *_ = row(text, "image→text")
        assert float(old) == pytest.approx(float(new) / 2, abs=1e-4)
        assert "first: CFA (1 run), second: CCA (code=0) (1 run)" in compared("cfa", "01d0").stdout
    with pytest.warns(
        CmbenchWarning, match=r"left out \(cca\); to compare one, name it by .* its key"
    ) as told:
        text = compared("cca", "cfa").stdout
    assert "--all-versions" not in str(told[0].message)
    assert text.startswith(compare_methods(store, store.records(), "cca", "cfa").partition("\n")[0])


def test_a_record_without_its_arrays_is_named(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.npz"))
    bare = Store(tmp_path / "copy")
    with pytest.raises(ReportError, match=r"toy.* is left out: .*\.npz"):
        compare_methods(bare, bare.records(), "cca", "cfa")


def test_a_dataset_without_its_arrays_is_named_below_the_others(store, toy, tmp_path):
    shutil.copytree(store.folder, tmp_path / "copy")
    copy = Store(tmp_path / "copy")
    options = {**QUICK, "limit": 20}
    cmbench.run(toy, ["cca", "cfa"], store=copy.folder, **options)
    both = compare_methods(copy, copy.records(), "cca", "cfa")
    assert both.count("| bi-modal average") == 2
    for record in store.records():
        copy.arrays_path(record).unlink()
    text = compare_methods(copy, copy.records(), "cca", "cfa")
    assert text.count("| bi-modal average") == 1
    assert re.search(r"^toy .* is left out: .*\.npz: cannot be read", text, re.MULTILINE)


def test_what_two_stores_cannot_compare_is_named_beside_what_they_can(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("cca*.npz"))
    text = compare_stores(store, Store(tmp_path / "copy"))
    assert row(text, "CFA")[3] == "the same runs"
    assert re.search(r"^toy .*: CCA is left out: .*cca.*\.npz: cannot be read", text, re.MULTILINE)
    shutil.copytree(store.folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.npz"))
    with pytest.raises(ReportError, match="CCA is left out"):
        compare_stores(store, Store(tmp_path / "bare"))


def test_means_are_those_of_the_pairs_and_splits_that_are_compared(tmp_path):
    store = Store(tmp_path)
    drawn = made_dataset("toy split 1")
    drawn["split_of"] = {"name": "toy", "fingerprint": made_dataset()["fingerprint"], "seed": 1}
    for method, value, dataset, first in [("a", 0.5, "toy", 0), ("a", 0.9, drawn, 4), ("b", 0.25, "toy", 0)]:
        ids = np.array([f"pair {first + at}" for at in range(10)])
        ap = np.full(10, value)
        if dataset == "toy":
            ap[0] = np.nan  # no item is relevant
        held = {f"ap_{task}": ap for task in TASKS} | {"ids": ids}
        store.put(made_record(method, value, dataset=dataset), held)
    text = compare_methods(store, store.records(), "a", "b")
    assert row(text, "bi-modal average")[1:4] == ["0.5000", "0.2500", "+0.2500"]
    marked = render(store.records(), arrays=store.arrays)
    assert "permutation test over 9 test pairs" in marked
    assert "Rows are tested against one another on the splits that all have." in marked


def test_two_choices_on_splits_by_profiles_of_one_name_are_two_settings(tmp_path):
    stores = [Store(tmp_path / name) for name in ("first", "second", "alike")]
    held = {f"ap_{task}": np.full(10, 0.5) for task in TASKS} | {
        "ids": np.array([f"{at}" for at in range(10)])
    }
    for store, ridge in zip(stores, (1.0, 9.0, 1.0), strict=True):
        made = made_record("cca", parameters={"ridge": ridge})
        made["method"]["tuning"] = {"profile": "tuned", "trials": 5, "each_split": f"{ridge}"}
        store.put(made, held)
    assert row(compare_stores(stores[0], stores[2]), "CCA")[3] == "the same runs"
    with pytest.raises(ReportError, match="have no finished cell in common"):
        compare_stores(*stores[:2])


def test_the_command_compares_methods_and_stores(store):
    absent = CliRunner().invoke(cli, ["compare", str(store.folder), str(store.folder / "absent")])
    assert isinstance(absent.exception, ReportError)
    assert "absent'; give those of two stores" in str(absent.exception)
    methods = CliRunner().invoke(cli, ["compare", "cca", "cfa", "--store", str(store.folder)])
    stores = CliRunner().invoke(cli, ["compare", str(store.folder), str(store.folder)])
    assert re.search(r"first: CCA \(1 run\), second: CFA \(1 run\)", methods.output)
    assert "| CCA" in stores.output
    command = ["compare", str(store.folder), str(store.folder), "--dataset", "toy", "--protocol"]
    assert CliRunner().invoke(cli, [*command, "paper"]).output == stores.output
    assert isinstance(CliRunner().invoke(cli, [*command, "release"]).exception, ReportError)


def test_a_store_that_is_not_there_is_named_whatever_the_other_is_called(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("before", "cca"):
        (tmp_path / name).mkdir()
    with pytest.raises(ReportError, match="there is no folder 'aftr'"):
        CliRunner().invoke(cli, ["compare", "before", "aftr"], catch_exceptions=False)
    words = ["compare", "cca", "cfb", "--store", str(store.folder)]
    with pytest.raises(ReportError, match=r"no finished cell of 'cfb' \(did you mean 'cfa'\?\)"):
        CliRunner().invoke(cli, words, catch_exceptions=False)
    words = ["compare", "results/befor", "results/aftr", "--store", str(store.folder)]
    with pytest.raises(ReportError, match="no finished cell of 'results/befor', and there is no folder"):
        CliRunner().invoke(cli, words, catch_exceptions=False)


def test_a_pair_in_the_test_parts_of_several_splits_counts_once(toy, tmp_path):
    frame = cmbench.run(toy, ["cca", "cfa"], splits=3, store=tmp_path / "s", **QUICK)
    assert frame["split"].tolist() == [0, 0, 1, 1, 2, 2]
    assert set(frame["dataset"]) == {"toy"}
    store = Store(tmp_path / "s")
    records = store.records()
    by_pair = {"cca": {}, "cfa": {}}
    for record in records:
        arrays = store.arrays(record)
        ap = (arrays["ap_image_to_text"] + arrays["ap_text_to_image"]) / 2
        for name, value in zip(arrays["ids"].tolist(), ap, strict=True):
            by_pair[record["method"]["name"]].setdefault(name, []).append(value)
    means = {
        name: {pair: np.mean(values) for pair, values in pairs.items()} for name, pairs in by_pair.items()
    }
    assert 48 < len(means["cca"]) < 3 * 48
    differences = [means["cca"][pair] - means["cfa"][pair] for pair in means["cca"]]
    shown = row(compare_methods(store, records, "cca", "cfa"), "bi-modal average")
    assert float(shown[3]) == pytest.approx(np.mean(differences), abs=5e-5)
    assert float(shown[4]) == pytest.approx(stats.sem(differences), abs=5e-5)
    marked = render(records, arrays=store.arrays)
    assert f"over {len(differences)} test pairs, several splits nested in them" in marked


def test_splits_are_one_row_of_one_table_with_their_deviation(toy, tmp_path):
    frame = cmbench.run(toy, ["cca"], splits=3, store=tmp_path / "s", **QUICK)
    records = Store(tmp_path / "s").records()
    text = render(records)
    values = frame["image_to_text"]
    assert text.count("| CCA") == 1
    assert f"{values.mean():.3f}" in text
    assert f"± {values.std(ddof=1):.3f}" in text
    assert "the dataset's own and seeds 1, 2" in text
    (in_csv,) = csv.DictReader(io.StringIO(render(records, format="csv")))
    assert (in_csv["status"], in_csv["seeds"], in_csv["splits"]) == ("ok", "1", "3")
    assert f"toy ({toy.fingerprint[:8]})" in text
    assert select(records, datasets=["toy"]) == records
    assert len(select(records, datasets=[toy.fingerprint])) == 1


def test_cells_of_the_own_split_are_the_same_with_and_without_others(toy, tmp_path):
    alone = cmbench.run(toy, ["cca"], store=tmp_path / "s", **QUICK)
    among = cmbench.run(toy, ["cca"], splits=2, store=tmp_path / "s", **QUICK)
    assert among["key"][0] == alone["key"][0]
    assert among["key"][1] != alone["key"][0]
