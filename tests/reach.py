"""Count the files that a reader of each method opens: python tests/reach.py [NAME ...]

*In reach* are the files of ``methods/`` that are imported on the way from the file of the method's class, at
once or by a call; *own* are those of them in the method's folder. Faces of folders (``__init__.py``) and
imports for type checkers are not counted.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, FOLDER = "cmbench.methods", ROOT / "methods"


def path_of(module: str) -> Path | None:
    """Return the file of a module in ``methods/``, or None."""
    if not module.startswith(f"{PACKAGE}."):
        return None
    path = FOLDER.joinpath(*module.removeprefix(f"{PACKAGE}.").split(".")).with_suffix(".py")
    return path if path.exists() else None


def imported(path: Path) -> set[Path]:
    """Return the files of ``methods/`` that a file imports, but for those that only its types need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    modules: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and id(node) not in typing:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {file for module in modules if (file := path_of(module))}


def in_reach(start: Path) -> set[Path]:
    """Return all files imported on the way from ``start``, itself included."""
    reached: set[Path] = set()
    waiting = [start]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting += imported(current)
    return reached


def counts() -> dict[str, tuple[int, int]]:
    """Return the number of files in reach and of its own, by the name of a built-in method."""
    from cmbench.methods.registry import BUILT_IN

    starts = {name: path_of(target.partition(":")[0]) for name, target in BUILT_IN.items()}
    reached = {name: (path, in_reach(path)) for name, path in starts.items() if path}
    return {name: (len(files), len(own(files, path))) for name, (path, files) in reached.items()}


def own(files: set[Path], start: Path) -> set[Path]:
    """Return those of the files that lie in the method's folder, or its one file."""
    if start.parent == FOLDER:
        return {start}
    return {path for path in files if path.parent == start.parent}


if __name__ == "__main__":
    rows = counts()
    print(f"{'method':<16}{'in reach':>9}{'own':>5}")
    for method in sys.argv[1:] or rows:
        print(f"{method:<16}{rows[method][0]:>9}{rows[method][1]:>5}")
