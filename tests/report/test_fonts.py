"""Names in scripts that the font of figures lacks: drawn in another font, or named."""

import warnings

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from made_records import TASKS, made_dataset, made_record
from matplotlib import font_manager, get_data_path
from matplotlib import image as images
from matplotlib.figure import Figure

from cmbench.errors import CmbenchWarning
from cmbench.report import fonts
from cmbench.report.categories import figure
from cmbench.report.figure import save

NAMES = "动植"


def square(pen):
    pen.moveTo((50, 0))
    for corner in ((50, 800), (950, 800), (950, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen


def made_font(path, family, characters=NAMES, compact=False):
    """Write a font in which these characters are black squares."""
    glyphs = [".notdef", *(f"uni{ord(character):04X}" for character in characters)]
    builder = FontBuilder(1000, isTTF=not compact)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(character): f"uni{ord(character):04X}" for character in characters})
    if compact:
        strings = {name: square(T2CharStringPen(1000, None)).getCharString() for name in glyphs}
        builder.setupCFF(family.replace(" ", ""), {"FullName": family}, strings, {})
    else:
        builder.setupGlyf({name: square(TTGlyphPen(None)).glyph() for name in glyphs})
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Return a function that makes a system whose fonts are those of matplotlib and those made for it."""
    own = [entry for entry in font_manager.fontManager.ttflist if entry.fname.startswith(get_data_path())]

    def install(*made, just_now=()):
        paths = [made_font(tmp_path / f"{family}.otf", family, **options) for family, options in made]
        monkeypatch.setattr(font_manager.fontManager, "ttflist", list(own))
        for path in paths:
            font_manager.fontManager.addfont(path)
        new = [made_font(tmp_path / f"{family}.ttf", family) for family in just_now]
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: new)
        font_manager.fontManager._findfont_cached.cache_clear()

    yield install
    font_manager.fontManager._findfont_cached.cache_clear()


def drawn(tmp_path, text, suffix=".png"):
    """Return the file of a figure of that text, and what was warned of."""
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.3, text, fontsize=20)
    path = tmp_path / f"figure{suffix}"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        save(figure, path)
    return path, [str(warning.message) for warning in told]


def black(path):
    return int((images.imread(path)[:, :, 0] < 0.5).sum())


@pytest.mark.parametrize("compact", [False, True])
def test_characters_that_the_first_font_lacks_are_drawn_in_another(compact, installed, tmp_path):
    installed()
    boxes = black(drawn(tmp_path, f"a {NAMES}")[0])
    installed(("Made Chinese", {"compact": compact}))
    path, told = drawn(tmp_path, f"a {NAMES}")
    assert told == []
    assert black(path) > 1.3 * boxes  # squares that are full
    content = drawn(tmp_path, f"a {NAMES}", ".pdf")[0].read_bytes()
    assert (b"/Type3" in content) is compact


def test_characters_that_no_font_has_are_told_of_by_script(installed, tmp_path):
    installed(("Made Chinese", {"characters": "动"}))
    _, told = drawn(tmp_path, "动植 한국 ☃\U00010000 Ελλάδα Ωμέγα")
    assert len(told) == 3
    assert told[0].startswith("1 Chinese character(s) are drawn as boxes (植), because no installed font")
    assert "install a Chinese font, such as Noto Sans CJK, and draw" in told[0]
    assert told[1].startswith("2 Korean character(s) are drawn as boxes (국 한)")
    assert told[2].startswith("1 symbol character(s)")


def test_a_font_that_was_installed_just_now_is_found(installed, tmp_path):
    installed(just_now=["Made Later"])
    assert drawn(tmp_path, NAMES)[1] == []
    assert fonts.families_for(NAMES) == (["DejaVu Sans", "Made Later"], [])


def test_preferred_fonts_go_before_others_and_none_is_taken_in_vain(installed):
    made = ("Aaa", {}), ("SimHei", {}), ("Zzz", {"characters": "국"})
    installed(*made)
    assert fonts.families_for(f"x{NAMES}국") == (["DejaVu Sans", "SimHei", "Zzz"], [])
    assert fonts.families_for("Größe → ω Ελλάδα русский قطة") == (["DejaVu Sans"], [])


@pytest.mark.parametrize("text", ["قطة", "שלום", "किताब"])
def test_letters_that_must_be_joined_are_told_of_where_matplotlib_cannot(
    text, installed, tmp_path, monkeypatch
):
    installed()
    monkeypatch.setattr(fonts.mpl, "__version__", "3.10.1")
    told = [each for each in drawn(tmp_path, text)[1] if "neither joins" in each]
    assert len(told) == 1
    assert "install matplotlib 3.11" in told[0]
    monkeypatch.setattr(fonts.mpl, "__version__", "3.11.0")
    assert not [each for each in drawn(tmp_path, text)[1] if "neither joins" in each]


def test_names_of_categories_and_their_ticks_are_drawn_in_the_font_that_has_them(installed, tmp_path):
    installed(("Made Chinese", {}))
    data = made_dataset("植", class_names=["动", "植"])
    record = made_record(dataset=data, category_map={task: [0.25, 0.75] for task in TASKS})
    made = figure([record])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(made, tmp_path / "figure.png")
    labels = [label for panel in made.axes for label in panel.get_xticklabels()]
    assert {label.get_text() for label in labels} >= {"动", "植"}
    assert all(label.get_fontfamily() == ["DejaVu Sans", "Made Chinese"] for label in labels)


def test_without_other_fonts_a_warning_reaches_whoever_draws(installed, tmp_path):
    installed()
    with pytest.warns(CmbenchWarning, match="Chinese"):
        save(figure([made_record(dataset=made_dataset(class_names=["动", "dog"]))]), tmp_path / "figure.svg")
