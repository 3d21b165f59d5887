"""Figures of what records keep: precision by recall, costs, sizes, the common space."""

import re
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import made_dataset, made_record
from matplotlib.colors import to_hex
from sklearn.manifold import TSNE
from sklearn.metrics import auc

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.evaluation.components import components
from cmbench.evaluation.evaluator import evaluate
from cmbench.methods.registry import BUILT_IN, GROUPS
from cmbench.report import costs, precision_recall, space
from cmbench.report.facts import FACTS
from cmbench.report.figure import save, width_of
from cmbench.report.kept import Kept
from cmbench.report.looks import LOOKS, METHODS, looks
from cmbench.report.page.content import boards
from cmbench.report.panels import POINTS
from cmbench.report.records import groups
from cmbench.report.settings import settings
from cmbench.store import Store

LABELS = np.repeat(np.arange(3), 8)
DATASET = made_dataset(class_names=["cat", "dog", "cow"])


def arrays(seed):
    random = np.random.default_rng(seed)
    images, texts = (np.eye(3)[LABELS] + random.standard_normal((24, 3)) for _ in range(2))
    result, kept = evaluate(images, texts, LABELS), components(images, texts)
    made = {"labels": LABELS, "component_rows": kept.rows, "component_values": kept.values.astype(np.float16)}
    made["component_share"] = kept.share
    return result, made | {
        f"precision_by_recall_{task}": curve for task, curve in result.precision_by_recall.items()
    }


@pytest.fixture
def store(tmp_path):
    """A store with two seeds of one method and one run of another, each with its arrays."""
    made = Store(tmp_path / "store")
    for method, seed in (("cca", None), ("cmgans", 0), ("cmgans", 1)):
        result, held = arrays(hash_of(method, seed))
        values = [result.map[task] for task in result.per_query]
        paper = {"cca": "CCA", "cmgans": "CM-GANs"}[method]
        made.put(made_record(method, values, seed=seed, dataset=DATASET, paper_name=paper), held)
    return made


def hash_of(method, seed):
    return len(method) * 10 + (seed or 0)


def kept(store):
    return [Kept(store, setting) for setting in settings(store.records())]


def test_the_area_under_each_curve_is_the_map_that_scikit_learn_finds_too(store):
    drawn = precision_recall.figure(kept(store), title="toy")
    assert [panel.get_title(loc="left") for panel in drawn.axes] == ["image→text", "text→image"]
    for panel, task in zip(drawn.axes, ("image_to_text", "text_to_image"), strict=True):
        assert len(panel.lines) == 2
        for line, each in zip(panel.lines, kept(store), strict=True):
            recall, precision = line.get_data()
            score = each.setting.score(task).mean
            assert precision.mean() == pytest.approx(score, abs=1e-6)
            edges = np.arange(101) / 100  # the steps as scikit-learn's trapezoids: each hundredth, flat
            steps = auc(np.repeat(edges, 2)[1:-1], np.repeat(precision, 2))
            assert steps == pytest.approx(score, abs=1e-6)
            np.testing.assert_allclose(recall, edges[:-1] + 0.005)
        assert len(panel.collections) == 1  # the band over the seeds of the one that has some
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == ["CM-GANs", "CCA"]
    assert legend.get_title().get_text() == "toy"


def test_records_without_curves_or_space_say_how_to_fill_them(store):
    store.put(made_record("jrl", paper_name="JRL", dataset=DATASET), {"labels": LABELS})
    with pytest.raises(
        ReportError, match=r"JRL on toy: its record has no precision by recall.*show \w+ --store"
    ):
        precision_recall.figure(kept(store))
    with pytest.raises(ReportError, match=r"--force\. --methods cmgans,cca draws those that have it$"):
        precision_recall.figure(kept(store))
    with pytest.raises(ReportError, match=r"do it with --force$"):
        precision_recall.figure([each for each in kept(store) if each.setting.label == "JRL"])
    with pytest.raises(ReportError, match="no picture of the common space"):
        [space.points(each) for each in kept(store)]
    for figure in (precision_recall.figure, lambda none: space.figure(none, [])):
        with pytest.raises(ReportError, match="nothing to draw"):
            figure([])


