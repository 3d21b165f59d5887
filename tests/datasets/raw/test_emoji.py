"""Emoji from unpacked packages: which are taken, what belongs together, and what is wrong with a folder."""

import io
import json
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from cmbench.datasets.raw import emoji as module
from cmbench.datasets.raw.registry import load_raw
from cmbench.datasets.registry import load_dataset
from cmbench.errors import DatasetError

FIRST = {"animal": 0x1F400, "food": 0x1F344, "rare": 0x1F6A0}
COUNTS = {"animal": 12, "food": 10, "rare": 3}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="4" height="8" fill="{}"/></svg>'

TEXTS = {
    "noto": "c/NotoColorEmoji.ttf",
    "groups": "d/emoji/emoji-test.txt",
    "cldr": "e/common/annotations/en.xml",
    "emojilib": "f/dist/emoji-en-US.json",
    "emojibase": "g/en/data.json",
}


def digest(path):
    return sha256(path.read_bytes()).hexdigest()


def png_of(colour):
    buffer = io.BytesIO()
    Image.new("RGBA", (6, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def emoji_of():
    """Return code point, name and subgroup of each emoji."""
    return [
        (FIRST[group] + number, f"{group} number-{number}", group)
        for group, count in COUNTS.items()
        for number in range(count)
    ]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    lines, annotations, lib, base = ["# group: Things"], [], {}, []
    subgroup = ""
    for code_point, name, group in emoji_of():
        if group != subgroup:
            lines.append(f"# subgroup: {group}")
            subgroup = group
        character, hexadecimal = chr(code_point), f"{code_point:X}"
        lines.append(f"{hexadecimal} FE0F ; fully-qualified     # {character} E1.0 {name}")
        annotations.append(f'<annotation cp="{character}">{name} | cldr word</annotation>')
        annotations.append(f'<annotation cp="{character}" type="tts">{name}</annotation>')
        lib[character + "\ufe0f"] = [name.replace(" ", "_"), "lib_word"]
        base.append({"emoji": character, "label": name, "tags": ["base word"]})
        write(tmp_path / "a" / "svg" / f"{code_point:x}.svg", SVG.format("red"))
        plain = name.replace(" ", "-") + ("-default" if name.endswith("number-1") else "")
        write(tmp_path / "b" / "icons" / "flat" / f"{plain}.svg", SVG.format("blue"))
    write(tmp_path / "a" / "svg" / "1f600.svg", SVG.format("red"))
    write(tmp_path / "b" / "icons" / "flat" / "grinning-face.svg", SVG.format("red"))
    write(tmp_path / "c" / "NotoColorEmoji.ttf", "")
    write(tmp_path / "d" / "emoji" / "emoji-test.txt", "\n".join(lines))
    write(tmp_path / "e/common/annotations/en.xml", f"<ldml>{''.join(annotations)}</ldml>")
    write(tmp_path / "f" / "dist" / "emoji-en-US.json", json.dumps(lib))
    write(tmp_path / "g" / "en" / "data.json", json.dumps(base))
    glyphs = {code_point: png_of("#00ff0080") for code_point, _, _ in emoji_of()}
    monkeypatch.setattr(module.Sources, "_glyphs", glyphs)
    monkeypatch.setattr(
        module, "CHECKSUMS", {source: digest(tmp_path / name) for source, name in TEXTS.items()}
    )
    drawings = [
        f"{digest(path)[:16]} {source} {path.name}"
        for source, folder in (("twemoji", "a/svg"), ("fluent", "b/icons/flat"))
        for path in sorted((tmp_path / folder).iterdir())
    ]
    write(tmp_path / "drawings.txt", "\n".join(drawings))
    monkeypatch.setattr(module, "DRAWINGS", tmp_path / "drawings.txt")
    return tmp_path


def test_each_emoji_gives_three_pairs_with_pictures_and_texts_of_their_own(packages):
    dataset = load_raw("emoji", packages)
    pairs = {pair.id: pair for _, split in dataset.splits for pair in split}
    assert len(pairs) == 3 * (12 + 10)
    assert dataset.class_names == ("animal", "food")  # the third has fewer than eight
    three = [pairs[f"{style}/1f400"] for style in ("noto", "twemoji", "fluent")]
    assert [pair.segments for pair in three] == [
        ("animal number-0", "cldr word"),
        ("animal number-0", "lib word"),
        ("animal number-0", "base word"),
    ]


def test_no_emoji_stands_in_two_splits_and_a_tenth_of_each_category_is_for_each_of_the_small_ones(packages):
    dataset = load_raw("emoji", packages)
    homes = {}
    for name, pairs in dataset.splits:
        for pair in pairs:
            homes.setdefault(pair.id.partition("/")[2], set()).add(name)
    assert all(len(home) == 1 for home in homes.values())
    assert [len(pairs) for _, pairs in dataset.splits] == [3 * 18, 3 * 2, 3 * 2]


def test_emoji_that_a_style_draws_alike_stand_in_one_split(packages, monkeypatch):
    drawn = load_raw("emoji", packages)
    test = {pair.id for pair in drawn.test}
    model = next(int(id_.partition("/")[2], 16) for id_ in sorted(test) if id_.startswith("noto/1f4"))
    other = next(
        code_point
        for code_point, _, group in emoji_of()
        if group == "animal" and f"noto/{code_point:x}" not in test
    )
    monkeypatch.setattr(module, "ALIKE", {other: model})
    assert f"noto/{other:x}" in {pair.id for pair in load_raw("emoji", packages).test}


def test_pictures_are_drawn_on_white(packages):
    pytest.importorskip("resvg_py")
    pairs = {pair.id: pair for _, split in load_raw("emoji", packages).splits for pair in split}
    drawn = pairs["twemoji/1f401"].picture.read()
    assert drawn.shape == (module.SIDE, module.SIDE, 3)
    np.testing.assert_array_equal(drawn[64, 10], [255, 0, 0])
    np.testing.assert_array_equal(drawn[64, 120], [255, 255, 255])
    np.testing.assert_array_equal(pairs["fluent/1f401"].picture.read()[64, 10], [0, 0, 255])
    glyph = pairs["noto/1f401"].picture.read()
    assert glyph.shape == (4, 6, 3)
    np.testing.assert_allclose(glyph[0, 0], [127, 255, 127], atol=1)


def test_a_package_that_is_missing_is_named_with_its_version(packages):
    (packages / "f" / "dist" / "emoji-en-US.json").unlink()
    (packages / "c" / "NotoColorEmoji.ttf").unlink()
    with pytest.raises(DatasetError, match=r"fonts-noto-color-emoji 2\.042.*emojilib 4\.0\.3 of npm"):
        load_raw("emoji", packages)


@pytest.mark.parametrize(("source", "name"), TEXTS.items())
@pytest.mark.parametrize("content", ['{"a": []}', "[1]", '[{"hexcode": "1F400"}]', "<ldml"])
def test_a_file_of_another_version_or_damaged_is_named_before_it_is_parsed(
    packages, monkeypatch, source, name, content
):
    monkeypatch.delattr(module.Sources, "_glyphs")
    (packages / name).write_text(content, encoding="utf-8")
    package, _ = module.PACKAGES[source]
    with pytest.raises(DatasetError) as raised:
        load_raw("emoji", packages)
    assert str(raised.value) == (
        f"raw dataset 'emoji': {packages / name} is not that of {package}; fetch this version"
    )


def test_every_drawing_that_is_missing_or_damaged_is_named_and_no_other(packages):
    damaged = packages / "a" / "svg" / "1f401.svg"
    damaged.write_text("<svg", encoding="utf-8")
    (packages / "a" / "svg" / "1f402.svg").unlink()
    (packages / "b" / "icons" / "flat" / "animal-number-1-default.svg").unlink()
    with pytest.raises(DatasetError) as raised:
        load_raw("emoji", packages)
    twemoji, fluent = "@twemoji/svg 15.0.0 of npm", "fluentui-emoji 1.3.0 of npm"
    assert str(raised.value).removeprefix("raw dataset 'emoji': ").split("; ") == [
        f"{damaged} is not that of {twemoji}",
        "fetch this version",
        f"no 1f402.svg in {damaged.parent}",
        f"fetch {twemoji} and unpack it there",
        f"no animal-number-1-default.svg in {packages / 'b/icons/flat'}",
        f"fetch {fluent} and unpack it there",
    ]


def test_the_drawings_that_are_compared_are_those_of_the_built_in_dataset():
    compared = [line.split()[1:] for line in module.DRAWINGS.read_text("utf-8").splitlines()]
    dataset = load_dataset("emoji")
    ids = [id_ for split in (dataset.train, dataset.validation, dataset.test) for id_ in split.ids]
    used = {f"{id_.partition('/')[2]}.svg" for id_ in ids if id_.startswith("twemoji/")}
    assert {name for source, name in compared if source == "twemoji"} == used
    assert len({name for source, name in compared if source == "fluent"}) == len(used)
