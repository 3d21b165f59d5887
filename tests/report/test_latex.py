"""LaTeX tables compiled in an article of one column and of two: nothing sticks out, nothing is missing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_records import TASKS, failed_record, made_dataset, made_record

from cmbench.report import ablation, overview, shape
from cmbench.report.cells import stored_summaries
from cmbench.report.layout import View
from cmbench.report.records import select
from cmbench.report.table import render

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed"),
]
ARTICLE = r"""\documentclass[%s]{article}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""
NAME = r"50%_a&b#1 <x> ~y^2 {c\d} $z$"


def records():
    data = made_dataset(NAME, image_feature="Größe " * 30, warnings=["pair 3 stands twice, as the file says"])
    names = [*ablation.VARIANTS, "a_long_name_of_a_method-with-hyphens", "cca"]
    made = [
        made_record(name, 0.1 + 0.05 * at + 0.01 * seed, seed=seed, paper_name=name, dataset=data)
        for at, name in enumerate(names)
        for seed in range(3)
    ]
    for each in made[:3]:
        each["method"] |= {"parameters": {"k_1": 5}, "defaults": {"k_1": None}}
        each["method"]["tuning"] = {"profile": "p_1", "trials": 40}
    made[-1]["warnings"] = ["output at chance & constant"]
    measures = {"p@10": dict.fromkeys((*TASKS, "bimodal_average"), 0.5)}
    chance = {"map": {}, "p@10": {}}
    others = [{**each, "dataset": {**data, "name": f"other{at}"}} for at in range(4) for each in made]
    for at, each in enumerate(others):
        each["dataset"] = {**each["dataset"], "fingerprint": f"{at // len(made):064d}"}
        each["key"] = f"{each['key']}{at // len(made)}"
    made = [{**each, "measures": measures, "chance": chance} for each in made]
    return [*made, failed_record("lgcfl", "out-of-memory", dataset=data)], others


def compiled(folder, options, tables):
    """Compile twice, as references need it; return the log and the text of all pages."""
    (folder / "paper.tex").write_text(ARTICLE % (options, "\n".join(tables)), encoding="utf-8")
    for _ in range(2):
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-3000:]
    return (folder / "paper.log").read_text(encoding="utf-8", errors="replace")


COMPLAINTS = r"^(?:Overfull|LaTeX Warning|Package \w+ Warning).*"
REFERENCE = Path(__file__).parents[2] / "results" / "tuned"
many_papers = pytest.mark.parametrize("options", ["10pt", "10pt,twocolumn", "12pt,a4paper"])


@many_papers
def test_notes_that_are_longer_than_a_page_go_on_over_pages(tmp_path, options):
    """The records of the reference results have notes longer than a page."""
    records = select(stored_summaries(REFERENCE), protocol="paper")
    one = select(records, datasets=["wikipedia_cnn128_lda50"])
    tables = [made(chosen, format="latex") for made, chosen in ((render, one), (overview.render, records))]
    log = compiled(tmp_path, options, [*tables, shape.render(one, format="latex")])
    assert re.findall(COMPLAINTS, log, flags=re.MULTILINE) == []


@many_papers
def test_every_table_compiles_without_anything_that_sticks_out(tmp_path, options):
    here, others = records()
    columns = ["seconds", "memory", "weights", "seeds", "trials", "profile", "p@10"]
    wide = View(columns=columns, letters=True, label="tab:wide")
    tables = [
        render(here, format="latex"),
        render(here, format="latex", view=wide),
        render(here, format="latex", view=View(caption=NAME, label="tab:own")) + r"See \ref{tab:own}.",
        ablation.render(here, format="latex"),
        overview.render([*here, *others], format="latex"),
    ]
    log = compiled(tmp_path, options, tables)
    assert re.findall(COMPLAINTS, log, flags=re.MULTILINE) == []
    assert "Missing character" not in log