def cost(method, fit, memory, dimension, value=0.5, **changes):
    durations = {"fit": fit, "transform": 0.1, "evaluate": 0.1, "total": fit}
    changes = {"paper_name": {"cmgans": "CM-GANs"}.get(method), **changes}
    return made_record(
        method, value, durations=durations, peak_memory_bytes=memory, dimension=dimension, **changes
    )


def test_points_stand_at_their_cost_and_map_with_the_deviation_over_seeds():
    records = [cost("cmgans", 90.0, 4e8, 64, 0.4, seed=0), cost("cmgans", 110.0, 6e8, 64, 0.6, seed=1)]
    drawn = costs.cost_figure(settings([*records, cost("cca", 0.5, 1e8, 8, 0.3)]))
    time, memory = drawn.axes
    expected = {time: [(100.0, 0.5), (0.5, 0.3)], memory: [(6e8, 0.5), (1e8, 0.3)]}
    for panel, points in expected.items():
        found = [tuple(container[0].get_xydata()[0]) for container in panel.containers]
        np.testing.assert_allclose(found, points)
        assert panel.get_xscale() == "log"
        (bar,) = panel.containers[0][2]
        (low, high) = bar.get_segments()[0][:, 1]
        assert (high - low) / 2 == pytest.approx(np.std([0.4, 0.6], ddof=1))
        assert not panel.containers[1].has_yerr
    assert [tick.get_text() for tick in time.get_xticklabels()] == ["1 s", "10 s", "1 min"]


def test_a_figure_a_table_and_a_page_say_the_same_memory_and_a_size_that_some_run_has():
    runs = enumerate([(4e8, 128), (6e8, 64), (5e8, 128)])
    records = [cost("cmgans", 90.0, memory, size, seed=seed) for seed, (memory, size) in runs]
    (setting,) = settings(records)
    (board,) = boards(records, lambda record: {})
    told = {name: printed for name, _, printed in board.finished[0].costs}
    assert told["memory"] == "600 MB"
    assert FACTS["memory"].printed(setting) == "600"
    assert told["dimensions"] == "64 to 128"
    panel = costs.size_figure([setting]).axes[0]
    assert panel.containers[0][0].get_xdata()[0] == 128


@pytest.mark.parametrize(
    ("fits", "memories"),
    [((0.16, 0.18, 0.42), (58e6, 61e6, 62e6)), ((2.01, 2.02, 2.03), (4.1e8, 4.2e8, 4.3e8)), ((5.0,), (9e7,))],
)
def test_axes_have_numbers_where_all_points_are_close_to_each_other(fits, memories):
    records = [cost(f"m{at}", *pair, 8) for at, pair in enumerate(zip(fits, memories, strict=False))]
    for panel, values, unit in zip(
        costs.cost_figure(settings(records)).axes, (fits, memories), (r"[\d.]+ s", r"[\d.]+ MB"), strict=True
    ):
        left, right = panel.get_xlim()
        ticks = [tick for tick in panel.get_xticks() if left <= tick <= right]
        assert len(ticks) >= 2
        texts = [tick.get_text() for tick in panel.get_xticklabels()]
        assert len(set(texts)) == len(ticks)
        assert all(re.fullmatch(unit, text) for text in texts)
        assert left < min(values)


def test_what_no_record_holds_is_told_and_not_in_the_legend():
    old, unknown = cost("cca", 1, 1e8, 8), cost("cfa", 2, 0, 8)
    for record, seconds in ((unknown, 3.0), (new := cost("jrl", 3, 2e8, 8), 4.0)):
        record["durations"] = {**record["durations"], "processor": seconds}
    drawn = costs.cost_figure(settings([old, unknown, new]), time=costs.PROCESSOR)
    assert [len(axes.containers) for axes in drawn.axes] == [2, 2]
    assert " ".join(drawn.get_supxlabel().split()) == (
        "Not drawn, time of a processor not recorded: CCA. Not drawn, memory at most not recorded: CFA."
    )
    (memory,) = costs.cost_figure(settings([old]), time=costs.PROCESSOR).axes
    assert memory.get_xlabel() == "memory at most"
    with pytest.raises(ReportError, match=r"CCA do not hold the time of a processor.*--time clock"):
        costs.costs_of_datasets(groups([old]), time=costs.PROCESSOR)


