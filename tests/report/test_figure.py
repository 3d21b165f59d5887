"""The per-category figure: what it draws, that it is legible, and the files it becomes."""

from itertools import pairwise
from math import cos, radians, sin

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import PROTOCOL, TASKS, made_dataset, made_record
from matplotlib.container import BarContainer
from matplotlib.text import Text

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.report.categories import figure
from cmbench.report.figure import WIDTHS, save
from cmbench.report.looks import LOOKS, MOST_BARS
from cmbench.store import Store

NAMES = ("art", "Foundation and Primer", "Perfume and Body Mist", "geography", "Fragrance Gift Set")


def dataset(categories):
    return made_dataset(class_names=[f"{NAMES[at % len(NAMES)]} {at}" for at in range(categories)])


def record(method="CCA", *, categories=3, values=None, seed=None, **changes):
    """A record with these MAPs per category, the same for every task but for 0.001 times its place."""
    values = np.linspace(0.2, 0.8, categories) if values is None else values
    shift = {task: 0.001 * at for at, task in enumerate(TASKS)}
    per_category = {
        task: [None if value is None else value + shift[task] for value in values] for task in TASKS
    }
    made = made_record(
        method.lower(),
        [0.5 + shift[task] for task in TASKS],
        paper_name=method,
        seed=seed,
        dataset=dataset(len(values)),
        category_map=per_category,
    )
    return {**made, **changes}


def failed(method, **changes):
    return record(method, status="timeout", map=None, category_map=None, **changes)


def board(methods, categories):
    names = ("CM-GANs", "CCL", "CMDN", "Deep-SM", "LGCFL", "JRL", "DCCA", "Corr-AE", "KCCA", "CFA", "CCA")
    return [record(name, categories=categories) for name in names[:methods]]


def heights(drawn):
    """Bar heights as (task, method, category) from the panels, in reading order."""
    half = len(drawn.axes) // 2
    halves = (drawn.axes[:half], drawn.axes[half:])
    return np.asarray(
        [
            np.concatenate(
                [[[bar.get_height() for bar in bars] for bars in panel.containers] for panel in panels], 1
            )
            for panels in halves
        ]
    )


def test_bars_of_which_nobody_reads_so_many_rows_give_way_to_points_on_a_page():
    many = figure(board(11, 66))
    assert many.get_size_inches()[0] == pytest.approx(WIDTHS["page"])
    assert not any(panel.containers for panel in many.axes)
    assert all(panel.containers for panel in figure(board(3, 66)).axes)


@pytest.mark.parametrize(("methods", "categories"), [(1, 3), (3, 10), (5, 20), (11, 20), (3, 66), (11, 40)])
def test_there_is_a_bar_per_method_category_and_task_and_one_for_the_average(methods, categories):
    drawn = figure(board(methods, categories))
    bars = [bar for panel in drawn.axes for container in panel.containers for bar in container]
    assert all(isinstance(container, BarContainer) for panel in drawn.axes for container in panel.containers)
    assert len(bars) == sum(len(panel.patches) for panel in drawn.axes) == methods * (categories + 1) * 2
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert len(legend) == methods
    assert legend[0] == "CM-GANs"


def test_bars_show_the_map_of_each_category_and_last_the_map_of_all_queries():
    drawn = figure([record("CCA", values=[0.1, 0.2]), record("JRL", values=[0.3, 0.4])])
    expected = np.asarray([[0.3, 0.4, 0.5], [0.1, 0.2, 0.5]])  # the paper lists JRL before CCA
    np.testing.assert_allclose(heights(drawn), [expected, expected + 0.001])
    for panel, heading in zip(drawn.axes, ("image→text", "text→image"), strict=True):
        labels = [label.get_text() for label in panel.get_xticklabels()]
        assert labels == ["art 0", "Foundation and Primer 1", "average"]
        assert panel.get_title(loc="left") == heading
        assert panel.get_ylabel() == "MAP"


def test_seeds_are_averaged():
    drawn = figure([record(values=[0.1, 0.6], seed=0), record(values=[0.3, 0.7], seed=1)])
    np.testing.assert_allclose(heights(drawn)[0], [[0.2, 0.65, 0.5]])


def test_a_category_without_queries_has_no_bar_height():
    drawn = figure([record(values=[None, 0.6])])
    assert np.isnan(heights(drawn)[0, 0, 0])
    assert heights(drawn)[0, 0, 1] == 0.6


def test_methods_are_chosen_by_either_name_and_unknown_ones_refused():
    cells = board(5, 3)
    legend = figure(cells, methods=["ccl", "Deep-SM"]).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["CCL", "Deep-SM"]
    with pytest.raises(
        ReportError, match="no record of method 'CLC'; methods in these records: ccl, cm-gans"
    ):
        figure(cells, methods=["CLC"])


def test_failed_cells_are_named_under_the_panels():
    cells = [record("CCA"), failed("KCCA"), record("DCCA", seed=0), failed("DCCA", seed=1)]
    drawn = figure(cells)
    assert drawn.get_supxlabel() == "Not drawn: DCCA, seed 1: timeout after 50 s; KCCA, timeout after 50 s"
    assert heights(drawn).shape == (2, 2, 4)
    with pytest.raises(ReportError, match="nothing to draw"):
        figure([failed("KCCA")])


