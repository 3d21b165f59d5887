"""Figures over several datasets: average ranks, and MAP against time with a panel for each."""

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import made_record

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.report import costs, rank_figure
from cmbench.report.layout import AVERAGE
from cmbench.report.looks import looks
from cmbench.report.records import groups
from cmbench.report.settings import settings
from cmbench.report.significance import best_groups
from cmbench.store import Store


def board(scores, names=("cca", "cfa", "jrl", "kcca")):
    return [
        made_record(name, value, dataset=f"data {at}", paper_name=name.upper())
        for at, row in enumerate(scores)
        for name, value in zip(names, row, strict=False)
        if value is not None
    ]


def test_ranks_are_averages_over_datasets_and_bars_join_what_does_not_differ():
    rows = [[0.1, 0.2, 0.3, 0.4]] * 12
    found = rank_figure.ranked(groups(board(rows)))
    assert found.names == ("JRL", "KCCA", "CFA", "CCA")
    np.testing.assert_allclose(found.ranks.average, [2, 1, 3, 4])
    assert found.ranks.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 12)), abs=2e-3)
    assert found.groups == [(0, 1), (1, 2), (2, 3)]  # 1.35: neighbours alone
    drawn = rank_figure.figure(found)
    texts = [text.get_text() for text in drawn.axes[0].texts]
    assert [text for text in texts if "." in text and "K" in text] == ["KCCA 1.00"]
    assert "Average ranks by bi-modal average MAP over 12 datasets. Friedman p < 0.001." in " ".join(texts)
    bars = [line for line in drawn.axes[0].lines if line.get_linewidth() > 2]
    assert len(bars) == 3


def test_ranks_have_room_between_long_names_or_a_narrow_width_is_refused():
    names = [f"method with a rather long name {at}" for at in range(6)]
    found = rank_figure.ranked(groups(board([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]] * 2, names)))
    drawn = rank_figure.figure(found)
    axis = drawn.axes[0].lines[0].get_xdata()
    assert axis[1] - axis[0] >= 1.2
    with pytest.raises(ReportError, match=r"on 2.5 inches there is no room .* a --width of [\d.]+ inches"):
        rank_figure.figure(found, width=2.5)
    assert rank_figure.figure(found, width=9.0).get_figwidth() == 9.0


def test_methods_that_did_not_finish_everywhere_are_named_and_too_few_are_refused():
    rows = [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, None]]
    found = rank_figure.ranked(groups(board(rows)))
    assert found.left_out == ("KCCA",)
    texts = " ".join(text.get_text() for text in rank_figure.figure(found).axes[0].texts)
    assert "Not on all datasets: KCCA." in texts
    with pytest.raises(ReportError, match="3 methods finished on each of 1 datasets"):
        rank_figure.ranked(groups(board(rows[1:])))
    twice = [*board(rows), made_record("cca", 0.5, dataset="data 0", paper_name="CCA", parameters={"n": 1})]
    with pytest.raises(ReportError, match="several settings of CCA; leave it out with --methods"):
        rank_figure.ranked(groups(twice))
    not_ranked = {"dataset": "data 0", "paper_name": "KCCA", "parameters": {"n": 1}}
    found = rank_figure.ranked(groups([*board(rows), made_record("kcca", 0.5, **not_ranked)]))
    assert found.left_out == ("KCCA",)


