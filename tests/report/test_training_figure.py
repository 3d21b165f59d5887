"""The figure of training curves: its panels, what it draws, that it is legible, and the files it becomes."""

import re
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import made_record
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from cmbench.cli.main import cli
from cmbench.errors import ReportError, StoreError
from cmbench.methods.cmgans.method import CMGANs
from cmbench.report.curves import RecordedTraining, panels, trainings
from cmbench.report.figure import WIDTHS, save
from cmbench.report.looks import HUES, looks
from cmbench.report.settings import settings
from cmbench.report.training import figure
from cmbench.store import Store

KEPT = "#666666"
SMALL = {
    "embedding": 8,
    "hidden": 8,
    "discriminator_width": 4,
    "batch_size": 8,
    "epochs": 2,
    "eval_every": 4,
    "threads": 1,
}
LABELS = [
    "validation MAP",
    "discriminator loss",
    "generator loss",
    "discriminator accuracy",
    "gradient norm",
    "magnitude",
]


def record(name="cmgans", *, seed=0, best=8, data="toy", protocol="paper", **parameters):
    return made_record(
        name,
        parameters=parameters,
        seed=seed,
        dataset=data,
        protocol=protocol,
        fitted={} if best is None else {"best_iteration_": best},
    )


def failed(**changes):
    return {**record(**changes), "status": "timeout"}


def curves(**values):
    """Curves at the iterations 4, 8, 12, ..."""
    points = max(map(len, values.values()))
    made = {"iteration": 4.0 * np.arange(1, points + 1)}
    return {**made, **{name: np.asarray(each, dtype=np.float64) for name, each in values.items()}}


def training(seed=0, **values):
    return RecordedTraining(record(seed=seed), curves(**values))


@pytest.fixture(scope="module")
def fitted(toy):
    return CMGANs(**SMALL).fit(toy.train, toy.validation)


@pytest.fixture(scope="module")
def real(fitted):
    """The training of CM-GANs on the toy dataset."""
    return RecordedTraining(record(best=fitted.best_iteration_), fitted.curves_)


def drawn_lines(panel):
    """The curves of a panel, without vertical lines and keys."""
    return [line for line in panel.lines if to_hex(line.get_color()) != KEPT]


def legend_of(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()] if panel.get_legend() else []


def axis_labels(drawn):
    return [panel.get_ylabel().replace("\n", " ") for panel in drawn.axes]


def test_every_curve_of_a_real_training_is_drawn_with_its_values(real):
    drawn = figure([real])
    assert axis_labels(drawn) == LABELS
    named = {}
    for panel, made in zip(drawn.axes, panels(real.names), strict=True):
        named |= {line.name: each for line, each in zip(made.lines, drawn_lines(panel), strict=True)}
    assert set(named) == set(real.curves) - {"iteration"}
    for name, line in named.items():
        measured = ~np.isnan(real.curves[name])
        assert measured.any()
        np.testing.assert_array_equal(line.get_xdata(), real.curves["iteration"][measured])
        np.testing.assert_array_equal(line.get_ydata(), real.curves[name][measured])


def test_the_legends_of_a_real_training_name_its_curves(real):
    legends = dict(zip(LABELS, map(legend_of, figure([real]).axes), strict=True))
    players = ["inter image", "inter text", "intra image", "intra text"]
    assert legends["validation MAP"] == ["state kept"]
    assert legends["discriminator loss"] == legends["discriminator accuracy"] == players
    assert legends["generator loss"] == [
        f"{modality} {term}" for modality in ("image", "text") for term in ("inter", "intra", "semantic")
    ]
    assert legends["gradient norm"] == [*(f"D {player}" for player in players), "G image", "G text"]
    assert legends["magnitude"] == ["G image", "G text"]


def test_the_keys_of_a_legend_look_like_the_curves(real):
    for panel in figure([real]).axes[1:]:
        looks = [(line.get_color(), line.get_linestyle()) for line in drawn_lines(panel)]
        keys = [(key.get_color(), key.get_linestyle()) for key in panel.get_legend().get_lines()]
        assert keys == looks
        assert len(set(looks)) == len(looks)


def test_a_dashed_vertical_line_in_every_panel_is_where_the_state_was_kept(real, fitted):
    for panel in figure([real]).axes:
        (line,) = (line for line in panel.lines if to_hex(line.get_color()) == KEPT)
        assert set(line.get_xdata()) == {fitted.best_iteration_}
        assert line.is_dashed()
    without = RecordedTraining(record(best=None), real.curves)
    for panel in figure([without]).axes:
        assert len(drawn_lines(panel)) == len(panel.lines)
        assert "state kept" not in legend_of(panel)