@pytest.mark.parametrize("kind", ["categories", "precision-recall", "costs", "sizes", "space", "examples"])
def test_where_nothing_finished_the_dataset_and_what_to_do_are_told(kind, tmp_path):
    Store(tmp_path / "store").put(failed("KCCA"))
    words = ["plot", kind, "--store", str(tmp_path / "store")]
    with pytest.raises(ReportError, match=r"no cell of toy .*'cmbench run --retry-failed' runs again"):
        CliRunner().invoke(cli, words, catch_exceptions=False)


@pytest.mark.parametrize(
    "other", [{"protocol": {**PROTOCOL, "version": 2}}, {"dataset": {**dataset(3), "fingerprint": "c"}}]
)
def test_records_that_cannot_be_compared_never_share_a_figure(other):
    with pytest.raises(ReportError, match="belong to 2 tables"):
        figure([record("CCA"), record("CFA", **other)])


def test_more_methods_than_a_reader_can_tell_apart_are_refused():
    cells = [record(f"m{at}") for at in range(MOST_BARS + 1)]
    assert len(figure(cells[:-1]).legends[0].get_texts()) == MOST_BARS
    with pytest.raises(ReportError, match="17 bars per category"):
        figure(cells)


def turned_boxes(labels):
    """(left, bottom, right, top) of labels in the frame turned by their angle, where they lie flat."""
    for label in labels:
        angle = radians(label.get_rotation())
        x, y = label.get_transform().transform(label.get_position())
        x, y = x * cos(angle) + y * sin(angle), y * cos(angle) - x * sin(angle)
        label.set_rotation(0)
        flat = label.get_window_extent()
        label.set_rotation(np.degrees(angle))
        yield x - flat.width, y - flat.height, x, y


@pytest.mark.parametrize(
    ("methods", "categories"),
    [(methods, categories) for categories in (10, 20, 40) for methods in (1, 3, 5, 11)] + [(3, 66), (3, 200)],
)
def test_nothing_overlaps_and_bars_are_wide_enough(methods, categories):
    drawn = figure(board(methods, categories))
    drawn.draw_without_rendering()
    page = drawn.bbox
    legend = drawn.legends[0].get_window_extent()
    titles = [
        text.get_window_extent()
        for panel in drawn.axes
        for text in panel.get_children()
        if isinstance(text, Text) and text.get_text()
    ]
    assert len(titles) == len(drawn.axes)
    assert not any(legend.overlaps(title) for title in titles)
    for panel in drawn.axes:
        labels = panel.get_xticklabels()
        for (_, _, _, top), (_, bottom, _, _) in pairwise(reversed(list(turned_boxes(labels)))):
            assert top <= bottom  # the label to the left lies higher in the turned frame
        extents = [label.get_window_extent() for label in labels]
        for extent in extents:
            assert page.x0 <= extent.x0
            assert extent.x1 <= page.x1
            assert page.y0 <= extent.y0
            assert not any(extent.overlaps(title) for title in titles)
        assert not legend.overlaps(panel.get_window_extent())
        assert page.x0 <= legend.x0
        assert legend.x1 <= page.x1
        assert legend.y1 <= page.y1
        bar = panel.containers[0][0].get_window_extent()
        assert bar.width / drawn.dpi > 0.03
        assert panel.get_window_extent().height / drawn.dpi > 0.9
    assert drawn.get_size_inches()[0] < 12.5


def test_a_long_note_on_failed_cells_stays_on_the_page():
    drawn = figure([record("CCA"), *(failed(f"method number {at}") for at in range(12))])
    drawn.draw_without_rendering()
    (text,) = drawn.texts
    note = text.get_window_extent()
    assert drawn.bbox.x0 <= note.x0
    assert note.x1 <= drawn.bbox.x1
    assert note.y0 >= drawn.bbox.y0
    assert not any(
        note.overlaps(label.get_window_extent()) for panel in drawn.axes for label in panel.get_xticklabels()
    )


def test_long_names_are_cut_and_names_with_dollars_are_no_formulas(tmp_path):
    data = {**dataset(2), "class_names": ["an endless name of a category", r"$\frac{$"]}
    drawn = figure([record(values=[0.1, 0.2], dataset=data)])
    labels = [label.get_text() for label in drawn.axes[0].get_xticklabels()]
    assert labels == ["an endless name of a ca…", r"$\frac{$", "average"]
    save(drawn, tmp_path / "figure.pdf")


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
def test_equal_figures_become_equal_files(tmp_path, suffix):
    for name in ("one", "two"):
        save(figure(board(3, 4)), tmp_path / f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one.startswith({".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}[suffix])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"one{suffix}", f"two{suffix}"]


def test_a_pdf_embeds_its_fonts_as_truetype_and_holds_no_date(tmp_path):
    save(figure(board(3, 4)), tmp_path / "figure.pdf")
    content = (tmp_path / "figure.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"CreationDate" not in content


def test_an_unknown_suffix_and_an_unwritable_place_are_refused(tmp_path):
    drawn = figure([record()])
    with pytest.raises(ReportError, match=r"'figure.jpg'; end its name in .pdf, .svg, .png"):
        save(drawn, tmp_path / "figure.jpg")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"there is no folder .*name another place"):
        save(drawn, tmp_path / "file" / "figure.pdf")


def luminance(colour):
    """Relative luminance of a colour, 0 to 1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2


def test_plain_fills_differ_in_grey():
    greys = sorted(luminance(look.fill) ** (1 / 3) for look in LOOKS if not look.hatch)
    assert min(after - before for before, after in pairwise(greys)) > 0.1
