"""Processor time of the same run with two installed versions of cmbench, alternating; run by hand.

    python tests/speed/two_versions.py OLD/bin/python NEW/bin/python --rounds 5 --methods cca,cfa,jrl

Each round runs ``cmbench run`` of these methods on the built-in dataset into a new store with one interpreter
and then with the other. Printed is the processor time (user and system) of each whole tree of processes, and
in the end the least and the median of both. With methods that are short and the same in both versions, the
difference is that of everything around them: planning, processes, fences, evaluation, records and the table.
Other arguments go to ``cmbench run``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs=2, metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", default="cca,cfa,lgcfl,jrl,kcca")
    options, others = parser.parse_known_args()
    used: dict[str, list[float]] = {python: [] for python in options.pythons}
    for _ in range(options.rounds):
        for python, seconds in used.items():
            seconds.append(processor_seconds([python, *run_of(options.methods), *others]))
            print(f"{python}: {seconds[-1]:.2f} s", flush=True)
    for python, seconds in used.items():
        print(f"{python}: least {min(seconds):.2f} s, median {statistics.median(seconds):.2f} s")


def run_of(methods: str) -> list[str]:
    return ["-P", "-m", "cmbench", "run", "--methods", methods, "--jobs", "1", "--threads", "1"]


def processor_seconds(command: list[str]) -> float:
    """Return the processor time of a run, with all processes that it waits for, into a store of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as store:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*command, "--store", store], capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
