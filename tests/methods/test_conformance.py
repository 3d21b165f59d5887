"""Every built-in method keeps what methods have to keep, and methods broken on purpose are found out."""

import inspect
from typing import Annotated, ClassVar

import numpy as np
import pytest
from broken_methods import (
    BROKEN,
    ChangesWhatItIsGiven,
    Constant,
    DrawsGlobally,
    DrawsGloballyInTorch,
    NeverReadsItsRidge,
    Sound,
)

from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.conformance import (
    CHECKS,
    NonconformityError,
    Skipped,
    Subject,
    check,
    parametrize_with_checks,
    result_of,
)
from cmbench.methods.conformance.effects import gives_every_parameter_an_effect
from cmbench.methods.conformance.subject import easy_pairs, mapped
from cmbench.methods.parameters import Count, Number, When, Words
from cmbench.methods.registry import registry

ALIKE = {"threads": 1, "device": "cpu"}
BATCHES = {"rbm_batch_size": 16, "class_batch": 16, "correlation_batch": 16, "batch_size": 16}
CODES = {"hidden_image": 12, "hidden_text": 12, "code": 10, "joint": 12, "width": 8, "embedding": 8}
CMDN = {"first_level": 16, "sae_hidden": 12, "sae_code": 8, "sae_rate": 0.02, "fusion": 8, "depth": 2}
EPOCHS = {"rbm_epochs": 8, "class_epochs": 10, "correlation_epochs": 2, "epochs": 8}
GAN = {"embedding": 16, "hidden": 32, "discriminator_width": 16, "generator_steps": 1, "learning_rate": 0.01}
PAIRED = {"hidden": 16, "code": 8, "embedding": 8, "rbm_epochs": 15, "epochs": 25, "trial_steps": 10}
HEADS = {"hidden_width": 16, "image_width": 16, "text_width": 16, "n_components": 8, "epochs": 30}
SMALL = {
    "ccl": {**CODES, **EPOCHS},
    "cmdn": {**CODES, **CMDN, **EPOCHS},
    "cmgans": {**GAN, "halve_every": 100, "preprocessing": "none", "epochs": 30},
    "corr": PAIRED,
    "dcca": {"n_components": 4, "hidden_width": 16, "epochs": 20, "batch_size": 80},
    "deep": {"hidden_width": 16, "epochs": 20},
    "acmr": {**HEADS, "learning_rate": 0.01},
    "dscmr": {**HEADS, "learning_rate": 0.003},
    "contrastive": HEADS,
    "triplet": {**HEADS, "learning_rate": 0.003},
    "jfssl": {"alpha": 0.01, "coupling": 0.1},
    "lcfs": {"alpha": 0.01, "coupling": 0.1},
}
"""Networks that train in a second, by the first part of a method's name."""


def small(method):
    """Return those of the settings above that are parameters of the method."""
    chosen = {**ALIKE, **BATCHES, **SMALL.get(method.name.partition("-")[0], {})}
    return {name: value for name, value in chosen.items() if name in inspect.signature(method).parameters}


BUILT_IN = [
    entry.load()
    for entry in registry().entries.values()
    if entry.name != "identity"  # refuses features of different width, which those of the checks are
]


VARIANTS = {"acmr-released", "ccl", "scm", "corr-ae", "corr-ae-corr", "corr-ae-cross", "rcca"} | {
    method.name for method in BUILT_IN if method.name.startswith("cmgans-")
}
"""Methods that share nearly all of their code with another one of the list; slow."""
SETTINGS = {method: small(method) for method in BUILT_IN}


@parametrize_with_checks([method for method in BUILT_IN if method.name not in VARIANTS], SETTINGS)
def test_a_built_in_method_conforms(subject, check):
    check(subject)


@pytest.mark.slow
@parametrize_with_checks([method for method in BUILT_IN if method.name in VARIANTS], SETTINGS)
def test_a_variant_of_a_built_in_method_conforms(subject, check):
    check(subject)


def test_a_sound_method_passes():
    found = {result.check: (result.status, result.message) for result in check(Sound)}
    assert len(found) == len(CHECKS)
    assert not {name: result for name, result in found.items() if result[0] not in ("passed", "skipped")}


@pytest.mark.parametrize("method", BROKEN, ids=lambda method: method.__name__)
def test_a_broken_method_is_found_out_for_the_right_reason(method):
    name, message = BROKEN[method]
    failing = next(each for each in CHECKS if each.__name__ == name)
    result = result_of(failing, Subject(method))
    assert result.status == "failed"
    assert message in result.message


@pytest.mark.parametrize("method", [DrawsGlobally, DrawsGloballyInTorch])
def test_a_global_state_that_every_fit_sets_alike_is_found_after_another_fit(method):
    subject = Subject(method)
    subject.fitted(*easy_pairs()[:2])
    failing = next(each for each in CHECKS if each.__name__ == "leaves_global_numbers_alone")
    assert result_of(failing, subject).status == "failed"


