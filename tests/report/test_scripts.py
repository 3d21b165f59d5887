"""LaTeX of names in other scripts: what it says it needs, and what stays as it was."""

import re

import pytest
from made_records import made_dataset, made_record
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

from cmbench.report.formats import escaped
from cmbench.report.scripts import needs_of
from cmbench.report.table import render


def latex(name, feature="deep"):
    return render([made_record(dataset=made_dataset(name, image_feature=feature))], format="latex")


def test_a_table_in_latin_letters_says_nothing_of_engines():
    text = latex("Größe naïve łódź")
    assert text.startswith("% needs \\usepackage{booktabs}")
    assert "xelatex" not in text


@pytest.mark.parametrize(
    ("name", "script", "packages"),
    [
        ("动物", "Chinese", ["xeCJK", "luatexja-fontspec"]),
        ("ひらがな", "Japanese", ["xeCJK", "luatexja-fontspec"]),
        ("한국", "Korean", ["xeCJK", "luatexja-fontspec"]),
        ("Ελλάδα", "Greek", ["fontspec"]),
        ("русский", "Cyrillic", ["fontspec"]),
        ("قطة البحر", "Arabic", ["fontspec", "bidi"]),
        ("שלום", "Hebrew", ["fontspec", "bidi"]),
    ],
)
def test_another_script_is_named_with_the_engine_and_the_packages(name, script, packages):
    comment = [line for line in latex(name).splitlines() if line.startswith("%")]
    assert comment[0].startswith(f"% has {script} characters: compile it with xelatex")
    assert "not pdflatex" in comment[0]
    for package in packages:
        assert any(f"\\usepackage{{{package}}}" in line for line in comment)
    assert name in latex(name)


@pytest.mark.parametrize(
    "name", ["Ελλάδα", "русский", "կատու", "კატა", "قطة البحر", "שלום", "ແມວ", "שלום русский"]
)
def test_the_font_that_is_recommended_has_the_characters_of_the_name(name):
    (font,) = re.findall(r"setmainfont\{(.+?)\}", "\n".join(needs_of(name)))
    characters = FT2Font(findfont(font, fallback_to_default=False)).get_charmap()
    assert {ord(character) for character in name if character != " "} <= characters.keys()


def test_without_a_font_that_is_known_to_have_a_script_the_reader_is_asked_for_one():
    assert (
        needs_of("แมว")[1] == r"\usepackage{fontspec}\setmainfont{...} with a font that has Thai characters"
    )


def test_what_runs_from_right_to_left_beside_chinese_has_no_line_for_lualatex():
    lines = needs_of("动物 قطة")
    assert any("xeCJK" in line for line in lines)
    assert not any("lualatex" in line.replace("not pdflatex", "") for line in lines)


def test_scripts_stand_together_and_characters_of_none_are_symbols():
    assert needs_of("动 ω ≤")[0].startswith("has Chinese, Greek and symbol characters: compile it with")


def test_words_from_right_to_left_are_turned_and_print_without_bidi_too():
    text = latex("sea البحر قطة 12")
    assert "sea \\RLE{البحر قطة} 12" in text
    assert "\\providecommand{\\RLE}[1]{#1}" in text
    assert "\\RLE" not in latex("动物")


def test_accents_are_composed():
    assert escaped("cafe\u0301 A\u030angstro\u0308m") == "café Ångström"
