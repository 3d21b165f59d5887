"""What the README says is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import cmbench
from cmbench.cli.main import cli
from cmbench.methods.registry import file_entries, method_rows

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_table_of_methods_is_that_of_the_registry():
    printed = re.search(r"<!-- methods:.*?-->\n(.*?)<!-- end of methods -->", README, re.DOTALL)
    rows = [row for row in method_rows()[0] if row["origin"] == "built in"]
    table = ["| name | method | uses labels | reference |", "|---|---|---|---|"]
    table += [
        f"| `{row['name']}` | {row['paper name']} | {row['labels']} | {row['citation']} |" for row in rows
    ]
    assert printed[1].strip().splitlines() == table


def test_the_plugin_runs(toy, tmp_path):
    path = tmp_path / "random_projection.py"
    path.write_text(BLOCKS[0], encoding="utf-8")
    (entry,) = file_entries(path)
    frame = cmbench.run(toy, [entry.name], plugins=[path], store=tmp_path / "store", seeds=(0, 1), threads=1)
    assert frame["status"].tolist() == ["ok", "ok"]


def test_the_example_runs(tmp_path):
    path = tmp_path / "example.py"
    path.write_text(BLOCKS[1], encoding="utf-8")
    done = subprocess.run([sys.executable, "-P", str(path)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match(r"0\.\d{3} \[", done.stdout)


VERBS = (
    ["run"], ["table"], ["plot", "categories"], ["methods"], ["datasets", "prepare"], ["features", "extract"],
    ["clean"],
)  # fmt: skip
COMMANDS = sorted(
    set(re.findall(r"cmbench ((?:datasets|features|plot) [a-z]+|run|table|show|clean|methods)", README))
)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_exists(words):
    result = CliRunner().invoke(cli, [*words.split(), "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("option", sorted(set(re.findall(r"(?<!-)--[a-z][a-z-]+", README))))
def test_every_option_exists(option):
    helps = [CliRunner().invoke(cli, [*verb, "--help"]).output for verb in VERBS]
    assert any(option in text for text in helps)
