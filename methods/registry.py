"""Which methods there are: built in, from installed packages, or from a plugin file."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from cmbench.errors import MethodError, did_you_mean
from cmbench.methods.parameters import REQUIRED, arguments_of, as_given, parameters_of
from cmbench.methods.plugins import broken, failed, import_plugin, same_folder
from cmbench.methods.sources import Home, digest, files_loaded, home_of_file, home_of_module, sources

if TYPE_CHECKING:
    from cmbench.methods.contract import Method

GROUP = "cmbench.methods"
"""The entry-point group by which an installed package brings methods: ``name = "package.module:Class"``."""

BUILT_IN = {
    "acmr": "cmbench.methods.beyond.acmr:ACMR",
    "acmr-released": "cmbench.methods.beyond.acmr:ACMRReleased",
    "cca": "cmbench.methods.cca:CCA",
    "ccl": "cmbench.methods.ccl.method:CCL",
    "ccl-coarse": "cmbench.methods.ccl.method:CCLCoarse",
    "cfa": "cmbench.methods.cfa:CFA",
    "cmdn": "cmbench.methods.cmdn.method:CMDN",
    "cmgans": "cmbench.methods.cmgans.method:CMGANs",
    "cmgans-cae": "cmbench.methods.cmgans.method:CMGANsCAE",
    "cmgans-posterior": "cmbench.methods.cmgans.method:CMGANsPosterior",
    "cmgans-inter": "cmbench.methods.cmgans.method:CMGANsInter",
    "cmgans-none": "cmbench.methods.cmgans.method:CMGANsNone",
    "cmgans-release": "cmbench.methods.cmgans.method:CMGANsRelease",
    "cmgans-sc": "cmbench.methods.cmgans.method:CMGANsSC",
    "cmgans-ws": "cmbench.methods.cmgans.method:CMGANsWS",
    "contrastive": "cmbench.methods.beyond.contrastive:InfoNCE",
    "corr-ae": "cmbench.methods.corr_ae.method:CorrAE",
    "corr-ae-corr": "cmbench.methods.corr_ae.method:CorrAECorr",
    "corr-ae-cross": "cmbench.methods.corr_ae.method:CorrAECross",
    "corr-ae-full": "cmbench.methods.corr_ae.method:CorrAEFull",
    "dcca": "cmbench.methods.dcca.method:DCCA",
    "deep-sm": "cmbench.methods.deep_sm:DeepSM",
    "dscmr": "cmbench.methods.beyond.dscmr:DSCMR",
    "identity": "cmbench.methods.beyond.controls:Identity",
    "jfssl": "cmbench.methods.beyond.joint_selection:JFSSL",
    "jrl": "cmbench.methods.jrl.method:JRL",
    "jrl-release": "cmbench.methods.jrl.release:JRLRelease",
    "kcca": "cmbench.methods.kcca.method:KCCA",
    "lcfs": "cmbench.methods.beyond.coupled_selection:LCFS",
    "lgcfl": "cmbench.methods.lgcfl.method:LGCFL",
    "majority": "cmbench.methods.beyond.controls:Majority",
    "oracle": "cmbench.methods.beyond.controls:Oracle",
    "random": "cmbench.methods.beyond.controls:Random",
    "rcca": "cmbench.methods.cca:RCCA",
    "ridge": "cmbench.methods.beyond.label_regression:Ridge",
    "scm": "cmbench.methods.beyond.semantic_matching:SCM",
    "sm": "cmbench.methods.beyond.semantic_matching:SM",
    "triplet": "cmbench.methods.beyond.contrastive:Triplet",
}
"""Where the class of each built-in method is, as ``module:Class``; it is imported when it is needed."""
DEFAULT_METHODS = (
    "cca",
    "cfa",
    "kcca",
    "jrl",
    "lgcfl",
    "corr-ae",
    "cmdn",
    "ccl",
    "cmgans",
    "dcca",
    "deep-sm",
)
"""What a run fits unless told otherwise: the rows of the paper's tables, the long ones not at the end."""

