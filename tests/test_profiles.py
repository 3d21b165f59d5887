"""Profiles by name: what was tuned before is found by the dataset, and what was published is a preset."""

import csv
import tomllib
import warnings
from dataclasses import replace
from io import StringIO

import pytest
from click.testing import CliRunner
from made_records import record_of

import cmbench
from cmbench.agenda import planned
from cmbench.cli.main import cli
from cmbench.datasets import save_npz
from cmbench.datasets.splits import redrawn
from cmbench.errors import CmbenchError, CmbenchWarning, MethodError
from cmbench.methods.registry import BEYOND, DEFAULT_METHODS, registry
from cmbench.profile_files import Profile, profile_path, profile_text, write_profile
from cmbench.profiles import tuned_profile
from cmbench.report.table import render
from cmbench.runner import finished
from cmbench.search import Trial
from cmbench.store import Store
from cmbench.tuning import Budget, Choice, Tuned, tune

pytest.importorskip("tomli_w")
FEW = """
from cmbench.methods.contract import Method

class Few(Method):
    "It does nothing, for seconds."
    name = "{name}"
    tuning_space = {space}
    def __init__(self, kind=1):
        self.kind = kind
    def fit(self, train, validation):
        return self
    def transform_images(self, images):
        return images[:, :4]
    def transform_texts(self, texts):
        return texts[:, :4]
"""
QUICK = {"threads": 1, "memory": "none", "deadline": "60s", "jobs": 1}


def tuned(dataset, **parameters):
    tried = (
        Trial({}, 0.4, 1.0),
        Trial(parameters, 0.5, 1.0),
        Trial({"n_components": 1}, None, 1.0, pruned=True),
    )
    choice = Choice(parameters, 0.5, trials=3, failed=0, seconds=3.0, pruned=1, tried=tried)
    return Tuned("toy", dataset.fingerprint, {"cca": choice})


def put(folder, dataset, **parameters):
    path = profile_path(folder, dataset.fingerprint)
    path.parent.mkdir(parents=True)
    write_profile(path, "tuned", [tuned(dataset, **parameters)], Budget(3))


def test_a_profile_says_what_was_tried_and_what_was_chosen(toy):
    (entry,) = tomllib.loads(profile_text("x", [tuned(toy, n_components=2, ridge=None)], Budget(3)))[
        "datasets"
    ]["toy"]["methods"].values()
    assert entry["parameters"] == {"n_components": 2}
    assert entry["unset"] == ["ridge"]
    assert entry["tried"] == [
        {"validation_map": 0.4, "parameters": {}},
        {"validation_map": 0.5, "parameters": {"n_components": 2}, "unset": ["ridge"]},
        {"pruned": True, "parameters": {"n_components": 1}},
    ]


def test_what_was_tuned_before_is_found_beside_the_store_then_within_it(toy, tmp_path):
    store, names = tmp_path / "results" / "runs", {toy.fingerprint: "toy"}
    with pytest.raises(CmbenchError, match=r"'cmbench tune --dataset toy --store .*tuning' makes one"):
        tuned_profile(names, store)
    with pytest.raises(CmbenchError, match="'cmbench tune --dataset my-limit-case --store"):
        tuned_profile({toy.fingerprint: "my-limit-case"}, store)
    put(store / "tuning", toy, n_components=2)
    assert tuned_profile(names, store).parameters(toy.fingerprint, "cca") == {"n_components": 2}
    put(tmp_path / "results" / "tuning", toy, n_components=3)
    assert tuned_profile(names, store).parameters(toy.fingerprint, "cca") == {"n_components": 3}


