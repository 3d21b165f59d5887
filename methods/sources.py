"""The files that a plugin's code consists of: that of its class, and the modules it loads from its own place.

The files are found by reading them, not by running them: every ``import``, also one inside a function,
is followed as long as it leads into the plugin's own folder or package. Installed libraries are not followed.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from importlib.metadata import packages_distributions
from pathlib import Path

from cmbench.errors import MethodError

MODULE_SUFFIXES = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
MOST_FILES = 2000  # and folders, of a folder that is covered as a whole
INSTALLED = ("site-packages", "dist-packages")

_NAMED_LOADERS = {"import_module", "__import__"}
_HIDDEN_LOADERS = {
    "SourceFileLoader",
    "addsitedir",
    "exec",
    "iter_modules",
    "run_module",
    "run_path",
    "spec_from_file_location",
    "walk_packages",
}
"""What runs code by a path or a computed name, so that reading does not show which files it is in."""


@dataclass(frozen=True)
class Home:
    """Where a plugin's own modules lie.

    ``root`` is the folder from which files are named, ``folders`` are those where absolute imports look,
    in this order, and ``whole`` is what an import with a computed name may reach. ``names`` are the
    modules and packages that are the plugin's own; None: all that the folders hold.
    """

    root: Path
    folders: tuple[Path, ...]
    whole: Path
    names: tuple[str, ...] | None = None


def home_of_file(path: Path) -> Home:
    """Return the home of a plugin file: its folder, and where the package begins that it may be in."""
    root = whole = path.parent
    while (root / "__init__.py").is_file():
        root, whole = root.parent, root
    return Home(root, tuple(dict.fromkeys((path.parent, root))), whole)


def home_of_module(name: str, path: Path) -> Home:
    """Return the home of the module ``name`` (``package.module``) in the file ``path``.

    It is the folder that holds its top-level package. Among installed libraries it is the package alone,
    or for a module without a package the modules of its distribution.
    """
    parts = name.split(".")
    located = path.parent if path.stem == "__init__" else path.with_suffix("")
    if located.parts[-len(parts) :] != tuple(parts):  # an editable install may call a folder otherwise
        return home_of_file(path)
    root = located.parents[len(parts) - 1]
    top = root / parts[0]
    whole = top if top.is_dir() else root
    if root.name not in INSTALLED:
        return Home(root, (root,), whole)
    return Home(root, (root,), whole if top.is_dir() else path, _installed_names(root, parts))


def _installed_names(root: Path, parts: Sequence[str]) -> tuple[str, ...]:
    for length in range(1, len(parts)):
        if (root.joinpath(*parts[:length]) / "__init__.py").is_file():
            return (".".join(parts[:length]),)
    distributions = _distributions()
    own = set(distributions.get(parts[0], ()))
    return tuple(name for name, theirs in distributions.items() if name == parts[0] or own & set(theirs))


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def sources(start: Iterable[Path], home: Home) -> dict[str, bytes]:
    """Return the content of these files and of all that they load from ``home``, by name, sorted.

    A name is a path with ``/`` from the root of the home.
    """
    found = files_loaded(start, home)
    return dict(sorted((_name(path, home), content) for path, content in found.items()))


def files_loaded(start: Iterable[Path], home: Home) -> dict[Path, bytes]:
    """Return the content of these files and of all that they load from ``home``, by path.

    A package brings its ``__init__.py``, a star its modules. Where code is loaded by a path or a computed
    name, every module of the home belongs to it.
    """
    found: dict[Path, bytes] = {}
    waiting = list(start)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = _content(path)
            waiting += _loaded_by(path, found[path], home)
    return found


def digest(files: Mapping[str, bytes]) -> str:
    """Return SHA-256 (hexadecimal, 12 digits) over the bytes of the files; comments are bytes too.

    That of a single file does not depend on its name.
    """
    if len(files) == 1:
        return sha256(next(iter(files.values()))).hexdigest()[:12]
    lines = (f"{sha256(content).hexdigest()} {name}\n" for name, content in sorted(files.items()))
    return sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MethodError(
            f"{path}: the code of a method cannot be read ({error.strerror or error}), so that nobody could "
            "tell when it changes; install its package unpacked, or see to the file's permissions"
        ) from error


def _name(path: Path, home: Home) -> str:
    inside = path.is_relative_to(home.root)
    return path.relative_to(home.root).as_posix() if inside else f"elsewhere/{path.name}"


def _loaded_by(path: Path, content: bytes, home: Home) -> Iterator[Path]:
    if path.suffix not in SOURCE_SUFFIXES:
        return
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):  # it fails when it is imported, whatever it imports
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _absolute(alias.name, home)
            case ast.ImportFrom():
                yield from _from(node, path, home)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                yield from _called(name, node, path, home)
            case _ if _changes_path(node):
                yield from _whole(home)


def _changes_path(node: ast.AST) -> bool:
    """Return whether ``sys.path`` becomes another: a method of it is used, or something is assigned to it."""
    match node:
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="path")):
            return True
        case ast.Assign(targets=[place]) | ast.AugAssign(target=place):
            return ast.unparse(place).startswith("sys.path")
    return False


def _from(node: ast.ImportFrom, path: Path, home: Home) -> Iterator[Path]:
    """Yield what ``from X import a, b`` loads: X, and its modules a and b if they are modules."""
    parts = node.module.split(".") if node.module else []
    for alias in node.names:
        wanted = [*parts] if alias.name == "*" else [*parts, alias.name]
        if node.level:
            yield from _relative(wanted, node.level, path, home)
        else:
            yield from _absolute(".".join(wanted), home)
    if any(alias.name == "*" for alias in node.names):
        places = [_base(path, node.level)] if node.level else home.folders
        for place in places:
            yield from _modules_in(place.joinpath(*parts), home)


def _called(name: str, call: ast.Call, path: Path, home: Home) -> Iterator[Path]:
    if name in _HIDDEN_LOADERS:
        yield from _whole(home)
    if name not in _NAMED_LOADERS:
        return
    match call.args:
        case [ast.Constant(value=str(module)), *_]:
            level = len(module) - len(module.lstrip("."))
            if level:
                yield from _relative(module[level:].split("."), level, path, home)
            else:
                yield from _absolute(module, home)
        case _:
            yield from _whole(home)


def _absolute(module: str, home: Home) -> Iterator[Path]:
    if not may_be_own(module, home):
        return
    for folder in home.folders:
        files = _files_of(folder, module.split("."))
        if files:
            yield from _with_packages(files, home)
            return


def may_be_own(module: str, home: Home) -> bool:
    """Return whether an absolute import of this module may lead to the plugin's own place.

    The standard library and cmbench go before whatever files of these names a folder holds.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "cmbench":
        return False
    return home.names is None or any(f"{module}.".startswith(f"{name}.") for name in home.names)


