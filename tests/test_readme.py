"""What the README says is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from shown_commands import unknown_words

import cmbench
from cmbench.methods.registry import file_entries, method_rows

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PLUGINS = [block for block in BLOCKS if re.search(r"^class \w+\(\w*Method\):", block, re.MULTILINE)]
EXAMPLES = [block for block in BLOCKS if block not in PLUGINS]


def test_the_table_of_methods_is_that_of_the_registry():
    printed = re.search(r"<!-- methods:.*?-->\n(.*?)<!-- end of methods -->", README, re.DOTALL)
    rows = [row for row in method_rows()[0] if row["origin"] == "built in"]
    assert printed[1].strip().splitlines() == [*HEADING, *table_of_methods(rows)]


HEADING = ["| group | name | method | variants | uses labels | source |", "|---|---|---|---|---|---|"]


def table_of_methods(rows):
    """Return a line for each method of a group, or with a source of its own; others are its variants."""
    rank = ["paper", "", "beyond", "controls"]
    lines = []
    for row in sorted(rows, key=lambda row: rank.index(row["group"])):
        same = [other for other in rows if row["citation"] and other["citation"] == row["citation"]]
        if row["group"] or not any(other["group"] for other in same):
            variants = ", ".join(
                f"`{other['name']}`" for other in same if not other["group"] and other != row
            )
            cells = row["group"], f"`{row['name']}`", row["paper name"], variants, row["labels"]
            lines.append(f"| {' | '.join(cells)} | {row['citation']} |")
    return lines


def test_blocks_of_python_are_two_plugins_and_an_example():
    assert (len(PLUGINS), len(EXAMPLES)) == (2, 1)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [(PLUGINS[0], {}), (PLUGINS[1], {"epochs": 2, "batch_size": 16, "device": "cpu"})],
    ids=["of_any_kind", "of_networks"],
)
def test_a_plugin_runs(toy, tmp_path, text, parameters):
    path = tmp_path / "mine.py"
    path.write_text(text, encoding="utf-8")
    (entry,) = file_entries(path)
    settings = {"parameters": {entry.name: parameters}, "store": tmp_path / "store", "threads": 1}
    frame = cmbench.run(toy, [entry.name], plugins=[path], seeds=(0, 1), **settings)
    assert frame["status"].tolist() == ["ok", "ok"]


def test_the_plugin_of_networks_is_the_one_that_other_tests_train():
    tested = Path(__file__).parent / "plugins" / "infonce.py"
    assert tested.read_text(encoding="utf-8").endswith(PLUGINS[1])


def test_the_example_runs(tmp_path):
    path = tmp_path / "example.py"
    path.write_text(EXAMPLES[0], encoding="utf-8")
    done = subprocess.run([sys.executable, "-P", str(path)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match(r"0\.\d{3} \[", done.stdout)


LINES = re.findall(r"^    (?:.*&& )?(cmbench .*)$", README.replace("\\\n", " "), re.MULTILINE)
NAMED = re.findall(r"`(cmbench [^`]+)`", README)
COMMANDS = sorted({line.partition("  ")[0] for line in [*LINES, *NAMED]})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command):
    assert not unknown_words(command)


def test_options_that_stand_alone_are_those_of_some_command():
    shown = " ".join(COMMANDS)
    alone = {option for option in re.findall(r"(?<!-)--[a-z][a-z-]+", README) if option not in shown.split()}
    verbs = {tuple(command.split()[1:3]) for command in COMMANDS}
    assert alone
    for option in alone:
        assert any(not unknown_words(f"cmbench {' '.join(verb)} {option}") for verb in verbs), option


def test_there_are_commands_to_test():
    assert len(COMMANDS) > 30
