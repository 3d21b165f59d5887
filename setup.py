"""Writes into the package that is built which commit it is of, so that records of runs with it name it.

All else that is to be said of the package stands in pyproject.toml.
"""

import json
import os
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithCommit(build_py):
    """Builds the modules, and ``commit.json`` beside them where they come from a checkout."""

    def run(self) -> None:
        """Build; nothing is written for an editable install, which is asked for its commit when it runs."""
        super().run()
        written = Path(self.build_lib) / "cmbench" / "commit.json"
        written.unlink(missing_ok=True)
        commit = git("rev-parse", "HEAD") if git("ls-files", "--error-unmatch", "pyproject.toml") else ""
        if commit and not self.editable_mode:
            dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
            written.write_text(json.dumps({"commit": commit, "dirty": dirty}), encoding="ascii")


def git(*arguments: str) -> str:
    """Return what git says of this folder; nothing where it is no checkout, or there is no git."""
    # a commit hook is told of its own repository by these; the question here is whose this folder is
    others = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    asked = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, env=environment)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


setup(cmdclass={"build_py": BuildWithCommit})
