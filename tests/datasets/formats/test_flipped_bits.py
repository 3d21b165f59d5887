"""Feature files with flipped bits: each gives a dataset or a message that names the file, never a crash."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "support" / "flipped_bits.py"
COUNTS = {
    "header": {"npy": 1200, "npz": 900, "mat5": 300, "mat73": 600},
    "file": {"npy": 700, "npz": 700, "mat5": 300, "mat73": 700},
}
"""3,000 headers and 2,400 files; fewer of MATLAB's older ones, each of which takes a process to read."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "form", "count"), [(part, *each) for part, forms in COUNTS.items() for each in forms.items()]
)
def test_flipped_bits_give_a_dataset_or_a_message_that_names_the_file(tmp_path, part, form, count):
    command = [sys.executable, "-P", str(SCRIPT), form, part, str(count), "17", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["tracebacks"] == []
    assert found["unnamed"] == []
    assert found["datasets"] + found["messages"] == count
    assert found["messages"] > 0
    print({"part": part, "form": form, **{name: found[name] for name in ("datasets", "messages")}})
