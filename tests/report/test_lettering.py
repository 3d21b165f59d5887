"""Texts that are measured, folded and cut for figures, against what matplotlib draws."""

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from cmbench.report.figure import STYLE
from cmbench.report.lettering import ELLIPSIS, folded, inches, shortened

SENTENCE = "A black and white cow stands in a field of high grass, beside a fence; the sky is overcast."


@pytest.mark.parametrize("text", ["", "mmmm", "illicit", SENTENCE, "Ποδήλατο", "велосипед", "Überlänge ✓ ✗"])
def test_a_text_is_as_wide_as_matplotlib_draws_it(text):
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(10, 1))
        label = drawing.text(0, 0, text, fontsize=7)
        drawn = label.get_window_extent().width / drawing.dpi
    assert inches(text, 7) == pytest.approx(drawn, rel=0.03, abs=0.03)


def test_what_the_font_lacks_is_an_em_and_what_joins_another_letter_is_nothing():
    assert inches("自行车", 72) == 3
    assert inches("é", 72) == inches("e\u0301", 72)


def test_a_text_is_cut_after_a_word_and_without_the_comma():
    assert folded("one, two, three", width=0.62, lines=1, points=8) == ["one, two…"]
    assert folded("one, two", width=0.62, lines=1, points=8) == ["one, two"]
    assert folded(" one \n two ", width=5, lines=1, points=8) == ["one two"]
    assert folded("", width=5, lines=3, points=8) == []
    assert shortened("foundation and primer", width=0.9, points=8) == "foundation…"


def test_words_that_are_too_long_and_scripts_without_spaces_break_between_characters():
    assert "".join(folded("自行车靠在墙上", width=0.35, lines=9, points=8)) == "自行车靠在墙上"
    lines = folded("自行车靠在墙上", width=0.35, lines=2, points=8)
    assert lines == ["自行车", "靠在…"]
    assert folded("x" * 99, width=0.3, lines=1, points=8)[0].startswith("xx")


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=80), st.floats(0.3, 3), st.integers(1, 4))
def test_nothing_is_wider_or_longer_than_its_place_and_nothing_is_lost_that_fits(text, width, lines):
    made = folded(text, width=width, lines=lines, points=7)
    assert len(made) <= lines
    assert all(inches(line, 7) <= width or len(line) <= 2 for line in made)
    if not (made and made[-1].endswith(ELLIPSIS)):
        assert "".join("".join(made).split()) == "".join(text.split())