def test_gradients_and_magnitudes_are_on_a_logarithmic_axis_with_plain_numbers():
    drawn = figure([training(loss=[3, 2], G_gradient=[0.02, 4.0], G_image_magnitude=[2.0, 300.0])])
    assert [panel.get_yscale() for panel in drawn.axes] == ["linear", "log", "log"]
    drawn.draw_without_rendering()
    for panel in drawn.axes[1:]:
        low, high = panel.get_ylim()
        ticks = dict(zip(panel.get_yticks(), panel.get_yticklabels(), strict=True))
        seen = [float(label.get_text()) for tick, label in ticks.items() if low <= tick <= high]
        np.testing.assert_allclose(seen, [tick for tick in ticks if low <= tick <= high])
        assert len(seen) >= 2


@pytest.mark.parametrize("ratio", [1.0, 1.01, 2, 4.9, 5, 9, 99, 100, 1e4, 1e9])
def test_a_logarithmic_axis_has_numbers_that_do_not_touch(ratio):
    drawn = figure([training(G_gradient=[0.37, 0.37 * ratio])])
    drawn.draw_without_rendering()
    (panel,) = drawn.axes
    low, high = panel.get_ylim()
    pairs = zip(panel.get_yticks(), panel.get_yticklabels(), strict=True)
    boxes = sorted(label.get_window_extent().extents.tolist() for tick, label in pairs if low <= tick <= high)
    by_height = sorted(boxes, key=lambda box: box[1])
    assert len(boxes) >= 1 + (ratio > 1)
    assert all(below[3] <= above[1] for below, above in pairwise(by_height))


def test_zeros_leave_a_gap_on_a_logarithmic_axis_and_nothing_but_zeros_makes_it_linear():
    some, none = training(G_gradient=[1.0, 0.0, 2.0]), training(G_gradient=[0.0, 0.0])
    assert [figure([each]).axes[0].get_yscale() for each in (some, none)] == ["log", "linear"]
    (panel,) = figure([some]).axes
    assert panel.get_ylim()[0] > 0.5
    assert np.isfinite(panel.yaxis.get_transform().transform([1.0, 0.0, 2.0])).tolist() == [True, False, True]


def test_what_was_not_measured_is_left_out():
    nothing = [np.nan] * 4
    made = training(
        a_loss=[3, np.nan, 1, np.nan], b_loss=nothing, G_gradient=nothing, c_loss=[5, *nothing[1:]]
    )
    drawn = figure([made])
    (panel,) = drawn.axes
    assert legend_of(panel) == ["a", "c", "state kept"]
    first, single = drawn_lines(panel)
    assert first.get_xdata().tolist() == [4, 12]
    assert first.get_ydata().tolist() == [3, 1]
    assert single.get_marker() == "."


def test_curves_without_iterations_are_drawn_over_their_points():
    made = RecordedTraining(record(), {"loss": np.array([3.0, 2.0, 1.0])})
    (panel,) = figure([made]).axes
    (line,) = panel.lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert panel.get_xlabel() == "point"


def test_seeds_lie_over_each_other_thinly_in_the_same_colours():
    seeds = [
        training(seed, image_loss=np.arange(3 + seed) + 1.0, text_loss=np.ones(3 + seed)) for seed in range(3)
    ]
    (panel,), (alone,) = figure(seeds).axes, figure(seeds[:1]).axes
    lines = drawn_lines(panel)
    assert [len(line.get_xdata()) for line in lines] == [3, 3, 4, 4, 5, 5]
    assert {line.get_color() for line in lines} == {HUES[0]}
    assert [line.get_linestyle() for line in lines] == ["-", "--"] * 3
    assert lines[0].get_linewidth() < drawn_lines(alone)[0].get_linewidth()
    assert legend_of(panel) == ["image", "text", "state kept"]
    assert panel.get_figure().get_suptitle() == "CMGANS, toy (746f7900), seeds 0, 1, 2"


def test_seeds_without_curves_are_named_below():
    cells = [
        training(0, loss=[2, 1]),
        RecordedTraining(failed(seed=1), {}),
        RecordedTraining(record(seed=2), {}),
    ]
    drawn = figure(cells)
    note = drawn.get_supxlabel().replace("\n", " ")
    assert note == "Not drawn: seed 1: timeout after 50 s; seed 2: none stored"
    with pytest.raises(ReportError, match=r"CMGANS on toy has no training curves \(seed 1: timeout after"):
        figure(cells[1:2])


