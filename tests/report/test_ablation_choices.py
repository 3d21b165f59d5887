"""The two ablation tables: with what was chosen for the full model, and with what was for each itself."""

import re

import pytest
from click.testing import CliRunner
from made_ablations import NAMES, PAPER, csv_rows, record, sections
from made_records import made_dataset, on_split

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.report.ablation import render
from cmbench.store import Store


def tuned(name, value, *, like=None, seed=0, **parameters):
    """A record with parameters that a search chose, for the full model if that is ``like``."""
    made = record(name, value, seed=seed, **parameters)
    lent = {"like": like} if like else {}
    made["method"]["tuning"] = {"profile": "tuned", "trials": 3, **lent}
    return made


SAME = [
    tuned("cmgans", 0.50, learning_rate=0.002),
    *(tuned(name, 0.30, like="cmgans", learning_rate=0.002) for name in NAMES if name != "cmgans"),
]
OWN = [tuned(name, 0.40, learning_rate=0.005) for name in NAMES if name != "cmgans"]
BOTH = [
    "Ablations of CM-GANs, with what was chosen for CM-GANs, toy (746f7900), protocol paper 1",
    "Ablations of CM-GANs, each with what was chosen for itself, toy (746f7900), protocol paper 1",
]


def blocks(text):
    """The text of each block by its title."""
    parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_settings_of_the_full_model_and_own_ones_are_two_tables_that_say_which():
    found = blocks(render([*SAME, *OWN]))
    assert list(found) == BOTH
    for title, value in zip(BOTH, ("0.300", "0.400"), strict=True):
        rows = sections(found[title])
        assert {number: [row[:2] for row in part] for number, part in rows.items()} == {
            number: [[label, "**0.500**" if label == "CM-GANs" else value] for label in labels.values()]
            for number, labels in PAPER.items()
        }
        assert "Rows differ" not in found[title]
        assert "profile tuned, from 3 trials each" in found[title]
    assert "Chosen for cmgans, and not for itself: CM-GANs only inter, CM-GANs with sc" in found[BOTH[0]]
    assert "not for itself" not in found[BOTH[1]]


def test_a_dataset_with_the_full_model_alone_has_no_table_beside_one_with_ablations():
    full = [each for each in SAME if each["method"]["name"] == "cmgans"]
    elsewhere = [{**each, "key": "0" * 16, "dataset": made_dataset("another")} for each in full]
    assert list(blocks(render([*SAME, *OWN, *elsewhere]))) == BOTH
    assert len(blocks(render(elsewhere))) == 1


def test_one_of_the_tables_can_be_chosen_and_own_ones_that_were_never_made_are_an_error():
    full = [each for each in SAME if each["method"]["name"] == "cmgans"]
    assert list(blocks(render([*full, *OWN]))) == BOTH[1:]  # and no table of the full model alone
    assert list(blocks(render([*full, *OWN], which="same"))) == BOTH[:1]
    assert list(blocks(render([*SAME, *OWN], which="own"))) == BOTH[1:]
    assert list(blocks(render([*SAME, *OWN], which="same"))) == BOTH[:1]
    assert list(blocks(render(SAME, which="same"))) == [
        "Ablations of CM-GANs, toy (746f7900), protocol paper 1"
    ]
    with pytest.raises(ReportError, match=r"for no ablation itself; 'cmbench tune --methods cmgans-none,"):
        render(SAME, which="own")


def test_the_table_of_own_parameters_says_of_which_ablations_none_were_chosen_and_how_they_are():
    text = blocks(render([*SAME, OWN[-1]]))[BOTH[1]]
    assert "No record" not in text
    methods = "cmgans-none,cmgans-ws,cmgans-sc,cmgans-inter"
    assert (
        "- No search chose for CM-GANs without ws&sc, CM-GANs with ws, CM-GANs with sc, CM-GANs only" in text
    )
    assert f"'cmbench tune --methods {methods} -o tuned.toml' chooses their parameters, and 'cmbench" in text
    status = {row["status"] for row in csv_rows([*SAME, OWN[-1]]) if row["settings"] == "own"}
    assert status == {"ok", "not tuned for itself"}


def test_own_parameters_that_are_those_of_the_full_model_stand_in_both_tables():
    alike = tuned("cmgans-cae", 0.45, learning_rate=0.002, w_semantic=1.0)
    others = [each for each in SAME if each["method"]["name"] != "cmgans-cae"]
    found = blocks(render([*others, *OWN[:-1], alike]))
    assert list(found) == BOTH
    assert [sections(found[title])["VI"][0][:2] for title in BOTH] == [["CM-GANs-CAE", "0.450"]] * 2


def test_a_csv_says_which_settings_a_row_has():
    rows = csv_rows([*SAME, *OWN])
    assert [(row["settings"], row["table"]) for row in rows] == [
        (which, number) for which in ("same", "own") for number, labels in PAPER.items() for _ in labels
    ]
    assert {row["settings"] for row in csv_rows(SAME)} == {""}


def test_the_command_prints_the_table_that_is_asked_for(tmp_path):
    store = Store(tmp_path)
    for each in (*SAME, *OWN):
        store.put({**each, "key": f"{hash(str(each['method'])) % 16**16:016x}"})
    words = ["table", "--store", str(tmp_path), "--ablation", "--settings", "own"]
    assert list(blocks(CliRunner().invoke(cli, words).output)) == BOTH[1:]
    refused = CliRunner().invoke(cli, ["table", "--store", str(tmp_path), "--settings", "own"])
    assert refused.exit_code == 2


def test_parameters_that_are_those_of_the_full_model_on_each_split_are_no_difference_between_rows():
    rows = []
    for name in NAMES:
        for split in (0, 1):
            made = tuned(
                name, 0.3, **({"like": "cmgans"} if name != "cmgans" else {}), learning_rate=0.1 + split
            )
            made["method"]["tuning"]["each_split"] = "ab"
            rows.append(on_split(made, split) if split else made)
    assert "Rows differ" not in render(rows)
    assert "Rows differ" in render([*rows[:-1], on_split(tuned("cmgans-cae", 0.3, learning_rate=7.0), 1)])
