"""The file of a profile: it comes back as it was written, and what is none is refused with its fault."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cmbench import profile_files
from cmbench.errors import CmbenchError, CmbenchWarning
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
