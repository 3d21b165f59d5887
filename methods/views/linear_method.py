"""The base of methods that are two matrices of weights, found in closed form or by a solver."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.parameters import Words, check_parameters
from cmbench.methods.views.inputs import Matrix, check_training_pairs, checked_classes
from cmbench.methods.views.maps import MapPair, MappedMethod
from cmbench.methods.views.scaling import MODES, Mode, scaled_views


class LinearMethod(MappedMethod):
    """A matrix of weights for each view, learned from standardised features.

    A subclass writes ``weights``, and may have parameters of its own. This is cross-modal factor analysis,
    which rotates both views so that partners come close ::

        class Rotations(LinearMethod):
            uses_labels = False
            n_components: Annotated[int, Count(1), SearchSpace(5, 10, 20)] = 10
            "Size of the common space."

            def weights(self, images, texts, labels):
                left, _, right = np.linalg.svd(images.T @ texts, full_matrices=False)
                return left[:, : self.n_components], right.T[:, : self.n_components]

    Everything else comes with it: parameters and pairs are checked; features are standardised by training
    statistics (``scaling``), with which new items are mapped too, row by row; and there are errors for
    weights that are not finite or do not fit. All training features are held in float64 (8 bytes a value).

    Attributes
    ----------
    image_map_, text_map_ : the fitted maps
    classes_ : int64 (c,), the labels that class numbers 0, 1, ... stand for, if the method uses labels
    """

    scaling: Annotated[Mode, Words(*MODES)] = "zscore"
    """How columns are scaled with training statistics; columns that are constant in training become 0."""

    @abstractmethod
    def weights(self, images: Matrix, texts: Matrix, labels: NDArray[Any]) -> tuple[Matrix, Matrix]:
        """Return weights (d_image, k) of images and (d_text, k) of texts.

        ``images`` (n, d_image) and ``texts`` (n, d_text) are scaled, in float64, row i of both of pair i;
        ``labels`` are int64 (n,): class numbers from 0 if the method uses labels, else the labels as they
        are. A method that is ``multi_label`` gets 0/1 labels (n, c) as they are.
        """

    def fit(self, train: Split, validation: Split) -> Self:
        """Learn the weights from ``train``; ``validation`` is not looked at."""
        check_parameters(self)
        check_training_pairs(train)
        images, texts = scaled_views(train, mode=self.scaling)
        weights = self.weights(images.dense(), texts.dense(), self._class_numbers(train))
        widths = images.shape[1], texts.shape[1]
        maps = MapPair.linear(images, texts, *_checked(self.name, weights, widths))
        self.image_map_, self.text_map_ = maps.images, maps.texts
        return self

    def _class_numbers(self, train: Split) -> NDArray[np.int64]:
        if not self.uses_labels or (self.multi_label and train.is_multi_label):
            return train.labels
        self.classes_ = checked_classes(train.labels, len(train.images))
        return self.classes_.searchsorted(train.labels).astype(np.int64)


def _checked(name: str, weights: Any, widths: tuple[int, int]) -> tuple[Matrix, Matrix]:
    """Return two matrices of weights in float64; raise ``MethodError`` for anything else."""
    shapes = [np.shape(matrix) for matrix in weights] if isinstance(weights, tuple | list) else []
    fits = len(shapes) == 2 and all(len(shape) == 2 and shape[1] for shape in shapes)
    if not fits or (shapes[0][0], shapes[1][0]) != widths or shapes[0][1] != shapes[1][1]:
        raise MethodError(
            f"{name}: weights() returned matrices of shapes {shapes}; return one for images ({widths[0]}, k) "
            f"and one for texts ({widths[1]}, k)"
        )
    images, texts = (np.array(matrix, dtype=np.float64) for matrix in weights)
    if not (np.isfinite(images).all() and np.isfinite(texts).all()):
        raise MethodError(f"{name}: weights() returned NaN or infinity; regularise what is inverted")
    return images, texts