def test_every_check_has_a_method_that_breaks_it():
    found_below = {"takes_time_as_pairs_do"}
    of_a_gpu = {"gives_the_same_on_a_gpu"}
    without = {each.__name__ for each in CHECKS} - {name for name, _ in BROKEN.values()}
    assert without == found_below | of_a_gpu


class ComparesAllTriples(Sound):
    """The work of n³, without its memory."""

    def fit(self, train, validation):
        kernel = train.images @ train.images.T / len(train)
        for _ in range(len(train)):
            kernel = kernel @ kernel / np.linalg.norm(kernel)
        return super().fit(train, validation)


@pytest.mark.slow
def test_time_that_grows_much_faster_than_pairs_is_found():
    failing = next(each for each in CHECKS if each.__name__ == "takes_time_as_pairs_do")
    result = result_of(failing, Subject(ComparesAllTriples))
    assert result.status == "failed"
    assert "640 pairs take" in result.message


def test_a_parameter_that_is_changed_when_given_is_named():
    failing = next(each for each in CHECKS if each.__name__ == "stores_its_parameters")
    with pytest.raises(NonconformityError, match=r"'ridge' from 3\.0 to 6\.0"):
        failing(Subject(ChangesWhatItIsGiven, {"ridge": 3.0}))


class Powers(Sound):
    """Has a parameter that counts only for one value of another, and one that counts by luck alone."""

    def __init__(
        self,
        ridge=1.0,
        random_state=0,
        shape: Annotated[str, Words("linear", "power")] = "linear",
        power: Annotated[float, Number(0, open_ends=True), When(shape="power")] = 0.5,
        epochs: Annotated[int, Count(1)] = 12,
        patience: Annotated[int, Count(1)] = 10,
    ):
        super().__init__(ridge, random_state)
        self.shape, self.power, self.epochs, self.patience = shape, power, epochs, patience

    def fit(self, train, validation):
        super().fit(train, validation)
        scores = []
        while len(scores) < self.epochs and len(scores) - int(np.argmax([*scores, -1])) <= self.patience:
            self.image_ = self.image_ + 1e-3 * self.image_**2
            scores.append(bimodal_map(*mapped(self, validation), validation.labels))
        self.curves_ = {"score": np.array(scores)}
        return self

    def transform_texts(self, texts):
        mapped = super().transform_texts(texts)
        return mapped if self.shape == "linear" else np.sign(mapped) * np.abs(mapped) ** self.power


class PowersUnsaid(Powers):
    def __init__(
        self, ridge=1.0, random_state=0, shape: Annotated[str, Words("linear", "power")] = "linear", power=0.5
    ):
        super().__init__(ridge, random_state, shape, power)


def test_a_parameter_is_tried_with_those_it_counts_with_and_where_waiting_counts():
    gives_every_parameter_an_effect(Subject(Powers))
    with pytest.raises(NonconformityError, match=r"change nothing of power \(5\.0, 0\.05, 1\.0\): .*When"):
        gives_every_parameter_an_effect(Subject(PowersUnsaid))


class NeverWaits(Powers):
    def fit(self, train, validation):
        self.patience, given = 10, self.patience
        super().fit(train, validation)
        self.patience = given
        return self


def test_a_patience_that_the_given_epochs_leave_no_room_for_is_not_judged():
    result = result_of(gives_every_parameter_an_effect, Subject(Powers, {"epochs": 1}))
    assert (result.status, result.message) == (
        "passed",
        "not judged: patience = 10, which needs more than epochs = 1; give epochs beyond it",
    )
    for given in ({}, {"epochs": 11}):
        with pytest.raises(NonconformityError, match="change nothing of patience"):
            gives_every_parameter_an_effect(Subject(NeverWaits, given))


def test_what_a_method_refuses_and_what_is_practical_is_not_held_against_it():
    class Strict(NeverReadsItsRidge):
        def fit(self, train, validation):
            if self.ridge != 1.0:
                raise ValueError("ridge must be 1")
            return super().fit(train, validation)

    class Practical(NeverReadsItsRidge):
        practical = ("ridge",)

    gives_every_parameter_an_effect(Subject(Strict))
    with pytest.raises(Skipped, match="no parameters"):
        gives_every_parameter_an_effect(Subject(Practical))


def test_an_expected_failure_carries_its_reason():
    class Excused(Constant):
        nonconforming: ClassVar = {"gives_usable_representations": "a control that knows nothing"}

    found = {result.check: result for result in check(Excused)}
    assert found["gives_usable_representations"].status == "expected"
    assert found["gives_usable_representations"].message == "a control that knows nothing"
    assert found["beats_chance"].status == "failed"