BEYOND = ("sm", "scm", "ridge", "lcfs", "jfssl", "acmr", "dscmr", "contrastive", "triplet")
"""Methods that the paper does not compare with: those since, those that it left out, and plain baselines."""
CONTROLS = ("random", "majority", "identity", "oracle")
"""What a suite must show of methods that know nothing, or nothing but the features, or all labels."""
GROUPS = {"paper": DEFAULT_METHODS, "beyond": BEYOND, "controls": CONTROLS}
"""Names that stand for several methods wherever methods are listed."""


def expanded(methods: Iterable[Any]) -> list[Any]:
    """Return the methods, with those of a group in the place of its name, each name once.

    >>> expanded(["cca", "controls"])
    ['cca', 'random', 'majority', 'identity', 'oracle']
    """
    named = [GROUPS.get(method, (method,)) if isinstance(method, str) else (method,) for method in methods]
    every = [method for members in named for method in members]
    return [
        method
        for place, method in enumerate(every)
        if not isinstance(method, str) or method not in every[:place]
    ]


@dataclass(frozen=True)
class MethodEntry:
    """A method that can be imported when it is needed.

    ``location`` is ``module:Class``; for a plugin file, ``/path/to/file.py:Class``.
    """

    name: str
    origin: Literal["built-in", "package", "file"]
    location: str

    def load(self) -> type[Method]:
        """Import and return the class; any error in a plugin's code becomes a ``MethodError``."""
        module_or_file, _, class_name = self.location.rpartition(":")
        module = import_plugin(Path(module_or_file)) if self.origin == "file" else _import_package(self)
        method: Any = getattr(module, class_name, None)
        if not _is_method(method):
            raise MethodError(
                f"method {self.name!r}: {self.location} is not a class derived from "
                "cmbench.methods.contract.Method"
            )
        if method.name != self.name:
            raise MethodError(
                f"method {self.name!r}: {self.location} calls itself {method.name!r}; its entry point and "
                "its attribute 'name' must agree"
            )
        loaded: type[Method] = method
        if self.origin != "built-in":
            from cmbench.methods.contract import check_class  # late, as in _is_method

            check_class(loaded)
        return loaded

    def code_version(self) -> str:
        """Return what changes when the method's results may: its ``version``, and the code of a plugin.

        The code is every byte of ``sources``; a file that the plugin does not load is none of it.
        """
        version = str(self.load().version)
        return version if self.origin == "built-in" else f"{version}-{digest(self.sources())}"

    def sources(self) -> dict[str, bytes]:
        """Return the files of a plugin's code by name: that of its class, and the modules it loads.

        Those are the modules of its own folder or package, not of libraries. Built-in methods have none:
        their ``version`` stands for their code.
        """
        return {} if self.origin == "built-in" else sources(*self._start_and_home())

    def files(self) -> list[Path]:
        """Return where the files of ``sources`` lie, sorted."""
        return [] if self.origin == "built-in" else sorted(files_loaded(*self._start_and_home()))

    def _start_and_home(self) -> tuple[list[Path], Home]:
        """Return the files that a plugin's code begins with, and where its own modules lie."""
        if self.origin == "file":
            path = Path(self.location.rpartition(":")[0])
            return [path], home_of_file(path)
        method = self.load()
        path = Path(inspect.getfile(method))
        start = [path, *_packages_above(path, method.__module__)]
        entry = inspect.getfile(sys.modules[self.location.partition(":")[0]])
        return [*start, Path(entry)], home_of_module(method.__module__, path)

    @property
    def folder(self) -> Path:
        """The folder of a plugin file."""
        return Path(self.location.rpartition(":")[0]).parent


@dataclass(frozen=True)
class Registry:
    """The methods at hand, by name, and what was wrong with plugins that could not be read."""

    entries: Mapping[str, MethodEntry]
    problems: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()
    """Names that plugin files wanted and others have: who asks for one may mean the file's."""
    incomplete: bool = False
    """Whether a plugin file, or a method in one, cannot be used."""

    def __getitem__(self, name: str) -> MethodEntry:
        if name not in self.entries:
            guess = did_you_mean(name, self.entries)
            raise MethodError(
                f"unknown method {name!r}{guess}; known methods: {', '.join(self.entries)}. "
                "A method of your own comes with --plugin FILE.py"
            )
        return self.entries[name]

    @property
    def plugin_names(self) -> tuple[str, ...]:
        """The methods that came from plugin files."""
        return tuple(name for name, entry in self.entries.items() if entry.origin == "file")


