"""The file of a profile: it comes back as it was written, and what is none is refused with its fault."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from cmbench import profile_files
from cmbench.cli.main import cli
from cmbench.errors import CmbenchError, CmbenchWarning, ReportError, StoreError
from cmbench.profile_files import add_to_profile, profile_path, read_profile, write_profile
from cmbench.tuning import Budget, Choice, Failure, Tuned

pytest.importorskip("tomli_w")


def test_a_profile_comes_back_as_it_was_written(tmp_path):
    choice = Choice({"rate": 0.1, "kind": "b", "cut": None}, 0.5, trials=40, failed=2, seconds=12.0)
    tuned = Tuned("toy", "f" * 64, {"planted": choice})
    write_profile(tmp_path / "p.toml", "tuned", [tuned], Budget(40))
    profile = read_profile(tmp_path / "p.toml")
    assert profile.parameters("f" * 64, "planted") == {"rate": 0.1, "kind": "b", "cut": None}
    spent = {"trials": 40, "failed": 2, "budget": {"trials": 40}}
    assert profile.tuning("f" * 64, "planted") == {"profile": "tuned", **spent}
    assert profile.parameters("0" * 64, "planted") is None
    assert profile.parameters("f" * 64, "cca") is None


def searched(dataset, fingerprint, failures=(), **scores):
    choices = {name: Choice({"rate": score}, score, 3, 0, 1.0) for name, score in scores.items()}
    return Tuned(dataset, fingerprint * 64, choices, {name: Failure(()) for name in failures})


def test_a_search_adds_to_the_profile_in_its_place_and_the_budgets_of_others_stay_theirs(tmp_path):
    path = tmp_path / "p.toml"
    write_profile(
        path, "p", [searched("toy", "a", cca=0.1, cfa=0.2, jrl=0.3)], Budget(40), protocol="release"
    )
    write_profile(path, "p", [searched("toy", "b", cca=0.4)], Budget(5))
    write_profile(path, "p", [searched("toy", "a", ["jrl"], cca=0.5)], Budget(7))
    profile = read_profile(path)
    found = {
        (name[0], method): (entry["parameters"]["rate"], entry["budget"]["trials"], entry["protocol"])
        for name, entries in profile.datasets.items()
        for method, entry in entries.items()
    }
    assert found == {
        ("a", "cca"): (0.5, 7, "paper"),
        ("a", "cfa"): (0.2, 40, "release"),
        ("b", "cca"): (0.4, 5, "paper"),
    }
    written = path.read_bytes()
    write_profile(path, "p", [searched("toy", "a", ["jrl"], cca=0.5)], Budget(7))
    assert path.read_bytes() == written


def test_a_file_that_is_no_profile_is_not_written_over(tmp_path):
    path = tmp_path / "notes.toml"
    path.write_text("mine = 1\n")
    with pytest.raises(CmbenchError, match=r"notes\.toml: no profile"):
        write_profile(path, "p", [searched("toy", "a", cca=0.1)], Budget(3))
    assert path.read_text() == "mine = 1\n"


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path):
    link, path = tmp_path / "link.toml", tmp_path / "p.toml"
    link.symlink_to(path)
    for scores in ({"cca": 0.1}, {"cfa": 0.2}):  # the first time it leads nowhere
        write_profile(link, "p", [searched("toy", "a", **scores)], Budget(3))
    assert link.is_symlink()
    assert read_profile(path).datasets["a" * 64].keys() == {"cca", "cfa"}


def test_a_fifo_is_no_profile_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "p.toml")
    with pytest.raises(CmbenchError, match=r"p\.toml: no profile .* \(it is no plain file\)"):
        read_profile(tmp_path / "p.toml")


def refusing(*_, **__):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_profile_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", refusing)
    with pytest.raises(ReportError, match=r"p\.toml: cannot be written .*Read-only"):
        write_profile(tmp_path / "p.toml", "p", [searched("toy", "a", cca=0.1)], Budget(3))


def test_a_store_that_is_read_only_is_named_unless_its_profile_says_all_already(tmp_path, monkeypatch):
    add_to_profile(tmp_path, searched("toy", "a", cca=0.1), Budget(3), protocol="paper")
    monkeypatch.setattr(profile_files, "locked", refusing)
    add_to_profile(tmp_path, searched("toy", "a", cca=0.1), Budget(3), protocol="paper")
    with pytest.raises(StoreError, match=r"a\.toml: cannot be written .*Read-only"):
        add_to_profile(tmp_path, searched("toy", "a", cca=0.2), Budget(3), protocol="paper")


@pytest.mark.parametrize("place", ["fifo", "read-only"])
def test_a_search_that_could_not_write_its_profile_does_not_begin(tmp_path, monkeypatch, place):
    path = tmp_path / "p.toml"
    os.mkfifo(path) if place == "fifo" else monkeypatch.setattr(os, "access", lambda *_: False)
    done = CliRunner().invoke(
        cli, ["tune", "-o", str(path), "--methods", "cca", "--store", str(tmp_path / "s")]
    )
    assert isinstance(done.exception, ReportError)
    assert str(path) in str(done.exception)
    assert not (tmp_path / "s").exists()


WHOLE = """
name = "p"
protocol = "paper"
budget.trials = 3
[datasets.toy]
fingerprint = "f"
[datasets.toy.methods.cca]
trials = 3
unset = ["ridge"]
parameters.n_components = 2
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (WHOLE, "", "the profile has no name"),
        ('"p"', "", "Invalid value"),
        ('name = "p"', "name = 3", "name of the profile is 3; it must be a text"),
        ("budget.trials = 3", "budget.trials = '3'", "trials of the budget of the profile is '3'"),
        (
            "budget.trials = 3",
            "budget.seconds = inf",
            "seconds of the budget of the profile is inf; it must be a f",
        ),
        ("budget.trials = 3", "budget = 3", "budget of the profile is 3; it must be a table"),
        ('protocol = "paper"', 'protocol = ["paper"]', "protocol of the profile is"),
        ('fingerprint = "f"', "", "dataset 'toy' has no fingerprint"),
        ('"f"', '"f"\nsplit_of = 1', "split_of of dataset 'toy' is 1"),
        ('"f"', '"f"\n[datasets.again]\nfingerprint = "f"\nmethods = {}', "'again' have one fingerprint"),
        ("[datasets.toy.methods.cca]", "[datasets.toy]\nmethods.cca = 3", "twice"),
        (
            "trials = 3\nunset",
            "trials = -3\nunset",
            "trials of method 'cca' is -3; it must",
        ),
        ("trials = 3\nunset", "trials = true\nunset", "trials of method 'cca' is True"),
        ('["ridge"]', '"ridge"', "unset of method 'cca' is 'ridge'; it must be a list of names"),
        ("parameters.n_components", "parameters.random_state", "without a random_state, which --seeds sets"),
        ("parameters.n_components", "parameter.n_components", "method 'cca' has no parameters"),
        ("2", "[" * 100_000, "recursion|deep"),
        ("paper", "\ud800", "utf-8"),
    ],
)
def test_what_is_no_profile_is_refused_with_its_fault(tmp_path, old, new, fault):
    path = tmp_path / "p.toml"
    path.write_text(WHOLE, encoding="utf-8")
    assert read_profile(path).parameters("f", "cca") == {"n_components": 2, "ridge": None}
    assert WHOLE.count(old) == 1
    path.write_bytes(WHOLE.replace(old, new).encode(errors="surrogatepass"))
    with pytest.raises(CmbenchError, match=rf"p\.toml: no profile that .*{fault}"):
        read_profile(path)
    with pytest.raises(CmbenchError, match="no such profile"):
        read_profile(tmp_path / "none.toml")


