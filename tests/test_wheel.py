"""What is installed is what the repository holds: no module forgotten, none left over from an old build."""

import json
import subprocess
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pytest

from cmbench.execution.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"bench": "cmbench", "methods": "cmbench/methods", "datasets": "cmbench/datasets"}
COMMIT = PurePosixPath("cmbench/commit.json")
DATA = {".css", ".csv", ".j2", ".js", ".bib", ".npz", ".toml", ".txt", ".typed"}


@pytest.fixture(scope="module")
def installed(request):
    text = distribution("cmbench").read_text("direct_url.json")
    if text and json.loads(text).get("dir_info", {}).get("editable"):
        assert not request.config.getoption("--exactly-the-wheel"), "cmbench is installed editable"
        pytest.skip("cmbench is installed editable")
    return {PurePosixPath(str(file)) for file in distribution("cmbench").files}


def sources():
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix == ".py" or path.suffix in DATA or path.name == "py.typed":
                yield PurePosixPath(package) / path.relative_to(ROOT / folder).as_posix()


def test_the_wheel_holds_every_source_file_and_nothing_else(installed):
    inside = {path for path in installed if path.parts[0] == "cmbench" and "__pycache__" not in path.parts}
    assert inside - {COMMIT} == set(sources())


def test_the_wheel_of_a_checkout_names_its_commit(installed):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    text = (distribution("cmbench").locate_file(COMMIT)).read_text("ascii")
    asked = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert json.loads(text)["commit"] == commit.stdout.strip() == provenance()["git"]["commit"]


def test_nothing_is_installed_beside_the_package(installed):
    tops = {path.parts[0] for path in installed}
    assert {top for top in tops if not top.startswith(("cmbench", ".."))} == set()
    outside = {path for path in installed if path.parts[0] == ".."}
    assert {path.name for path in outside} == {"cmbench"}


def test_the_licence_goes_with_it(installed):
    assert any(path.name == "LICENSE" for path in installed)
