"""The commands that stand on the page: each does what is said of it, with the store that the page is of."""

import re
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from made_page import arrays_of, html
from made_records import TASKS, made_dataset, made_record, on_split
from parsed_html import parsed_html

from cmbench.cli.main import cli
from cmbench.datasets.scenes import collection
from cmbench.store import Store

PAIRS = range(10)
NAMES = sorted({collection.pair(at)[2] for at in PAIRS})
CHOSEN = ("--methods", "cca,jrl,ccl", "--protocol", "paper")


def arrays(record):
    """All that the figures of the page are drawn of, with pairs of scenes."""
    held = arrays_of(record, ids=[f"scene-{at:04}" for at in PAIRS])
    for task in TASKS:
        held |= {f"precision_by_recall_{task}": np.linspace(1, 0.2, 100), f"query_rows_{task}": np.arange(10)}
        held[f"first_{task}"] = np.tile(np.arange(5), (10, 1))
    labels = np.array([NAMES.index(collection.pair(at)[2]) for at in PAIRS])
    return held | {"labels": labels, "curve_validation_map": np.array([0.1, 0.2, 0.3])}


def records():
    """Two datasets, one of them on two splits, two protocols, and four methods, of which one is deep."""
    for name in ("scenes", "other"):
        dataset = made_dataset(name, class_names=NAMES)
        for protocol in ("paper", "release"):
            maps = {task: [0.5] * len(NAMES) for task in TASKS}
            about = {"dataset": dataset, "protocol": protocol, "category_map": maps}
            own = [made_record(each, 0.25 + at / 8, **about) for at, each in enumerate(("cca", "jrl", "cfa"))]
            own += [made_record("ccl", 0.75, seed=seed, family="deep", **about) for seed in (0, 1)]
            yield from own
            yield from (on_split(record, 1) for record in own if name == "other")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of some methods in a store that is not the usual one."""
    monkeypatch.chdir(tmp_path)
    store = Store("mystore")
    for record in records():
        store.put(record, arrays(record))
    run("cmbench", "report", "--store", "mystore", *CHOSEN, "--no-figures", "-o", "page")
    return tmp_path / "page" / "index.html"


def run(_, *words):
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_the_commands_of_figures_draw_the_methods_of_the_page(page, tmp_path):
    told = [each.text for each in parsed_html(page.read_text()).find("p", class_="absent")]
    commands = [found[1] for text in told if (found := re.search(r"'(cmbench plot .*)' draws", text))]
    assert [command.split()[2] for command in commands] == [
        "ranks",
        *["categories", "precision-recall", "training", "costs", "examples"] * 2,
    ]
    for command in commands[:9]:  # there are no pictures of the other dataset
        run(*shlex.split(command), "-o", "drawn.svg")
        drawn = " ".join(re.findall("<!-- (.*) -->", (tmp_path / "drawn.svg").read_text()))
        assert "CCL" in drawn, command
        assert ("CCA" in drawn) == ("plot training" not in command)
        assert "CFA" not in drawn


def test_the_command_of_the_page_makes_the_same_page(page, tmp_path):
    text = page.read_text()
    (command,) = re.findall(r"This page: <code>(.*)</code>", text)
    assert command == f"cmbench report mystore {' '.join(CHOSEN)} --no-figures -o DIR"
    run(*shlex.split(command.replace("DIR", "again")))
    assert (tmp_path / "again" / "index.html").read_text() == text


def test_what_is_missing_is_stored_by_commands_with_dataset_protocol_and_store_of_the_record(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    store = Store("mystore")
    for name in ("cca", "jrl"):
        record = made_record(name, protocol="release")
        record["configuration"]["dataset"] = "features/toy.npz"
        store.put(record)
    run("cmbench", "report", "mystore", "--no-figures", "-o", "page")
    parsed = parsed_html((tmp_path / "page" / "index.html").read_text())
    queries, rankings = [each.text.split("\n") for each in parsed.find("pre") if "--force" in each.text]
    assert queries == rankings
    assert queries == [
        f"cmbench run --dataset features/toy.npz --methods {name} --protocol release --threads 1 "
        "--store mystore --force"
        for name in ("jrl", "cca")
    ]
    assert "cmbench show KEY --store mystore" in parsed.find("section", id="reproduce")[0].text


def test_a_single_method_is_told_no_command_that_would_run_others():
    (said,) = [
        each.text
        for each in html([made_record()]).find("p", class_="absent")
        if "fewer than two" in each.text
    ]
    assert said == "There are fewer than two methods with results here."


def test_without_a_deep_method_no_command_is_said_to_draw_trainings():
    told = [each.text for each in html([made_record()]).find("p", class_="absent")]
    assert "Figures were left out of this page." in told
    assert not any("plot training" in text for text in told)
