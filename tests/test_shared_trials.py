"""Trials of a search share what they train alike, in folders that no other search touches."""

import pytest

from cmbench.methods.registry import registry
from cmbench.store import Store
from cmbench.tuning import Budget, tune

QUICK = {"threads": 1, "memory": "none", "deadline": "60s", "jobs": 1}

SMALL = """
from cmbench.methods.corr_ae.method import CorrAEFull


class Small(CorrAEFull):
    name = "small"
    tuning_space = {"learning_rate": (0.01, 0.02)}

    hidden = 10
    code = 8
    rbm_epochs = 4
    embedding = 6
    alpha = 0.5
    epochs = 2
"""


def test_trials_share_what_they_train_alike_until_the_search_ends(toy, tmp_path):
    path, store, found = tmp_path / "small.py", tmp_path / "s", []
    path.write_text(SMALL)
    other = store / ".work" / "pretrained" / toy.fingerprint[:16] / "cmdn" / "of another search.pt"
    other.parent.mkdir(parents=True)
    other.touch()

    def told(line):
        found.append(len([*store.rglob("rbm*.pt")]))

    tune(
        toy,
        ["small"],
        budget=Budget(3, seeds=(0,)),
        store=store,
        plugins=registry([path]),
        told=told,
        **QUICK,
    )
    assert max(found) == 4
    assert [path.name for path in store.rglob("*.pt")] == ["of another search.pt"]
    spared = sorted(record["fitted"]["resumed_at_"] for record in Store(store).records())
    assert len(set(spared)) == 2
    assert spared[0] == 0


def test_a_search_that_ends_leaves_what_trials_of_another_one_share(toy, tmp_path):
    path, store, found = tmp_path / "small.py", tmp_path / "s", []
    path.write_text(SMALL)
    options = {"store": store, "plugins": registry([path]), **QUICK}

    def told(line):
        if line.startswith("toy, trial 1"):
            tune(toy, ["small"], budget=Budget(1, seeds=(0,)), **options)
            found.append(len([*store.rglob("rbm*.pt")]))

    tune(toy, ["small"], budget=Budget(2, seeds=(0,)), told=told, **options)
    assert found == [4]
    assert not [*store.rglob("*.pt")]


def test_a_search_goes_on_from_what_trials_of_a_killed_one_shared(toy, tmp_path):
    path, store, found = tmp_path / "small.py", tmp_path / "s", []
    path.write_text(SMALL)
    options = {"budget": Budget(2, seeds=(0,)), "store": store, "plugins": registry([path]), **QUICK}

    def stopped(line):
        if line.startswith("toy, trial 1"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        tune(toy, ["small"], told=stopped, **options)
    assert [*store.rglob("rbm*.pt")]
    tune(toy, ["small"], told=lambda line: found.append(len([*store.rglob("rbm*.pt")])), **options)
    assert min(found[:2]) == 4
    assert not [*store.rglob("*.pt")]


@pytest.mark.parametrize("scheduler", [None, "tcp://host:8786"])
def test_trials_on_workers_which_need_no_common_drive_share_nothing(toy, tmp_path, monkeypatch, scheduler):
    asked = []

    def seen(*_, shared, **__):
        asked.extend(shared)
        raise InterruptedError

    monkeypatch.setattr("cmbench.tuning.run", seen)
    with pytest.raises(InterruptedError):
        tune(toy, ["cmdn", "cca"], budget=Budget(1), store=tmp_path / "s", scheduler=scheduler)
    assert asked == (["cmdn"] if scheduler is None else [])
