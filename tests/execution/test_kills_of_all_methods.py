"""The methods of the paper on the built-in dataset, killed with all their processes at fifty random moments.

The fifty kills need the time of several runs of all methods: this is the longest of the slow tests.
"""

import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from killed_runs import SMALLER, ends_within, kill_tree

from cmbench.methods.registry import DEFAULT_METHODS
from cmbench.store import Store

KILLS = 50
LONGEST_SECONDS = 15.0  # of processor time until a kill, so that other work on the machine changes little
CHECKPOINT_SECONDS = 0  # after every epoch; by default 60, longer than most runs live here
KEPT = ("claims", "index.json", "verdicts.json")  # of a store's folder of work


@pytest.mark.slow
def test_fifty_kills_of_all_processes_of_runs_of_all_methods_end_in_the_undisturbed_table(tmp_path):
    undisturbed = table_of(finished_run(tmp_path / "undisturbed"))
    random = np.random.default_rng()
    kills = []
    while sum(kills) < KILLS:
        folder = tmp_path / f"killed-{len(kills)}"
        kills.append(kill_until_finished(folder, KILLS - sum(kills), random))
        assert table_of(folder) == undisturbed
        assert left_behind(folder) == []
    print(f"kills of each store: {kills}")


def kill_until_finished(folder, most, random):
    """Run until a run ends by itself; kill all its processes at a random moment, at most so many times."""
    kills = 0
    while kills < most:
        process = started_run(folder)
        if ends_within(process, random.uniform(0.2, LONGEST_SECONDS)):
            assert process.wait() == 0, log_of(folder)
            return kills
        kill_tree(process)
        kills += 1
        wait_until_nothing_runs(folder)
    finished_run(folder)
    return kills


def started_run(folder):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--store", str(folder / "store")]
    for method, parameters in SMALLER.items():
        settings = {**parameters, "checkpoint_seconds": CHECKPOINT_SECONDS}
        for name, value in settings.items():
            command += ["--set", f"{method}.{name}={value}"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "NO_COLOR": "1"})


def finished_run(folder):
    assert started_run(folder).wait(3600) == 0, log_of(folder)
    assert len(Store(folder / "store").records()) == len(DEFAULT_METHODS)
    return folder


def wait_until_nothing_runs(folder, seconds=5):
    end = time.monotonic() + seconds
    while running := processes_of(folder):
        assert time.monotonic() < end, running
        time.sleep(0.05)


def processes_of(folder):
    named = psutil.process_iter(["pid", "cmdline"])
    return [
        each.info
        for each in named
        if any(str(folder / "store") in word for word in each.info["cmdline"] or ())
    ]


def left_behind(folder):
    """Return what a finished run should not leave: its own folder, or checkpoints."""
    work = folder / "store" / ".work"
    return [str(path) for path in work.rglob("*") if path.is_file() and path.name not in KEPT]


def table_of(folder):
    command = [sys.executable, "-P", "-m", "cmbench", "table", "--store", str(folder / "store")]
    return subprocess.run(command, capture_output=True, check=True).stdout


def log_of(folder):
    return (folder / "log").read_text(errors="replace")[-3000:]
