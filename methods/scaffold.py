"""The files that a new method begins with: one that works, and its test."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions
from keyword import iskeyword
from pathlib import Path

from cmbench.disk import writing_to
from cmbench.errors import MethodError
from cmbench.methods.registry import BUILT_IN, GROUPS

LINEAR = '''"""TITLE: say in a sentence what is new about it."""

import numpy as np

from cmbench.methods import Annotated, LinearMethod, Number, SearchSpace


class TITLE(LinearMethod):
    """Ridge regression of both views on the categories; put the objective of your method here.

    With T the centred 0/1 codes of the categories, minimise ‖XA - T‖² + ridge · n ‖A‖², and likewise for
    texts.
    """

    name = "NAME"
    paper_name = "TITLE"
    citation = ""  # such as "A. Author, Title of the paper, ACM MM 2026"
    uses_labels = True

    ridge: Annotated[float, Number(0, open_ends=True), SearchSpace(0.01, 0.1, 1.0)] = 0.1
    """Weight of the penalty."""

    def weights(self, images, texts, labels):
        codes = np.eye(labels.max() + 1)[labels]
        codes -= codes.mean(axis=0)
        return self.regressed(images, codes), self.regressed(texts, codes)

    def regressed(self, rows, codes):
        penalty = self.ridge * len(rows) * np.eye(rows.shape[1])
        return np.linalg.solve(rows.T @ rows + penalty, rows.T @ codes)
'''

DEEP = '''"""TITLE: say in a sentence what is new about it."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from cmbench.methods import Annotated, Count, Number, SearchSpace, TrainedMethod


class TITLE(TrainedMethod):
    """An image is nearest to its own text among those of a batch; put the objective of your method here."""

    name = "NAME"
    paper_name = "TITLE"
    citation = ""  # such as "A. Author, Title of the paper, ACM MM 2026"
    uses_labels = False

    width: Annotated[int, Count(1)] = 64
    """Size of the common space."""
    temperature: Annotated[float, Number(0, open_ends=True), SearchSpace(0.05, 0.1, 0.2)] = 0.1
    """What cosines are divided by."""
    batch_size = 32
    epochs = 60

    def networks(self, widths, n_classes):
        return {
            modality: nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, self.width))
            for modality, width in widths.items()
        }

    def loss(self, images, texts, labels):
        cosines = normalize(images) @ normalize(texts).T / self.temperature
        own = torch.arange(len(cosines), device=cosines.device)
        return {"images": cross_entropy(cosines, own), "texts": cross_entropy(cosines.T, own)}
'''

TEST = '''"""TITLE keeps what every method has to keep: pytest test_MODULE.py, or cmbench check MODULE.py."""

from pathlib import Path

from cmbench.methods.conformance import parametrize_with_checks
from cmbench.methods.registry import file_entries

METHODS = [entry.load() for entry in file_entries(Path(__file__).with_name("MODULE.py"))]


@parametrize_with_checks(METHODS)
def test_a_method_conforms(subject, check):
    check(subject)
'''


def new_files(name: str, *, deep: bool) -> dict[str, str]:
    """Return the texts of a method of that name and of its test, by file name.

    ``deep`` trains a network for each modality; else there is a matrix of weights for each. Raises
    ``MethodError`` for a name that no method can have, and for that of a built-in method.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise MethodError(
            f"{name!r} is no name of a method; use small letters, digits and single hyphens, such as "
            "my-method"
        )
    if name in BUILT_IN or name in GROUPS:
        what = "built-in method" if name in BUILT_IN else "group of methods"
        raise MethodError(f"there is a {what} {name!r}; choose another name")
    module = name.replace("-", "_")
    title = "".join(word.capitalize() for word in name.split("-"))
    if iskeyword(module) or iskeyword(title):
        raise MethodError(f"{name!r} is a word of Python's own; choose another name")
    if module in sys.stdlib_module_names or module in packages_distributions():
        raise MethodError(
            f"a file {module}.py would be imported in place of the module {module}; choose another name"
        )

    def filled(text: str) -> str:
        return text.replace("MODULE", module).replace("TITLE", title).replace("NAME", name)

    return {f"{module}.py": filled(DEEP if deep else LINEAR), f"test_{module}.py": filled(TEST)}


def write_new(name: str, folder: Path, *, deep: bool) -> list[Path]:
    """Write the files of a new method into a folder, and return their paths; none is written over."""
    texts = {folder / file: text for file, text in new_files(name, deep=deep).items()}
    for path in texts:
        if path.exists():
            raise MethodError(f"{path} is there already; choose another name, or move it away")
    for path, text in texts.items():
        with writing_to(path, raising=MethodError):
            path.write_text(text, encoding="utf-8")
    return list(texts)
