"""A method described in words: what it is, and what each of its parameters may be and means."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cmbench.methods.parameters import REQUIRED, Parameter, parameters_of

if TYPE_CHECKING:
    from cmbench.methods.contract import Method

WIDTH = 100  # of a line, in characters


def description_of(method: type[Method]) -> str:
    """Return what a method is, as the text that ``cmbench methods NAME`` prints.

    Its parameters come with their defaults, the values that are allowed and worth trying, and their
    meaning; those of its own class come first. Raises ``MethodError`` for a parameter whose annotation
    cannot be resolved.
    """
    facts = [f"{subject:<10} {fact}" for subject, fact in _facts(method).items() if fact]
    sections = [
        "\n".join([f"{method.paper_name}", "=" * len(method.paper_name), *facts]),
        _plain(objective_of(method)),
        _section("Parameters", [_parameter(parameter, method) for parameter in parameters_of(method)]),
        _section("Presets", [_preset(name, preset) for name, preset in method.presets.items()]),
    ]
    return "\n\n".join(section for section in sections if section)


def objective_of(method: type[Method]) -> str:
    """Return the docstring of a method up to its first section, such as ``Attributes``; empty without one."""
    lines = inspect.cleandoc(method.__doc__ or "").splitlines()
    rules = [number for number, line in enumerate(lines) if line and not line.strip("-")]
    return "\n".join(lines[: rules[0] - 1] if rules else lines).strip()


def _facts(method: type[Method]) -> dict[str, str]:
    labels = "used, one category a pair"
    if method.multi_label:
        labels = "used, one category or several a pair"
    return {
        "name": method.name,
        "family": method.family,
        "labels": labels if method.uses_labels else "not used",
        "parts": "used" if method.uses_parts else "not used",
        "features": _features(method),
        "reference": _wrapped(method.citation, indent=11).strip(),
    }


def _features(method: type[Method]) -> str:
    if method.shared_space:
        return "of images and texts in one space"
    return "as many of images as of texts" if method.equal_widths else ""


def _parameter(parameter: Parameter, method: type[Method]) -> str:
    default = "(no default)" if parameter.default is REQUIRED else f"= {parameter.default!r}"
    about = [
        _allowed(parameter),
        f"Counts only with {parameter.when}." if parameter.when else "",
        _tried(parameter.name, method),
        _practical(parameter.name, method),
    ]
    texts = [*_paragraphs(parameter.meaning), " ".join(text for text in about if text)]
    return "\n".join([f"{parameter.name} {default}", *(_wrapped(text, indent=4) for text in texts if text)])


def _allowed(parameter: Parameter) -> str:
    if parameter.constraint is not None:
        return f"Allowed: {parameter.constraint}."
    return f"Type: {parameter.type}." if parameter.type else ""


def _tried(name: str, method: type[Method]) -> str:
    values = method.tuning_space.get(name)
    if values is None:
        return ""
    return f"Worth trying: {', '.join(map(repr, values)) if isinstance(values, tuple | list) else values}."


def _practical(name: str, method: type[Method]) -> str:
    return "A result does not depend on it." if name in method.practical else ""


def _preset(name: str, preset: Mapping[str, Any]) -> str:
    values = ", ".join(f"{parameter}={value!r}" for parameter, value in preset.items())
    return f"{name}\n{_wrapped(values, indent=4)}"


def _section(title: str, items: list[str]) -> str:
    return "\n".join([title, "-" * len(title), *items]) if items else ""


def _paragraphs(text: str) -> Iterator[str]:
    return (_plain(paragraph) for paragraph in text.split("\n\n"))


def _plain(text: str) -> str:
    """Return a docstring without the marks of its format."""
    return text.replace(" ::", ":").replace("::", ":").replace("``", "")


def _wrapped(text: str, *, indent: int) -> str:
    margin = " " * indent
    return textwrap.fill(
        " ".join(text.split()),
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