def test_times_of_several_machines_are_told():
    one = {"provenance": {"processor": "one"}}
    other = {"provenance": {"processor": "another", "preloaded": "fast.so"}, "threads": 4}
    records = [cost("cca", 1, 1e8, 8, **one), cost("cfa", 1, 1e8, 8, **other), cost("jrl", 1, 1e8, 8)]
    drawn = costs.cost_figure(settings(records))
    assert (
        " ".join(drawn.get_supxlabel().split())
        == "Times are of runs on 2 kinds of processors and with 1 or 4 threads and with different libraries "
        "loaded first (LD_PRELOAD)."
    )


def test_a_processor_that_is_not_known_is_not_counted_as_one_of_another_kind():
    known = {"provenance": {"processor": "one"}}
    drawn = costs.cost_figure(settings([cost("cca", 1, 1e8, 8), cost("cfa", 1, 1e8, 8, **known)]))
    assert "processors" not in drawn.get_supxlabel()


def test_settings_of_one_method_are_joined_in_the_order_of_their_size():
    sizes = [(32, 0.5), (8, 0.3), (16, 0.4)]
    records = [cost("cca", 1, 1e8, size, value, parameters={"n": size}) for size, value in sizes]
    old = cost("cfa", 1, 1e8, None)
    drawn = costs.size_figure(settings([*records, old]))
    (container,) = drawn.axes[0].containers
    np.testing.assert_allclose(container[0].get_xydata(), [(8, 0.3), (16, 0.4), (32, 0.5)])
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["CCA"]
    assert drawn.get_supxlabel() == "Not drawn, size of the representation not recorded: CFA."
    with pytest.raises(ReportError, match="run the cells again with --force"):
        costs.size_figure(settings([old]))


def test_points_of_the_space_have_the_colour_of_their_category_and_the_shape_of_their_modality(store):
    spaces = [space.points(each) for each in kept(store)]
    drawn = space.figure(spaces, DATASET["class_names"])
    for panel, each in zip(drawn.axes, spaces, strict=True):
        for collection in panel.collections:
            colour = to_hex(collection.get_facecolor()[0])
            category = [shade.lower() for shade in space.COLOURS].index(colour)
            shape = len(collection.get_paths()[0].vertices)
            places = (
                each.places[24:] if shape == 4 else each.places[:24]
            )  # a closed triangle has four corners
            np.testing.assert_allclose(collection.get_offsets(), places[category == LABELS])
        assert len(panel.collections) == 6
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert legend == ["image", "text", "cat", "dog", "cow"]
    assert spaces[0].axes[0].startswith("axis 1 (")


def test_categories_without_a_colour_are_grey_and_told(store):
    spaces = [space.points(each) for each in kept(store)][:1]
    drawn = space.figure(spaces, DATASET["class_names"], coloured=["cow"])
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["image", "text", "cow"]
    assert drawn.get_supxlabel() == "Grey: the other 2 categories."
    counts = [len(collection.get_offsets()) for collection in drawn.axes[0].collections]
    assert counts == [16, 16, 8, 8]
    with pytest.raises(ReportError, match="no category 'pig'; the categories are cat, dog, cow"):
        space.figure(spaces, DATASET["class_names"], coloured=["pig"])


def test_t_sne_is_that_of_scikit_learn_on_the_stored_axes(store):
    (first, *_) = kept(store)
    values = store.arrays(first.setting.finished[0])["component_values"].astype(np.float64)
    expected = TSNE(perplexity=(len(values) - 1) / 3, init="pca", random_state=0).fit_transform(values)
    np.testing.assert_allclose(space.points(first, "tsne").places, expected, atol=1e-2)


