"""What figures mark as best: all that a paired test over stored APs cannot tell from it."""

import numpy as np
import pytest
from made_records import made_dataset, made_record

from cmbench.report import categories, costs, precision_recall
from cmbench.report.categories import MARK
from cmbench.report.costs import cost_figure, size_figure
from cmbench.report.looks import THICK
from cmbench.report.settings import settings
from cmbench.store import Store

PAIRS = 40
METHODS = {"cca": 0.0, "cfa": 0.0, "jrl": -0.3}
"""How far the AP of every query lies above that of the best, but for noise around the second."""


@pytest.fixture
def store(tmp_path):
    """A store in which the first method is best, the second cannot be told from it, the third can."""
    made, random = Store(tmp_path), np.random.default_rng(0)
    easy = random.uniform(0.4, 0.9, PAIRS)
    for number, (name, shift) in enumerate(METHODS.items()):
        noise = random.standard_normal(PAIRS) * 0.05 if number == 1 else np.zeros(PAIRS)
        ap = easy + shift + noise - (noise.mean() + 0.004 if number == 1 else 0.0)
        tasks = ("image_to_text", "text_to_image")
        held = {f"ap_{task}": ap for task in tasks} | {"ids": np.array([f"p{at}" for at in range(PAIRS)])}
        record = made_record(name, float(ap.mean()), queries=dict.fromkeys(tasks, PAIRS))
        made.put(record, held)
    return made


def test_averages_that_cannot_be_told_apart_from_the_best_have_a_mark_over_their_bar(store):
    records = store.records()
    drawn = categories.figure(records, arrays=store.arrays)
    drawn.draw_without_rendering()
    expected = [setting.label in ("CCA", "CFA") for setting in settings(records)]
    assert sum(expected) == 2
    for panel in drawn.axes:
        averages = [container[-1] for container in panel.containers]
        marks = [text for text in panel.texts if text.get_text() == MARK]
        found = [
            any(
                abs(mark.xy[0] - bar.get_x() - bar.get_width() / 2) < 1e-9
                and mark.xy[1] == pytest.approx(bar.get_height())
                for mark in marks
            )
            for bar in averages
        ]
        assert found == expected
        assert len(marks) == 2
        narrowest = min(bar.get_window_extent().width for bar in averages)
        assert all(mark.get_window_extent().width <= narrowest for mark in marks)
    note = " ".join(drawn.get_supxlabel().split())
    assert note.startswith(f"{MARK}: the best and all that cannot be told apart from it (paired permutation")
    assert f"{PAIRS} test pairs" in note


def test_without_stored_values_nothing_is_marked(store, tmp_path):
    records = store.records()
    for arrays in (None, Store(tmp_path / "none").arrays):
        drawn = categories.figure(records, arrays=arrays)
        assert not any(panel.texts for panel in drawn.axes)
        assert drawn.get_supxlabel() == ""
        assert "Ring" not in cost_figure(settings(records), arrays=arrays).get_supxlabel()


def test_points_that_cannot_be_told_apart_from_the_best_have_a_ring(store):
    drawn = cost_figure(settings(store.records()), arrays=store.arrays)
    best = sorted(record["map"]["bimodal_average"] for record in store.records())[1:]
    for panel in drawn.axes:
        rings = [line for line in panel.lines if line.get_markersize() == 9.0]
        assert sorted(float(ring.get_ydata()[0]) for ring in rings) == pytest.approx(best)
    assert drawn.get_supxlabel().startswith("Ring: the best and all")


def rings_of(panel, size):
    return [line for line in panel.lines if line.get_markersize() == size]


def test_points_of_each_direction_have_a_ring_in_the_figure_of_sizes_though_another_is_joined_to_them(store):
    """The third is CCA too, at another size, and both are joined by a line."""
    records = [{**record, "dimension": 8} for record in store.records()]
    for record in records:
        if record["method"]["name"] == "jrl":
            record |= {"dimension": 16, "method": {**record["method"], "name": "cca", "paper_name": "CCA"}}
            record["method"]["parameters"] = {"n": 16}
    drawn = size_figure(settings(records), arrays=store.arrays)
    best = sorted(record["map"]["image_to_text"] for record in records)[1:]
    for panel in drawn.axes:
        (joined,) = [each[0] for each in panel.containers if len(each[0].get_xdata()) > 1]
        assert sorted(joined.get_xdata()) == [8, 16]
        assert sorted(float(ring.get_ydata()[0]) for ring in rings_of(panel, 9.0)) == pytest.approx(best)
    assert drawn.get_supxlabel().startswith("Ring: the best and all")
    assert not rings_of(size_figure(settings(records)).axes[0], 9.0)


