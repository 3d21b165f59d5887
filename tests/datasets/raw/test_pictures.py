"""Pictures as arrays: every kind becomes red, green and blue, and what cannot be read is named."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmbench.datasets.raw.pictures import ArchivedPicture, PictureArray, PictureFile, decoded
from cmbench.errors import DatasetError

RGB = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [0, 0, 0], [255, 255, 255]]], np.uint8
)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("cat/a.png", encoded(Image.fromarray(RGB)))
        opened.writestr("cat/b.png", b"no picture")
    return path


def test_a_coloured_picture_is_its_pixels():
    pixels = decoded(encoded(Image.fromarray(RGB)), "a.png")
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, RGB)


def test_grey_becomes_three_equal_channels():
    grey = np.array([[0, 100, 255]], np.uint8)
    expected = np.stack([grey, grey, grey], axis=2)
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(grey)), "a.png"), expected)


def test_black_and_white_becomes_0_and_255():
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    np.testing.assert_array_equal(decoded(encoded(image), "a.png"), [[[0] * 3, [255] * 3]])


def palette():
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 150, 50])
    image.putpixel((1, 0), 1)
    return image


def test_a_palette_becomes_the_colours_it_stands_for():
    for kind in ("PNG", "GIF"):
        np.testing.assert_array_equal(decoded(encoded(palette(), kind), "a"), [[[200, 0, 0], [0, 150, 50]]])


def test_a_transparent_entry_of_a_palette_becomes_white():
    pixels = decoded(encoded(palette(), transparency=0), "a.png")
    np.testing.assert_array_equal(pixels, [[[255, 255, 255], [0, 150, 50]]])


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0), ((0, 0, 0, 51), 204), ((100, 100, 100, 51), 224)],
)
def test_transparency_is_laid_on_white(pixel, expected):
    image = Image.new("RGBA", (1, 1), pixel)
    np.testing.assert_array_equal(decoded(encoded(image), "a.png"), [[[expected] * 3]])


def test_grey_with_transparency_is_laid_on_white():
    image = Image.new("LA", (1, 1), (0, 51))
    np.testing.assert_array_equal(decoded(encoded(image), "a.png"), [[[204] * 3]])


def test_four_inks_become_red_green_and_blue():
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    np.testing.assert_allclose(decoded(encoded(image, "JPEG"), "a.jpg"), 255, atol=2)


def test_the_orientation_of_the_camera_is_not_applied():
    image = Image.fromarray(np.zeros((2, 5, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    assert decoded(encoded(image, "JPEG", exif=exif), "a.jpg").shape == (2, 5, 3)


def test_sixteen_bit_grey_is_scaled_to_eight():
    grey = np.array([[0, 257 * 100, 65535]], np.uint16)
    pixels = decoded(encoded(Image.fromarray(grey)), "a.png")
    np.testing.assert_array_equal(pixels, [[[0] * 3, [100] * 3, [255] * 3]])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled_in_every_kind_of_file(kind):
    grey = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    np.testing.assert_array_equal(decoded(encoded(grey, kind), "a")[0, :, 0], [0, 100, 255])


def test_sixteen_bit_grey_with_a_transparent_shade_is_scaled_too():
    content = encoded(Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)))
    shade = b"tRNS" + struct.pack(">H", 7)
    chunk = struct.pack(">I", 2) + shade + struct.pack(">I", zlib.crc32(shade))
    at = content.index(b"IDAT") - 4
    np.testing.assert_array_equal(decoded(content[:at] + chunk + content[at:], "a")[0, :, 0], [0, 100, 255])


@pytest.mark.parametrize("values", [np.array([[0, 200]], np.int32), np.array([[0, 0.5]], np.float32)])
def test_pixels_of_32_bits_are_refused(values):
    with pytest.raises(DatasetError, match=r"a\.tif: .*32 bits a pixel.*convert it to 8 bits"):
        decoded(encoded(Image.fromarray(values), "TIFF"), "a.tif")


def test_postscript_is_not_handed_on_to_another_program():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(DatasetError, match=r"a\.jpg: no picture can be read; it is a PostScript"):
        decoded(postscript, "a.jpg")


def test_a_file_is_read_and_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.fromarray(RGB)))
    picture = PictureFile(path)
    np.testing.assert_array_equal(picture.read(), RGB)
    assert picture.name == str(path)


def test_a_truncated_jpeg_is_refused(tmp_path):
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)), "JPEG")
    path = tmp_path / "half.jpg"
    for share in (0.9, 0.5, 0.1):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DatasetError, match=r"half\.jpg: no picture can be read .*; get the file again"):
            PictureFile(path).read()


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.jpg: no picture can be read"):
        PictureFile(path).read()


def test_a_picture_of_too_many_pixels_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    with pytest.raises(DatasetError, match="bomb"):
        decoded(encoded(Image.new("1", (100, 100))), "a.png")


def test_a_png_that_breaks_off_between_its_chunks_is_refused():
    whole = encoded(Image.fromarray(RGB))
    at = whole.index(b"IDAT")
    length = struct.unpack(">I", whole[at - 4 : at])[0]
    half = whole[at : at + 4 + length // 2]
    chunk = struct.pack(">I", length // 2) + half + struct.pack(">I", zlib.crc32(half))
    with pytest.raises(DatasetError, match=r"a\.png"):
        decoded(whole[: at - 4] + chunk + bytes(30), "a.png")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.jpg: no picture can be read \(No such file"):
        PictureFile(tmp_path / "gone.jpg").read()
    with pytest.raises(DatasetError, match="no picture can be read"):
        PictureFile(tmp_path).read()


def test_an_archived_picture_is_read_and_named(archive):
    picture = ArchivedPicture(archive, "cat/a.png")
    np.testing.assert_array_equal(picture.read(), RGB)
    assert picture.name == f"{archive}:cat/a.png"


def test_a_missing_entry_and_an_entry_that_is_no_picture_are_refused(archive):
    with pytest.raises(DatasetError, match=r"all\.zip:dog/a\.png: no picture can be read .*dog/a\.png"):
        ArchivedPicture(archive, "dog/a.png").read()
    with pytest.raises(DatasetError, match=r"all\.zip:cat/b\.png: no picture can be read"):
        ArchivedPicture(archive, "cat/b.png").read()


def test_a_file_that_is_no_archive_and_a_missing_archive_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with pytest.raises(DatasetError, match=r"a\.zip:a\.png: no picture can be read .*No such file"):
        ArchivedPicture(path, "a.png").read()
    path.write_bytes(b"no archive")
    with pytest.raises(DatasetError, match="not a zip file"):
        ArchivedPicture(path, "a.png").read()


def test_an_entry_whose_checksum_is_wrong_is_refused(archive):
    damaged = bytearray(archive.read_bytes())
    damaged[damaged.index(b"no picture")] ^= 1
    archive.write_bytes(damaged)
    with pytest.raises(DatasetError, match="CRC"):
        ArchivedPicture(archive, "cat/b.png").read()


def test_an_entry_that_cannot_be_unpacked_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.bmp", encoded(Image.fromarray(RGB), "BMP"))
    damaged = bytearray(path.read_bytes())
    damaged[30 + len("a.bmp")] = 0xFF  # the first byte of the stream: a type of block that is none
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"a\.zip:a\.bmp"):
        ArchivedPicture(path, "a.bmp").read()


def test_an_array_is_given_as_it_is():
    picture = PictureArray("drawn", RGB)
    assert picture.read() is RGB
    assert picture.name == "drawn"


def test_a_picture_file_that_changes_or_lies_elsewhere_has_another_identity(tmp_path, monkeypatch):
    identities = set()
    for folder, colour in (("one", "red"), ("two", "red"), ("two", "blue")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        Image.new("RGB", (4, 4), colour).save("a.png")
        identities.add(PictureFile(Path("a.png")).identity)
        assert PictureFile(tmp_path / folder / "a.png").identity in identities
    assert len(identities) == 3
    with pytest.raises(DatasetError, match=r"gone\.png: no picture can be read \(No such file"):
        _ = PictureFile(Path("gone.png")).identity


def test_an_archived_picture_has_the_identity_of_its_archive_and_its_entry(archive):
    first, second = (ArchivedPicture(archive, f"cat/{name}.png") for name in "ab")
    before = first.identity
    assert before == ArchivedPicture(archive, "cat/a.png").identity != second.identity
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("cat/c.png", b"")
    assert first.identity != before
    with pytest.raises(DatasetError, match=r"all\.zip:dog/a\.png: no picture can be read"):
        _ = ArchivedPicture(archive, "dog/a.png").identity


def test_an_array_has_the_identity_of_its_pixels():
    assert PictureArray("a", RGB).identity == PictureArray("b", RGB.copy()).identity
    assert PictureArray("a", RGB).identity != PictureArray("a", RGB[::-1]).identity
    assert PictureArray("a", RGB).identity != PictureArray("a", RGB.reshape(3, 2, 3)).identity


def container(brand, compatible=b""):
    size = (16 + len(compatible)).to_bytes(4, "big")
    return size + b"ftyp" + brand + bytes(4) + compatible + bytes(40)


KINDS = {
    "AVIF": (container(b"avif"), "is an AVIF picture, which is not read here; convert it"),
    "HEIC": (container(b"heic"), "is a HEIC picture, which is not read here; convert it"),
    "HEIF of Samsung": (container(b"mif1"), "is a HEIC picture"),
    "AVIF of any brand": (container(b"mif1", b"mif1miafavif"), "is an AVIF picture"),
    "HEIC of any brand": (container(b"msf1", b"mif1hevc"), "is a HEIC picture"),
    "MP4": (container(b"isom"), "is a video and not a picture"),
    "another brand": (container(b"abcd"), "of the kind 'abcd'"),
    "HTML": (b"\n<!DOCTYPE html><html>404</html>", r"is a web page \(HTML\) and not a picture: the download"),
    "HTML in capitals": (b"<HTML><HEAD>", "is a web page"),
    "XML": (b"<?xml version='1.0'?><svg/>", "is XML or an SVG drawing"),
    "SVG": (b"<svg xmlns=''/>", "is an SVG drawing"),
    "PDF": (b"%PDF-1.7\n", "is a PDF document"),
    "JSON": (b'{"error": "not found"}', "is JSON and not a picture"),
    "text": (b"Not Found", "is text .'Not Found'. and not a picture"),
    "ZIP": (b"PK\x03\x04" + bytes(30), "is a ZIP archive"),
    "gzip": (b"\x1f\x8b\x08" + bytes(9), "is compressed by gzip"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
    "nothing": (b"", "is empty; get the file again"),
    "zeros": (bytes(100), "is nothing but zeros"),
    "JPEG XL": (b"\xff\x0a" + bytes(20), "is a JPEG XL picture"),
    "bytes": (b"\x01\x02\x03\x04\xff\xfe", "of no kind that is known here .it begins with 01 02 03 04"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_called_a_picture_and_is_none_is_called_what_it_is(kind):
    content, message = KINDS[kind]
    with pytest.raises(DatasetError, match=rf"^photo\.jpg: no picture can be read; it .*{message}"):
        decoded(content, "photo.jpg")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG", "BMP"])
def test_pictures_of_other_kinds_are_read_whatever_they_are_called(kind, tmp_path):
    Image.new("RGB", (4, 3), "red").save(tmp_path / "a.jpg", format=kind)
    assert decoded((tmp_path / "a.jpg").read_bytes(), "a.jpg").shape == (3, 4, 3)
