"""The committed results: their tables are what their records give, and the script that makes them works."""

import json
import re
import shutil
import sys
import tarfile
import tomllib
from pathlib import Path

import equal_searches
import leaderboard
import numpy as np
import produce
import pytest
import studies
from made_records import TASKS, made_dataset, made_record

from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.methods.registry import CONTROLS, DEFAULT_METHODS, registry
from cmbench.plan import cell_key, deciding, effective_parameters
from cmbench.report import ablation
from cmbench.reproduction import then_and_since
from cmbench.store import Store
from cmbench.tuning import Budget, tune

RESULTS = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the committed records, which ``produce`` works on in place of them."""
    for path in (*RESULTS.glob("*/*.jsonl"), *RESULTS.glob("tuned/cells/*/*.npz")):
        copy = tmp_path / path.relative_to(RESULTS)
        copy.parent.mkdir(exist_ok=True, parents=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(produce, "HERE", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["produce.py", *arguments])
    produce.main()


def test_every_committed_table_is_rendered_again_byte_for_byte(copied, monkeypatch):
    for study in ("traditional", "deep", "cmgans", "defaults", "features"):
        call(monkeypatch, study, "render")
    call(monkeypatch, "leaderboard")
    rendered = sorted(path.relative_to(copied) for path in copied.rglob("*.md"))
    assert len(rendered) == 7
    for path in rendered:
        assert (copied / path).read_bytes() == (RESULTS / path).read_bytes(), path


def test_the_committed_records_are_all_there():
    studies = [path.parent for path in RESULTS.glob("*/README.md") if path.parent.name != "tuned"]  # it grows
    counts = {study.name: len(Store(study).records()) for study in studies}
    assert counts == {
        "traditional": 28,
        "deep": 80,
        "cmgans": 108,
        "defaults": 74,
        "features": 5,
        "scenes": 4,
    }


def test_every_committed_record_has_the_key_that_its_parameters_have_now():
    """Also those of older versions of a method, which parameters that came with newer ones are no part of."""
    methods = {name: entry.load() for name, entry in registry().entries.items()}
    records = [record for path in RESULTS.glob("*/README.md") for record in Store(path.parent).records()]
    assert {record["method"]["name"] for record in records} >= {*DEFAULT_METHODS}
    for record in records:
        method, recorded = methods[record["method"]["name"]], record["method"]["parameters"]
        is_current = record["method"]["code_version"] == str(method.version)
        parameters = effective_parameters(method, then_and_since(method.name, recorded), None)
        parameters = parameters if is_current else {name: parameters[name] for name in recorded}
        key = cell_key(
            fingerprint=record["dataset"]["fingerprint"],
            method=method.name,
            code_version=record["method"]["code_version"],
            parameters=deciding(method, parameters),
            protocol=record["protocol"],
        )
        assert record["key"] == key
        assert recorded.items() <= parameters.items()


def test_records_of_older_versions_are_those_of_the_methods_that_results_names():
    methods = {name: entry.load() for name, entry in registry().entries.items()}
    records = [record for path in RESULTS.glob("*/README.md") for record in Store(path.parent).records()]
    older = {
        record["method"]["name"]
        for record in records
        if record["method"]["code_version"] != str(methods[record["method"]["name"]].version)
    }
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in older)


def test_a_search_keeps_the_first_of_the_best_and_goes_on_from_there(monkeypatch):
    tried = []

    def score(study, dataset, method, setting):
        tried.append(setting)
        return {"a": 1, "b": 3, "c": 3}.get(setting.get("x"), 0) + setting.get("y", 0)

    monkeypatch.setattr(studies, "validation_map", score)
    rounds = [
        studies.fixed_round({"x": "a"}, {"x": "b"}, {"x": "c"}),
        studies.fixed_round({"y": -1}, {"y": 0}),
        studies.fixed_round({"y": 2}),
    ]
    assert studies.best_of(None, None, "cca", {"z": 0}, rounds) == ({"x": "b", "y": 2, "z": 0}, 5)
    assert tried[3] == {"x": "b", "y": -1, "z": 0}


def test_a_study_is_chosen_run_packed_and_rendered_and_not_run_twice(monkeypatch, tmp_path, toy):
    save_npz(tmp_path / "toy.npz", toy)
    penalties = studies.fixed_round({"kappa": 0.1}, {"kappa": 0.9})
    study = studies.Study(
        "study",
        ("toy",),
        lambda dataset: {"kcca": ({"rank": 40}, [penalties])},
        lambda name, chosen: [studies.Final("kcca", chosen["kcca"]), studies.Final("cca")],
        {"table.md": studies.render},
        options={"threads": 1, "memory": "none"},
    )
    with pytest.raises(SystemExit, match="nothing is chosen for toy"):
        studies.make(study, ["final"], study.datasets, source=tmp_path, results=tmp_path)
    studies.make(study, studies.PARTS, study.datasets, source=tmp_path, results=tmp_path)
    trials = Store("results/runs/study-trials").records()
    scores = {
        record["method"]["parameters"]["kappa"]: record["fitted"]["validation_map_"] for record in trials
    }
    chosen = json.loads((tmp_path / "study" / "chosen.json").read_text())["toy"]["kcca"]
    assert scores[chosen["setting"]["kappa"]] == max(scores.values()) == chosen["validation_map"]
    records = tmp_path / "study" / "toy.jsonl"
    before = records.read_bytes()
    assert [record["method"]["name"] for record in Store(tmp_path / "study").records()] == ["cca", "kcca"]
    assert "| CCA " in (tmp_path / "study" / "table.md").read_text()
    studies.make(study, studies.PARTS, study.datasets, source=tmp_path, results=tmp_path)
    assert records.read_bytes() == before


def test_committed_records_of_equal_searches_say_what_was_spent_and_are_small():
    store = Store(RESULTS / "tuned")
    for record in store.records():
        assert record["method"].get("tuning") or record["method"]["name"] in CONTROLS, record["key"]
        if record["status"] == "ok":
            kept = set(store.arrays(record)) - {"ids", "labels", "units"}
            assert all(name.startswith("ap_") for name in kept)
            assert ("units" in store.arrays(record)) == (record["dataset"]["name"] == "emoji")
    assert sum(path.stat().st_size for path in (RESULTS / "tuned").rglob("*") if path.is_file()) < 20e6


def test_committed_records_name_no_place_of_the_machine_that_ran_them():
    texts = [path.read_text("utf-8") for path in RESULTS.glob("*/*.jsonl")]
    for archive in (RESULTS / "tuned" / "searches").rglob("*.tar.xz"):
        texts += [text.decode() for text in equal_searches.unpacked(archive).values()]
    places = re.compile(r"(?<![\w.])/(?:home|root|tmp|Users|work|opt|mnt|usr|var)/")
    assert not [place for text in texts for place in places.findall(text)]
    record = {
        "command": ["cmbench", "/home/me/pairs.npz"],
        "seed": 1,
        "error": "File \"/opt/cm/run.py\", line 3: '/home/me/a.npz' cannot be read; train/val/test, http://a/b/c",
    }
    named = {
        "command": ["cmbench", "pairs.npz"],
        "seed": 1,
        "error": "File \"run.py\", line 3: 'a.npz' cannot be read; train/val/test, http://a/b/c",
    }
    assert equal_searches.without_places(record) == named


def tuned_run(method, value, dataset, *, paper_name=None, like=None, **parameters):
    """A record of a tuned run and its arrays, in which some queries differ by chance."""
    lent = {"like": like} if like else {}
    sizes = {"train": 2173, "validation": 231, "test": 200}
    made = made_record(
        method, paper_name=paper_name, dataset=made_dataset(dataset, sizes=sizes), parameters=parameters
    )
    random = np.random.default_rng(len(method))
    ap = np.clip(random.uniform(0, 0.2, 200) + value, 0, 1)
    made["map"] = dict.fromkeys(made["map"], float(ap.mean()))
    made["method"]["tuning"] = {"profile": "tuned", "trials": 40, **lent}
    arrays = {f"ap_{task}": ap for task in TASKS}
    return made, {**arrays, "ids": np.arange(200).astype(str), "precision_image_to_text": ap}


def test_the_page_of_equal_searches_is_made_of_what_is_brought_from_a_store(copied, monkeypatch):
    for path in (copied / "tuned").rglob("*.*"):
        path.unlink()
    source = Store(copied / "runs")
    for dataset, lead in (("first", 0.2), ("second", 0.0)):
        for run in (
            tuned_run("cmgans", 0.4 + lead, dataset, paper_name="CM-GANs", rate=1),
            tuned_run("cca", 0.5, dataset, paper_name="CCA"),
            *(tuned_run(name, 0.3, dataset, rate=2) for name in ablation.VARIANTS if name != "cmgans"),
            tuned_run("cmgans-cae", 0.2, dataset, paper_name="CM-GANs-CAE", like="cmgans", rate=1),
        ):
            source.put(*run)
    call(monkeypatch, "tuned", "--from", str(source.folder))
    results = Store(copied / "tuned")
    assert [path.name for path in sorted(results.folder.glob("*.jsonl"))] == ["first.jsonl", "second.jsonl"]
    assert set(results.arrays(results.records()[0])) == {*(f"ap_{task}" for task in TASKS), "ids"}
    page = (copied / "leaderboard.md").read_text(encoding="utf-8")
    headings = ["What the records show", "All datasets", "Each dataset", "Ablations of CM-GANs"]
    assert re.findall("^## (.*)$", page, flags=re.MULTILINE)[:-1] == headings
    assert (
        "CM-GANs is the best, or cannot be told apart from the best, on 1 of 2 datasets that are real ("
        in page
    )
    assert "above each of its ablations, tuned for themselves, by more than chance on 2 of 2 datasets" in page
    assert re.search(r"\| Method .*\| +trials \| +seeds \| +CPU s \| +MB", page)
    assert leaderboard.NOT_YET not in page
    shown = re.findall(r"^!\[.*\]\((.*)\)$", page, flags=re.MULTILINE)
    assert shown == ["tuned/costs.png"]  # of two methods there are no ranks
    assert (copied / shown[0]).read_bytes().startswith(b"\x89PNG")


def test_what_an_earlier_search_chose_gives_way_to_a_later_one_on_the_same_dataset_alone(tmp_path):
    def bring(*runs):
        source = Store(tmp_path / f"runs{len(list(tmp_path.glob('runs*')))}")
        for run in runs:
            source.put(*run)
        equal_searches.collect_tuned(source.folder, tmp_path / "tuned")
        records = Store(tmp_path / "tuned").records()
        assert len(list(tmp_path.glob("tuned/cells/*/*.npz"))) == len(records)
        held = [
            (each["dataset"]["name"], each["method"]["name"], each["method"]["parameters"])
            for each in records
        ]
        return sorted(held, key=str)

    lent = tuned_run("cmgans", 0.3, "first", like="ccl", rate=3)
    bring(tuned_run("cmgans", 0.4, "first", rate=1), tuned_run("cca", 0.5, "first", rate=1), lent)
    bring(tuned_run("cmgans", 0.4, "second", rate=1))
    assert bring(tuned_run("cmgans", 0.6, "first", rate=2)) == [
        ("first", "cca", {"rate": 1}),
        ("first", "cmgans", {"rate": 2}),
        ("first", "cmgans", {"rate": 3}),
        ("second", "cmgans", {"rate": 1}),
    ]
    seeds = [tuned_run("cmgans", 0.6, "first", rate=2, random_state=seed) for seed in (1, 2)]
    assert len(bring(*seeds)) == 6
    newer, arrays = tuned_run("cca", 0.5, "first", rate=1)
    newer["method"]["code_version"] = "9"
    newer["key"] = "0" * 16
    assert len(bring((newer, arrays))) == 6
    held = [each["method"]["code_version"] for each in Store(tmp_path / "tuned").records()]
    assert held.count("9") == 1


SAID = (
    ("the images of 1 of 9 test pairs stand in training too, with other texts", "keep all pairs of an image"),
    (
        "the images of 1 of 9 test pairs stand in training too, by their names, with other features",
        "keep all",
    ),
    ("the texts of 1 of 9 test pairs have features of zeros alone, as those of a text", "nothing is found"),
)


@pytest.mark.parametrize("name", ["scenes", "of_others"])
@pytest.mark.parametrize(("said", "remedy"), SAID)
def test_of_pairs_that_are_not_cmbenchs_own_no_name_and_no_category_is_kept(tmp_path, name, said, remedy):
    record, arrays = tuned_run("cca", 0.5, name)
    source = Store(tmp_path / "runs")
    which = f"{arrays['ids'][0]} (train: a b|c)"
    record["dataset"]["warnings"] = [f"{said}: {which}; {remedy}"]
    source.put(record, {**arrays, "labels": np.arange(200) % 5})
    equal_searches.collect_tuned(source.folder, tmp_path / "tuned")
    results = Store(tmp_path / "tuned")
    held = results.arrays(results.records()[0])
    np.testing.assert_array_equal(held["ap_image_to_text"], arrays["ap_image_to_text"])
    if name == "scenes":
        np.testing.assert_array_equal(held["ids"], arrays["ids"])
        np.testing.assert_array_equal(held["labels"], np.arange(200) % 5)
        return
    (told,) = results.records()[0]["dataset"]["warnings"]
    assert told == f"{said}; {remedy}"
    assert "labels" not in held
    assert len(set(held["ids"])) == 200
    assert not set(held["ids"]) & set(arrays["ids"])


def test_the_page_sets_the_earlier_studies_side_by_side_and_beside_published_tables(copied, monkeypatch):
    call(monkeypatch, "leaderboard")
    earlier = (copied / "leaderboard.md").read_text(encoding="utf-8").partition(leaderboard.EARLIER)[2]
    assert "### 4 datasets, protocol paper 1" in earlier
    assert "Table III 0.56 over 11 methods" in earlier
    assert "Table II 0.16 over 11 methods" in earlier


def test_commands_on_the_page_are_those_of_a_row_that_is_there():
    commands = re.findall(
        "^    cmbench (?:show|reproduce) ([a-z]+)/([a-z-]+) --store results/tuned$",
        leaderboard.LEADERBOARD,
        re.M,
    )
    assert len(commands) == 2
    held = {(each["dataset"]["name"], each["method"]["name"]) for each in Store(RESULTS / "tuned").records()}
    assert set(commands) <= held


def test_a_search_is_kept_without_arrays_and_goes_on_where_its_archive_is_unpacked(copied, monkeypatch, toy):
    shutil.rmtree(copied / "tuned" / "searches", ignore_errors=True)
    options = {"threads": 1, "memory": "none"}
    budget = Budget(trials=3, seeds=(0, 1))
    first = tune(toy, ["cca"], budget=budget, store=copied / "search", **options)
    call(monkeypatch, "searches", "--from", str(copied / "search"))
    archive = copied / "tuned" / "searches" / "toy.tar.xz"
    written = archive.read_bytes()
    call(monkeypatch, "searches", "--from", str(copied / "search"))
    assert archive.read_bytes() == written
    call(monkeypatch, "begun", "--from", str(copied / "search"))
    assert (archive.parent / "begun" / archive.name).read_bytes() == written
    with tarfile.open(archive) as tar:
        assert {Path(name).suffix for name in tar.getnames()} == {".json"}
        tar.extractall(copied / "unpacked", filter="data")
    trials = {path.name: path.stat().st_mtime_ns for path in copied.glob("unpacked/cells/*/*")}
    again = tune(toy, ["cca"], budget=budget, store=copied / "unpacked", **options)
    assert again == first
    tune(toy, ["cfa"], budget=budget, store=copied / "unpacked", **options)
    after = {path.name: path.stat().st_mtime_ns for path in copied.glob("unpacked/cells/*/*.json")}
    assert trials.items() < after.items()
    shutil.rmtree(copied / "search")
    for path in copied.glob("unpacked/cells/*/cca-*"):
        path.unlink()
    call(monkeypatch, "searches", "--from", str(copied / "unpacked"))
    assert {Path(name).name for name in equal_searches.unpacked(archive)} == set(after)


def test_a_search_of_pairs_of_others_does_not_name_them(tmp_path):
    told = "2 of 9 pairs have texts of zeros alone, as those of a text without a known word: p1, p2; keep one"
    record, _ = tuned_run("cca", 0.5, "toy (validation)")
    record["dataset"]["warnings"] = [told]
    Store(tmp_path / "search").put(record)
    equal_searches.keep_searches(tmp_path / "search", tmp_path / "searches")
    (text,) = equal_searches.unpacked(tmp_path / "searches" / "toy.tar.xz").values()
    (kept,) = json.loads(text)["dataset"]["warnings"]
    assert kept == told.replace(": p1, p2", "")


def test_runs_that_were_ranked_on_test_pairs_are_not_kept_as_a_search(tmp_path):
    Store(tmp_path / "runs").put(*tuned_run("cca", 0.5, "toy"))
    with pytest.raises(SystemExit, match="of toy was not ranked on validation pairs"):
        equal_searches.keep_searches(tmp_path / "runs", tmp_path / "searches")
    assert not list(tmp_path.glob("searches/toy*"))


def chosen_by_searches():
    """Return the entries of methods in the profiles that come with the package, by dataset."""
    chosen = {}
    for path in (RESULTS.parent / "bench" / "tuned").glob("*.toml"):
        datasets = tomllib.loads(path.read_text(encoding="utf-8"))["datasets"]
        chosen |= {name: dataset["methods"] for name, dataset in datasets.items()}
    return chosen


def packed(folder):
    """Yield the dataset of each archive of searches, and its records, ranked on its validation pairs."""
    archives = sorted(folder.glob("*.tar.xz"))
    assert archives
    for archive in archives:
        records = [json.loads(text) for text in equal_searches.unpacked(archive).values()]
        assert all(f"{equal_searches.validated(record)}.tar.xz" == archive.name for record in records)
        yield archive.name.removesuffix(".tar.xz"), records


def test_every_trial_of_a_packed_search_is_told_by_the_profile_that_came_of_it():
    """Each was ranked on validation pairs, and no trial is missing or has another MAP."""
    chosen = chosen_by_searches()
    for dataset, tried in packed(RESULTS / "tuned" / "searches"):
        trials = {}
        for record in tried:
            if record["seed"] in (None, 0):  # further seeds are of the best few alone
                trials.setdefault(record["method"]["name"], []).append(record)
        assert trials
        for method, records in trials.items():
            entry = chosen[dataset][method]
            finished = [record for record in records if record["status"] == "ok"]
            told = {tried["validation_map"] for tried in entry["tried"] if "validation_map" in tried}
            assert told == {round(record["map"]["bimodal_average"], 6) for record in finished}
            assert len(records) - len(finished) == entry["pruned"] + entry["failed"]


def test_searches_that_found_nothing_better_are_kept_too():
    """The best mean over seeds of each, on validation pairs, is below that of the search that chose."""
    chosen = chosen_by_searches()
    for dataset, tried in packed(RESULTS / "tuned" / "searches" / "unchosen"):
        seeds = {}
        for record in tried:
            if record["status"] == "ok":
                parameters = record["method"]["parameters"] | {"random_state": None}
                place = record["method"]["name"], json.dumps(parameters, sort_keys=True)
                seeds.setdefault(place, []).append(record["map"]["bimodal_average"])
        best = {}
        for (method, _), values in seeds.items():
            if len(values) == 3:
                best[method] = max(best.get(method, 0.0), sum(values) / 3)
        assert best
        for method, value in best.items():
            assert value <= chosen[dataset][method]["validation_map"] + 1e-6
