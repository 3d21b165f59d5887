"""Figures over several datasets: average ranks, and MAP against time with a panel for each."""

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import made_record

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.report import costs, rank_figure
from cmbench.report.looks import looks
from cmbench.report.records import groups
from cmbench.report.settings import settings
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


@pytest.mark.parametrize("words", [("ranks",), ("costs", "--time", "processor")])
def test_figures_of_several_datasets_are_drawn_by_their_command(words, tmp_path):
    store = Store(tmp_path / "store")
    for record in board([[0.1, 0.2, 0.3, 0.4]] * 2):
        store.put(record)
    words = ["plot", *words, "--store", str(store.folder), "-o", str(tmp_path / "figure.pdf")]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
