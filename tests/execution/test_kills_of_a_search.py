"""A search of the methods of the paper and a plugin on the built-in dataset, killed five times.

It is as long as the search that the leaderboard has, 40 settings of each method, with narrow networks.
"""

import subprocess
import sys
import tomllib

import numpy as np
import pytest
from killed_runs import SMALLER, ends_within, kill_tree

from cmbench.methods.registry import registry

TRIALS, KILLS = 40, 5
TRADITIONAL = ("cca", "cfa", "kcca", "jrl", "lgcfl")
PLUGIN = "paired"
PAIRED = """
from cmbench.methods.beyond.contrastive import InfoNCE

class Paired(InfoNCE):
    name = "paired"
    epochs = 6
"""


@pytest.mark.slow
def test_a_search_of_all_methods_killed_five_times_ends_as_an_undisturbed_one(tmp_path):
    (tmp_path / "narrow.py").write_text(plugin())
    finished_search(tmp_path, "undisturbed")
    undisturbed = profile(tmp_path, "undisturbed")
    assert set(undisturbed) == {*TRADITIONAL, *narrow_names(), PLUGIN}
    for method, entry in undisturbed.items():
        assert entry["trials"] == len(entry["tried"]), method
        assert entry["trials"] == TRIALS or entry["exhausted"], method
    random = np.random.default_rng()
    for _ in range(KILLS):
        process = started_search(tmp_path, "killed")
        assert not ends_within(process, random.uniform(5.0, 60.0)), "it ended before it could be killed"
        kill_tree(process)
    finished_search(tmp_path, "killed")
    assert profile(tmp_path, "killed") == undisturbed


def plugin():
    """Return the deep methods as methods of a plugin, with narrow networks, and one more."""
    parts = [PAIRED]
    for name, settings in SMALLER.items():
        method = registry()[served(name)].load()
        values = "".join(f"    {parameter} = {value!r}\n" for parameter, value in settings.items())
        parts.append(
            f"from {method.__module__} import {method.__name__}\n\n"
            f"class Narrow{method.__name__}({method.__name__}):\n    name = 'narrow-{name}'\n{values}\n"
        )
    return "\n\n".join(parts)


def served(name):
    return "ccl-coarse" if name == "ccl" else name  # the dataset has no parts


def narrow_names():
    return [f"narrow-{name}" for name in SMALLER]


def started_search(folder, name):
    command = [sys.executable, "-P", "-m", "cmbench", "tune", "--dataset", "scenes", "--trials", str(TRIALS)]
    command += ["--methods", ",".join([*TRADITIONAL, *narrow_names(), PLUGIN]), "--plugin", "narrow.py"]
    command += ["--jobs", "2", "--threads", "1", "--memory", "none"]
    command += ["--store", name, "--output", f"{name}.toml"]
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)


def finished_search(folder, name):
    assert started_search(folder, name).wait(7200) == 0, (folder / f"{name}.log").read_text()[-3000:]


def profile(folder, name):
    """Return what was tried and chosen, by method, without what it cost."""
    (table,) = tomllib.loads((folder / f"{name}.toml").read_text())["datasets"].values()
    return {method: {**entry, "processor_seconds": 0} for method, entry in table["methods"].items()}
