"""The page as HTML: one file with its styles, scripts, figures and tables in it.

DataTables sorts and filters (MIT, 124 kB, without dependencies, works on tables that are there already and
tells screen readers how they are sorted). Figures are pictures that the functions of ``cmbench plot`` draw:
they look as in a paper and cost no script; plotting libraries with a bundle of their own (Bokeh, Plotly,
Vega) are 1 to 5 MB each, and draw nothing without JavaScript.

A content security policy lets no script run but those of the page, by their digests, and nothing be loaded;
so what came from data can do neither, even if it were not escaped.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cmbench.disk import writing_to
from cmbench.errors import ReportError
from cmbench.output import output_file, plural
from cmbench.report.layout import COLUMNS
from cmbench.report.page.changes import Changes, changes
from cmbench.report.page.content import Board, boards, number_of, overalls
from cmbench.report.page.illustrations import category_tables
from cmbench.report.page.pairwise import Pairwise, as_data, deciding, pairwise
from cmbench.report.page.plans import plans, rank_plan
from cmbench.report.page.retrieved import retrieved
from cmbench.report.page.sources import Study
from cmbench.report.page.troubles import dataset_warnings, doubts, failures, recipe, storing_commands
from cmbench.report.significance import Reading
from cmbench.schema import finished_at

DEFAULT_TITLE = "Cross-modal retrieval results"
_LIBRARY, _LICENCE = "vendor/datatables-3.1.5.min.js", "vendor/datatables-licence.txt"
_MEDIA_TYPES = {".csv": "text/csv", ".tex": "text/x-tex", ".md": "text/markdown", ".html": "text/html"}


def document(
    study: Study,
    *,
    before: Study | None = None,
    title: str = DEFAULT_TITLE,
    figures: bool = True,
    pairs: Mapping[str, Path] = MappingProxyType({}),
) -> str:
    """Return the page of a study as HTML, with what changed since another if there is one.

    ``pairs`` are folders of raw pairs, by the names of datasets, of which retrieval examples are drawn.
    Without ``figures``, which take most of the time, the commands that draw them stand in their place. The
    same records give the same text, in whatever order they are.

    ``ReportError`` where records contradict one another, as for a table, and for pairs of a dataset that the
    page does not have.
    """
    arrays = Reading(study.arrays)
    made = boards(study.records, arrays)
    _check_names(pairs, made)
    compared = [pairwise(board, arrays) for board in made]
    changed = None if before is None else _changed(before, study, made)
    drawn = {
        board.anchor: [each.illustration(figures=figures) for each in plans(board, study, arrays)]
        for board in made
    }
    found = {board.anchor: retrieved(board, study, folders=pairs, figures=figures) for board in made}
    over = overalls(made, arrays)
    drawn |= {each.anchor: [rank_plan(each, study).illustration(figures=figures)] for each in over}
    command = _command(before, study, title, figures=figures, pairs=pairs)
    store = study.store_of(study.records)
    place = "" if store is None else f" {shlex.join(['--store', store])}"
    parts = {"overalls": over, "illustrations": drawn, "examples": found, "command": command, "place": place}
    return _written(title, study, made, compared, changed, **parts)


def _check_names(pairs: Mapping[str, Path], made: Sequence[Board]) -> None:
    names = sorted({board.group.dataset["name"] for board in made})
    for name in pairs:
        if name not in names:
            raise ReportError(
                f"--pairs {name}={pairs[name]}: the page has no dataset {name!r}; it has {', '.join(names)}"
            )


def _changed(before: Study, after: Study, made: Sequence[Board]) -> Changes:
    arrays = Reading(before.arrays), Reading(after.arrays)
    earlier = boards(before.records, arrays[0])
    return changes(earlier, made, names=(before.names, after.names), arrays=arrays)


def write(text: str, folder: Path) -> Path:
    """Write a page as ``index.html`` to a folder, which is made where there is none, and return its path."""
    path = folder / "index.html"
    with writing_to(path, raising=ReportError):
        folder.mkdir(parents=True, exist_ok=True)
    with output_file(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return path


def _written(
    title: str,
    study: Study,
    made: Sequence[Board],
    compared: Sequence[Pairwise],
    changed: Changes | None,
    **others: Any,
) -> str:
    scripts = [Markup(text) for text in _scripts()]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            study=study,
            boards=made,
            changes=changed,
            failures=failures(made),
            doubts=doubts(made),
            headings={column.key: column.heading for column in COLUMNS},
            **others,
            pairwise=dict(zip((board.anchor for board in made), compared, strict=True)),
            data={each.board.anchor: as_data(each) for each in compared if each.columns},
            newest=_newest(study),
            version=version("cmbench"),
            style=Markup(_text("page.css")),
            scripts=scripts,
            policy=_policy(scripts),
        )
    )


def _command(
    before: Study | None, study: Study, title: str, *, figures: bool, pairs: Mapping[str, Path]
) -> str:
    """Return the command that makes the page."""
    words = [*(before.names if before else ()), *study.names, *study.choice.options]
    words += [word for name, folder in pairs.items() for word in ("--pairs", f"{name}={folder}")]
    words += [] if figures else ["--no-figures"]
    words += [] if title == DEFAULT_TITLE else ["--title", title]
    return shlex.join(["cmbench", "report", *words, "-o", "DIR"])


def _counted(count: int, word: str) -> str:
    return f"{count:,} {plural(word, count)}"


def _newest(study: Study) -> str:
    """Return the day on which the last record was finished, or nothing if no record says so."""
    return max(map(finished_at, study.records), default="")[:10]


def _policy(scripts: Sequence[str]) -> str:
    allowed = " ".join(f"'sha256-{_digest(text)}'" for text in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(sha256(text.encode()).digest()).decode("ascii")


@cache
def _scripts() -> tuple[str, str]:
    """Return the library with its licence, and the script of the page; neither can end its element."""
    library = f"/*\n{_text(_LICENCE).strip()}\n*/\n{_text(_LIBRARY).strip()}"
    return library.replace("</script", "<\\/script"), _text("page.js")


def _text(name: str) -> str:
    return files("cmbench.report.page").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cmbench.report.page", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(data_uri=_data_uri, full=repr, breakable=_breakable, counted=_counted)
    environment.globals.update(
        deciding=deciding,
        recipe=recipe,
        storing_commands=storing_commands,
        dataset_warnings=dataset_warnings,
        category_tables=category_tables,
        number_of=number_of,
    )
    return environment


def _breakable(name: str) -> Markup:
    """Return a name that may be broken after each underscore."""
    return Markup("_<wbr>").join(name.split("_"))  # which escapes the parts


def _data_uri(text: str, name: str) -> str:
    """Return an address that holds a text itself, of the type that the ending of the name stands for."""
    kind = _MEDIA_TYPES.get(f".{name.rpartition('.')[2]}", "text/plain")
    encoded = base64.b64encode(text.encode("utf-8", "backslashreplace")).decode("ascii")
    return f"data:{kind};charset=utf-8;base64,{encoded}"
