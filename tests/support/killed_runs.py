"""Runs of the methods of the paper with narrow networks, and kills of all their processes at once."""

import signal
import time
from contextlib import suppress

import psutil

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
"""Narrower networks and fewer epochs than by default, in all stages, so that many runs take minutes."""


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
