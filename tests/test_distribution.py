"""Somebody else's distribution: built, installed, and its methods checked, tuned, run, and in the table."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cmbench.datasets.formats.numpy_files import save_npz

SOURCE = Path(__file__).parent / "plugins" / "distribution"
QUICK = ["--set", "epochs=12", "--set", "batch_size=16"]
LINES = {"nearest_partner": 15, "labelled_space": 25}


def around_the_mathematics(path):
    """Return how many lines of code a method takes besides those of its loss, without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = set()
    for node in ast.walk(tree):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_docstring or getattr(node, "name", "") == "loss":
            first = node.lineno if is_docstring else node.lineno + 1  # ``def loss`` itself counts
            left_out |= set(range(first, node.end_lineno + 1))
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(bool(line.strip()) and number not in left_out for number, line in enumerate(lines, 1))


@pytest.mark.parametrize("module", LINES)
def test_a_method_takes_few_lines_around_its_mathematics(module):
    assert around_the_mathematics(SOURCE / "crossmodal_extras" / f"{module}.py") <= LINES[module]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the distribution has been built and installed."""
    pytest.importorskip("setuptools", reason="setuptools builds the distribution")
    source, folder = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    shutil.copytree(SOURCE, source, dirs_exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "-q"]
    done = subprocess.run([*command, "--target", folder, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_methods_of_an_installed_distribution_are_checked_tuned_run_and_in_the_table(
    installed, toy, tmp_path
):
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    save_npz(tmp_path / "toy.npz", toy)
    place = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}

    def cmbench(*arguments):
        command = [sys.executable, "-P", "-m", "cmbench", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    listed = cmbench("methods")
    for name in ("nearest-partner", "labelled-space"):
        assert name in listed
        assert "FAILED" not in cmbench("check", name, *QUICK)
    chosen = ["--methods", "nearest-partner,labelled-space,cfa", "--dataset", "toy.npz", "--jobs", "1"]
    cmbench("tune", *chosen, "--trials", "2", "--seeds", "1", "-o", "tuned.toml")
    table = cmbench("run", *chosen, "--profile", "tuned.toml", "--check-determinism")
    assert "Nearest partner" in table
    assert "Labelled space" in table
    records = [json.loads(path.read_text()) for path in (tmp_path / "results" / "runs").rglob("*.json")]
    found = {each["method"]["name"]: each for each in records if each.get("status") == "ok"}
    for name in ("nearest-partner", "labelled-space"):
        assert found[name]["method"]["origin"] == "package"
        assert found[name]["method"]["tuning"]["profile"]
        assert found[name]["map"]["bimodal_average"] > found[name]["chance"]["map"]["image_to_text"] + 0.2
