"""Features of the scenes: HOG and colours of a picture, latent semantics of a caption.

Fingerprints need the same bits everywhere, but sums in BLAS and LAPACK depend on the processor and on the
number of threads, in the last of their sixteen digits. So everything is computed in float64 by exact, dense,
unseeded algorithms, singular vectors are given a fixed sign, and the features are rounded to three decimals
before they become float32: the noise is ten orders of magnitude below the grid, and is rounded away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import DatasetError

DECIMALS = 3
ORIENTATIONS = 9
CELL = 8  # pixels of the halved picture
LEVELS = 4  # of each colour channel in the histogram
TOPICS = 200  # dimensions of the text features

IMAGE_FEATURE = "HOG of the halved grey picture (324-d) and square roots of an RGB histogram (64-d)"
TEXT_FEATURE = "200-d LSA of TF-IDF, fitted on the training captions"


def image_features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return float32 (n, 388): 324 of HOG, then 64 of the colour histogram.

    HOG is computed on the picture at half its size, which averages the sensor noise, in cells of 8 by 8
    pixels normalised together (L2-Hys): shape as laid out over the whole picture. ``images`` is uint8
    (n, 96, 96, 3). Raises ``DatasetError`` where scikit-image is not installed.
    """
    hog = _hog()
    shapes = np.stack([_shape(hog, image) for image in images])
    colours = np.stack([_colours(image) for image in images])
    return _on_grid(np.hstack([shapes, colours]))


def text_features(captions: Sequence[str], trained: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return float32 (n, 200): LSA of TF-IDF, both fitted on the captions that ``trained`` marks.

    Words of at least two training captions count, with logarithmic term frequency. No list of stop words is
    used, since number words are content here. Each singular vector is signed so that its largest weight
    is positive.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(min_df=2, sublinear_tf=True)
    vectorizer.fit([caption for caption, known in zip(captions, trained, strict=True) if known])
    weights: NDArray[np.float64] = vectorizer.transform(captions).toarray()
    topics = np.linalg.svd(weights[trained], full_matrices=False)[2][:TOPICS]
    largest = np.take_along_axis(topics, np.abs(topics).argmax(axis=1)[:, None], axis=1)
    return _on_grid(weights @ (topics * np.sign(largest)).T)


def _hog() -> Callable[..., NDArray[np.float64]]:
    try:
        from skimage.feature import hog
    except ImportError as error:
        raise DatasetError(
            "the image features of the scenes need scikit-image, which is not installed: "
            "pip install 'cmbench[scenes]' (loading the shipped features does not need it)"
        ) from error
    function: Callable[..., NDArray[np.float64]] = hog
    return function


def _shape(hog: Callable[..., NDArray[np.float64]], image: NDArray[np.uint8]) -> NDArray[np.float64]:
    # Whole numbers (1000 times the luma of four pixels), so that gradients are exact and none falls on
    # either side of a bin's edge by rounding. Grey, because HOG of colours picks the channel with the largest
    # gradient, and ties between channels would be decided by the last bit.
    grey = image.astype(np.int64) @ np.array([299, 587, 114])
    halved = grey[0::2, 0::2] + grey[0::2, 1::2] + grey[1::2, 0::2] + grey[1::2, 1::2]
    return hog(
        halved.astype(np.float64),
        orientations=ORIENTATIONS,
        pixels_per_cell=(CELL, CELL),
        cells_per_block=(halved.shape[0] // CELL, halved.shape[1] // CELL),
        block_norm="L2-Hys",
    )


def _colours(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    red, green, blue = np.moveaxis(image.astype(np.int64) * LEVELS // 256, 2, 0)
    codes = (red * LEVELS + green) * LEVELS + blue
    shares: NDArray[np.float64] = np.bincount(codes.ravel(), minlength=LEVELS**3) / codes.size
    return np.sqrt(shares)


def _on_grid(features: NDArray[Any]) -> NDArray[np.float32]:
    # adding zero turns -0.0 into 0.0: their bytes differ, and which of the two appears is noise
    return (np.round(features, DECIMALS) + 0.0).astype(np.float32)