def registry(plugins: Iterable[Path | str] = ()) -> Registry:
    """Collect the built-in methods, those of installed packages, and those of the plugin files.

    Only plugin files are imported here. One that cannot be imported, or that takes the name of
    another method, is left out and described in ``problems``.
    """
    entries = {name: MethodEntry(name, "built-in", location) for name, location in BUILT_IN.items()}
    unread: list[str] = []
    refused: set[str] = set()
    points = entry_points(group=GROUP)
    added = [MethodEntry(point.name, "package", point.value.partition("[")[0].strip()) for point in points]
    for path in plugins:
        try:
            added += file_entries(Path(path))
        except MethodError as error:
            unread.append(str(error))
    problems = list(unread)
    for entry in dict.fromkeys(added):  # a file may be given twice
        if fault := _fault_of_name(entry.name):
            problems.append(f"{entry.location}: {fault}")
        elif entry.name in entries:
            taken = entries[entry.name]
            problems.append(
                f"{entry.location}: the name {entry.name!r} is taken by {taken.location}; rename it"
            )
            if entry.origin == "file":
                refused.add(entry.name)
        else:
            entries[entry.name] = entry
    return Registry(entries, tuple(problems), frozenset(refused), bool(unread or refused))


def file_entries(path: Path) -> list[MethodEntry]:
    """Return the methods that a plugin file defines; it is imported to find them."""
    path = path.expanduser().resolve()
    module = import_plugin(path)
    classes = {
        value: variable
        for variable, value in vars(module).items()
        if _is_method(value) and value.__module__ == module.__name__  # not one that it imports
    }
    unfinished = _unfinished(module, classes)
    misnamed = next(filter(None, (_fault_of_name(method.name) for method in classes)), "")
    if unfinished or misnamed or not classes:
        raise MethodError(f"plugin {path}: {unfinished or misnamed or _NO_METHOD}")
    return [MethodEntry(method.name, "file", f"{path}:{variable}") for method, variable in classes.items()]


def load_method(name: str, *, preset: str | None = None, **parameters: Any) -> Method:
    """Return a method by its name, with the given parameters, and for the rest a preset's or the defaults.

    Raises ``MethodError`` for an unknown name, preset or parameter.

    >>> load_method("cca", n_components=5).n_components
    5
    >>> load_method("corr-ae-cross", preset="paper", epochs=10).alpha
    0.2
    """
    method = registry()[name].load()
    return new_method(method, {**preset_of(method, preset), **parameters})


def preset_of(method: type[Method], name: str | None) -> Mapping[str, Any]:
    """Return the parameters of a preset, none for None, or raise ``MethodError`` naming those there are."""
    if name is None:
        return {}
    if name not in method.presets:
        there = ", ".join(map(repr, method.presets)) or "none"
        raise MethodError(f"method {method.name!r} has no preset {name!r}; it has {there}")
    return method.presets[name]


def new_method(method: type[Method], parameters: Mapping[str, Any]) -> Method:
    """Return an instance, or raise ``MethodError`` naming the parameters there are, or what is missing.

    A list, as JSON has it, becomes a tuple where the default is one. What a constructor raises becomes a
    ``MethodError`` too.
    """
    _refuse_open_ended(method)
    check_names(method, parameters)
    described = parameters_of(method)
    required = [parameter.name for parameter in described if parameter.default is REQUIRED]
    missing = [name for name in required if name not in parameters]
    if missing:
        raise MethodError(
            f"method {method.name!r} needs a value for its parameter {missing[0]!r}: give one with "
            f"--set {method.name}.{missing[0]}=VALUE, or a default in its constructor"
        )
    try:
        return method(**as_given(method, parameters))
    except MethodError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(
            f"method {method.name!r}: {failed('its constructor failed', error)}; it should store its "
            "arguments and do no more, and leave the rest to fit"
        ) from error


