"""Whole tables, byte for byte, of records made by hand: ties, failures, missing numbers, unequal budgets.

``python tests/report/test_golden_tables.py`` writes the files in ``golden/`` anew; look at what changed.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"
if __name__ == "__main__":
    sys.path.insert(0, str(GOLDEN.parents[1] / "support"))

from made_records import TASKS, failed_record, made_dataset, made_error, made_record  # noqa: E402

from cmbench import __version__  # noqa: E402
from cmbench.report import overview  # noqa: E402
from cmbench.report.layout import View  # noqa: E402
from cmbench.report.table import render  # noqa: E402

ENDINGS = {"markdown": "md", "latex": "tex", "html": "html", "text": "txt", "csv": "csv"}
PAIRS = 60


def cells(name, fingerprint):
    """Records of one dataset, and their arrays by key."""
    data = made_dataset(
        name,
        fingerprint=fingerprint * 64,
        sizes={"train": 800, "validation": 60, "test": PAIRS},
        test_counts=[24, 36],
        warnings=["2 test pairs have the same picture"],
    )
    wave = np.sin(np.arange(PAIRS)) * 0.1
    wave -= wave.mean()
    spread = np.linspace(-0.3, 0.3, PAIRS)
    made, arrays = [], {}

    def add(method, mean, *, seed=None, noise=0.0, **changes):
        tuning, defaults = changes.pop("tuning", None), changes.pop("defaults", {})
        record = made_record(method, round(mean, 6), seed=seed, dataset=data, **changes)
        record["queries"] = dict.fromkeys(TASKS, PAIRS)
        record["gallery"] = dict(zip(TASKS, (PAIRS, PAIRS, 2 * PAIRS, 2 * PAIRS), strict=True))
        record["method"]["defaults"] = defaults
        if tuning:
            record["method"]["tuning"] = {"profile": "night", "trials": tuning}
        made.append(record)
        arrays[record["key"]] = {f"ap_{task}": mean + spread + noise * wave for task in TASKS}

    for seed in range(3):
        doubts = {"warnings": ["representations nearly equal"]} if seed == 1 else {}
        add("ccl", 0.5 + 0.01 * seed, seed=seed, paper_name="CCL", family="deep", tuning=40, **doubts)
    add("jrl", 0.51, noise=0.5, paper_name="JRL", tuning=40, parameters={"k": 5}, defaults={"k": 10})
    add("lgcfl", 0.51, noise=-0.5, paper_name="LGCFL", tuning=12)
    add("cfa", 0.3, paper_name="CFA")
    made.append(failed_record("kcca", "timeout", dataset=data, paper_name="KCCA"))
    made.append(
        failed_record("dcca", error=made_error("DivergenceError"), dataset=data, paper_name="DCCA", seed=0)
    )
    reason = "it learns from categories, and these pairs have none"
    made.append(failed_record("deep-sm", "left-out", error=made_error(message=reason), dataset=data, seed=0))
    made.append(made_record("zeta", [0.2, 0.2, 0.1, 0.1], paper_name="ζ & <b>_%", dataset=data, seed=0))
    arrays[made[-1]["key"]] = {f"ap_{task}": 0.2 + spread for task in TASKS}
    made[-1] |= {field: made[0][field] for field in ("queries", "gallery")}
    del made[-1]["map"]["allmodal_average"], made[-1]["weights"]
    return made, arrays


def written():
    """All tables by the names of their files."""
    made, held = cells("toy", "1")
    other, more = cells("other", "2")
    held |= more

    def arrays(record):
        return held[record["key"]]

    view = View(columns=["seconds", "memory", "weights", "seeds", "trials", "profile"], letters=True)
    tables = {
        f"table.{ending}": render(made, format=format_, arrays=arrays, view=view)
        for format_, ending in ENDINGS.items()
    }
    tables["untested.md"] = render(made)
    tables["overview.md"] = overview.render([*made, *other], arrays=arrays)
    return {name: text.replace(f"cmbench {__version__}", "cmbench VERSION") for name, text in tables.items()}


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir()))
def test_a_table_is_what_it_was(name):
    assert written()[name] == (GOLDEN / name).read_text(encoding="utf-8")


def test_every_table_has_a_golden_file():
    assert sorted(written()) == sorted(path.name for path in GOLDEN.iterdir())


if __name__ == "__main__":
    for name, text in written().items():
        (GOLDEN / name).write_text(text, encoding="utf-8", newline="\n")
