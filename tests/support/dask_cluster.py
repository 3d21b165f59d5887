"""A Dask cluster on this machine: a scheduler and workers as processes of their own, as on many machines."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import psutil


class Cluster:
    """A scheduler, and its workers: pairs of a nanny and the worker process that it keeps alive."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.environment = environment
        self.file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "scheduler", "--scheduler-file", str(self.file), "--port", "0"
        )
        self.nannies = []

    def _start(self, log, *arguments):
        command = [sys.executable, "-P", "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
        quiet = ("--no-dashboard", "--host", "127.0.0.1")
        with (self.folder / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                [*command, *quiet],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )

    def add_workers(self, number):
        for _ in range(number):
            name = f"worker-{len(self.nannies)}"
            self.nannies.append(
                self._start(
                    name,
                    "worker",
                    "--scheduler-file",
                    str(self.file),
                    "--nthreads",
                    "1",
                    "--memory-limit",
                    "0",
                    "--local-directory",
                    str(self.folder / name),
                )
            )

    def worker_processes(self):
        """The processes that run cells: children of nannies."""
        found = []
        for nanny in self.nannies:
            for child in psutil.Process(nanny.pid).children():
                with suppress(psutil.NoSuchProcess):
                    if "spawn_main" in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def close(self):
        for process in [*self.nannies, self.scheduler]:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in [*self.nannies, self.scheduler]:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def dask_cluster(folder, workers, **settings):
    """Yield a cluster that has as many workers, with a cache of features of its own in ``folder``."""
    folder.mkdir()
    environment = {**os.environ, "CMBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment |= {f"DASK_DISTRIBUTED__{name}": value for name, value in settings.items()}
    cluster = Cluster(folder, environment)
    try:
        wait_until(cluster.file.exists, 60)
        cluster.add_workers(workers)
        yield cluster
    finally:
        cluster.close()


def wait_until(is_so, seconds):
    """Wait until a condition holds; fail if it takes longer."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
