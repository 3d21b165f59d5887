"""The pages that are made: of methods from their classes, of the house from CONTRIBUTING.md."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from cmbench.methods.bibliography import bibtex_of
from cmbench.methods.contract import Method
from cmbench.methods.description import objective_of
from cmbench.methods.parameters import REQUIRED, Parameter, parameters_of
from cmbench.methods.registry import registry

INTRODUCTION = """
Every method
============

Made from the classes themselves; ``cmbench methods NAME`` prints the same. Parameters are set with
``--set NAME.PARAMETER=VALUE`` and have the meaning that is said of them here.
"""


def write_pages(folder: str) -> None:
    """Write the made pages into the folder of the site."""
    _write(Path(folder, "methods.rst"), methods_page())
    contributing = Path(folder).parent / "CONTRIBUTING.md"
    _write(Path(folder, "house.md"), within_the_site(contributing.read_text(encoding="utf-8")))


def _write(path: Path, text: str) -> None:
    """Write a page, unless it has the same text already: then nothing is built again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def within_the_site(text: str) -> str:
    """Return Markdown with links to pages of the site, and the texts of links to other files."""
    text = re.sub(r"\]\(docs/([\w-]+\.md)", r"](\1", text)
    pages = {path.name for path in Path(__file__).parent.glob("*.md")}
    return re.sub(r"\[([^]]*)\]\(([^)#:]+)\)", lambda link: link[0] if link[2] in pages else link[1], text)


def methods_page() -> str:
    """Return the page of all built-in methods, in reStructuredText."""
    entries = registry().entries.values()
    sections = [section(entry.load()) for entry in entries if entry.origin == "built-in"]
    return "\n".join([INTRODUCTION, *sections])


def section(method: type[Method]) -> str:
    """Return the section of a method in reStructuredText."""
    title = f"{method.paper_name} (``{method.name}``)"
    lines = [
        f".. _method-{method.name}:",
        "",
        title,
        "-" * len(title),
        "",
        objective_of(method),
        "",
        *facts(method),
        "",
        *(line for parameter in parameters_of(method) for line in described(parameter)),
    ]
    if method.citation:
        lines += [
            ".. code-block:: bibtex",
            "",
            *(f"   {line}" for line in bibtex_of(method).splitlines()),
            "",
        ]
    return "\n".join(lines)


def facts(method: type[Method]) -> Iterator[str]:
    """Yield what kind of method it is, as a list of fields."""
    yield f":Family: {method.family}"
    yield f":Labels: {'used' if method.uses_labels else 'not used'}"
    if method.uses_parts:
        yield ":Parts: used"
    if method.citation:
        yield f":Reference: {method.citation}"
    for name, preset in method.presets.items():
        values = ", ".join(f"``{key}={value!r}``" for key, value in preset.items())
        yield f":Preset {name}: {values}"


def described(parameter: Parameter) -> Iterator[str]:
    """Yield a parameter as an entry of a list of definitions."""
    default = "" if parameter.default is REQUIRED else f" = {parameter.default!r}"
    yield f"``{parameter.name}{default}``"
    meaning = inspect.cleandoc(parameter.meaning or "No description.")
    yield from (f"   {line}".rstrip() for line in meaning.splitlines())
    if parameter.constraint is not None:
        yield ""
        allowed = re.sub(r"([*|_`])", r"\\\1", str(parameter.constraint))
        yield f"   Allowed: {allowed}."
    yield ""
