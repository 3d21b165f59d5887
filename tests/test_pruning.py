"""Trainings that fall behind: which are given up, and what becomes of their cells."""

from typing import ClassVar

import numpy as np
import pytest

import cmbench
from cmbench.agenda import planned
from cmbench.execution.outcome import read_looks
from cmbench.methods.registry import registry
from cmbench.methods.training.progress import Look
from cmbench.pruning import Finished, PruningRule
from cmbench.search import Search, Trial
from cmbench.store import Store

QUICK = {"threads": 1, "memory": "none", "deadline": "120s", "jobs": 1}

REPORTING = '''
import time

import numpy as np

from cmbench.methods.contract import Method
from cmbench.methods.training.progress import Look, report


class Reporting(Method):
    """Reports a score that rises to ``quality`` in 40 epochs, and may hang after the twentieth."""

    def __init__(self, quality=1.0, hangs=False):
        self.quality, self.hangs = quality, hangs

    def fit(self, train, validation):
        for epoch in range(1, 41):
            report(Look("pairs", epoch, self.quality * epoch / 40))
            if self.hangs and epoch == 20:
                time.sleep(1000)
        return self

    def transform_images(self, images):
        return images[:, :2]

    def transform_texts(self, texts):
        return texts[:, :2]
'''


def curve(*scores, stage="pairs"):
    return tuple(Look(stage, float(epoch), score) for epoch, score in enumerate(scores, 1))


def rising(quality, epochs=10, stage="pairs"):
    return curve(*(quality * epoch / epochs for epoch in range(1, epochs + 1)), stage=stage)


def rivals(*qualities):
    return tuple(Finished(rising(quality), quality) for quality in qualities)


def test_a_training_is_given_up_at_the_first_look_after_warming_up_that_is_below_the_median():
    rule = PruningRule(rivals(0.2, 0.4, 0.6, 0.8, 1.0))
    behind = rule.behind(rising(0.5))
    assert (behind.looks, behind.at) == (5, Look("pairs", 5.0, 0.25))
    assert behind.bar == pytest.approx(0.3)
    assert str(behind) == (
        "by epoch 5 of stage pairs the best score was 0.2500, and 50% of earlier trainings had 0.3000 or more"
    )
    assert rule.behind(rising(0.6)) is None


def test_fewer_than_five_rivals_end_nothing():
    assert PruningRule(rivals(0.4, 0.6, 0.8, 1.0)).behind(rising(0.0)) is None
    assert PruningRule().behind(rising(0.0)) is None


def test_the_best_score_so_far_counts_and_a_rival_that_has_stopped_keeps_its_best():
    stopped = tuple(Finished(curve(0.1, 0.5 + n / 100, 0.2), 0.5 + n / 100) for n in range(5))
    rule = PruningRule(stopped)
    assert rule.behind(curve(0.6, 0.0, 0.0, 0.0, 0.0, 0.0)) is None
    assert rule.behind(curve(*[0.4] * 6)).bar == pytest.approx(0.52)


def test_a_stage_whose_scores_do_not_go_with_those_of_trials_ends_nothing():
    upside_down = tuple(Finished(rising(quality), 1 - quality) for quality in (0.2, 0.4, 0.6, 0.8, 1.0))
    assert PruningRule(upside_down).behind(rising(0.1)) is None


def test_a_stage_is_compared_with_the_same_stage_alone():
    first = tuple(Finished((*rising(100.0, stage="codes"), *rising(q)), q) for q in (0.2, 0.4, 0.6, 0.8, 1.0))
    rule = PruningRule(first)
    assert rule.behind((*rising(100.0, stage="codes"), *rising(0.7))) is None
    assert rule.behind(rising(0.1, stage="another")) is None


@pytest.mark.parametrize("stages", [1, 2, 3, 6])
def test_half_of_all_trainings_are_given_up_whatever_the_number_of_their_stages(stages):
    """Stages whose qualities are independent of each other; the score of a trial is their sum."""
    random = np.random.default_rng(stages)

    def training():
        qualities = random.uniform(0.1, 1, stages)
        looks = [
            look for at, quality in enumerate(qualities) for look in rising(quality, stage=f"stage {at}")
        ]
        return Finished(tuple(looks), float(qualities.sum()))

    rule = PruningRule(tuple(training() for _ in range(400)))
    given_up = [rule.behind(training().looks) is not None for _ in range(400)]
    assert np.mean(given_up) == pytest.approx(0.5, abs=0.1)  # four standard errors
    assert rule.share == pytest.approx(1 - 0.5 ** (1 / stages))