@pytest.mark.parametrize(
    "other",
    [{"name": "dcca"}, {"data": "other"}, {"protocol": "release"}, {"learning_rate": 0.5}],
)
def test_two_settings_never_share_a_figure_and_the_error_lists_their_keys(other):
    first, second = record(), record(**other)
    values = curves(loss=[2, 1])
    with pytest.raises(ReportError, match="of 2 settings") as raised:
        figure([RecordedTraining(first, values), RecordedTraining(second, values)])
    assert {first["key"], second["key"]} <= set(re.findall(r"\w+", str(raised.value)))


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ReportError, match="no records of a training"):
        figure([])


def busy(seed):
    """A training with every term and a joint optimiser."""
    modalities = ("image", "text")
    terms = ("inter", "intra", "semantic", "reconstruction")
    judges = [f"D_{kind}_{modality}" for kind in ("inter", "intra") for modality in modalities]
    names = [f"G_{modality}_{term}_loss" for modality in modalities for term in terms]
    names += [f"{judge}_{what}" for judge in judges for what in ("loss", "accuracy", "gradient")]
    names += [f"G_{modality}_magnitude" for modality in modalities]
    names += [
        "G_gradient",
        "validation_map",
        "image_canonical_correlation",
        f"{'a_long_' * 9}_name_of_a_loss",
    ]
    random = np.random.default_rng(seed)
    return training(seed, **{name: random.uniform(0.001, 1, 30) for name in names})


@pytest.mark.parametrize("name", ["cmgans", "dcca", "somebody-elses"])
def test_map_on_validation_is_drawn_as_its_method_is_in_every_figure(name):
    made = RecordedTraining(record(name), curves(validation_map=[0.1, 0.3], a_loss=[2, 1], b_loss=[3, 1]))
    above, below = figure([made]).axes
    (look,) = looks(settings([made.record]))
    (line,) = drawn_lines(above)
    assert line.get_color() == look.colour
    assert line._unscaled_dash_pattern == Line2D([], [], **look.line())._unscaled_dash_pattern
    assert [line.get_color() for line in drawn_lines(below)] == [*HUES[:2]]


@pytest.mark.parametrize(("width", "columns"), [(5.9, 1), (WIDTHS["page"], 2), (9.5, 3)])
def test_panels_stand_beside_each_other_where_the_width_has_room(width, columns):
    drawn = figure([busy(0)], width=width)
    drawn.draw_without_rendering()
    assert len({round(panel.get_window_extent().x0 / drawn.dpi, 1) for panel in drawn.axes}) == columns
    last = drawn.axes[-columns:]
    assert [panel.get_xlabel() for panel in drawn.axes] == [
        "iteration" if panel in last else "" for panel in drawn.axes
    ]
    for panel in drawn.axes:
        seen = any(label.get_visible() and label.get_text() for label in panel.get_xticklabels())
        assert seen == (panel in last)