def check_names(method: type[Method], parameters: Iterable[str]) -> None:
    """Raise ``MethodError`` for the first parameter that a method does not have, naming those it has."""
    names = [parameter.name for parameter in parameters_of(method)]
    unknown = [name for name in parameters if name not in names]
    if unknown:
        raise MethodError(
            f"method {method.name!r} has no parameter {unknown[0]!r}{did_you_mean(unknown[0], names)}; "
            f"it has {', '.join(names) or 'none'}"
        )


def _refuse_open_ended(method: type[Method]) -> None:
    """Raise ``MethodError`` for a constructor with ``*args`` or ``**kwargs``, which nobody could list."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in arguments_of(method).values():
        if parameter.kind in kinds:
            raise MethodError(
                f"method {method.name!r}: its constructor takes {parameter}, so that nothing tells which "
                "parameters there are; give each of them a name and a default"
            )


def _fault_of_name(name: object) -> str:
    """Return why no method can be called so; empty where one can."""
    if isinstance(name, str) and name in GROUPS:
        return f"the name {name!r} cannot be that of a method, because it stands for several; rename it"
    if isinstance(name, str) and name and name.isprintable() and name[0] != "." and not {*name} & {"/", "\\"}:
        return ""
    return (
        f"the name {name!r} cannot be that of a method, because files and folders are called so; give it one "
        "without / and \\ that does not begin with a dot"
    )


_NO_METHOD = (
    "defines no method; derive a class from cmbench.methods.contract.Method with fit, transform_images and "
    "transform_texts"
)


def _unfinished(module: ModuleType, classes: Iterable[type[Method]]) -> str:
    """Return what a class of a plugin lacks to be a method and no other class adds; empty if nothing."""
    from cmbench.methods.contract import Method

    for value in vars(module).values():
        is_own = isinstance(value, type) and value.__module__ == module.__name__
        if not is_own or not issubclass(value, Method) or not inspect.isabstract(value):
            continue
        if not any(issubclass(method, value) for method in classes):
            missing = sorted(value.__abstractmethods__)
            hint = did_you_mean(missing[0], [name for name in vars(value) if not name.startswith("_")])
            has = hint.replace("did you mean", "it has").replace("?", "")
            return f"class {value.__name__} has no {' and no '.join(missing)}{has}"
    return ""


def _is_method(value: object) -> bool:
    from cmbench.methods.contract import Method

    return isinstance(value, type) and issubclass(value, Method) and not inspect.isabstract(value)


def _import_package(entry: MethodEntry) -> ModuleType:
    try:
        with same_folder():
            return import_module(entry.location.partition(":")[0])
    except (Exception, SystemExit) as error:  # a plugin's code may raise anything; it must not end the run
        if entry.origin == "built-in":
            raise
        raise MethodError(broken(f"method {entry.name!r} ({entry.location})", error)) from error


def _packages_above(path: Path, module: str) -> list[Path]:
    """Return the ``__init__.py`` files that run before a module does."""
    parents = [sys.modules.get(module.rsplit(".", up)[0]) for up in range(1, module.count(".") + 1)]
    files = [getattr(parent, "__file__", None) for parent in parents]
    return [Path(file) for file in files if file]


Row = dict[str, str]


def method_rows(plugins: Iterable[Path | str] = ()) -> tuple[list[Row], list[str]]:
    """Return a row for each method that can be imported, and a sentence for each that cannot."""
    methods = registry(plugins)
    rows: list[Row] = []
    problems = list(methods.problems)
    for entry in methods.entries.values():
        try:
            rows.append(_row(entry, entry.load()))
        except MethodError as error:
            problems.append(str(error))
    return rows, problems


def _row(entry: MethodEntry, method: type[Method]) -> Row:
    return {
        "name": entry.name,
        "paper name": method.paper_name,
        "family": method.family,
        "labels": "yes" if method.uses_labels else "no",
        "group": ", ".join(name for name, members in GROUPS.items() if entry.name in members),
        "origin": "built in" if entry.origin == "built-in" else entry.location,
        "parameters": _listed({parameter.name: parameter.default for parameter in parameters_of(method)}),
        "presets": "; ".join(f"{name}: {_listed(preset)}" for name, preset in method.presets.items()),
        "citation": method.citation,
    }


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(name if value is REQUIRED else f"{name}={value!r}" for name, value in values.items())