def test_looks_are_the_methods_own_in_every_figure_and_no_two_are_alike():
    assert len({(look.fill, look.hatch) for look in LOOKS}) == len(LOOKS) > len(METHODS) + 10
    assert len({(look.colour, str(look.line()["linestyle"])) for look in LOOKS}) == len(LOOKS)
    names = [*METHODS[:11], "mine", "yours"]
    every = dict(zip(names, looks(settings_of(names)), strict=True))
    assert len(set(every.values())) == len(names)
    for name in names:
        assert looks(settings_of([name])) == [every[name]]
    several = settings([made_record("cca", parameters={"n": n}) for n in range(30)])
    assert len(set(looks(several))) == 30
    assert looks(several)[0] == every["cca"]


def test_every_method_of_cmbench_has_a_look_of_its_own_and_the_first_keep_theirs():
    assert set(METHODS) == set(BUILT_IN)
    every = [*GROUPS["paper"], *GROUPS["beyond"], *GROUPS["controls"]]
    assert len(set(looks(settings_of(every)))) == len(every)
    first = dict(zip(METHODS[:23], LOOKS, strict=False))
    assert [first[name].fill for name in ("cmgans", "cca", "corr-ae-full")] == [
        "#0B3C6F",
        "#EBC4DA",
        "#F0E442",
    ]
    assert [first[name].hatch for name in ("cmgans", "cca", "corr-ae-full")] == ["", "......", "//////"]


def settings_of(names):
    records = [made_record(name) for name in names]
    by_name = {setting.method["name"]: setting for setting in settings(records)}
    return [by_name[name] for name in names]


@pytest.mark.parametrize(
    ("figure", "options"),
    [
        ("precision-recall", ()),
        ("costs", ("--width", "page")),
        ("sizes", ("--width", "4.5")),
        ("space", ("--categories", "cat")),
    ],
)
def test_every_figure_is_drawn_by_its_command(figure, options, store, tmp_path):
    path = tmp_path / "figure.svg"
    words = ["plot", figure, "--store", store.folder, *options, "-o", path]
    result = CliRunner().invoke(cli, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "CM-GANs" not in result.output
    assert path.read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize("text", ["wide", "0.5", "99", "nan", ""])
def test_widths_that_no_page_has_are_refused(text):
    with pytest.raises(ReportError, match=r"write column \(3.33 inches\), page \(7\), or a number of inches"):
        width_of(text)


@pytest.mark.parametrize("width", ["column", "page"])
def test_texts_are_legible_and_nothing_overlaps(store, width, tmp_path):
    many = [
        cost(name, 10.0 ** (at - 3), 1e8 * at, 2**at, 0.3 + 0.05 * at)
        for at, name in enumerate(METHODS[:11], 1)
    ]
    drawings = [
        precision_recall.figure(kept(store), width=width_of(width), title="a title " * 12),
        costs.cost_figure(settings(many), width=width_of(width), title="toy"),
        costs.size_figure(settings(many), width=width_of(width)),
        space.figure(
            [space.points(each) for each in kept(store)], DATASET["class_names"], width=width_of(width)
        ),
    ]
    for drawing in drawings:
        drawing.draw_without_rendering()
        (legend,) = drawing.legends
        box = legend.get_window_extent()
        assert drawing.bbox.x0 <= box.x0
        assert box.x1 <= drawing.bbox.x1
        assert box.y1 <= drawing.bbox.y1
        for panel in drawing.axes:
            assert not box.overlaps(panel.get_tightbbox())
            assert panel.get_window_extent().height / drawing.dpi > 0.9
            labels = [label for label in panel.get_xticklabels() if label.get_text()]
            extents = [label.get_window_extent() for label in labels]
            assert all(left.x1 <= right.x0 for left, right in pairwise(extents))
            assert all(label.get_fontsize() >= POINTS for label in labels)
    save(drawings[0], tmp_path / "figure.pdf")


def test_drawing_does_not_import_torch(store, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from cmbench.cli.main import cli\n"
        "cli(['plot', 'space', '--projection', 'tsne', '--store', sys.argv[1], '-o', sys.argv[2]], "
        "standalone_mode=False)\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, store.folder, tmp_path / "a.png"], check=False)
    assert done.returncode == 0