def chosen(*methods):
    choice = Choice({"rate": 0.1}, 0.5, trials=4, failed=0, seconds=1.0)
    return Tuned("toy", "f" * 64, dict.fromkeys(methods, choice))


def test_searches_at_the_same_time_lose_nothing_of_each_other(tmp_path, monkeypatch):
    def slowly(path, read=read_profile):
        profile = read(path)
        time.sleep(0.2)
        return profile

    add_to_profile(tmp_path, chosen("first"), Budget(4), protocol="paper")
    monkeypatch.setattr(profile_files, "read_profile", slowly)
    with ThreadPoolExecutor() as pool:
        for name in ("cca", "cfa", "sm"):
            pool.submit(add_to_profile, tmp_path, chosen(name), Budget(4), protocol="paper")
    (table,) = read_profile(profile_path(tmp_path, "f" * 64)).datasets.values()
    assert {*table} == {"first", "cca", "cfa", "sm"}


def test_a_profile_that_cannot_be_read_is_written_anew_with_a_warning(tmp_path):
    path = profile_path(tmp_path, "f" * 64)
    path.parent.mkdir()
    path.write_text("name = 3")
    with pytest.warns(CmbenchWarning, match=r"\.toml: no profile .*; it is written anew"):
        add_to_profile(tmp_path, chosen("cca"), Budget(4), protocol="paper")
    assert {*read_profile(path).datasets["f" * 64]} == {"cca"}
