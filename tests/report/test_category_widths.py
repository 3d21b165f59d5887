"""MAP per category in the width of a column or a page: bars, rows of points, or curves, and deviations."""

from itertools import pairwise

import numpy as np
import pytest
from made_records import TASKS, made_dataset, made_record
from matplotlib.collections import LineCollection

from cmbench.errors import ReportError
from cmbench.report.categories import figure
from cmbench.report.category_dots import HIGHEST
from cmbench.report.figure import WIDTHS
from cmbench.report.looks import looks
from cmbench.report.settings import settings

METHODS = {"cmgans": "CM-GANs", "ccl": "CCL", "cmdn": "CMDN", "jrl": "JRL", "kcca": "KCCA", "cca": "CCA"}


def record(method, values, *, seed=None, names=None):
    dataset = made_dataset(class_names=names or [f"category {at}" for at in range(len(values))])
    per_category = {task: list(values) for task in TASKS}
    return made_record(
        method, 0.5, paper_name=METHODS[method], seed=seed, dataset=dataset, category_map=per_category
    )


def board(categories, methods=6):
    random = np.random.default_rng(categories)
    return [record(method, random.uniform(0.1, 0.9, categories)) for method in list(METHODS)[:methods]]


def test_a_line_on_each_bar_is_the_deviation_over_seeds():
    runs = [record("cca", [0.2, None, 0.6], seed=0), record("cca", [0.4, None, 0.8], seed=1)]
    drawn = figure([*runs, record("jrl", [0.3, 0.3, 0.3])])
    for panel in drawn.axes:
        white, black = (each for each in panel.collections if isinstance(each, LineCollection))
        bars = panel.containers[1]  # the paper lists JRL before CCA, which has the seeds
        deviation = np.std([0.2, 0.4], ddof=1)
        for lines in (white, black):
            spans = {float(line[0, 0]): line[:, 1] for line in lines.get_segments() if len(line)}
            first = bars[0].get_x() + bars[0].get_width() / 2
            np.testing.assert_allclose(spans[first], [0.3 - deviation, 0.3 + deviation])
        assert panel.get_ylim()[1] == pytest.approx(0.9)  # 0.7 + 0.14


def test_what_fits_a_column_is_drawn_as_bars_and_else_each_category_has_a_row():
    few = figure(board(3, 2), width=WIDTHS["column"])
    assert few.get_size_inches()[0] == pytest.approx(WIDTHS["column"])
    assert len(few.axes) == 2
    assert all(len(panel.containers) == 2 for panel in few.axes)
    records = board(20)
    drawn = figure(records, width=WIDTHS["column"])
    left, right = drawn.axes
    assert [panel.get_title(loc="left") for panel in drawn.axes] == ["image→text", "text→image"]
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == [*(f"category {at}" for at in range(20)), "average"]
    for panel in (left, right):
        points = [line for line in panel.lines if line.get_marker() not in ("", "None")]
        for line, setting, look in zip(points, settings(records), looks(settings(records)), strict=True):
            values = setting.records[0]["category_map"]["image_to_text"]
            np.testing.assert_allclose(line.get_xdata(), [*values, 0.5])
            assert line.get_ydata().tolist() == list(range(21))
            assert line.get_marker() == look.marker
        assert panel.get_ylim()[0] > panel.get_ylim()[1]  # the first category stands at the top


def test_of_more_rows_than_a_page_holds_the_order_is_drawn_and_the_extremes_are_named():
    values = np.linspace(0.1, 0.9, 200)
    records = [record("cca", values), record("jrl", values[::-1] * 0 + 0.5)]
    drawn = figure(records, width=WIDTHS["column"])
    for panel in drawn.axes:
        falling = panel.lines[1].get_ydata()
        np.testing.assert_allclose(falling, values[::-1])
    note = " ".join(drawn.get_supxlabel().split())
    assert "easiest category 199, category 198, category 197" in note
    assert "hardest category 2, category 1, category 0" in note
    wide = figure(records, width=WIDTHS["page"])
    texts = [label.get_text() for panel in wide.axes for label in panel.get_yticklabels()]
    assert {f"category {at}" for at in range(200)} <= set(texts)


@pytest.mark.parametrize("categories", [10, 20, 66, 200])
@pytest.mark.parametrize("width", WIDTHS.values())
def test_names_do_not_touch_and_everything_is_on_the_page(categories, width):
    drawn = figure(board(categories), width=width)
    drawn.draw_without_rendering()
    assert drawn.get_size_inches()[0] == pytest.approx(width)
    assert drawn.get_size_inches()[1] <= HIGHEST
    (legend,) = drawn.legends
    box = legend.get_window_extent()
    assert drawn.bbox.x0 <= box.x0 < box.x1 <= drawn.bbox.x1
    assert box.y1 <= drawn.bbox.y1
    for panel in drawn.axes:
        assert not box.overlaps(panel.get_window_extent())
        labels = [label for label in panel.get_yticklabels() if label.get_text()]
        extents = [label.get_window_extent() for label in labels]
        heights = sorted((extent.y0 + extent.y1) / 2 for extent in extents)
        size = max((label.get_fontsize() for label in labels), default=0)
        assert all(above - below >= size * drawn.dpi / 72 * 0.95 for below, above in pairwise(heights))
        assert all(extent.x0 >= drawn.bbox.x0 for extent in extents)
        assert all(label.get_fontsize() >= 6 for label in labels)


def test_names_in_any_script_stand_in_the_rows_and_long_ones_are_cut_after_a_word():
    names = ["自行车", "ποδήλατο", "دراجة", "a $very$ long name & more"] * 5
    drawn = figure([record("cca", [0.5] * 20, names=names)] * 1, width=2.2)
    texts = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert texts[:3] == names[:3]
    assert texts[3].startswith("a $very$")
    assert texts[3].endswith("…")


def test_failed_cells_are_named_in_every_form():
    failed = {**record("kcca", [0.5] * 66), "status": "timeout", "map": None, "category_map": None}
    for categories, width in ((3, None), (66, 3.33), (66, 7.0)):
        cells = [record("cca", [0.5] * categories)]
        drawn = figure([*cells, {**failed, "dataset": cells[0]["dataset"]}], width=width)
        told = " ".join([drawn.get_supxlabel(), *(text.get_text() for text in drawn.texts)])
        assert "KCCA, timeout after" in told
    with pytest.raises(ReportError, match="nothing to draw"):
        figure([failed], width=3.33)
