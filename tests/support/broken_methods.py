"""A sound method, and methods that each break one thing, by the check that finds it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cmbench.methods.contract import Method


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


class EndsTheProcess(Sound):
    def fit(self, train, validation):
        sys.exit("install something first")


class ReturnsNothing(Sound):
    def fit(self, train, validation):
        super().fit(train, validation)


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
    EndsTheProcess: ("beats_chance", "SystemExit: install something first"),
    ReturnsNothing: ("beats_chance", "fit returns None; end it with 'return self'"),
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
