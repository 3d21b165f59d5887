"""What ``import cmbench`` offers, methods of one's own, and life beside packages called like our folders."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cmbench
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.errors import MethodError
from cmbench.execution.progress import Progress
from cmbench.methods.kcca.method import KCCA
from cmbench.store import Store

ROOT = Path(__file__).resolve().parents[1]
TASKS = ("image_to_text", "text_to_image", "image_to_all", "text_to_all")
AVERAGES = ("bimodal_average", "allmodal_average")
QUICK = {"threads": 1, "memory": "none", "deadline": "60s"}

PLUGIN = '''
import numpy as np

from cmbench.methods.contract import Method


class ClassMeans(Method):
    """Least squares from each modality to the class indicators of its pair."""

    paper_name = "Class means"

    def __init__(self, ridge=1.0):
        self.ridge = ridge

    def fit(self, train, validation):
        goal = np.eye(train.labels.max() + 1)[train.labels]
        self.image_map, self.text_map = (self._solve(rows, goal) for rows in (train.images, train.texts))
        return self

    def _solve(self, rows, goal):
        return np.linalg.solve(rows.T @ rows + self.ridge * np.eye(rows.shape[1]), rows.T @ goal)

    def transform_images(self, images):
        return images @ self.image_map

    def transform_texts(self, texts):
        return texts @ self.text_map
'''
MATHEMATICS = 7  # lines of the plugin that are its own: parameters, goal, solution and the two products


def python(*arguments, path=(), cwd=None, safe=True, status=0):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment.pop("PYTHONSAFEPATH", None)
    command = [sys.executable, *(["-P"] if safe else []), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "class_means.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def toy_file(toy, tmp_path):
    path = tmp_path / "toy.npz"
    save_npz(path, toy)
    return path


def test_the_package_offers_five_functions():
    assert cmbench.__all__ == ["evaluate", "load_dataset", "load_method", "load_results", "run"]
    assert all(inspect.isfunction(getattr(cmbench, name)) for name in cmbench.__all__)


def test_the_signatures_are_as_promised():
    evaluate = inspect.signature(cmbench.evaluate).parameters
    assert list(evaluate)[:3] == ["image_representations", "text_representations", "labels"]
    assert cmbench.evaluate.__kwdefaults__["protocol"] in ("paper", cmbench.evaluation.protocol.PAPER)
    run = inspect.signature(cmbench.run).parameters
    assert list(run)[:2] == ["datasets", "methods"]
    for parameters, positional in ((evaluate, 3), (run, 2)):
        kinds = {parameter.kind for parameter in list(parameters.values())[positional:]}
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}
    assert list(inspect.signature(cmbench.load_method).parameters) == ["name", "preset", "parameters"]
    assert list(inspect.signature(cmbench.load_dataset).parameters) == ["name_or_path", "unseen_categories"]


def test_importing_the_package_imports_neither_numpy_nor_torch():
    code = (
        "import sys, cmbench; print([n for n in ('numpy', 'torch', 'sklearn', 'pandas') if n in sys.modules])"
    )
    assert python("-c", code).stdout == "[]\n"


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'cmbench' has no attribute 'evalute'"):
        _ = cmbench.evalute
    with pytest.raises(ImportError):
        exec("from cmbench import evalute")
    assert not hasattr(cmbench, "_nothing")


def test_evaluation_goes_by_task_and_by_query(toy):
    result = cmbench.evaluate(toy.test.images[:, :8], toy.test.texts, toy.test.labels, protocol="paper")
    assert tuple(result.map) == (*TASKS, *AVERAGES)
    assert all(isinstance(value, float) and 0 < value < 1 for value in result.map.values())
    assert tuple(result.per_query) == TASKS
    for task in TASKS:
        assert result.per_query[task].shape == (len(toy.test),)
        assert result.map[task] == pytest.approx(np.mean(result.per_query[task]))


def test_a_run_gives_a_frame_with_one_row_per_cell(toy, tmp_path):
    frame = cmbench.run(toy, "kcca", seeds=(0, 1), store=tmp_path, **QUICK)
    assert isinstance(frame, pd.DataFrame)
    assert frame["seed"].tolist() == [0, 1]
    assert frame[[*TASKS, *AVERAGES]].notna().all(axis=None)
    assert frame["key"].tolist() == [
        r["key"] for r in sorted(Store(tmp_path).records(), key=lambda r: r["seed"])
    ]


def test_methods_and_datasets_may_come_from_anything_one_can_loop_over(toy, tmp_path):
    frame = cmbench.run(iter([toy]), (name for name in ("cca", "cfa")), store=tmp_path, **QUICK)
    assert frame["method"].tolist() == ["cca", "cfa"]


def test_a_configured_method_runs_with_each_seed_unless_its_own_is_set(toy, tmp_path):
    frame = cmbench.run(toy, [KCCA(), KCCA(random_state=7)], seeds=(1,), store=tmp_path, **QUICK)
    assert frame["seed"].tolist() == [1, 7]


def test_parameters_given_beside_a_configured_method_count(toy, tmp_path):
    method = cmbench.load_method("cca", n_components=2)
    frame = cmbench.run(toy, method, parameters={"cca": {"ridge": 0.5}}, store=tmp_path, **QUICK)
    assert '"n_components": 2' in frame["parameters"][0]
    assert '"ridge": 0.5' in frame["parameters"][0]


def test_no_jobs_at_all_is_refused(toy, tmp_path):
    with pytest.raises(cmbench.errors.CmbenchError, match="jobs is 0; use 1 or more"):
        cmbench.run(toy, "cca", jobs=0, store=tmp_path)


def test_a_plugin_of_one_short_file_runs_from_end_to_end(toy, plugin, tmp_path):
    lines = [line for line in PLUGIN.splitlines() if line.strip()]
    assert len(lines) - MATHEMATICS <= 15
    frame = cmbench.run(toy, ["classmeans", "cfa"], plugins=plugin, store=tmp_path / "store", **QUICK)
    assert frame["status"].tolist() == ["ok", "ok"]
    assert frame["paper_name"][0] == "Class means"
    images, texts = (getattr(toy.train, name).astype(float) for name in ("images", "texts"))
    goal = np.eye(4)[toy.train.labels]
    maps = [np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ goal) for x in (images, texts)]
    expected = cmbench.evaluate(toy.test.images @ maps[0], toy.test.texts @ maps[1], toy.test.labels)
    assert frame["bimodal_average"][0] == pytest.approx(expected.map["bimodal_average"], abs=1e-3)


def test_a_method_of_an_importable_module_runs_though_its_folder_is_only_on_this_path(plugin, toy_file):
    code = (
        f"import sys, cmbench; sys.path.insert(0, {str(plugin.parent)!r})\n"
        "from class_means import ClassMeans\n"
        f"frame = cmbench.run({str(toy_file)!r}, [ClassMeans(ridge=2.0)], store='store', threads=1)\n"
        "print(frame['status'][0], frame['error'][0], frame['parameters'][0])"
    )
    assert python("-c", code, cwd=plugin.parent).stdout == 'ok None {"ridge": 2.0}\n'


def test_a_plugin_that_is_edited_while_the_run_goes_on_is_not_mistaken_for_what_was_planned(
    toy, plugin, tmp_path
):
    class Editing(Progress):
        def planned(self, pending, stored, limits):
            plugin.write_text(PLUGIN.replace("self.ridge * np.eye", "100 * self.ridge * np.eye"))

    frame = cmbench.run(toy, "classmeans", plugins=[plugin], store=tmp_path, progress=Editing(), **QUICK)
    assert frame["status"][0] == "failed"
    assert "'classmeans' changed during the run" in frame["error"][0]
    again = cmbench.run(toy, "classmeans", plugins=[plugin], store=tmp_path, **QUICK)
    assert again["status"][0] == "ok"
    assert again["key"][0] != frame["key"][0]


def test_fitted_values_that_are_no_numbers_do_not_cost_the_result(toy, plugin, tmp_path):
    fitted = "self.a_, self.b_, self.c_, self.d_ = float('nan'), float('-inf'), np.float32('inf'), 1.5"
    plugin.write_text(PLUGIN.replace("        goal =", f"        {fitted}\n        goal ="))
    frame = cmbench.run(toy, "classmeans", plugins=[plugin], store=tmp_path / "store", **QUICK)
    assert frame["status"][0] == "ok"
    (record,) = Store(tmp_path / "store").records()
    assert record["fitted"] == {"a_": None, "b_": None, "c_": None, "d_": 1.5}


def test_a_message_that_is_no_unicode_does_not_end_the_run(toy, plugin, tmp_path):
    plugin.write_text(PLUGIN.replace("        goal =", "        open('caf\\udce9')\n        goal ="))
    frame = cmbench.run(toy, ["classmeans", "cfa"], plugins=[plugin], store=tmp_path / "store", **QUICK)
    assert frame["status"].tolist() == ["failed", "ok"]
    assert "FileNotFoundError" in frame["error"][0]


def test_a_process_that_a_method_leaves_behind_neither_lives_on_nor_spoils_the_run(toy, plugin, tmp_path):
    psutil = pytest.importorskip("psutil")
    writing = "import itertools\nfor i in itertools.count(): open(f'litter{i % 999}', 'w').close()"
    littering = (
        "        import subprocess, sys, time\n"
        f"        words = [sys.executable, '-c', {writing!r}, {str(tmp_path)!r}]\n"
        "        subprocess.Popen(words, start_new_session=True)\n        time.sleep(0.5)\n        goal ="
    )
    plugin.write_text(PLUGIN.replace("        goal =", littering))
    frame = cmbench.run(toy, "classmeans", plugins=[plugin], store=tmp_path / "store", **QUICK)
    assert frame["status"][0] == "ok"
    named = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [words for words in named if str(tmp_path) in words]


def test_the_memory_of_a_cell_does_not_include_that_of_the_run():
    hoard = np.ones(500_000_000 // 8)
    done = python(
        "-c", "from cmbench.execution.memory import peak_bytes_of_this_process as peak; print(peak())"
    )
    assert 2e6 < int(done.stdout) < hoard.nbytes


def test_a_method_that_breaks_the_rules_of_constructors_is_refused_before_anything_runs(
    toy, plugin, tmp_path
):
    plugin.write_text(PLUGIN.replace("        self.ridge = ridge\n", "        pass\n"))
    with pytest.raises(MethodError, match="must store each argument under its own name"):
        cmbench.run(toy, "classmeans", plugins=[plugin], store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


@pytest.fixture
def namesakes(tmp_path):
    """A folder with other people's packages ``datasets`` and ``methods``."""
    for name in ("datasets", "methods"):
        folder = tmp_path / "others" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(f"whose = 'the other {name}'\n")
    return tmp_path / "others"


