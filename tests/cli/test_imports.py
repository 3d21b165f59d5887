"""What commands import: help and tables come fast where nothing heavy is loaded."""

import json
import os
import subprocess
import sys

import pytest

from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.runner import finished

HEAVY = ("torch", "numpy", "pandas", "sklearn", "scipy", "rich", "matplotlib", "cvxpy")
IMPORTED_BY = """
import json, sys
from cmbench.cli.main import main
sys.argv = ["cmbench", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def stored(toy, tmp_path_factory):
    """A store of two cells, on a dataset of which there is a file."""
    folder = tmp_path_factory.mktemp("place")
    save_npz(folder / "toy.npz", toy)
    quick = {"jobs": 1, "threads": 1, "memory": None, "deadline": 60}
    finished(folder / "toy.npz", ["cfa", "cca"], store=folder / "stored", **quick)
    return folder / "stored"


def python(code, *arguments, cwd=None):
    """Run Python as users do: in a process of its own, in another folder."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )


def imported_by(*arguments, cwd=None):
    done = python(IMPORTED_BY, *arguments, cwd=cwd)
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ()])
def test_help_imports_nothing_heavy(arguments):
    modules = imported_by(*arguments) if arguments else set(json.loads(bare_import()))
    assert "cmbench" in modules
    assert not modules & set(HEAVY)


def bare_import():
    return python("import json, sys, cmbench.cli.main; print(json.dumps(sorted(sys.modules)))").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("table",),
        ("table", "--format", "latex"),
        ("table", "--format", "csv"),
        ("plot", "categories", "--output", "bars.pdf"),
    ],
)
def test_reading_results_never_imports_torch_or_a_method(stored, tmp_path, arguments):
    modules = imported_by(*arguments, "--store", stored, cwd=tmp_path)
    assert "cmbench.store" in modules
    assert "torch" not in modules
    assert not {module for module in modules if module.startswith("cmbench.methods.")}


def test_what_is_shown_of_a_method_needs_its_defaults_and_those_of_no_other(stored, tmp_path):
    modules = imported_by("show", "cca", "--store", stored, cwd=tmp_path)
    assert "cmbench.methods.cca" in modules
    assert "torch" not in modules
    assert not {"cmbench.methods.jrl", "cmbench.methods.cmgans"} & set(modules)
