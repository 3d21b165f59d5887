"""Every built-in method keeps what methods have to keep, and methods broken on purpose are found out."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pytest
import torch

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
from cmbench.methods.conformance.subject import mapped
from cmbench.methods.contract import Method
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
    "cmgans": {**GAN, "epochs": 30},
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


class Sound(Method):
    """Ridge regression on the categories, with a little noise from the seed."""

    def __init__(self, ridge=1.0, random_state=0):
        self.ridge = ridge
        self.random_state = random_state

    def fit(self, train, validation):
        if not (np.isfinite(train.images).all() and np.isfinite(train.texts).all()):
            raise ValueError("NaN in the features; repair them")
        if len(train.images) != len(train.texts):
            raise ValueError("images and texts are not paired; row i of each must be pair i")
        if len(np.unique(train.labels)) < 2:
            raise ValueError("one category alone; give two")
        noise = np.random.default_rng(self.random_state).normal(size=(len(train), 1))
        goal = np.eye(train.labels.max() + 1)[train.labels] + 1e-3 * noise
        self.image_, self.text_ = (self._solved(rows, goal) for rows in (train.images, train.texts))
        return self

    def _solved(self, rows, goal):
        return np.linalg.solve(rows.T @ rows + self.ridge * np.eye(rows.shape[1]), rows.T @ goal)

    def transform_images(self, images):
        return images @ self.image_

    def transform_texts(self, texts):
        return texts @ self.text_


class ForgetsItsSeed(Sound):
    def fit(self, train, validation):
        super().fit(train, validation)
        self.image_ = self.image_ + 1e-3 * np.random.default_rng().normal(size=self.image_.shape)
        return self


class IgnoresItsSeed(Sound):
    def fit(self, train, validation):
        seed, self.random_state = self.random_state, 0
        super().fit(train, validation)
        self.random_state = seed
        return self


class DrawsGlobally(Sound):
    def fit(self, train, validation):
        np.random.seed(self.random_state)  # noqa: NPY002
        super().fit(train, validation)
        self.image_ = self.image_ + 1e-3 * np.random.normal(size=self.image_.shape)  # noqa: NPY002
        return self


class DrawsGloballyInTorch(Sound):
    def fit(self, train, validation):
        torch.manual_seed(self.random_state)
        return super().fit(train, validation)


class CentresOnTestRows(Sound):
    def transform_images(self, images):
        return super().transform_images(images - images.mean(axis=0))


class ChangesItsArgument(Sound):
    def __init__(self, ridge=1.0, random_state=0):
        super().__init__(ridge, random_state)
        self.ridge = max(ridge, 10.0)


class ChangesWhatItIsGiven(Sound):
    def __init__(self, ridge=1.0, random_state=0):
        super().__init__(2 * ridge if ridge == 3.0 else ridge, random_state)


class Constant(Sound):
    def transform_texts(self, texts):
        return np.ones((len(texts), 4))


class Zero(Sound):
    def transform_images(self, images):
        return 0.0 * super().transform_images(images)


class NotANumber(Sound):
    def transform_images(self, images):
        with np.errstate(invalid="ignore"):
            return np.log(super().transform_images(images))


class TwoSpaces(Sound):
    def transform_texts(self, texts):
        return super().transform_texts(texts)[:, :2]


class MixesPartners(Sound):
    def fit(self, train, validation):
        super().fit(train, validation)
        self.text_ = np.random.default_rng(0).normal(size=self.text_.shape)
        return self


class WritesIntoItsInput(Sound):
    def fit(self, train, validation):
        train.images[:] -= train.images.mean(axis=0)
        return super().fit(train, validation)


class UsesLabelsInSecret(Sound):
    uses_labels = False


class SaysItUsesLabels(Sound):
    def fit(self, train, validation):
        super().fit(train, validation)
        self.image_, self.text_ = np.linalg.svd(train.images.T @ train.texts, full_matrices=False)[::2]
        self.text_ = self.text_.T * (1 + 1e-3 * self.random_state)
        return self


class LearnsFromNaN(Sound):
    def _solved(self, rows, goal):
        return super()._solved(np.nan_to_num(rows), goal)

    def fit(self, train, validation):
        return super().fit(replace(train, images=np.nan_to_num(train.images)), validation)


class LearnsFromInfinity(Sound):
    def fit(self, train, validation):
        return super().fit(replace(train, texts=np.where(np.isinf(train.texts), 0, train.texts)), validation)


class LearnsFromMismatchedRows(Sound):
    def fit(self, train, validation):
        images = train.images[: len(train.texts)]
        return super().fit(replace(train, images=images, labels=train.labels[: len(images)]), validation)


class LearnsFromOneCategory(Sound):
    def fit(self, train, validation):
        if len(np.unique(train.labels)) < 2:
            train = replace(train, labels=np.arange(len(train.labels)) % 2)
        return super().fit(train, validation)


class ChangesAParameterInFit(Sound):
    def fit(self, train, validation):
        super().fit(train, validation)
        self.ridge *= 2
        return self


class TakesAnyWidth(Sound):
    def transform_images(self, images):
        return images @ self.image_[: images.shape[1]]

    def transform_texts(self, texts):
        return texts @ self.text_[: texts.shape[1]]


class NeverLooksAtParts(Sound):
    uses_parts = True

    def transform_images(self, images, parts=None):
        return super().transform_images(images)

    def transform_texts(self, texts, parts=None):
        return super().transform_texts(texts)


class CannotBePickled(Sound):
    def fit(self, train, validation):
        super().fit(train, validation)
        self.activation_ = lambda rows: rows
        return self


class FailsWithFewRows(Sound):
    def fit(self, train, validation):
        if len(train) < train.images.shape[1]:
            raise np.linalg.LinAlgError("Singular matrix")
        return super().fit(train, validation)


class FailsAtAnUnseenCategory(Sound):
    def fit(self, train, validation):
        goal = np.eye(len(np.unique(train.labels)))
        self.codes_ = goal[train.labels]
        return super().fit(train, validation)


class ComparesAllPairs(Sound):
    def fit(self, train, validation):
        nearest = (train.images @ train.images.T).argmax(axis=1)
        return super().fit(replace(train, texts=train.texts + 1e-3 * train.texts[nearest]), validation)


class NeverReadsItsRidge(Sound):
    def _solved(self, rows, goal):
        return np.linalg.lstsq(rows, goal, rcond=None)[0]


class KeepsHalfACheckpoint(Sound):
    """Keeps the weights but not the state of the random numbers."""

    practical = ("checkpoint",)

    def __init__(self, ridge=1.0, random_state=0, checkpoint=None):
        super().__init__(ridge, random_state)
        self.checkpoint = checkpoint

    def fit(self, train, validation):
        super().fit(train, validation)
        path = Path(self.checkpoint, "step.npy") if self.checkpoint else None
        first = int(np.load(path)) + 1 if path and path.exists() else 0
        random = np.random.default_rng(self.random_state)
        for step in range(first, 5):
            self.image_ = self.image_ + 1e-3 * self._noise(random)
            if path:
                np.save(path.with_name(".new.npy"), step)
                path.with_name(".new.npy").replace(path)
        return self

    def _noise(self, random):
        return random.normal(size=self.image_.shape)


BROKEN = {
    ForgetsItsSeed: ("repeats_itself", "same seed"),
    IgnoresItsSeed: ("seeds_differ", "random_state changes nothing"),
    DrawsGlobally: ("leaves_global_numbers_alone", "numpy.random"),
    DrawsGloballyInTorch: ("leaves_global_numbers_alone", "torch"),
    CentresOnTestRows: ("maps_row_by_row", "statistics of the training pairs"),
    ChangesItsArgument: ("stores_its_parameters", "'ridge' from 1.0 to 10.0"),
    Constant: ("gives_usable_representations", "same row for every item"),
    Zero: ("gives_usable_representations", "same row for every item"),
    NotANumber: ("gives_usable_representations", "NaN or infinity"),
    TwoSpaces: ("gives_usable_representations", "4 dimensions and texts 2"),
    MixesPartners: ("beats_chance", "easy pairs"),
    WritesIntoItsInput: ("leaves_its_input_alone", "images"),
    UsesLabelsInSecret: ("says_whether_it_uses_labels", "uses_labels = True"),
    SaysItUsesLabels: ("says_whether_it_uses_labels", "uses_labels = False"),
    LearnsFromNaN: ("refuses_what_it_cannot_learn_from", "NaN in the images are accepted"),
    LearnsFromInfinity: ("refuses_what_it_cannot_learn_from", "infinity in the texts are accepted"),
    LearnsFromMismatchedRows: ("refuses_what_it_cannot_learn_from", "a text missing are accepted"),
    LearnsFromOneCategory: ("refuses_what_it_cannot_learn_from", "one category alone are accepted"),
    ChangesAParameterInFit: ("can_be_cloned", "fit changes parameters"),
    TakesAnyWidth: ("refuses_features_of_another_width", "another width are accepted"),
    NeverLooksAtParts: ("looks_at_parts", "set uses_parts = False"),
    CannotBePickled: ("survives_pickling", "lambda"),
    FailsWithFewRows: ("learns_from_few_rows", "LinAlgError"),
    FailsAtAnUnseenCategory: ("copes_with_an_unseen_category", "np.unique(train.labels)"),
    ComparesAllPairs: ("takes_memory_as_pairs_do", "matrix of pairs by pairs"),
    NeverReadsItsRidge: ("gives_every_parameter_an_effect", "nothing of ridge (10.0, 0.1, 2.0)"),
    KeepsHalfACheckpoint: ("goes_on_from_its_checkpoint", "random generators"),
}


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
    with pytest.raises(NonconformityError, match="change nothing of patience"):
        gives_every_parameter_an_effect(Subject(Powers, {"epochs": 1}))


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
