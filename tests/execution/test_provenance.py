"""Provenance: the state of a checkout, and none for what merely lies in one."""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from cmbench.execution import provenance as provenance_module
from cmbench.execution.provenance import built_from, git_state, package_version, processor, provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A repository whose package is committed; returns the package's folder."""
    folder = tmp_path / "repository" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("value = 1\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "-m", "Begin")
    return folder


def test_libraries_loaded_first_are_named_and_absent_where_there_are_none(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libfirst.so:second.so /opt/my/third.so ")
    provenance.cache_clear()
    assert provenance()["preloaded"] == "libfirst.so, second.so, third.so"
    monkeypatch.delenv("LD_PRELOAD")
    provenance.cache_clear()
    assert "preloaded" not in provenance()
    provenance.cache_clear()


def test_an_installed_package_has_the_commit_that_it_was_built_from(tmp_path):
    file = tmp_path / "commit.json"
    assert built_from(file) is None
    file.write_text('{"commit": "0123", "dirty": true, "more": 1}')
    assert built_from(file) == {"commit": "0123", "dirty": True}
    for damaged in ("", "[]", "{}", '{"commit": "0123"}', "null"):
        file.write_text(damaged)
        assert built_from(file) is None


def test_a_clean_checkout_has_a_commit(checkout):
    assert git_state(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}


def test_a_changed_or_staged_file_makes_it_dirty_and_a_new_one_does_not(checkout):
    (checkout / "notes.txt").write_text("not tracked")
    assert git_state(checkout)["dirty"] is False
    (checkout / "__init__.py").write_text("value = 2\n")
    assert git_state(checkout)["dirty"] is True
    git(checkout, "add", "__init__.py")
    assert git_state(checkout)["dirty"] is True
    git(checkout, "commit", "--quiet", "-m", "Go on")
    assert git_state(checkout)["dirty"] is False


def test_a_folder_outside_any_repository_has_none(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    assert git_state(tmp_path) is None


def test_a_package_installed_into_somebodys_repository_has_none(checkout):
    installed = checkout.parent / ".venv" / "site-packages" / "cmbench"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert git_state(installed) is None
    (checkout.parent / ".gitignore").write_text(".venv\n")
    assert git_state(installed) is None


def test_a_repository_without_commits_has_none(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    assert git_state(tmp_path) is None


def test_the_repository_of_a_running_hook_is_not_taken_for_the_sources(checkout, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    state = git_state(checkout)
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert state == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}


def test_looking_does_not_touch_the_repository(checkout):
    index = checkout.parent / ".git" / "index"
    os.utime(checkout / "__init__.py", (1, 1))
    before = index.read_bytes()
    git_state(checkout)
    assert index.read_bytes() == before


def test_without_git_there_is_no_state(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state(checkout) is None


def test_a_git_that_hangs_is_given_up(checkout, monkeypatch):
    def hanging(command, **options):
        assert options["timeout"] <= 60
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(provenance_module.subprocess, "run", hanging)
    assert git_state(checkout) is None


def test_the_provenance_says_with_what_and_where():
    found = provenance()
    assert found["packages"]["numpy"] == np.__version__
    assert found["packages"]["cmbench"] == version("cmbench")
    assert found["python"] == platform.python_version()
    assert found["cores"] >= 1
    assert found["processor"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_command_is_told_without_the_folder_of_its_program():
    code = (
        "import json; from cmbench.execution.provenance import provenance; "
        "print(json.dumps(provenance()['command']))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "run", "--seeds", "0,1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["-c", "run", "--seeds", "0,1"]


def test_a_package_that_is_not_installed_has_no_version():
    assert package_version("no-such-package-anywhere") is None


def test_looking_up_versions_imports_none_of_the_packages():
    code = (
        "import sys; from cmbench.execution.provenance import provenance; provenance();"
        "print([name for name in ('torch', 'pandas', 'cvxpy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc/cpuinfo on this system")
def test_the_processor_is_the_one_the_system_names():
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    assert not models or processor() in models


@pytest.mark.parametrize("started", ["/env/bin/cmbench", "cmbench/__main__.py"])
def test_the_command_is_named_alike_whichever_way_it_was_started(monkeypatch, started):
    monkeypatch.setattr("sys.argv", [started, "run", "--seeds", "3"])
    assert provenance.__wrapped__()["command"] == ["cmbench", "run", "--seeds", "3"]
