"""Where a record comes from: the packages, the source and the machine of a run."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cmbench.limits import available_cores

PACKAGES = (
    "cmbench",
    "cvxpy",
    "h5py",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "threadpoolctl",
    "torch",
)


COMMIT = "commit.json"
"""The file of an installed package that names the commit it was built from; see ``setup.py``."""


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Return package versions, the source's git state, and the machine; the same for a whole run."""
    libraries = preloaded()
    return {
        "packages": {name: package_version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        **({"preloaded": libraries} if libraries else {}),
        "cores": available_cores(),
        "git": git_state(Path(__file__).parent) or built_from(Path(__file__).parents[1] / COMMIT),
        "command": [_program(), *sys.argv[1:]],
    }


def _program() -> str:
    """Return the name of what was started; ``python -m cmbench`` is ``cmbench`` too."""
    name = Path(sys.argv[0]).name
    return "cmbench" if name == "__main__.py" else name


def package_version(name: str) -> str | None:
    """Return the installed version, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def preloaded() -> str:
    """Return the names of the libraries that ``LD_PRELOAD`` loads first, which may round differently."""
    libraries = re.findall("[^ :]+", os.environ.get("LD_PRELOAD", ""))
    return ", ".join(Path(library).name for library in libraries)


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit and whether tracked files differ from it; None outside a checkout.

    A package installed into an environment that lies in somebody's repository is not in that
    repository's files, so it has none either.
    """
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": bool(changes)}


def built_from(file: Path) -> dict[str, Any] | None:
    """Return the commit that an installed package was built from; None where it does not say."""
    try:
        state = json.loads(file.read_bytes())
        return {"commit": str(state["commit"]), "dirty": bool(state["dirty"])}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    # A commit hook is told of its own repository by these; the question here is whose ``folder`` is.
    others = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    environment = {name: value for name, value in os.environ.items() if name not in others}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