def narrow(store, categories):
    """The records with more categories than fit a column as bars."""
    names, random = [f"category {at}" for at in range(categories)], np.random.default_rng(1)
    for record in store.records():
        values = {task: list(random.uniform(0.1, 0.9, categories)) for task in record["map"]}
        yield {**record, "dataset": made_dataset(class_names=names), "category_map": values}


def test_averages_that_cannot_be_told_apart_from_the_best_have_a_ring_in_the_last_row(store):
    records = list(narrow(store, 20))
    drawn = categories.figure(records, arrays=store.arrays, width=3.3)
    best = sorted(record["map"]["image_to_text"] for record in records)[1:]
    for panel in drawn.axes:
        rings = rings_of(panel, 6.4)
        assert sorted(float(ring.get_xdata()[0]) for ring in rings) == pytest.approx(best)
        assert {float(ring.get_ydata()[0]) for ring in rings} == {20.0}
    assert " ".join(text.get_text() for text in drawn.texts).startswith("Ring: the best and all that")


def test_curves_that_cannot_be_told_apart_from_the_best_are_thick(store):
    drawn = categories.figure(list(narrow(store, 200)), arrays=store.arrays, width=3.3)
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    for panel in drawn.axes:
        thick = [line.get_linewidth() == THICK for line in panel.lines]
        assert dict(zip(labels, thick, strict=True)) == {"CCA": True, "CFA": True, "JRL": False}
    assert "Thick line: the best and all that" in drawn.get_supxlabel()


class Kept:
    """Precision by recall that is the same for all."""

    def __init__(self, setting):
        self.setting = setting

    def arrays(self, record, *names, called):
        return {name: np.linspace(0.9, 0.1, 100) for name in names}


def test_precision_by_recall_is_thick_where_its_map_cannot_be_told_apart_from_the_best(store):
    drawn = precision_recall.figure(list(map(Kept, settings(store.records()))), arrays=store.arrays)
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    for panel in drawn.axes:
        thick = [line.get_linewidth() == THICK for line in panel.lines]
        assert dict(zip(labels, thick, strict=True)) == {"CCA": True, "CFA": True, "JRL": False}
    assert drawn.get_supxlabel().startswith("Thick line")


def test_ticks_are_taken_from_the_end_from_which_they_span_more():
    assert costs._apart(costs.TIME, 0.5, 300.0, 1.0) == [1.0, 60.0]
    assert costs._apart(costs.TIME, 0.5, 300.0, 4.0) == [1.0, 10.0, 60.0]


def drawings_of(records):
    rows = settings(records)
    return [
        categories.figure(records),
        cost_figure(rows),
        size_figure(rows),
        precision_recall.figure(list(map(Kept, rows))),
    ]


def test_figures_name_what_was_tuned_with_fewer_trials_than_others_as_tables_do(store):
    records = [{**record, "dimension": 8} for record in store.records()]
    for record, trials in zip(records, (40, 20, 0), strict=True):
        tuning = {"profile": "night", "trials": trials} if trials else {}
        record["method"] = {**record["method"], "tuning": tuning}
    names = {record["method"]["paper_name"]: record["method"]["tuning"].get("trials") for record in records}
    fewer = sorted(f"{name} {trials or 'none'}" for name, trials in names.items() if trials != 40)
    for drawn in drawings_of(records):
        note = " ".join(drawn.get_supxlabel().split())
        start, _, named = note.partition(" of others: ")
        assert start.endswith("Parameters chosen from fewer trials than the 40")
        assert sorted(named.removesuffix(".").split(", ")) == fewer


def test_figures_say_nothing_of_budgets_that_are_equal(store):
    records = [{**record, "dimension": 8} for record in store.records()]
    assert not any("trials" in drawn.get_supxlabel() for drawn in drawings_of(records))


@pytest.mark.parametrize("runs", [1, 3])
def test_figures_say_what_is_drawn_around_means_of_several_runs(runs):
    records = [{**made_record("cmgans", 0.4 + seed / 100, seed=seed), "dimension": 8} for seed in range(runs)]
    many = [
        {**record, "dataset": made_dataset(class_names=[f"category {at}" for at in range(20)])}
        for record in records
    ]
    for record in many:
        record["category_map"] = {task: [0.5] * 20 for task in record["map"]}
    shown = settings(records)
    notes = {
        "Line": categories.figure(records).get_supxlabel(),
        "Coloured line": " ".join(text.get_text() for text in categories.figure(many, width=3.3).texts),
        "Bar": cost_figure(shown).get_supxlabel(),
        "Bar ": size_figure(shown).get_supxlabel(),
    }
    for mark, note in notes.items():
        told = f"{mark.strip()}: one standard deviation over 3 runs to either side."
        assert (told in " ".join(note.split())) == (runs == 3), mark