def test_of_several_datasets_each_has_a_panel_of_its_times():
    records = [
        made_record(method, value, dataset=dataset, durations={"fit": 9.0, "processor": seconds})
        for dataset, method, value, seconds in (
            ("data_b", "cca", 0.4, 70.0),
            ("data_a", "cca", 0.3, 2.0),
            ("data_a", "cfa", 0.2, 70.0),
        )
    ]
    drawn = costs.costs_of_datasets(groups(records), time=costs.PROCESSOR)
    first, second = drawn.axes
    assert (first.get_title(), second.get_title()) == ("data a", "data b")
    found = [tuple(container[0].get_xydata()[0]) for container in (*first.containers, *second.containers)]
    np.testing.assert_allclose(found, [(70.0, 0.2), (2.0, 0.3), (70.0, 0.4)])
    assert {panel.get_xlabel() for panel in drawn.axes} == {"time of a processor"}
    fills = [panel.containers[-1][0].get_markerfacecolor() for panel in drawn.axes]
    assert fills == [look.colour for look in looks(settings(records[:1]))] * 2
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["CFA", "CCA"]
    other = made_record("cca", dataset="data_b", protocol="pairs")
    with pytest.raises(ReportError, match=r"of 2 protocols, .* choose one with --protocol"):
        costs.costs_of_datasets(groups([*records, other]))
    failed = made_record("cca", dataset="data_c", status="failed")
    with pytest.raises(ReportError, match=r"no cell of data_c .* finished"):
        costs.costs_of_datasets(groups([*records, failed]))


def test_a_first_try_on_a_part_of_the_pairs_is_left_out_and_named():
    whole = board([[0.1, 0.2, 0.3, 0.4]] * 2)
    tried = [made_record("cca", 0.9, dataset="data 0-limit-20", paper_name="CCA")]
    found = rank_figure.ranked(groups([*whole, *tried]))
    assert (found.datasets, found.left_out) == (2, ())
    told = "Left out, since of a part of the pairs alone (--limit): data 0-limit-20."
    assert told in " ".join(text.get_text() for text in rank_figure.figure(found).axes[0].texts)
    drawn = costs.costs_of_datasets(groups([*whole, *tried]))
    assert [panel.get_title() for panel in drawn.axes] == ["data 0", "data 1"]
    assert told in " ".join(drawn.get_supxlabel().split())
    assert len(costs.costs_of_datasets(groups([*whole[:4], *tried])).axes) == 2  # or there would be one


def test_directions_with_other_numbers_of_queries_have_no_average_to_test():
    """A picture with two texts asks once, and each text once: what protocol pairs gives."""
    made = [made_record(name, value, protocol="pairs") for name, value in (("cca", 0.4), ("cfa", 0.5))]
    values = np.linspace(0.2, 0.8, 40)
    held = {"ap_image_to_text": values[:20], "ap_text_to_image": values, "ids": np.arange(40).astype(str)}
    standing = best_groups(settings(made), [AVERAGE], lambda record: held)[AVERAGE.key]
    assert standing.untested == "the two directions have 20 and 40 queries"
    assert [mark.best for mark in standing.marks] == [True, False]
    assert costs.cost_figure(settings(made), arrays=lambda record: held).axes


def test_of_three_datasets_the_one_with_the_fewest_methods_is_named():
    made = board([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2]])
    with pytest.raises(ReportError, match="; data 2 has 2: choose others with --dataset"):
        rank_figure.ranked(groups(made))


def test_costs_of_the_datasets_that_are_named_are_drawn_without_controls(tmp_path):
    store = Store(tmp_path / "store")
    for record in board([[0.1, 0.2, 0.3, 0.4]] * 3, ("cca", "cfa", "jrl", "random")):
        store.put(record)
    words = ["plot", "costs", "--store", str(store.folder), "-o", str(tmp_path / "f.svg")]
    chosen = ["--dataset", "data 0", "--dataset", "data 2"]
    assert CliRunner().invoke(cli, [*words, *chosen]).exit_code == 0
    drawn = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert ("data 0" in drawn, "data 1" in drawn, "data 2" in drawn) == (True, False, True)
    assert "RANDOM" not in drawn
    assert CliRunner().invoke(cli, [*words, "--methods", "cca,random"]).exit_code == 0
    assert "RANDOM" in (tmp_path / "f.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [("ranks",), ("costs", "--time", "processor")])
def test_figures_of_several_datasets_are_drawn_by_their_command(words, tmp_path):
    store = Store(tmp_path / "store")
    for record in board([[0.1, 0.2, 0.3, 0.4]] * 2):
        store.put(record)
    words = ["plot", *words, "--store", str(store.folder), "-o", str(tmp_path / "figure.pdf")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