def test_packages_called_datasets_and_methods_live_beside_ours(namesakes):
    code = (
        "import datasets, methods, cmbench.datasets, cmbench.methods.registry\n"
        "print(datasets.whose, methods.whose, cmbench.load_method('cca').name,"
        " 'scenes' in cmbench.datasets.dataset_names())"
    )
    stdout = python("-c", code, path=[namesakes]).stdout
    assert stdout == "the other datasets the other methods cca True\n"


ASKING = (
    """
import sys
try:
    import datasets
    print("datasets:", datasets.whose)
except ImportError as error:
    print("none:", error)
print("path:", sys.path)
"""
    + PLUGIN
)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("installed", [True, False])
def test_the_root_of_the_repository_is_not_on_the_path_of_the_command(namesakes, plugin, safe, installed):
    plugin.write_text(ASKING)
    path = [namesakes] if installed else []
    done = python("-m", "cmbench", "methods", "--plugin", plugin, cwd=ROOT, safe=safe, path=path)
    first, second = done.stderr.splitlines()[:2]
    assert first == ("datasets: the other datasets" if installed else "none: No module named 'datasets'")
    assert repr(str(ROOT)) not in second
    assert "''" not in second


def test_the_version_can_be_asked_from_the_root_of_the_repository():
    done = python("-m", "cmbench", "--version", cwd=ROOT, safe=False)
    assert done.stdout == f"cmbench, version {cmbench.__version__}\n"


def test_another_folder_stays_on_the_path_when_python_put_it_there_for_a_reason(namesakes, plugin, tmp_path):
    plugin.write_text(ASKING)
    done = python("-m", "cmbench", "methods", "--plugin", plugin, cwd=namesakes, path=[namesakes])
    assert done.stderr.startswith("datasets: the other datasets\n")


@pytest.mark.parametrize("name", ["datasets", "methods"])
def test_our_folders_say_what_is_wrong_when_they_are_imported_under_another_name(name):
    done = python("-c", f"import {name}", path=[ROOT], status=1)
    assert (
        f"ImportError: this folder is the package 'cmbench.{name}', but it was imported as '{name}'"
        in done.stderr
    )
    assert "run from another folder, or use the 'cmbench' command" in done.stderr
