"""Methods that try to reach test labels, or to change what is not theirs, in every ordinary way.

Each is told where to look by its parameters, so that only access is in question, not finding. What it
got stands in ``got_``: a text from a place it should not see, or nothing.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from cmbench.methods.contract import Method


class Burglar(Method):
    """Tries one way in ``fit``; an error of the system is what a fence looks like from inside."""

    name = "burglar"

    def __init__(self, way: str = "", target: str = "", process: int = 0):
        self.way = way
        self.target = target
        self.process = process

    def fit(self, train, validation):
        try:
            self.got_ = str(getattr(self, self.way)())
        except OSError as error:
            self.got_ = f"closed: {error.strerror}"
        return self

    def transform_images(self, images):
        return images[:, :2]

    def transform_texts(self, texts):
        return texts[:, :2]

    def read_file(self):
        """The dataset's file, or a record, or its arrays."""
        return f"{len(Path(self.target).read_bytes())} bytes"

    def load_built_in(self):
        from cmbench.datasets.scenes.collection import FILE

        return f"{len(FILE.read_bytes())} bytes"

    def read_in_another_program(self):
        done = subprocess.run(["cat", self.target], capture_output=True)
        return f"{len(done.stdout)} bytes" if done.returncode == 0 else "closed: cat"

    def link_for_the_parent(self):
        """A link in place of representations: the run would read the file that this process may not."""
        os.link(self.target, "linked.npy")
        return "linked"

    def command_of_the_run(self):
        return Path(f"/proc/{self.process}/cmdline").read_text()

    def open_files_of_the_run(self):
        return [
            os.readlink(f"/proc/{self.process}/fd/{name}") for name in os.listdir(f"/proc/{self.process}/fd")
        ]

    def folder_of_the_run(self):
        return os.listdir(f"/proc/{self.process}/cwd/")

    def memory_of_the_run(self):
        with open(f"/proc/{self.process}/mem", "rb") as file:
            return file.name

    def trace_the_run(self):
        """PTRACE_ATTACH (16)."""
        failed = ctypes.CDLL(None, use_errno=True).ptrace(16, self.process, 0, 0)
        return f"closed: {os.strerror(ctypes.get_errno())}" if failed else "attached"

    def end_the_run(self):
        os.kill(self.process, 0)
        return "signalled"

    def write_shared_features(self):
        path = next(Path("..").glob("features-*/texts_test.npy"))
        os.chmod(path, 0o644)
        np.lib.format.open_memmap(path, mode="r+")[:] = 0
        return "written"

    def replace_shared_features(self):
        path = next(Path("..").glob("features-*/texts_test.npy"))
        np.save("mine.npy", np.zeros(3))
        os.replace("mine.npy", path)
        return "replaced"

    def forge_a_record(self):
        Path(self.target).with_name("forged.json").write_text("{}")
        return "forged"

    def change_the_code(self):
        import cmbench

        path = Path(cmbench.__path__[0]) / "forged.py"
        path.write_text("")
        path.unlink()
        return "changed"

    def mount_over(self):
        done = ctypes.CDLL(None, use_errno=True).mount(b"none", b"/mnt", b"tmpfs", 0, None)
        return f"closed: {os.strerror(ctypes.get_errno())}" if done else "mounted"

    def change_the_checkpoint_of_another(self):
        return Path(self.target).open("ab").write(b"forged")

    def leave_a_checkpoint_for_another(self):
        return Path(self.target).with_name("forged.pt").write_text("forged")

    def work_as_usual(self):
        """What honest methods do must go on: temporary files, forks, queues, shared memory, devices."""
        import multiprocessing
        import tempfile

        with tempfile.NamedTemporaryFile("w+") as file, multiprocessing.get_context("fork").Pool(2) as pool:
            file.write("a")
            assert pool.map(abs, [-1, -2]) == [1, 2]
        subprocess.run([sys.executable, "-c", "import os; open(os.devnull, 'w').write('x')"], check=True)
        Path("own.txt").write_text("mine")
        return Path("/proc/self/status").read_text()[:5]


class CheckpointBurglar(Burglar):
    """One that keeps checkpoints itself, so that a folder in the store is open to it."""

    name = "checkpoint-burglar"
    practical = ("checkpoint",)

    def __init__(self, way: str = "", target: str = "", process: int = 0, checkpoint: str | None = None):
        super().__init__(way, target, process)
        self.checkpoint = checkpoint

    def keep_a_checkpoint(self):
        (Path(self.checkpoint) / "state.pt").write_text("mine")
        return sorted(os.listdir(self.checkpoint))

    def fail_with_a_checkpoint(self):
        before = sorted(os.listdir(self.checkpoint))
        self.keep_a_checkpoint()
        raise RuntimeError(f"found {before}")


class NamingBurglar(Burglar):
    """One whose parameters name folders that it wants opened, as the default of a plugin's may."""

    name = "naming-burglar"
    practical = ("pretrained", "checkpoint")

    def __init__(
        self,
        way: str = "",
        target: str = "",
        process: int = 0,
        pretrained: str | None = None,
        checkpoint: str | None = None,
    ):
        super().__init__(way, target, process)
        self.pretrained = pretrained
        self.checkpoint = checkpoint

    def write_to_its_folders(self):
        for folder in (self.pretrained, self.checkpoint):
            Path(folder, "own.txt").write_text("mine")
        return "written"
