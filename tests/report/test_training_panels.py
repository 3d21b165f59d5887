"""Which training curves share a panel of the figure, what they are called there, and how they look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.report.curves import panels
from cmbench.report.looks import DASHED, HUES, LOOKS


@pytest.mark.parametrize(
    ("name", "label", "legend"),
    [
        ("validation_map", "validation MAP", ()),
        ("validation_loss", "validation loss", ()),
        ("validation_correlation", "validation correlation", ()),
        ("D_inter_image_loss", "discriminator loss", ("inter image",)),
        ("D_loss", "discriminator loss", ()),
        ("G_text_semantic_loss", "generator loss", ("text semantic",)),
        ("image_reconstruction_loss", "loss", ("image reconstruction",)),
        ("Decoder_loss", "loss", ("Decoder",)),
        ("loss", "loss", ()),
        ("D_intra_text_accuracy", "discriminator accuracy", ("intra text",)),
        ("train_accuracy", "accuracy", ("train",)),
        ("G_gradient", "gradient norm", ("G",)),
        ("G_image_magnitude", "magnitude", ("G image",)),
        ("image_correlation", "correlation", ("image",)),
        ("temperature", "temperature", ()),
        ("gloss", "gloss", ()),
    ],
)
def test_a_panel_is_chosen_by_the_name_of_the_curve(name, label, legend):
    (panel,) = panels([name])
    assert panel.kind.label == label
    assert panel.labels == legend


def test_panels_start_with_validation_and_end_with_kinds_nobody_foresaw():
    names = ["b_zeal", "loss", "validation_loss", "a_angle", "G_magnitude", "validation_map", "c_angle"]
    assert [panel.kind.label for panel in panels(names)] == [
        "validation MAP",
        "validation loss",
        "loss",
        "magnitude",
        "angle",
        "zeal",
    ]


words = st.sampled_from(
    ["D", "G", "image", "text", "loss", "accuracy", "validation", "map", "other", "", "a.b"]
)
names = st.sets(st.lists(words, min_size=1, max_size=4).map("_".join), max_size=40)


@given(names)
def test_no_curve_is_dropped_or_drawn_twice_and_those_of_a_panel_look_different(some):
    shown = panels(some)
    assert sorted(line.name for panel in shown for line in panel.lines) == sorted(some)
    for panel in shown:
        assert {line.colour for line in panel.lines} <= set(HUES)
        looks = {(line.colour, line.style) for line in panel.lines}
        assert len(looks) == len(panel.lines)


def test_more_curves_than_colours_go_to_a_further_panel():
    layers = [f"layer{at}_{modality}_gradient" for at in range(10) for modality in ("image", "text")]
    first, second = panels(layers)
    assert (len(first.lines), len(second.lines)) == (16, 4)
    assert len({(line.colour, line.style) for line in first.lines}) == 16
    assert {line.style for line in first.lines if " text" in line.label} == {DASHED}


def test_the_colours_of_curves_are_those_of_methods_in_other_figures():
    assert set(HUES) == {look.colour for look in LOOKS} - {"#777777"}, "grey is that of the state kept"
    assert DASHED in [look.line()["linestyle"] for look in LOOKS]
