"""Tables for a terminal: as wide as it is, the best in colour, and below what one should know at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from cmbench.output import printable
from cmbench.report.layout import Column, ColumnGroup, Row, Section, Table

WIDTH = 80
_MISSING = "-"
_BEST, _STAR = "bold green", "*"
"""The style of the best where there are colours, and the sign of it where there are none."""


def text(
    tables: Sequence[Table],
    *,
    width: int = WIDTH,
    verbose: bool = False,
    colour: bool = False,
    encoding: str = "utf-8",
) -> str:
    """Return tables as text of at most ``width`` columns.

    Deviations are left out where they do not fit, and a table that is too wide even so is cut into several,
    one for each group of columns. ``verbose`` leaves nothing out, and prints the whole footer. Control
    characters in names and messages are written out. ``encoding`` is that of the terminal, whose lines are
    drawn in ASCII where it has no others.
    """
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    rules = box.SIMPLE_HEAD if _has_lines(encoding) else box.ASCII2
    for table in tables:
        console.print(_Drawing(table, console, rules, verbose).whole())
    file = console.file
    assert isinstance(file, StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n")) + "\n"


def _has_lines(encoding: str) -> bool:
    try:
        "\u2500".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _text(content: str, style: str = "") -> Text:
    return Text(printable(content), style=style)


@dataclass(frozen=True)
class _Part:
    """What stands in one grid: groups of columns, and whether the published values and facts come after."""

    groups: tuple[ColumnGroup, ...]
    facts: bool


@dataclass(frozen=True)
class _Drawing:
    """A table on its way to a console; ``rules`` are its lines."""

    table: Table
    console: Console
    rules: box.Box
    verbose: bool

    def whole(self) -> Group:
        """Return the table with what stands above and below it."""
        table = self.table
        parts: list[RenderableType] = [_text(table.view.caption or table.title, "bold")]
        if self.verbose and table.view.caption is None:
            parts.append(_text(table.subtitle))
        for section in table.sections:
            parts += [_text(section.heading, "italic")] if section.heading else []
            parts += self.fitting(section)
            parts += [_text(f"{row.label}: {row.failure}", "red") for row in section.rows if row.failure]
        return Group(*parts, *(_text(note, "dim") for note in self.notes()), Text(""))

    def notes(self) -> Iterator[str]:
        """Yield what stands below, with the sign that the best has here."""
        best = "Green:" if self.console.color_system else f"{_STAR}:"
        for note in self.table.footer if self.verbose else self.table.brief:
            yield f"{best}{note.removeprefix('Bold:')}" if note.startswith("Bold:") else note
        if not self.verbose:
            yield "Definitions, sources and deviations: cmbench table -v."

    def fitting(self, section: Section) -> list[Grid]:
        """Return the rows of a section as one grid if it fits, else as one for each group of columns."""
        whole = _Part(self.table.groups, facts=True)
        for spread in (True,) if self.verbose else (True, False):
            grid = self.grid(section, whole, spread=spread)
            if self.fits(grid):
                return [grid]
        return [self.narrow(section, part) for part in self.parts(section)]

    def parts(self, section: Section) -> list[_Part]:
        """Return the groups of columns one by one; facts come with the last if they fit there."""
        *others, last = self.table.groups
        together = _Part((last,), facts=True)
        if self.fits(self.grid(section, together, spread=False)):
            return [*(_Part((group,), facts=False) for group in others), together]
        return [*(_Part((group,), facts=False) for group in self.table.groups), _Part((), facts=True)]

    def narrow(self, section: Section, part: _Part) -> Grid:
        full = self.grid(section, part, spread=True)
        return full if self.fits(full) else self.grid(section, part, spread=False)

    def fits(self, grid: Grid) -> bool:
        unbounded = self.console.options.update(max_width=10_000)
        return self.console.measure(grid, options=unbounded).maximum <= self.console.width

    def grid(self, section: Section, part: _Part, *, spread: bool) -> Grid:
        grid = Grid(box=self.rules, padding=(0, 1, 0, 0), pad_edge=False, header_style="")
        columns = [column for group in part.groups for column in group.columns]
        grid.add_column("Method", overflow="fold")
        for heading in (*map(_heading, columns), *(self.beside() if part.facts else ())):
            grid.add_column(_text(heading), justify="right", overflow="fold")
        for row in section.rows:
            if not row.failure:
                numbers = (self.cell(row, column, spread=spread) for column in columns)
                label = _text(f"{row.label} {row.signs}".rstrip())
                grid.add_row(label, *numbers, *(self.cells_beside(row) if part.facts else ()))
        return grid

    def beside(self) -> list[str]:
        return [
            *map(_heading, self.table.published_columns),
            *(re.sub(" ", "\n", each) for each in self.table.facts),
        ]

    def cells_beside(self, row: Row) -> list[Text]:
        values = [row.published.get(column.key) for column in self.table.published_columns]
        published = [Text(_MISSING if value is None else f"{value.map:.3f}") for value in values]
        return [*published, *(_text(row.facts.get(heading, _MISSING)) for heading in self.table.facts)]

    def cell(self, row: Row, column: Column, *, spread: bool) -> Text:
        score, mark = row.scores[column.key], row.marks[column.key]
        if score is None:
            return Text(_MISSING)
        star = _STAR if mark.best and not self.console.color_system else ""
        cell = Text(column.printed(score.mean) + star, style=_BEST if mark.best else "")
        if spread and score.deviation is not None:
            cell.append(f"±{column.printed(score.deviation)}", style="not bold")
        if self.table.view.letters and mark.letters:
            cell.append(f" {mark.letters}")
        return cell


def _heading(column: Column) -> str:
    """Return a heading in lines that are hardly wider than the numbers; names of files break after a _."""
    return re.sub(r"\s+|(?=→)|(?<=\w\w\w_)", "\n", column.alone).strip()
