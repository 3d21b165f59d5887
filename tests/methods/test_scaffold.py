"""``cmbench methods new`` writes a method that passes every check as it stands, and its test."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from cmbench.cli.main import cli
from cmbench.errors import MethodError
from cmbench.methods.conformance import check
from cmbench.methods.registry import file_entries
from cmbench.methods.scaffold import new_files, write_new


def written(tmp_path, monkeypatch, *options):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["methods", "new", "my-method", *options])
    assert result.exit_code == 0, result.output
    (entry,) = file_entries(tmp_path / "my_method.py")
    return entry, result.output


def test_a_linear_method_passes_every_check_as_written(tmp_path, monkeypatch):
    entry, told = written(tmp_path, monkeypatch)
    assert entry.name == "my-method"
    assert "cmbench check my_method.py" in told
    assert not [finding for finding in check(entry.load()) if finding.status == "failed"]


@pytest.mark.slow
def test_a_deep_method_passes_every_check_as_written(tmp_path, monkeypatch):
    entry, _ = written(tmp_path, monkeypatch, "--deep")
    assert not [finding for finding in check(entry.load()) if finding.status == "failed"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--deep",)], ids=["linear", "deep"])
def test_the_test_that_comes_with_it_passes(tmp_path, monkeypatch, options):
    written(tmp_path, monkeypatch, *options)
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_method.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_is_written_is_tidy():
    for deep in (False, True):
        texts = new_files("my-method", deep=deep)
        assert sorted(texts) == ["my_method.py", "test_my_method.py"]
        for text in texts.values():
            assert not any(word in text for word in ("TITLE", "NAME", "MODULE"))
            assert max(map(len, text.splitlines())) <= 110


def test_nothing_is_written_over(tmp_path, monkeypatch):
    written(tmp_path, monkeypatch)
    (tmp_path / "my_method.py").write_text("mine")
    result = CliRunner().invoke(cli, ["methods", "new", "my-method"])
    assert "is there already" in str(result.exception)
    assert (tmp_path / "my_method.py").read_text() == "mine"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(MethodError, match=r"absent/my_method\.py: cannot be written"):
        write_new("my-method", tmp_path / "absent", deep=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Method", "small letters"),
        ("a--b", "small letters"),
        ("cca", "built-in"),
        ("controls", "group of methods"),
        ("none", "word of Python's own"),
        ("lambda", "word of Python's own"),
        ("numpy", "imported in place of the module numpy"),
        ("json", "imported in place of the module json"),
    ],
)
def test_names_that_no_new_method_can_have_are_refused(name, message):
    with pytest.raises(MethodError, match=message):
        new_files(name, deep=False)


def test_several_names_are_one_too_many():
    for arguments in (["methods", "cca", "cfa"], ["methods", "new"]):
        assert CliRunner().invoke(cli, arguments).exit_code == 2