@pytest.mark.parametrize(("seeds", "width"), [(1, 2.5), (4, WIDTHS["column"]), (1, WIDTHS["page"])])
def test_nothing_overlaps_or_leaves_the_page_and_panels_are_high_enough(seeds, width):
    missing = [RecordedTraining(failed(seed=100 + at), {}) for at in range(3)]
    drawn = figure([*map(busy, range(seeds)), *missing], width=width)
    drawn.draw_without_rendering()
    page = drawn.bbox
    title, note = drawn._suptitle.get_window_extent(), drawn._supxlabel.get_window_extent()
    columns = 2 if width == WIDTHS["page"] else 1
    above = [title.y0] * columns
    for at, panel in enumerate(drawn.axes):
        legend, plot_area = panel.get_legend().get_window_extent(), panel.get_window_extent()
        assert plot_area.height / drawn.dpi > 0.7
        assert plot_area.width / drawn.dpi > width / columns - 0.95
        assert legend.y1 <= above[at % columns] + 1
        assert plot_area.y1 <= legend.y0 + 2
        for box in (legend, panel.yaxis.label.get_window_extent(), panel.get_tightbbox()):
            assert page.x0 <= box.x0
            assert box.x1 <= page.x1
        above[at % columns] = panel.get_tightbbox().y0
    assert note.y1 <= min(above)
    assert page.y0 <= note.y0
    assert title.y1 <= page.y1
    assert drawn.get_size_inches()[0] == width


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
def test_equal_figures_become_equal_files_without_a_date(tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for path in paths:
        save(figure([training(image_loss=[3, 2], text_loss=[2, 1], G_gradient=[0.1, 9])]), path)
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    assert one.startswith({".pdf": b"%PDF", ".svg": b"<?xml", ".png": b"\x89PNG"}[suffix])
    assert not re.search(rb"Date|/Type3|dc:date|tIME", one)


CURVES = curves(loss=[3.0, np.nan, 1.0], validation_map=[0.25, 0.5, 0.375])


@pytest.fixture
def store(tmp_path):
    """A store of CM-GANs with two seeds, of other settings of it, and of CCA, which has no curves."""
    made = Store(tmp_path / "runs")
    arrays = {"labels": np.arange(3), **{f"curve_{name}": values for name, values in CURVES.items()}}
    for seed in (0, 1):
        made.put(record(seed=seed), arrays)
    made.put(record(data="other", learning_rate=0.5), arrays)
    made.put(record(data="other"), arrays)
    made.put(record("cca", seed=None, best=None), {"labels": np.arange(3)})
    made.put(failed(name="kcca"))
    return made


def call(*arguments):
    words = ["plot", "training", *map(str, arguments)]
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_curves_come_from_the_store_without_their_prefix(store):
    cells = [
        cell for cell in store.records() if cell["dataset"]["name"] == "toy" and cell["seed"] is not None
    ]
    found = trainings(store.folder, [cell for cell in cells if cell["method"]["name"] == "cmgans"])
    assert [each.record["seed"] for each in found] == [0, 1]
    for each in found:
        assert set(each.curves) == set(CURVES)
        for name, values in each.curves.items():
            np.testing.assert_array_equal(values, CURVES[name])


def test_plot_training_draws_the_seeds_of_a_setting_into_a_file_of_its_name(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("toy/cmgans", "--store", store.folder) == "wrote training-toy-cmgans.pdf\n"
    assert (tmp_path / "training-toy-cmgans.pdf").read_bytes().startswith(b"%PDF")


def test_plot_training_draws_the_cells_of_the_keys_given(store, tmp_path):
    def text(*keys):
        call(*keys, "--store", store.folder, "--output", tmp_path / "curves.svg")
        return (tmp_path / "curves.svg").read_text()

    first, second = (record(seed=seed)["key"] for seed in (0, 1))
    assert "seed 0 -->" in text(first)
    assert "seeds 0, 1 -->" in text(first, second)
    assert text(second, first, first) == text("toy/cmgans")


def test_plot_training_is_as_wide_as_asked(store, tmp_path):
    for words, points in ((), 3.33 * 72), (("--width", "page"), 504), (("--width", "5"), 360):
        call("toy/cmgans", "--store", store.folder, *words, "--output", tmp_path / "curves.svg")
        width = re.search(r'<svg [^>]*width="([\d.]+)pt"', (tmp_path / "curves.svg").read_text())
        assert float(width[1]) == pytest.approx(points)


def test_plot_training_of_several_settings_asks_for_keys(store):
    with pytest.raises(ReportError, match=r"3 settings.*learning_rate=0.5\).*toy \(746f7900\)"):
        call("cmgans", "--store", store.folder)


@pytest.mark.parametrize(("cell", "why"), [("cca", "none stored"), ("kcca", "seed 0: timeout after 50 s")])
def test_a_record_without_curves_is_an_error_that_names_methods_with_some(store, cell, why):
    with pytest.raises(
        ReportError, match=rf"has no training curves \({why}\); methods that have some in this store: cmgans$"
    ):
        call(cell, "--store", store.folder)


def test_a_record_whose_arrays_are_gone_is_an_error_and_not_a_record_without_curves(store):
    for path in store.folder.rglob("cmgans-*.npz"):
        path.unlink()
    with pytest.raises(StoreError, match=r"cmgans-.*cannot be read"):
        call("toy/cmgans", "--store", store.folder)
    with pytest.raises(ReportError, match="methods that have some in this store: none"):
        call("cca", "--store", store.folder)


def test_curves_of_unequal_length_are_refused(store):
    store.put(record("odd"), {"curve_iteration": np.arange(3.0), "curve_loss": np.arange(4.0)})
    with pytest.raises(ReportError, match=r"differ in length \(iteration \(3,\), loss \(4,\)\)"):
        call("odd", "--store", store.folder)


def test_an_unknown_cell_is_an_error_that_names_what_there_is(store):
    with pytest.raises(StoreError, match=r"no cell 'dcca' in .*; it has other/cmgans, toy/cca"):
        call("dcca", "--store", store.folder)
