"""All methods of the paper in one table for each set of features: python results/leaderboard.py

Runs nothing: ``leaderboard.md`` comes from the records in ``cmgans``, ``deep`` and ``traditional``.
"""

from pathlib import Path

from cmbench.methods.registry import DEFAULT_METHODS
from cmbench.report.table import render
from cmbench.store import Store

HERE = Path(__file__).parent
FOLDERS = ("cmgans", "deep", "traditional")
METHODS = {*DEFAULT_METHODS, "ccl-coarse"}  # which stands in for CCL where there are no parts


def main() -> None:
    records = [record for folder in FOLDERS for record in Store(HERE / folder).records()]
    tables = render(record for record in records if record["method"]["name"] in METHODS)
    (HERE / "leaderboard.md").write_text(tables, encoding="utf-8")


if __name__ == "__main__":
    main()