def _relative(parts: Sequence[str], level: int, path: Path, home: Home) -> Iterator[Path]:
    base = _base(path, level)
    if base.is_relative_to(home.root):
        files = _files_of(base, parts)
        package = base / "__init__.py"
        yield from _with_packages([*files, *([package] if package.is_file() else [])], home)


def _base(path: Path, level: int) -> Path:
    return path.parents[min(level, len(path.parents)) - 1]


def _files_of(folder: Path, parts: Sequence[str]) -> list[Path]:
    """Return the files that importing ``parts`` from ``folder`` runs: packages and the module, if there."""
    found: list[Path] = []
    for part in parts:
        package, module = folder / part / "__init__.py", module_file(folder, part)
        if not package.is_file() and module is not None:
            return [*found, module]
        folder = folder / part
        if package.is_file():
            found.append(package)
        elif not folder.is_dir():  # neither a package nor a part of one without __init__.py
            break
    return found


def module_file(folder: Path, name: str) -> Path | None:
    """Return the file of a module in a folder, if there is one."""
    files = (folder / f"{name}{suffix}" for suffix in MODULE_SUFFIXES)
    return next((path for path in files if path.is_file()), None)


def _with_packages(files: Sequence[Path], home: Home) -> Iterator[Path]:
    """Yield files, and the ``__init__.py`` of every package that they lie in: it runs before them."""
    for path in files:
        yield path
        for folder in path.parents:
            if folder == home.root or not (folder / "__init__.py").is_file():
                break
            yield folder / "__init__.py"


def _modules_in(folder: Path, home: Home) -> Iterator[Path]:
    if (folder / "__init__.py").is_file() and folder.is_relative_to(home.root):
        yield from sorted(path for path in folder.iterdir() if path.name.endswith(MODULE_SUFFIXES))


def _whole(home: Home) -> Iterator[Path]:
    if home.whole.is_file():
        yield home.whole
        return
    yield from _modules_below(home.whole)


def _modules_below(whole: Path) -> tuple[Path, ...]:
    found: list[Path] = []
    for folders, (folder, names, files) in enumerate(os.walk(whole)):
        names[:] = [name for name in names if name[0] != "." and name not in ("__pycache__", *INSTALLED)]
        found += [Path(folder, name) for name in files if name.endswith(MODULE_SUFFIXES)]
        if max(len(found), folders) > MOST_FILES:
            raise MethodError(
                f"a plugin in {whole} loads modules by a path or a computed name, so that every module below "
                f"this folder may belong to its code, and it has more than {MOST_FILES} files; import the "
                "modules by their names, or give the plugin a folder of its own"
            )
    return tuple(found)