def test_looks_that_were_judged_are_not_judged_again():
    rule = PruningRule(rivals(0.2, 0.4, 0.6, 0.8, 1.0))
    assert rule.behind(rising(0.5), judged=10) is None
    assert rule.behind(rising(0.5), judged=4) == rule.behind(rising(0.5))


@pytest.fixture
def reporting(tmp_path):
    path = tmp_path / "reporting.py"
    path.write_text(REPORTING)
    return registry([path])


def looked_at(toy, store, reporting, rule, **parameters):
    """Run the method under the rule and return its record."""
    cmbench.run(
        toy,
        ["reporting"],
        parameters={"reporting": parameters},
        plugins=reporting,
        store=store,
        pruning={"reporting": rule},
        **QUICK,
    )
    (record,) = Store(store).records()
    return record


@pytest.mark.parametrize("hangs", [False, True])
def test_a_training_is_given_up_at_the_same_look_wherever_its_process_has_come_to(
    toy, tmp_path, reporting, hangs
):
    """One that does not hang has gone to its end before anybody looks."""
    rule = PruningRule(rivals(*[4 * quality for quality in (0.2, 0.4, 0.6, 0.8, 1.0)]))
    record = looked_at(toy, tmp_path / "s", reporting, rule, quality=1.0, hangs=hangs)
    assert record["status"] == "pruned"
    assert record["looks"] == [["pairs", float(epoch), epoch / 40] for epoch in range(1, 6)]
    assert record["error"]["message"].startswith("by epoch 5 of stage pairs the best score was 0.1250")
    assert record["durations"]["total"] < 60
    assert not hangs or record["durations"]["processor"] > 0  # one that has ended cannot be asked any more


def test_a_run_without_the_rule_trains_to_the_end_what_was_given_up(toy, tmp_path, reporting):
    rule = PruningRule(rivals(*[4 * quality for quality in (0.2, 0.4, 0.6, 0.8, 1.0)]))
    for retried in (False, True):  # a rule decides as it did
        options = {"plugins": reporting, "store": tmp_path / "s", "retry_failed": retried}
        looked_at(toy, tmp_path / "s", reporting, rule)
        assert not planned(toy, ["reporting"], pruning={"reporting": rule}, **options).pending
        assert len(planned(toy, ["reporting"], **options).pending) == 1


def test_a_training_that_keeps_up_has_its_looks_in_its_record(toy, tmp_path, reporting):
    record = looked_at(toy, tmp_path / "s", reporting, PruningRule(), quality=0.5)
    assert record["status"] == "ok"
    assert len(record["looks"]) == 40


@pytest.mark.parametrize(
    "end", ["\n{}\n", "\n[1, 2]\n", '\n{"stage": "x", "epoch": 1e999, "score": 1}\n', "\nx"]
)
def test_what_is_no_look_ends_what_is_read(tmp_path, end):
    (tmp_path / "looks.jsonl").write_text('{"stage": "x", "epoch": 1, "score": 0.5}' + end)
    assert read_looks(tmp_path) == [Look("x", 1.0, 0.5)]


def test_links_and_missing_files_hold_no_looks(tmp_path):
    assert read_looks(tmp_path) == []
    (tmp_path / "elsewhere").write_text('{"stage": "x", "epoch": 1, "score": 0.5}\n')
    (tmp_path / "looks.jsonl").symlink_to(tmp_path / "elsewhere")
    assert read_looks(tmp_path) == []


class Settled:
    name = "toy"
    tuning_space: ClassVar = {"a": tuple(range(50))}

    def __init__(self, a=0):
        self.a = a


def test_the_next_trial_has_to_keep_up_with_those_that_went_to_their_end():
    pytest.importorskip("optuna")
    search = Search(Settled)
    for score in (0.2, None, 0.6):
        search.add(Trial(search.next(), score, 1.0, rising(score or 0.1), pruned=score is None))
    assert search.rule == PruningRule((Finished(rising(0.2), 0.2), Finished(rising(0.6), 0.6)))
    assert [trial.score for trial in search.best(3)] == [0.6, 0.2]
