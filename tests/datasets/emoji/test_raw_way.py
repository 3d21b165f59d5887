"""Whether the documented commands make the features that come along, of the packages as they were published.

``CMBENCH_EMOJI_PACKAGES`` names the folder of unpacked packages that ``docs/raw-pairs.md`` has commands for.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cmbench
import cmbench.datasets.emoji.collection
from cmbench.execution.provenance import provenance

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "raw-pairs.md"


def documented():
    """Return the variables to set, and the command that extracts features, without the folders."""
    text = DOCUMENTATION.read_text("utf-8").replace("\\\n", " ")
    variables = re.search(r"^\$ export (.*)$", text, re.MULTILINE)[1]
    command = re.search(r"^\$ cmbench (features extract emoji .*)$", text, re.MULTILINE)[1]
    return dict(each.split("=") for each in variables.split()), shlex.split(command)


def test_the_documented_command_has_the_options_that_the_card_tells():
    variables, words = documented()
    assert set(variables) == {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"}
    assert words[3:7] == ["--from", "packages/", "-o", "emoji.npz"]
    told = cmbench.datasets.emoji.collection.__doc__
    assert " ".join(words[7:]) in " ".join(told.replace("\\", " ").split())


@pytest.mark.slow
def test_the_documented_way_ends_at_the_features_that_come_along(tmp_path):
    packages = os.environ.get("CMBENCH_EMOJI_PACKAGES")
    if not packages:
        pytest.skip("CMBENCH_EMOJI_PACKAGES names no folder of the packages that docs/raw-pairs.md fetches")
    variables, words = documented()
    words[words.index("--from") + 1] = str(Path(packages).absolute())
    words[words.index("-o") + 1] = str(tmp_path / "emoji.npz")
    command = [sys.executable, "-m", "cmbench", *words]
    subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, **variables})
    made, ours = cmbench.load_dataset(tmp_path / "emoji.npz"), cmbench.load_dataset("emoji")
    for (_, split), (_, shipped) in zip(made.splits, ours.splits, strict=True):
        assert split.ids.tolist() == shipped.ids.tolist()
        assert split.labels.tolist() == shipped.labels.tolist()
        np.testing.assert_allclose(split.images, shipped.images, atol=1e-4)
        np.testing.assert_allclose(split.texts, shipped.texts, atol=5e-3)
    if "AMD" in provenance()["processor"]:  # on others MKL adds in another order
        assert made.fingerprint == ours.fingerprint
