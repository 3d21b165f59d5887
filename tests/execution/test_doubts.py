"""What is said against the result of a cell: by its method, its numbers and the curves of its training."""

import numpy as np
import pytest
from rich.console import Console

import cmbench
from cmbench.evaluation.evaluator import evaluate
from cmbench.execution.doubts import doubts
from cmbench.execution.progress import PlainLines
from cmbench.report.description import describe
from cmbench.report.table import render
from cmbench.store import Store

LABELS = np.repeat(np.arange(4), 25)
FAR = np.eye(4)[LABELS] + 0.1 * np.random.default_rng(0).normal(size=(100, 4))
STEPS = np.arange(10.0) * 100


def of_training(kept="not told", **curves):
    named = {f"curve_{name}": np.asarray(values, dtype=float) for name, values in curves.items()}
    return doubts(evaluate(FAR, FAR, LABELS), {"curve_iteration": STEPS, **named}, {"best_iteration_": kept})


def test_a_good_result_is_not_doubted():
    assert of_training(validation_map=[0.1, 0.2, 0.3, 0.35, 0.38, 0.4, 0.41, 0.41, 0.4, 0.4]) == []


def test_a_constant_output_is_told_from_one_at_chance():
    constant = doubts(evaluate(FAR, np.ones((100, 4)), LABELS), {}, {})
    assert constant[0] == "image→text ranks all items alike, as if those of one side had one representation"
    random = np.random.default_rng(1).normal(size=(2, 100, 30))
    first, second = doubts(evaluate(*random, LABELS), {}, {})
    assert first.startswith("image→text is no better than chance (MAP 0.2")
    assert second.startswith("text→image is no better than chance")


def test_a_training_that_ends_at_its_best_was_cut_short():
    assert of_training(validation_loss=np.linspace(0.1, 0.3, 10)) == []
    (said,) = of_training(validation_loss=np.linspace(0.3, 0.1, 10))
    assert said.startswith("training was cut short while validation loss still fell (by 0.044 in")
    (said,) = of_training(validation_map=np.linspace(0.1, 0.3, 10))
    assert said == (
        "training was cut short while validation map still rose (by 0.044 in its last fifth, which ended at "
        "iteration 900); give it more iterations"
    )


def test_a_training_that_stopped_after_its_best_was_not_cut_short_whatever_else_rises():
    rises = np.linspace(0.1, 0.9, 10)
    assert of_training(400, validation_correlation=rises) == []
    assert len(of_training(900, validation_correlation=rises)) == 1
    stage = [*rises[:6], *[np.nan] * 4]  # the last one's state is kept
    assert len(of_training(700, validation_accuracy=stage)) == 1


@pytest.mark.parametrize(
    "curve",
    [
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.401],
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.85],
        [np.nan] * 6 + [0.1, 0.2, 0.3, 0.4],
    ],
    ids=["hardly", "stopped", "too short to say"],
)
def test_other_trainings_were_not(curve):
    assert of_training(validation_map=curve) == []


def test_validation_that_never_changes_chose_nothing_and_losses_are_no_matter():
    (said,) = of_training(validation_correlation=[0.5] * 10, loss=np.linspace(0, 9, 10))
    assert said == "validation correlation was the same throughout the training, and chose nothing"


PLUGIN = """
import warnings
import numpy as np
from cmbench.errors import MethodWarning
from cmbench.methods.contract import Method


class Flat(Method):
    name = "flat"
    paper_name = "Flat"
    family = "traditional"
    citation = "none"
    uses_labels = False

    def __init__(self, width=3):
        self.width = width

    def fit(self, train, validation):
        warnings.warn("the features look odd", MethodWarning)
        return self

    def transform_images(self, images):
        return np.pad(1 + np.abs(images[:, :1]), ((0, 0), (0, self.width - 1)))

    transform_texts = transform_images
"""


def test_warnings_stand_in_the_record_on_the_terminal_in_show_and_under_the_table(toy, tmp_path):
    (tmp_path / "flat.py").write_text(PLUGIN)
    console = Console(record=True, width=300)
    cmbench.run(
        toy,
        "flat",
        plugins=[tmp_path / "flat.py"],
        parameters={"flat": {"width": 5}},
        store=tmp_path / "runs",
        threads=1,
        memory="none",
        progress=PlainLines(console),
    )
    (record,) = Store(tmp_path / "runs").records()
    odd, *at_chance = record["warnings"]
    assert odd == "the features look odd"
    assert [text.partition(" alike")[0] for text in at_chance] == [
        "image→text ranks all items",
        "text→image ranks all items",
    ]
    assert record["method"]["defaults"] == {"width": 3}
    (line,) = [line for line in console.export_text().splitlines() if line.startswith("finished")]
    assert [text.partition("   [")[0] for text in line.split("; warning: ")[1:]] == record["warnings"]
    assert describe(record).count("  warning ") == 3
    assert "the features look odd" in render([record])
