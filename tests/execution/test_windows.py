"""What Windows lacks is not needed: cmbench runs where those modules, functions and signals are hidden.

A stand-in, not Windows: each process is told at its start that its cmbench is on Windows, while the libraries
see the system as it is.
"""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.execution import memory
from cmbench.store import Store

STAND_IN = '''
import builtins, faulthandler, os, signal, subprocess, sys, types

HIDDEN = {"fcntl", "grp", "posix", "pwd", "resource", "termios"}
WINDOWS = {
    "os": ({"name": "nt"}, """chown fork forkpty getegid geteuid getgid getloadavg getpgid getpgrp getsid
        getuid killpg mkfifo nice sched_getaffinity sched_setaffinity setpgid setsid statvfs sysconf uname
        wait3 wait4"""),
    "signal": ({}, """SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm pthread_kill
        pthread_sigmask setitimer sigwait"""),
    "sys": ({"platform": "win32"}, ""),
    "faulthandler": ({}, "register unregister"),
    "subprocess": ({}, ""),
}


class Windows(types.ModuleType):
    def __init__(self, real, changed, missing):
        super().__init__(real.__name__)
        vars(self).update(changed, _real=real, _missing=missing.split())

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(self._real, name)

    def __setattr__(self, name, value):
        setattr(self._real, name, value)


def fsync(number):
    if real_flags(number) & os.O_ACCMODE == os.O_RDONLY:  # Windows refuses
        raise OSError(9, "Bad file descriptor")
    os.fsync(number)


def real_flags(number):
    import fcntl
    return fcntl.fcntl(number, fcntl.F_GETFL)


def popen(*arguments, pass_fds=(), preexec_fn=None, **options):
    assert not pass_fds and preexec_fn is None, "not supported on Windows"
    return subprocess.Popen(*arguments, **options)


stand_ins = {name: Windows(sys.modules[name], *what) for name, what in WINDOWS.items()}
vars(stand_ins["os"])["fsync"] = fsync
vars(stand_ins["subprocess"])["Popen"] = popen
real_import = builtins.__import__


def importing(name, globals=None, locals=None, fromlist=(), level=0):
    who = (globals or {}).get("__name__", "")
    spec = (globals or {}).get("__spec__")
    who = spec.name if who == "__main__" and spec else who
    if who == "cmbench" or who.startswith("cmbench."):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in stand_ins:
            open(os.environ["SEEN"], "a").write(f"{who} {name}\\n")
            return stand_ins[name]
    return real_import(name, globals, locals, fromlist, level)


builtins.__import__ = importing
'''

PLUGIN = """
import os, time
from cmbench.methods.contract import Method

class Plain(Method):
    def fit(self, train, validation):
        {fit}
        return self
    def transform_images(self, images):
        return images[:, :2]
    def transform_texts(self, texts):
        return texts[:, :2]
"""


@pytest.fixture
def windows(toy, tmp_path):
    """Return a function that runs a command line where cmbench believes to be on Windows."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(STAND_IN)
    save_npz(tmp_path / "toy.npz", toy)
    for name, fit in {"plain": "pass", "hangs": "time.sleep(60)", "leaves": "os._exit(3)"}.items():
        text = PLUGIN.format(fit=fit).replace("Plain", name.capitalize())
        (tmp_path / f"{name}.py").write_text(text)
    seen = tmp_path / "seen"

    def run(*arguments, status=0):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cmbench", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site), "PYTHONIOENCODING": "cp1252", "SEEN": str(seen)},
            capture_output=True,
            encoding="cp1252",
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return SimpleNamespace(run=run, seen=seen, store=Store(tmp_path / "store"))


def test_cells_are_run_watched_and_ended_without_what_windows_lacks(windows):
    plugins = [part for name in ("plain", "hangs", "leaves") for part in ("--plugin", f"{name}.py")]
    command = ["run", "--dataset", "toy.npz", *plugins, "--methods", "plain,hangs,leaves", "--store", "store"]
    windows.run(*command, "--deadline", "8s", "--jobs", "1", "--threads", "1", status=1)
    records = {record["method"]["name"]: record for record in windows.store.records()}
    fates = {name: record["status"] for name, record in records.items()}
    assert fates == {"plain": "ok", "hangs": "timeout", "leaves": "crashed"}
    assert records["plain"]["peak_memory_bytes"] > 10**6
    assert records["leaves"]["error"]["exit_status"] == 3
    assert "0 to run" in windows.run(*command, status=1).stderr
    assert "image->text" in windows.run("table", "--store", "store").stdout
    assert "status 3" in windows.run("show", "leaves", "--store", "store").stdout
    windows.run("plot", "categories", "--store", "store", "--output", "figure.png")
    assert not list((windows.store.folder / ".work").glob("run-*"))
    seen = set(windows.seen.read_text().splitlines())
    told = {"execution.keeper os", "execution.child_process subprocess", "execution.workplace os", "disk os"}
    assert {f"cmbench.{module}" for module in told} <= seen


def test_every_module_can_be_imported_without_what_windows_lacks(windows, tmp_path):
    code = (
        "import pkgutil, cmbench, cmbench.datasets, cmbench.methods\n"
        "names = {found.name for package in (cmbench, cmbench.datasets, cmbench.methods)\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.')}\n"
        "assert len(names) > 100, names\n"
        "for name in names - {'cmbench.__main__'}: __import__(name)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "SEEN": str(windows.seen)}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_memory_is_measured_where_there_is_neither_proc_nor_getrusage(monkeypatch):
    usual = memory.peak_bytes_of_this_process()
    monkeypatch.setattr(memory, "_fields", lambda process, name: {})
    of_getrusage = memory.peak_bytes_of_this_process()
    monkeypatch.setattr(memory, "resource", None)
    assert usual / 4 < memory.peak_bytes_of_this_process() <= 4 * usual
    assert usual / 4 < of_getrusage