def test_what_was_tuned_for_scenes_comes_with_the_package(tmp_path):
    scenes = cmbench.load_dataset("scenes")
    profile = tuned_profile({scenes.fingerprint: "scenes"}, tmp_path / "runs")
    known = profile.datasets[scenes.fingerprint]
    assert set(known) == {*DEFAULT_METHODS, *BEYOND, "ccl-coarse"} - {"ccl"}
    assert all(entry.get("exhausted") or entry["trials"] == 40 for entry in known.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error", CmbenchWarning)
        (cell,) = planned("scenes", ["cca"], profile="tuned", store=tmp_path / "runs").cells
    assert cell.parameters["ridge"] == known["cca"]["parameters"]["ridge"]
    put(tmp_path / "tuning", scenes, n_components=3)
    again = tuned_profile({scenes.fingerprint: "scenes"}, tmp_path / "runs")
    assert again.parameters(scenes.fingerprint, "cca") == {"n_components": 3}
    assert again.datasets[scenes.fingerprint]["cfa"] == known["cfa"]


def test_a_run_without_a_profile_says_which_search_makes_one(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    with pytest.raises(CmbenchError, match=rf"'cmbench tune --dataset {tmp_path}/toy.npz --limit 8 --store"):
        planned(tmp_path / "toy.npz", ["cfa"], profile="tuned", limit=8, store=tmp_path / "runs")
    search = ["--dataset", str(tmp_path / "toy.npz"), "--limit", "8", "--store", str(tmp_path / "tuning")]
    search += ["--methods", "cfa", "--trials", "1", "--seeds", "1", "-o", str(tmp_path / "p.toml")]
    assert CliRunner().invoke(cli, ["tune", *search]).exit_code == 0
    (cell,) = planned(tmp_path / "toy.npz", ["cfa"], profile="tuned", limit=8, store=tmp_path / "runs").cells
    assert cell.tuning["trials"] == 1


def test_a_search_leaves_the_profile_where_a_run_finds_it_and_the_table_says_so(toy, tmp_path):
    pytest.importorskip("optuna")
    found = tune(toy, ["cfa"], budget=Budget(2, seeds=(0,)), store=tmp_path / "tuning", **QUICK)
    finished(toy, ["cfa"], profile="tuned", store=tmp_path / "runs", **QUICK)
    (record,) = Store(tmp_path / "runs").records()
    chosen = found.choices["cfa"].parameters
    assert {name: record["method"]["parameters"][name] for name in chosen} == dict(chosen)
    assert record["method"]["tuning"] == {
        "profile": "tuned",
        "trials": 2,
        "budget": {"trials": 2},
        "version": str(registry()["cfa"].load().version),
    }
    assert "validation pairs, profile tuned, from 2 trials each." in render([record])


def test_what_was_tuned_for_other_methods_stays_with_its_own_budget(toy, tmp_path):
    pytest.importorskip("optuna")
    options = {"store": tmp_path / "tuning", **QUICK}
    first = tune(toy, ["cfa"], budget=Budget(1, seeds=(0,)), **options)
    tune(toy, ["random"], budget=Budget(2, seeds=(0,)), **options)
    profile = tuned_profile({toy.fingerprint: "toy"}, tmp_path / "runs")
    assert set(profile.datasets[toy.fingerprint]) == {"cfa", "random"}
    assert profile.parameters(toy.fingerprint, "cfa") == dict(first.choices["cfa"].parameters)
    assert profile.tuning(toy.fingerprint, "cfa")["budget"] == {"trials": 1}
    assert profile.tuning(toy.fingerprint, "random")["budget"] == {"trials": 2}
    tune(toy, ["random"], budget=Budget(2, seeds=(0,)), protocol="release", **options)
    profile = tuned_profile({toy.fingerprint: "toy"}, tmp_path / "runs")
    assert set(profile.datasets[toy.fingerprint]) == {"random"}


def test_datasets_of_one_name_stay_apart_in_a_profile(toy):
    other = replace(tuned(toy, n_components=3), fingerprint="f" * 64)
    tables = tomllib.loads(profile_text("x", [tuned(toy, n_components=2), other], Budget(3)))["datasets"]
    chosen = {table["fingerprint"]: table["methods"]["cca"]["parameters"] for table in tables.values()}
    assert chosen == {toy.fingerprint: {"n_components": 2}, "f" * 64: {"n_components": 3}}


def test_a_run_tells_what_a_profile_does_not_reach(toy, tmp_path):
    write_profile(tmp_path / "p.toml", "mine", [tuned(toy, n_components=2)], Budget(3), protocol="release")
    options = {"profile": tmp_path / "p.toml", "store": tmp_path / "runs"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", CmbenchWarning)
        planned(toy, ["cca", "random"], protocol="release", **options)
    with pytest.warns(CmbenchWarning, match="has nothing for cfa on toy, which run with their defaults"):
        planned(toy, ["cca", "cfa"], protocol="release", **options)
    with pytest.warns(
        CmbenchWarning, match="chosen under protocol release, and may not be the best for paper"
    ):
        planned(toy, ["cca"], **options)
    with pytest.raises(CmbenchError, match=r"profile 'mine' has nothing for 'toy-limit-8' \("):
        planned(toy, ["cca"], limit=8, **options)


def test_a_method_that_has_no_more_settings_has_had_its_whole_budget(toy, tmp_path):
    """One with two settings, and one with none to choose, beside one that spends all four trials."""
    pytest.importorskip("optuna")
    plugins = []
    for name, space in (("small", '{"kind": (1, 2)}'), ("large", '{"kind": (1, 2, 3, 4, 5, 6)}')):
        plugins.append(tmp_path / f"{name}.py")
        plugins[-1].write_text(FEW.format(name=name, space=space))
    plugins, names = registry(plugins), ["small", "large", "random", "majority"]
    found = tune(
        toy, names[:3], budget=Budget(4, seeds=(0,)), store=tmp_path / "tuning", plugins=plugins, **QUICK
    )
    assert {name: (choice.trials, choice.exhausted) for name, choice in found.choices.items()} == {
        "small": (2, True),  # the defaults, which are one of both values
        "large": (4, False),
        "random": (1, True),
    }
    finished(toy, names, profile="tuned", store=tmp_path / "runs", plugins=plugins, **QUICK)
    records = list(Store(tmp_path / "runs").records())
    text = render(records)
    assert "from 4 trials each; where a method has fewer settings, from all of them (" in text
    assert all(told in text for told in ("small 2", "Random 1", "Majority none"))
    assert "large 4" not in text
    assert "‡" not in text
    assert "Unequal" not in text
    rows = {row["method"]: row for row in csv.DictReader(StringIO(render(records, format="csv")))}
    assert [rows[name]["exhausted"] for name in names] == ["True", "False", "True", "True"]
    assert rows["large"]["budget"] == "4 trials"


def test_a_table_says_that_nothing_was_chosen_by_a_search(toy, tmp_path):
    def table(*methods, **options):
        records = finished(toy, list(methods), store=tmp_path, **options, **QUICK)
        return render([Store(tmp_path).find(record["key"]) for record in records])

    assert "- Parameters: the defaults of each method; none was chosen by a search (no trials)." in table(
        "cca"
    )
    some = table("cca", "cfa", parameters={"cca": {"n_components": 2}})
    assert "- Parameters: given for CCA, the defaults of the others; none was chosen by a search" in some
    assert "Parameters:" not in render([record_of("tuned", trials=3)])


def test_fewer_trials_of_the_same_time_are_no_unequal_budget():
    ten, hour = {"seconds": 600.0}, {"seconds": 3600.0}
    quick, slow, long = (
        record_of(name, trials=trials, budget=budget)
        for name, trials, budget in (("quick", 40, ten), ("slow", 3, ten), ("long", 90, hour))
    )
    text = render([quick, slow])
    assert "profile tuned, within 10 min of processor time each (trials: quick 40, slow 3)." in text
    assert "‡" not in text
    unequal = render([quick, slow, long])
    assert "‡ Parameters chosen from fewer trials than the 90 of others: quick 40, slow 3." in unequal
    assert "Unequal budgets" in unequal


def test_a_profile_that_says_less_is_read_as_before():
    assert "‡" in render([record_of("few", trials=3), record_of("many", trials=40)])


def test_a_choice_made_with_other_code_is_told_before_the_run_and_under_the_table(toy, tmp_path):
    plugin = tmp_path / "small.py"
    plugin.write_text(FEW.format(name="small", space='{"kind": (1, 2)}'))
    version = registry([plugin])["small"].code_version()
    choice = Choice({"kind": 2}, 0.5, trials=3, failed=0, seconds=3.0, version=version)
    write_profile(tmp_path / "p.toml", "mine", [Tuned("toy", toy.fingerprint, {"small": choice})], Budget(3))
    options = {"profile": tmp_path / "p.toml", "store": tmp_path / "runs"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", CmbenchWarning)
        planned(toy, ["small"], plugins=registry([plugin]), **options)
    plugin.write_text(plugin.read_text().replace("seconds", "minutes"))
    now = registry([plugin])["small"].code_version()
    with pytest.warns(CmbenchWarning, match=rf"small \(with {version}, now {now}\).*'cmbench tune'"):
        finished(toy, ["small"], plugins=registry([plugin]), **options, **QUICK)
    (record,) = Store(tmp_path / "runs").records()
    assert f"another version of the method: small (with {version}, the row is of {now})" in render([record])


def test_the_profile_of_the_own_split_serves_for_those_drawn_anew(toy, tmp_path):
    profile = Profile("mine", {toy.fingerprint: {"cca": {"parameters": {"n_components": 2}, "trials": 3}}})
    cells = planned(toy, ["cca"], splits=2, profile=profile, store=tmp_path / "s").cells
    assert [cell.parameters["n_components"] for cell in cells] == [2, 2]
    assert cells[1].dataset.fingerprint == redrawn(toy, 1).fingerprint


@pytest.mark.parametrize(
    ("parameters", "fault"), [({"ridge": -1.0}, "ridge is -1.0"), ({"rigde": 1.0}, "no parameter 'rigde'")]
)
def test_what_a_method_does_not_allow_is_said_to_be_of_the_profile(toy, tmp_path, parameters, fault):
    profile = Profile("mine", {toy.fingerprint: {"cca": {"parameters": parameters, "trials": 3}}})
    with pytest.raises(MethodError, match=rf"^profile 'mine': .*{fault}.*; 'cmbench tune' chooses anew"):
        planned(toy, ["cca"], profile=profile, store=tmp_path)
    with pytest.raises(MethodError, match=r"^cca: ridge is -2"):
        planned(toy, ["cca"], profile=profile, parameters={"cca": {"ridge": -2}}, store=tmp_path)


def test_a_table_of_several_splits_says_that_parameters_were_chosen_on_pairs_of_the_own_split(toy, tmp_path):
    profile = Profile("mine", {toy.fingerprint: {"cca": {"parameters": {"n_components": 2}, "trials": 3}}})
    for splits in (1, 2):
        records = finished(toy, ["cca"], splits=splits, profile=profile, store=tmp_path, **QUICK)
        text = render([Store(tmp_path).find(record["key"]) for record in records])
        assert ("They were chosen on the dataset's own split" in text) == (splits == 2)


def test_the_profile_of_the_paper_is_the_preset_of_each_method_that_has_one(toy, tmp_path):
    cells = planned(toy, ["cca", "corr-ae-full"], profile="paper", store=tmp_path / "s").cells
    preset = planned(toy, ["corr-ae-full"], presets={"corr-ae-full": "paper"}, store=tmp_path / "s").cells
    plain = planned(toy, ["cca"], store=tmp_path / "s").cells
    assert [cell.key for cell in cells] == [plain[0].key, preset[0].key]


def test_trials_are_ranked_by_the_protocol_and_a_budget_is_a_time(toy, tmp_path):
    pytest.importorskip("optuna")
    tune(toy, ["cca"], budget=Budget(1, seeds=(0,)), protocol="release", store=tmp_path / "t", **QUICK)
    assert [record["protocol"]["name"] for record in Store(tmp_path / "t").records()] == ["release"]
    content = tomllib.loads(profile_path(tmp_path / "t", toy.fingerprint).read_text(encoding="utf-8"))
    assert content["protocol"] == "release"
    for wrong in ("none", "0s"):
        done = CliRunner().invoke(cli, ["tune", "--budget", wrong])
        assert done.exit_code == 2
        assert "is no budget; give a time such as 90s, 10m or 3h" in done.output


CHOSEN = {"parameters": {"hidden": 8, "learning_rate": 0.01, "w_inter": 3.0}, "trials": 7, "unset": []}
OF_ITSELF = {"parameters": {"hidden": 16}, "trials": 7}


def test_variants_of_a_method_have_what_was_chosen_for_it_but_for_what_they_fix(toy, tmp_path):
    profile = Profile(
        "mine", {toy.fingerprint: {"cmgans": CHOSEN, "cmgans-cae": OF_ITSELF, "cca": OF_ITSELF}}
    )
    names = ["cmgans", "cmgans-ws", "cmgans-cae"]
    options = {"profile": profile, "store": tmp_path / "s", "parameters": {"cmgans-ws": {"hidden": 4}}}
    cells = {cell.method.name: cell for cell in planned(toy, names, like="cmgans", **options).cells}
    assert {name: cell.parameters["hidden"] for name, cell in cells.items()} == {
        "cmgans": 8,
        "cmgans-ws": 4,
        "cmgans-cae": 8,
    }
    assert [cells[name].parameters["w_inter"] for name in names] == [3.0, 3.0, 0.0]
    assert cells["cmgans"].tuning == {"profile": "mine", "trials": 7}
    assert cells["cmgans-cae"].tuning == {"profile": "mine", "trials": 7, "like": "cmgans"}
    own = {cell.method.name: cell for cell in planned(toy, names, **options).cells}
    assert own["cmgans-cae"].parameters["hidden"] == 16
    del options["parameters"]
    for methods, given, said in (
        (["cmgans", "cca"], {}, "none of the methods is a variant of 'cmgans'"),
        (names, {"profile": Profile("empty", {})}, "no parameters for 'cmgans' on toy; tune it"),
        (names, {"profile": None}, "give one with --profile"),
    ):
        with pytest.raises(CmbenchError, match=said):
            planned(toy, methods, like="cmgans", **{**options, **given})


def test_a_record_says_that_its_parameters_were_chosen_for_the_method_itself_where_both_is_so(toy, tmp_path):
    small = {"epochs": 1, "hidden": 4, "embedding": 4, "discriminator_width": 4, "device": "cpu"}
    entry = {"parameters": small, "trials": 2}
    profile = Profile("mine", {toy.fingerprint: {"cmgans": entry, "cmgans-cae": entry}})
    tunings = []
    for like in ("cmgans", None, "cmgans"):
        finished(toy, ["cmgans-cae"], profile=profile, like=like, store=tmp_path, **QUICK)
        (record,) = Store(tmp_path).records()
        assert record["configuration"]["profile"] == record["method"]["tuning"]
        tunings.append(record["method"]["tuning"])
    own = {"profile": "mine", "trials": 2}
    assert tunings == [{**own, "like": "cmgans"}, own, own]
