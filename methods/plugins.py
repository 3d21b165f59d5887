"""Plugin files as modules, each with the modules of its own folder, under names that no other plugin uses.

Two plugins may each have a module ``layers``, an edited one is read anew, and none of them hides a module
of the program that runs them: inside the plugin ``import layers`` means the file beside it, and the module
itself is called ``cmbench_plugin_DIGEST.layers``.
"""

from __future__ import annotations

import builtins
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib import import_module, invalidate_caches, util
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Any

from cmbench.errors import MethodError, text_of
from cmbench.methods.sources import Home, home_of_file, may_be_own, module_file, sources

PREFIX = "cmbench_plugin_"


def import_plugin(path: Path) -> ModuleType:
    """Return the module of a plugin file; its folder is on the path while it is imported.

    It is imported once, and again after an edit of it or of a module that it loads from its folder or
    package. Raises ``MethodError`` when it cannot be imported.
    """
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "no such file"
        raise MethodError(f"plugin {path}: {reason}; give the path of a Python file")
    home = home_of_file(path)
    files = sources([path], home)
    package = f"{PREFIX}{_digest(path, files)}"
    name = _module_name(package, path, home)
    if name in sys.modules:
        return sys.modules[name]
    try:
        with _on_path(path.parent), same_folder(), redirect_stdout(sys.stderr):  # stdout is for tables
            return _imported(Plugin(package, path, home), name, files)
    except (MethodError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plugin's code may raise anything; it must not end the run
        raise MethodError(broken(f"plugin {path}", error)) from error


@contextmanager
def same_folder() -> Iterator[None]:
    """Come back to the current folder: code that leaves it on import would move every relative path."""
    before = os.getcwd()
    try:
        yield
    finally:
        os.chdir(before)


def broken(what: str, error: BaseException) -> str:
    """Return a sentence on something that cannot be imported, and the line of it on which that failed."""
    return failed(f"{what} cannot be imported", error)


def failed(what: str, error: BaseException) -> str:
    """Return what failed, why, and on which line of a plugin's code."""
    text = error.msg if isinstance(error, SyntaxError) else text_of(error)
    return f"{what}: {type(error).__name__}: {text}{_line_of(error)}"


def _line_of(error: BaseException) -> str:
    """Return the last line of code that is neither Python's nor cmbench's, with its file; else nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        places = [(error.filename, error.lineno, error.text or "")]
    else:
        frames = traceback.extract_tb(error.__traceback__)
        places = [(frame.filename, frame.lineno, frame.line or "") for frame in frames]
    own = [place for place in places if os.path.isfile(place[0]) and not _is_machinery(place[0])]
    if not own:
        return ""
    file, number, line = own[-1]
    return f" ({os.path.basename(file)}, line {number}: {line.strip()})"


def _is_machinery(file: str) -> bool:
    return any(Path(file).resolve().is_relative_to(folder) for folder in (_LIBRARY, _METHODS))


_LIBRARY = Path(sysconfig.get_paths()["stdlib"]).resolve()
_METHODS = Path(__file__).resolve().parent


@dataclass(frozen=True, eq=False)
class Plugin:
    """A plugin file, and the package under which its own modules are imported."""

    package: str
    path: Path
    home: Home

    def importing(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Do what ``import`` means in the plugin's modules: ``__import__``, its own modules first."""
        place = None if level else self._place(name)
        if place is None:
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = builtins.__import__(f"{place}.{name}", globals, locals, fromlist or (), 0)
        return module if fromlist else sys.modules[f"{place}.{name.partition('.')[0]}"]

    def _place(self, name: str) -> str | None:
        """Return the package, in this plugin's names, that holds an absolute import; None: it is not ours."""
        top = name.partition(".")[0]
        if not may_be_own(name, self.home):
            return None
        folders = [*self.home.folders]
        if top == self.path.stem or not any(_is_regular(folder, top) for folder in folders):
            # The plugin's own name, and a folder without __init__.py, give way to what is installed.
            folders = [] if self._is_elsewhere(top) else folders
        for folder in folders:
            if _is_regular(folder, top) or (folder / top).is_dir():
                return ".".join((self.package, *folder.relative_to(self.home.root).parts))
        return None

    def _is_elsewhere(self, top: str) -> bool:
        if top in sys.modules:
            return True
        spec = util.find_spec(top)
        if spec is None:
            return False
        places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
        return any(not Path(place).is_relative_to(self.home.root) for place in places)


class PluginFinder(MetaPathFinder):
    """Finds the modules of plugins; what is no plugin's, and packages without ``__init__.py``, it leaves."""

    def __init__(self) -> None:
        self.plugins: dict[str, Plugin] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        plugin = self.plugins.get(fullname.partition(".")[0])
        if plugin is None or path is None:
            return None
        kinds = (partial(PluginLoader, plugin), SOURCE_SUFFIXES), (ExtensionFileLoader, EXTENSION_SUFFIXES)
        for place in path:
            spec = FileFinder(place, *kinds).find_spec(fullname)  # type: ignore[arg-type]
            if spec is not None and spec.loader is not None:
                return spec
        return None


class PluginLoader(SourceFileLoader):
    """Runs a module of a plugin, in which ``import`` is the plugin's own.

    Bytecode of an earlier import is not used: it is told from that of an edited file by whole seconds alone.
    """

    def __init__(self, plugin: Plugin, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._plugin = plugin

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        raise OSError  # documented: bytecode is neither read nor written then

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._plugin.importing}
        super().exec_module(module)


_FINDER = PluginFinder()


def _digest(path: Path, files: Mapping[str, bytes]) -> str:
    content = sha256(os.fsencode(path))
    for name, source in files.items():
        content.update(b"\n%s %d\n" % (os.fsencode(name), len(source)) + source)
    return content.hexdigest()[:16]


def _module_name(package: str, path: Path, home: Home) -> str:
    """Return ``package.folder.stem``; that of an ``__init__.py`` is the name of its folder."""
    parts = [*path.parent.relative_to(home.root).parts]
    if path.stem != "__init__":
        parts.append(re.sub(r"\W", "_", path.stem))
    return ".".join([package, *parts])


def _imported(plugin: Plugin, name: str, files: Mapping[str, bytes]) -> ModuleType:
    spec = _spec(plugin, name)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    invalidate_caches()
    _FINDER.plugins[plugin.package] = plugin
    sys.modules[plugin.package] = _package(plugin)
    try:
        folder = plugin.path.parent.relative_to(plugin.home.root)
        if plugin.path.stem != "__init__" and (folder / "__init__.py").as_posix() in files:
            import_module(name.rpartition(".")[0])  # a package runs before its modules, and may import them
        return sys.modules[name] if name in sys.modules else _run(spec)
    except BaseException:
        for found in [key for key in sys.modules if f"{key}.".startswith(f"{plugin.package}.")]:
            del sys.modules[found]
        raise


def _spec(plugin: Plugin, name: str) -> ModuleSpec:
    path = plugin.path
    loader = PluginLoader(plugin, name, str(path)) if path.suffix in SOURCE_SUFFIXES else None
    folders = [str(path.parent)] if path.stem == "__init__" else None
    spec = util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise MethodError(f"plugin {path}: not a Python file; its name must end in .py")
    return spec


def _package(plugin: Plugin) -> ModuleType:
    package = ModuleType(plugin.package, f"The modules of {plugin.path}.")
    package.__path__ = [str(plugin.home.root)]
    return package


def _run(spec: ModuleSpec) -> ModuleType:
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def _is_regular(folder: Path, name: str) -> bool:
    return (folder / name / "__init__.py").is_file() or module_file(folder, name) is not None


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Have ``folder`` last on the path; what was imported by way of it is forgotten with it.

    No bytecode of it is written: it would be told from that of an edited file by whole seconds alone.
    """
    entry = str(folder)
    if entry in sys.path:
        yield
        return
    before, writes_none = set(sys.modules), sys.dont_write_bytecode
    sys.path.append(entry)
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_none
        if entry in sys.path:
            sys.path.remove(entry)
        new = set(sys.modules) - before
        tops = {name for name in new if "." not in name and _lies_in(folder, sys.modules[name])}
        for name in new:
            if name.partition(".")[0] in tops:
                del sys.modules[name]


def _lies_in(folder: Path, module: ModuleType) -> bool:
    name, file = module.__name__, getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", ()))
    own = {module_file(folder, name), folder / name / "__init__.py", folder / name}
    return any(Path(place) in own for place in places)
