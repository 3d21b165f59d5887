"""The methods of the paper on the built-in dataset, killed with all their processes at fifty random moments.

The fifty kills need the time of several runs of all methods: this is the longest of the slow tests.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest

from cmbench.methods.registry import DEFAULT_METHODS
from cmbench.store import Store

KILLS = 50
LONGEST_SECONDS = 15.0  # of processor time until a kill, so that other work on the machine changes little
CHECKPOINT_SECONDS = 0  # after every epoch; by default 60, longer than most runs live here
NARROW = dict.fromkeys(("code", "hidden_image", "hidden_text", "width", "joint"), 64)
SMALLER = {
    "corr-ae": {"epochs": 6, "rbm_epochs": 5, "trial_steps": 20, "embedding": 64, "hidden": 64, "code": 64},
    "cmdn": NARROW
    | {"epochs": 6, "rbm_epochs": 15, "class_epochs": 5, "first_level": 64, "fusion": 64}
    | {"sae_hidden": 64, "sae_code": 32, "sae_rate": 0.003},
    "ccl": NARROW
    | {"epochs": 6, "rbm_epochs": 5, "correlation_epochs": 5, "class_epochs": 5, "embedding": 64},
    "cmgans": {"epochs": 6, "embedding": 64, "hidden": 64, "discriminator_width": 64},
    "dcca": {"epochs": 10, "hidden_width": 64, "n_components": 20},
    "deep-sm": {"epochs": 10, "hidden_width": 64},
}
"""Narrower networks and fewer epochs than by default, in all stages, so that fifty kills take minutes."""
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


def ends_within(process, seconds):
    """Wait until a run, with all it started, has used as much processor time; return whether it has ended."""
    while process.poll() is None:
        if used_seconds(process) > seconds:
            return False
        time.sleep(0.1)
    return True


def used_seconds(process):
    used = 0.0
    for member in tree_of(process):
        with suppress(psutil.NoSuchProcess):
            used += sum(member.cpu_times()[:4])  # of what it waited for, too
    return used


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


def kill_tree(process):
    """Kill a run and everything below it, as the system does that ends a whole session at once."""
    for member in tree_of(process):
        with suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGKILL)
    process.wait()


def tree_of(process):
    try:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


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
