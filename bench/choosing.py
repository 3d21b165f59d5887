"""Which methods a run is of, and with what parameters: by name, by preset, or as configured objects."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cmbench.errors import MethodError
from cmbench.methods.registry import DEFAULT_METHODS, MethodEntry, Registry, expanded, preset_of
from cmbench.schema import RANDOM_STATE

if TYPE_CHECKING:
    from cmbench.methods.contract import Method


def chosen_methods(
    methods: Sequence[str | Method] | str | Method | None,
    available: Registry,
    parameters: Mapping[str, Mapping[str, Any]],
    presets: Mapping[str, str],
) -> list[tuple[MethodEntry, Mapping[str, Any]]]:
    """Return the entries of methods given by name or as configured objects, with the parameters that are set.

    By default they are the eleven of the paper and the methods of plugins. Raises ``MethodError`` for an
    unknown name or preset, where parameters are given for a method that is not among them, and as ``wanted``
    does.
    """
    chosen = [_entry(method, available, parameters, presets) for method in wanted(methods, available)]
    names = [entry.name for entry, _ in chosen]
    for what, named in (("parameters are", parameters), ("a preset is", presets)):
        unused = sorted(set(named) - set(names))
        if unused:
            raise MethodError(
                f"{what} given for {unused[0]!r}, which is not among the methods to run: {', '.join(names)}"
            )
    return chosen


def wanted(methods: Sequence[str | Method] | str | Method | None, available: Registry) -> list[Any]:
    """Return the methods asked for, those of a group in the place of its name.

    Raises ``MethodError`` where they would be something else than what was asked for: no method is named, so
    that the eleven of the paper would run without a plugin that cannot be used, or one is named whose name a
    plugin wanted and another method has.
    """
    if methods is None and available.incomplete:
        raise MethodError(
            "nothing is run, since the plugin that was given cannot be used, and no other methods are named; "
            "mend it, or name the methods to run without it"
        )
    names = [*DEFAULT_METHODS, *available.plugin_names] if methods is None else expanded(as_list(methods))
    taken = [repr(name) for name in names if isinstance(name, str) and name in available.refused]
    if taken:
        raise MethodError(
            f"nothing is run, since {', '.join(taken)} would not be the method of the plugin; rename that, "
            "or leave the plugin out"
        )
    return names


def published(methods: Sequence[str | Method] | str | Method | None, available: Registry) -> dict[str, str]:
    """Return the preset ``paper`` for each method, given by name, that has it."""
    names = (method for method in wanted(methods, available) if isinstance(method, str))
    return {name: "paper" for name in names if "paper" in available[name].load().presets}


def as_list(items: Any) -> list[Any]:
    """Return a list of items, of which one may be given by itself."""
    return list(items) if isinstance(items, Iterable) and not isinstance(items, str) else [items]


def _entry(
    method: str | Method,
    available: Registry,
    parameters: Mapping[str, Mapping[str, Any]],
    presets: Mapping[str, str],
) -> tuple[MethodEntry, Mapping[str, Any]]:
    if isinstance(method, str):
        entry = available[method]
        preset = preset_of(entry.load(), presets[method]) if method in presets else {}
        return entry, {**preset, **parameters.get(method, {})}
    method_class = type(method)
    name = method_class.name
    if name in presets:
        raise MethodError(
            f"a preset is given for {name!r}, whose parameters are set already; give the method by its name, "
            f"or as load_method({name!r}, preset={presets[name]!r})"
        )
    by_location = {entry.location: entry for entry in available.entries.values()}
    location = f"{method_class.__module__}:{method_class.__qualname__}"
    if method_class.__module__ == "__main__":
        raise MethodError(
            f"{method_class.__qualname__} is defined in a script or notebook, where no other process can "
            "import it; put it into a file and pass plugins=['FILE.py']"
        )
    entry = by_location.get(location, MethodEntry(name, "package", location))
    return entry, {**_configured(method), **parameters.get(name, {})}


def _configured(method: Method) -> dict[str, Any]:
    """Return a method's parameters, without a ``random_state`` at its default, which the seeds set."""
    configured: dict[str, Any] = method.get_params(deep=False)
    random_state = inspect.signature(type(method)).parameters.get(RANDOM_STATE)
    if random_state is not None and configured[RANDOM_STATE] == random_state.default:
        del configured[RANDOM_STATE]
    return configured
