"""Retrieval examples: which queries and items they show, and the figure they become."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import TASKS, made_dataset, made_record
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from cmbench.cli.main import cli
from cmbench.datasets.scenes import collection
from cmbench.errors import ReportError
from cmbench.report import example_figure
from cmbench.report.examples import Answer, Example, Item, Ranked, examples, which_queries
from cmbench.report.figure import save
from cmbench.report.fonts import quiet
from cmbench.report.kept import Kept
from cmbench.report.raw_pairs import Pair, raw_pairs
from cmbench.report.settings import settings
from cmbench.store import Store

NAMES = ["cat", "dog", "cow"]
LABELS = np.array([0, 0, 1, 1, 2, 2])
IDS = np.array([f"pair-{at}" for at in range(6)])


def kept_rankings(ap, **changes):
    """Arrays in which query i of every task retrieves itself, then the others in the order of their rows."""
    orders = np.array([[at, *(other for other in range(6) if other != at)] for at in range(6)])
    arrays = {"labels": LABELS, "ids": IDS}
    for task in TASKS:
        arrays |= {
            f"first_{task}": orders.astype(np.uint8),
            f"query_rows_{task}": np.arange(6),
            f"ap_{task}": np.asarray(ap, dtype=np.float64),
        }
    return arrays | changes


def ranked(name, ap, *, dataset=None, **changes):
    record = made_record(name, float(np.nanmean(ap)), dataset=dataset or made_dataset(class_names=NAMES))
    return Ranked(name.upper(), record, kept_rankings(ap, **changes))


def test_an_example_says_what_was_retrieved_and_whether_it_is_right():
    run = ranked("cca", [0.5] * 6)
    (example,) = examples([run], ["image_to_text"], queries=["pair-2"], top=4)
    assert (example.query.id, example.query.modality, example.query.category) == ("pair-2", "image", "dog")
    (answer,) = example.answers
    assert (answer.label, answer.ap) == ("CCA", 0.5)
    assert [item.id for item in answer.items] == ["pair-2", "pair-0", "pair-1", "pair-3"]
    assert [item.is_right for item in answer.items] == [True, False, False, True]
    assert [item.category for item in answer.items] == ["dog", "cat", "cat", "dog"]
    assert {item.modality for item in answer.items} == {"text"}
    assert not any(item.is_query for item in answer.items)  # its own text, but not itself


def test_where_both_modalities_are_ranked_texts_follow_the_images_and_the_query_is_told():
    first = np.array([[3, 9, 8]] * 6)
    run = ranked("cca", [0.5] * 6, first_text_to_all=first)
    (example,) = examples([run], ["text_to_all"], queries=["pair-3"])
    items = example.answers[0].items
    assert [(item.id, item.modality) for item in items] == [
        ("pair-3", "image"),
        ("pair-3", "text"),
        ("pair-2", "text"),
    ]
    assert [item.is_query for item in items] == [False, True, False]


def test_items_of_another_gallery_have_its_ids_and_labels():
    gallery = {"gallery_ids": np.array(["other-0", "other-1"]), "gallery_labels": np.array([1, 0])}
    run = ranked("cca", [0.5] * 6, **gallery, first_image_to_all=np.array([[0, 3]] * 6))
    (example,) = examples([run], ["image_to_all"], queries=["pair-0"])
    assert [(item.id, item.modality, item.is_right) for item in example.answers[0].items] == [
        ("other-0", "image", False),
        ("other-1", "text", True),
    ]


def test_pairs_of_several_categories_are_right_if_they_share_one_and_pairs_of_none_by_their_picture():
    tags = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 1], [0, 0, 1]])
    run = ranked("cca", [0.5] * 6, labels=tags)
    (example,) = examples([run], ["image_to_text"], queries=["pair-0"], top=5)
    assert [item.is_right for item in example.answers[0].items] == [True, True, False, False, True]
    assert [item.category for item in example.answers[0].items] == ["cat, dog", "dog", "cow", "", "cat, cow"]
    nameless = made_dataset(class_names=[])
    by_picture = ranked(
        "cca",
        [0.5] * 6,
        dataset=nameless,
        labels=np.zeros((6, 0), int),
        pictures=np.array([0, 0, 1, 1, 2, 2]),
    )
    (example,) = examples([by_picture], ["image_to_text"], queries=["pair-1"], top=3)
    assert [item.is_right for item in example.answers[0].items] == [True, True, False]


def test_queries_are_found_at_which_one_method_fails_most_against_another_each_of_its_own_category():
    good = ranked("jrl", [0.9, 0.8, 0.7, 0.6, 0.5, np.nan])
    poor = ranked("cca", [0.1, 0.1, 0.2, 0.5, 0.1, 0.1])
    runs = [good, poor]
    asked = [example.query.id for example in examples(runs, ["image_to_text"], number=3)]
    assert asked == ["pair-0", "pair-2", "pair-4"]  # pair-1 lies second, and is another cat
    asked = [example.query.id for example in examples(runs, ["image_to_text"], number=5)]
    assert asked == ["pair-0", "pair-2", "pair-4", "pair-1", "pair-3"]
    turned = examples(runs, ["text_to_image"], contrast=("cca", "JRL"), number=1)
    assert turned[0].query.id == "pair-3"
    alone = examples([good], ["text_to_image"], number=1)
    assert alone[0].query.id == "pair-4"  # its lowest AP
    with pytest.raises(ReportError, match="'kcca' is none of the methods shown: JRL, CCA"):
        examples(runs, ["image_to_text"], contrast=("kcca", "jrl"))


def test_by_what_queries_are_chosen_is_said_of_each_direction():
    runs = [ranked("jrl", [0.9] * 6), ranked("cca", [0.1] * 6)]
    tasks = ["image_to_text", "text_to_image"]
    assert which_queries(runs, tasks) == "Queries: where JRL is most ahead of CCA"
    assert which_queries(runs, tasks, contrast=("cca", "jrl")) == "Queries: where CCA is most ahead of JRL"
    assert which_queries(runs[:1], tasks) == "Queries: of lowest AP by JRL"
    assert which_queries(runs, tasks, queries=["pair-1"]) == "Queries: chosen by --queries"
    runs[0].record["map"]["text_to_image"] = 0.05
    assert which_queries(runs, tasks) == (
        "Queries: image→text where JRL is most ahead of CCA; text→image where CCA is most ahead of JRL"
    )


def test_a_label_stands_for_its_own_run_even_where_it_is_the_name_of_another_method():
    namesake = ranked("cca", [0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    namesake = Ranked("OTHER", namesake.record, namesake.arrays)
    own = Ranked("CCA", ranked("jrl", [0.5] * 6).record, kept_rankings([0.4, 0.4, 0.4, 0.4, 0.4, 0.9]))
    asked = examples([namesake, own], ["image_to_text"], contrast=("CCA", "OTHER"), number=1)
    assert asked[0].query.id == "pair-5"


def test_unknown_queries_and_missing_cells_are_refused_with_what_there_is():
    with pytest.raises(ReportError, match=r"no query 'pair-7' in image_to_text.*pair-0, pair-1, pair-2"):
        examples([ranked("cca", [0.5] * 6)], ["image_to_text"], queries=["pair-7"])
    with pytest.raises(ReportError, match="nothing to draw"):
        examples([], ["image_to_text"])


def stored(tmp_path, record, arrays):
    store = Store(tmp_path)
    store.put(record, arrays)
    (setting,) = settings(store.records())
    return Kept(store, setting)


def test_a_record_that_came_without_rankings_says_what_tells_how_they_are_filled(tmp_path):
    record = made_record("kcca", seed=3, parameters={"rank": 10, "random_state": 3}, paper_name="KCCA")
    kept = stored(tmp_path, record, {"labels": LABELS, "ids": IDS})
    with pytest.raises(ReportError, match="KCCA on toy: its record has no rankings") as raised:
        Ranked.of(kept, ["image_to_text"])
    assert f"'cmbench show {record['key']} --store {tmp_path}'" in str(raised.value)


def test_scenes_are_drawn_by_their_ids_if_their_categories_are_those_of_scenes():
    picture, caption, category = collection.pair(1799)
    pairs = raw_pairs({"name": "scenes"}, {"scene-1799": category, "scene-0000": None})
    np.testing.assert_array_equal(pairs["scene-1799"].picture(), picture)
    assert pairs["scene-1799"].text == caption
    for other in ({"scene-1799": "dog"}, {"scene-9999": None}, {"img-1": "cat"}):
        with pytest.raises(ReportError, match="name their folder with --pairs"):
            raw_pairs({"name": "mine"}, other)


def test_emoji_of_the_test_pairs_are_shown_without_their_packages():
    ids = {"noto/1f605": "face-smiling", "fluent/1f605": None}
    for kind in (None, "emoji"):
        pairs = raw_pairs({"name": "emoji"}, ids, kind=kind)
        assert pairs["noto/1f605"].text.startswith("grinning face with sweat")
        assert pairs["fluent/1f605"].picture().shape == (96, 96, 3)
    assert len({pair.picture().tobytes() for pair in pairs.values()}) == 2
    for other in ({"noto/1f605": "dog"}, {**ids, "noto/1f600": None}):  # the last is a training pair
        with pytest.raises(ReportError, match="not all the pictures and texts of emoji are built in; name"):
            raw_pairs({"name": "emoji"}, other)
    with pytest.raises(ReportError, match="name their folder"):
        raw_pairs({"name": "emoji"}, ids, kind="scenes")


def test_raw_pairs_are_looked_up_in_a_folder_of_any_kind_that_is_read(tmp_path):
    from PIL import Image

    for at in range(24):
        Image.new("RGB", (8, 4), (at, 0, 0)).save(tmp_path / f"{at}.png")
    rows = [f"{at}.png,a text of {at},{category}" for at, category in enumerate(["cat", "dog"] * 12)]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,text,category", *rows]), encoding="utf-8")
    pairs = raw_pairs({"name": "mine"}, {"3.png": "dog", "10.png": "cat"}, tmp_path)
    assert pairs["3.png"].text == "a text of 3"
    assert pairs["10.png"].picture()[0, 0].tolist() == [10, 0, 0]
    with pytest.raises(
        ReportError, match=r"read as pairs_table: there is no pair '99.png' among ids such as"
    ):
        raw_pairs({"name": "mine"}, {"99.png": "dog"}, tmp_path, kind="pairs_table")


LONG = "A black and white cow stands in a field of high grass beside a fence; " * 6


def shown(width, tasks=("image_to_text", "text_to_image", "text_to_all"), top=3, text=LONG):
    runs = [ranked(name, [0.5] * 6) for name in ("a method with a long name", "jrl")]
    found = examples(runs, tasks, queries=["pair-5"], top=top)
    return found, drawn_with(text, found, width)


def drawn_with(text, found, width):
    pairs = {id_: Pair(lambda: np.full((60, 90, 3), 128, np.uint8), f"{id_}: {text}") for id_ in IDS.tolist()}
    return example_figure.figure(found, pairs, width=width, note="toy")


def frames(drawing):
    """The frames of a figure, with whether they say that what they hold is right."""
    said = {to_hex(example_figure.RIGHT): True, to_hex(example_figure.WRONG): False}
    boxes = [artist for artist in drawing.get_children() if isinstance(artist, Rectangle)]
    coloured = [(box, to_hex(box.get_edgecolor())) for box in boxes if box is not drawing.patch]
    return [(box, said[colour]) for box, colour in coloured if colour in said]


def test_frames_and_marks_say_which_items_are_right():
    found, drawing = shown(7.0)
    expected = [item for example in found for answer in example.answers for item in answer.items]
    drawn = frames(drawing)[: len(expected)]
    assert [right for _, right in drawn] == [item.is_right for item in expected]
    assert all((box.get_linestyle() == "solid") == right for box, right in drawn)
    texts = [text.get_text() for text in drawing.texts]
    for is_right, mark in example_figure.MARKS.items():
        marked = [text for text in texts if text.startswith(mark)]
        assert len(marked) == sum(item.is_right == is_right for item in expected) + 1  # and the legend
    pictures = sum(item.modality == "image" for item in expected)
    assert len(drawing.axes) == pictures + sum(example.query.modality == "image" for example in found)
    assert "the query" not in texts


@pytest.mark.parametrize(
    ("category", "width", "expected"),
    [("lighthouse", 3.33, ["lighth…"]), ("means of transport", 3.33, ["mean…"]), ("heart", 7.0, ["heart"])],
)
def test_of_the_category_of_a_picture_as_much_stands_beside_its_mark_as_fits(category, width, expected):
    item = Item("pair-3", "image", category, is_right=True)
    assert written_beside_the_mark(item, width) == expected


def test_the_category_of_a_text_breaks_after_a_hyphen():
    item = Item("pair-3", "text", "transport-ground", is_right=False)
    assert written_beside_the_mark(item, 3.33)[:2] == ["transport-", "ground"]


def written_beside_the_mark(item, width):
    """Return the lines of the category of an item that is the only answer."""
    query = replace(item, id="pair-5", modality="text" if item.modality == "image" else "image")
    example = Example(f"{query.modality}_to_{item.modality}", query, (Answer("cca", 0.5, (item,) * 5),))
    written = [text for text in drawn_with("", [example], width).texts if text.get_text()]
    marks = [at for at, text in enumerate(written) if text.get_text() == example_figure.MARKS[item.is_right]]
    return [text.get_text() for text in written[marks[0] + 1 : marks[1]]]


def test_the_query_among_its_answers_is_marked_as_what_it_is():
    run = ranked("cca", [0.5] * 6, first_text_to_all=np.array([[3, 9, 8]] * 6))
    drawing = drawn_with(LONG, examples([run], ["text_to_all"], queries=["pair-3"]), 7.0)
    assert [text.get_text() for text in drawing.texts].count("the query") == 1


@pytest.mark.parametrize("width", [3.33, 7.0])
@pytest.mark.parametrize("text", [LONG, "自行车靠在墙上" * 20, ""])
def test_nothing_lies_outside_the_page_or_on_something_else(width, text):
    _, drawing = shown(width, text=text)
    drawing.set_dpi(600)  # at a lower one, letters move to whole pixels
    with quiet():
        drawing.draw_without_rendering()
    page = drawing.bbox
    right = page.x1 * (1 if text.isascii() else 1.05)  # a box in place of a letter may be wider than it
    extents = [label.get_window_extent() for label in drawing.texts if label.get_text()]
    for extent in extents:
        assert page.x0 <= extent.x0
        assert extent.x1 <= right
        assert page.y0 <= extent.y0
        assert extent.y1 <= page.y1
    areas = [axes.get_window_extent() for axes in drawing.axes]
    for area in areas:
        assert page.x0 <= area.x0 < area.x1 <= page.x1
        assert not any(area.overlaps(extent) for extent in extents)
    boxes = [box.get_window_extent() for box, _ in frames(drawing)]
    for at, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[at + 1 :])
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
    assert min(label.get_fontsize() for label in drawing.texts) >= 6.5
    assert drawing.get_size_inches()[0] == pytest.approx(width)


def test_plot_examples_draws_scenes_at_once_and_by_default_into_a_file_of_its_name(tmp_path, monkeypatch):
    rows = np.arange(0, 120, 20)
    ids = np.array([f"scene-{row + at // 2:04d}" for at, row in enumerate(rows)])
    names = list(collection.generate.__globals__["CATEGORIES"])
    for name, ap in (("cca", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), ("jrl", [0.7] * 6)):
        dataset = made_dataset("scenes", class_names=names)
        record = made_record(name, dataset=dataset, queries=dict.fromkeys(TASKS, len(ap)))
        Store(tmp_path / "s").put(record, kept_rankings(ap, ids=ids))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(
        cli, ["plot", "examples", "--store", "s", "--contrast", "jrl,cca", "--number", "1"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "examples-scenes.pdf").read_bytes().startswith(b"%PDF")
    again = ["plot", "examples", "--store", "s", "--contrast", "jrl"]
    assert CliRunner().invoke(cli, again).exit_code == 2


def test_equal_figures_become_equal_files(tmp_path):
    for name in ("one.svg", "two.svg"):
        save(shown(3.33)[1], tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
