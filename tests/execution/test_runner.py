"""The main job: cells in child processes, failures as records, resuming, and nothing lost when killed."""

import inspect
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from made_records import made_record

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, Parts
from cmbench.errors import CmbenchError, DatasetError, EvaluationError, MethodError
from cmbench.evaluation import arrays
from cmbench.evaluation.protocol import PAPER
from cmbench.execution.progress import Progress
from cmbench.methods.cfa import CFA
from cmbench.methods.registry import file_entries, registry
from cmbench.plan import plan
from cmbench.store import Store

PLUGINS = Path(__file__).parents[1] / "plugins"
HOSTILE = str(PLUGINS / "hostile.py")
QUICK = {"threads": 1, "memory": "none"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def run(toy, methods, store, **options):
    return cmbench.run(toy, methods, store=store.folder, **{**QUICK, **options})


def only_record(store):
    (record,) = store.records()
    return record


def test_a_run_gives_a_row_for_each_cell_and_a_second_run_executes_nothing(toy, store):
    class Counting(Progress):
        started_cells = 0

        def planned(self, pending, stored, limits):
            self.pending, self.stored = len(pending), stored

        def started(self, cell):
            self.started_cells += 1

    first, second = Counting(), Counting()
    frame = run(toy, ["cca", "cfa"], store, progress=first)
    assert list(frame["method"]) == ["cca", "cfa"]
    assert (frame["status"] == "ok").all()
    assert (first.started_cells, first.stored) == (2, 0)
    before = {path: path.read_bytes() for path in store.paths()}
    again = run(toy, ["cca", "cfa"], store, progress=second)
    assert (second.started_cells, second.pending, second.stored) == (0, 0, 2)
    assert again.equals(frame)
    assert before == {path: path.read_bytes() for path in store.paths()}


def test_the_numbers_are_those_of_fitting_and_evaluating_by_hand(toy, store):
    frame = run(toy, ["cfa"], store)
    method = CFA().fit(toy.train, toy.validation)
    expected = cmbench.evaluate(
        method.transform_images(toy.test.images), method.transform_texts(toy.test.texts), toy.test.labels
    )
    for task, value in expected.map.items():
        assert frame[task][0] == pytest.approx(value, abs=1e-9)
    kept = store.arrays(only_record(store))
    for task, values in expected.per_query.items():
        np.testing.assert_allclose(kept[f"ap_{task}"], values, atol=1e-9)
    assert kept["ids"].tolist() == toy.test.ids.tolist()


def test_force_runs_again_and_retry_failed_only_what_failed(toy, store):
    methods = ["cfa", "raises"]
    run(toy, methods, store, plugins=[HOSTILE])
    stamps = {path.name: path.stat().st_mtime_ns for path in store.paths()}
    run(toy, methods, store, plugins=[HOSTILE], retry_failed=True)
    retried = {path.name: path.stat().st_mtime_ns for path in store.paths()}
    assert [name[:3] for name in stamps if stamps[name] != retried[name]] == ["rai"]
    run(toy, methods, store, plugins=[HOSTILE], force=True)
    forced = {path.name: path.stat().st_mtime_ns for path in store.paths()}
    assert all(forced[name] != retried[name] for name in forced)


@pytest.mark.parametrize(
    ("method", "status", "error", "message"),
    [
        ("raises", "failed", "ZeroDivisionError", "divides by zero"),
        ("exits", "crashed", "Crash", "status 3 without"),
        ("exitscleanly", "crashed", "Crash", "status 0 without"),
        ("callssysexit", "failed", "SystemExit", "0"),
        ("segfaults", "crashed", "Crash", "signal 11"),
        ("returnsnan", "failed", "EvaluationError", "NaN or infinity"),
        ("returnstoofew", "failed", "LeftBehindError", "each of the 48 rows"),
        ("returnsobjects", "failed", "MethodError", "real numbers"),
        ("returnsstrings", "failed", "MethodError", "real numbers"),
        ("raisesmemoryerror", "out-of-memory", "MemoryError", "no more"),
    ],
)
def test_a_failure_becomes_a_record(toy, store, method, status, error, message):
    frame = run(toy, [method], store, plugins=[HOSTILE])
    record = only_record(store)
    assert frame["status"][0] == record["status"] == status
    assert record["error"]["type"] == error
    assert message in record["error"]["message"]
    assert record["map"] is None
    assert (store.folder / record["log"]).is_file()


def test_a_traceback_says_where_it_happened(toy, store):
    run(toy, ["raises", "segfaults"], store, plugins=[HOSTILE])
    by_method = {record["method"]["name"]: record["error"]["traceback"] for record in store.records()}
    assert "hostile.py" in by_method["raises"]
    assert "a fit that divides by zero" in by_method["raises"]
    assert "about to read address 0" in by_method["segfaults"]
    assert "Segmentation fault" in by_method["segfaults"]
    assert "hostile.py" in by_method["segfaults"]


def test_a_hanging_cell_is_ended_at_its_deadline_with_all_it_started(toy, store):
    start = time.monotonic()
    run(toy, ["hangsdeaf"], store, plugins=[HOSTILE], deadline=10)
    assert time.monotonic() - start < 30
    record = only_record(store)
    assert record["status"] == "timeout"
    assert "deadline of 10 s; a longer one is given with --deadline" in record["error"]["message"]
    assert "hostile.py" in record["error"]["traceback"]
    named = (process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"]))
    assert not [words for words in named if any(str(store.folder) in word for word in words)]


def test_a_cell_that_takes_too_much_memory_is_ended(toy, store):
    run(toy, ["allocates"], store, plugins=[HOSTILE], memory="700MB", deadline=60)
    record = only_record(store)
    assert record["status"] == "out-of-memory"
    assert "over its limit of 700 MB; more is given with --memory" in record["error"]["message"]
    assert 0.7e9 < record["peak_memory_bytes"] < 1.5e9


def test_a_thread_left_behind_does_not_hold_up_a_good_cell(toy, store):
    frame = run(toy, ["leavesthreads"], store, plugins=[HOSTILE], deadline=60)
    assert frame["status"][0] == "ok"


def test_hostile_methods_leave_the_other_cells_alone(toy, store):
    methods = ["raises", "segfaults", "hangs", "allocates", "returnsnan", "cca", "cfa"]
    frame = run(toy, methods, store, plugins=[HOSTILE], deadline=15, memory="700MB", jobs=2)
    assert dict(zip(frame["method"], frame["status"], strict=True)) == {
        "raises": "failed",
        "segfaults": "crashed",
        "hangs": "timeout",
        "allocates": "out-of-memory",
        "returnsnan": "failed",
        "cca": "ok",
        "cfa": "ok",
    }


def test_test_labels_are_not_in_the_process_of_a_method(toy, store):
    run(toy, ["thief"], store, plugins=[PLUGINS / "thief.py"])
    record = only_record(store)
    assert record["status"] == "ok", record["error"]
    log = (store.folder / record["log"]).read_text()
    for where in ("fit", "transform_images", "transform_texts"):
        assert f"{where} label-like arrays: 0 label files: [] dataset told: False" in log
    assert "images_test.npy" in log
    assert "labels_train.npy" in log


def test_the_thief_would_find_labels_that_were_there(toy, capfd, tmp_path, monkeypatch):
    """So that the test before means something."""
    (tmp_path / "cell").mkdir()  # the thief looks into the folder above, too, and that is to be this test's
    monkeypatch.chdir(tmp_path / "cell")
    np.save("labels_test.npy", toy.test.labels)
    found = file_entries(PLUGINS / "thief.py")[0].load()()
    found.fit(toy.train, toy.validation)
    printed = capfd.readouterr().out
    assert "label-like arrays: 0" not in printed
    assert "label files: ['labels_test.npy'" in printed


def test_methods_see_test_rows_in_another_order_and_results_come_back_in_place(toy, tmp_path):
    from cmbench.execution.job import hand_out

    (tmp_path / "features").mkdir()
    features = hand_out(toy, tmp_path / "features")
    seen = {name: np.load(tmp_path / f"features/{name}_test.npy") for name in ("images", "texts")}
    for name, rows in seen.items():
        original = getattr(toy.test, name)
        assert not np.array_equal(rows, original)
        np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(original, axis=0))
    assert not np.array_equal(features.order["images"], features.order["texts"])
    images, texts = (features.in_order(name, seen[name]) for name in ("images", "texts"))
    np.testing.assert_array_equal(images, toy.test.images)
    np.testing.assert_array_equal(texts, toy.test.texts)


def with_parts(toy):
    """The toy dataset with one to three parts an item, each the item's features times a number."""

    def parts(features, first):
        counts = 1 + (np.arange(len(features)) + first) % 3
        values = np.repeat(features, counts, axis=0) * (1 + np.arange(counts.sum()))[:, None] % 7
        return Parts(values.astype(np.float32), np.concatenate([[0], counts.cumsum()]))

    def parted(split):
        return replace(split, image_parts=parts(split.images, 0), text_parts=parts(split.texts, 1))

    splits = (parted(split) for split in (toy.train, toy.validation, toy.test))
    return Dataset("parted", *splits, toy.class_names)


PARTED = """
import numpy as np
from cmbench.methods.contract import Method
class Parted(Method):
    name, uses_parts, without_parts = "parted", True, "cca"
    def fit(self, train, validation):
        return self
    def transform_images(self, images, parts=None): return self.means(images, parts)
    def transform_texts(self, texts, parts=None): return self.means(texts, parts)
    def means(self, rows, parts):
        means = np.array([parts[item].mean(axis=0) for item in range(len(rows))])
        return np.hstack([rows, means, means])[:, :20]
"""


def test_a_method_that_uses_parts_gets_those_of_the_test_items_it_maps(toy, store, tmp_path):
    dataset = with_parts(toy)
    (tmp_path / "parted.py").write_text(PARTED)
    frame = run(dataset, ["parted"], store, plugins=[tmp_path / "parted.py"])
    assert list(frame["status"]) == ["ok"], only_record(store)["error"]

    def mapped(rows, parts):
        means = np.array([parts[item].mean(axis=0) for item in range(len(rows))])
        return np.hstack([rows, means, means])[:, :20]

    test = dataset.test
    sides = mapped(test.images, test.image_parts), mapped(test.texts, test.text_parts)
    by_hand = cmbench.evaluate(*sides, test.labels)
    assert only_record(store)["map"]["image_to_text"] == pytest.approx(by_hand.map["image_to_text"])


def test_on_a_dataset_without_parts_its_stand_in_runs(toy, store, tmp_path):
    (tmp_path / "parted.py").write_text(PARTED)
    frame = run([toy, with_parts(toy)], ["parted", "cca"], store, plugins=[tmp_path / "parted.py"])
    assert list(zip(frame["dataset"], frame["method"], strict=True)) == [
        ("toy", "cca"),
        ("parted", "parted"),
        ("parted", "cca"),
    ]


def test_ccl_on_a_dataset_without_parts_is_named_by_its_coarse_grain(toy):
    known = registry()
    for dataset, name in ((toy, "CCL (coarse only)"), (with_parts(toy), "CCL")):
        (cell,) = plan([dataset], [(known["ccl"], {"width": 9})], seeds=(0,), protocol=PAPER)
        assert (cell.method.paper_name, cell.parameters["width"]) == (name, 9)


def test_a_record_says_what_was_run_where_and_how_long_it_took(toy, store):
    run(toy, ["cca"], store, parameters={"cca": {"n_components": 3}})
    record = only_record(store)
    assert record["dataset"]["fingerprint"] == toy.fingerprint
    assert record["dataset"]["sizes"] == {"train": 80, "validation": 40, "test": 48}
    assert record["dataset"]["test_counts"] == [12, 12, 12, 12]
    assert record["method"]["parameters"]["n_components"] == 3
    assert set(record["method"]["parameters"]) == set(
        inspect.signature(cmbench.load_method("cca").__class__).parameters
    )
    assert record["fitted"]["n_components_"] == 3
    assert record["protocol"]["name"] == "paper"
    assert record["queries"]["text_to_all"] == 48
    assert record["gallery"]["text_to_all"] == 96
    assert record["provenance"]["packages"]["numpy"] == np.__version__
    assert record["provenance"]["processor"]
    assert record["threads"] == 1
    assert record["peak_memory_bytes"] > 10e6
    durations = record["durations"]
    assert 0 <= durations["transform"] < durations["total"]
    assert durations["fit"] + durations["transform"] + durations["evaluate"] <= durations["total"]


def test_the_records_that_tests_make_have_the_fields_of_a_real_one(toy, store):
    run(toy, ["cca"], store)
    real, made = only_record(store), made_record()
    assert made.keys() == real.keys()
    for part, value in made.items():
        if isinstance(value, dict) and part not in ("fence", "fitted", "provenance"):
            assert value.keys() == real[part].keys(), part


@pytest.mark.parametrize(
    ("recipe", "split"),
    [("", None), ("by hand", None), ("[1]", None), ('{"split": {"origin": "drawn"}}', {"origin": "drawn"})],
)
def test_a_record_has_the_split_that_the_recipe_of_the_features_names(toy, store, recipe, split):
    run(replace(toy, card=Card(recipe=recipe)), ["cca"], store)
    assert only_record(store)["dataset"]["split"] == split


def test_threads_are_capped_in_the_child(toy, store, tmp_path):
    plugin = tmp_path / "threads.py"
    plugin.write_text(
        "from threadpoolctl import threadpool_info\n"
        "from cmbench.methods.contract import Method\n"
        "class Threads(Method):\n"
        "    def fit(self, train, validation):\n"
        "        self.threads_ = max(pool['num_threads'] for pool in threadpool_info())\n"
        "    def transform_images(self, images): return images[:, :2]\n"
        "    def transform_texts(self, texts): return texts[:, :2]\n"
    )
    run(toy, ["threads"], store, plugins=[plugin], threads=1)
    assert only_record(store)["fitted"] == {"threads_": 1}


def test_seeds_make_cells_only_where_the_method_uses_chance(toy, store):
    frame = run(toy, ["cfa", "kcca"], store, seeds=(0, 1, 2))
    assert list(frame["method"]) == ["cfa", "kcca", "kcca", "kcca"]
    assert frame["seed"].isna().tolist() == [True, False, False, False]
    seeded = (record["method"]["parameters"] for record in store.records() if record["seed"] is not None)
    assert sorted(parameters["random_state"] for parameters in seeded) == [0, 1, 2]


def test_configured_methods_and_datasets_are_taken_as_objects(toy, store):
    frame = run([toy], [CFA(n_components=2)], store)
    assert '"n_components": 2' in frame["parameters"][0]


def test_a_method_of_a_script_is_refused_with_the_remedy(toy, store):
    found = type("Mine", (CFA,), {"__module__": "__main__"})
    with pytest.raises(MethodError, match="plugins="):
        run(toy, [found()], store)


def test_only_a_transductive_method_gets_the_test_features_while_it_learns(toy, store, tmp_path):
    plugin = tmp_path / "transductive.py"
    plugin.write_text(
        "from cmbench.methods.contract import Method\n"
        "class Transductive(Method):\n"
        "    wants_unlabelled = True\n"
        "    def fit(self, train, validation, unlabelled=None):\n"
        "        self.seen_ = float(unlabelled.images.sum()) + float(unlabelled.texts.sum())\n"
        "    def transform_images(self, images): return images[:, :2]\n"
        "    def transform_texts(self, texts): return texts[:, :2]\n"
    )
    run(toy, ["transductive", "cfa"], store, plugins=[plugin])
    records = {record["method"]["name"]: record for record in store.records()}
    expected = toy.test.images.sum() + toy.test.texts.sum()
    assert records["transductive"]["fitted"]["seen_"] == pytest.approx(expected, rel=1e-4)
    assert [records[name]["transductive"] for name in ("transductive", "cfa")] == [True, False]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"methods": ["ccaa"]}, MethodError, "did you mean 'cca'"),
        (
            {"methods": ["cca"], "parameters": {"cca": {"k": 3}}},
            MethodError,
            "no parameter 'k'.*n_components",
        ),
        ({"methods": ["cca"], "parameters": {"cfa": {}}}, MethodError, "not among the methods"),
        ({"datasets": "wikipdia", "methods": ["cca"]}, DatasetError, "wikipdia"),
        ({"methods": ["cca"], "protocol": "papr"}, EvaluationError, "papr"),
        ({"methods": ["cca"], "deadline": "soon"}, CmbenchError, "'soon' is not a deadline"),
        ({"methods": ["cca"], "memory": "much"}, CmbenchError, "'much' is not a size"),
    ],
)
def test_what_cannot_be_planned_raises_before_anything_runs(toy, store, options, error, message):
    with pytest.raises(error, match=message):
        cmbench.run(**{"datasets": toy, "store": store.folder, **options})
    assert not store.folder.exists() or not store.paths()


def test_a_broken_plugin_is_reported_and_the_others_run(toy, store, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import nothing_of_that_name\n")
    with pytest.warns(UserWarning, match="broken.py cannot be imported: ModuleNotFoundError"):
        frame = run(toy, ["cfa"], store, plugins=[broken])
    assert frame["status"].tolist() == ["ok"]


def test_evaluation_limits_blas_only_while_it_runs(monkeypatch):
    threads = arrays._blas_threads
    monkeypatch.setattr(arrays, "_blas_threads", lambda: 3)  # or it would do all by itself where there is one
    with arrays.blas().limit(limits=3):
        assert set(arrays.CpuArrays().map(lambda _: threads(), range(6))) == {1}
        assert threads() == 3
