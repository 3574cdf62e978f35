from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from restyle import images
from restyle.errors import ConfigurationError, InvalidImage, MalformedResponse
from restyle.fingerprint import Preparation
from restyle.images import bounds
from tests.support import pictures
from tests.support.pictures import BLUE, GREEN, RED, YELLOW, corners, decode, encode, photo

STANDARD = Preparation()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def colour_at(data: bytes, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place given in parts of the width and the height."""
    image = decode(data).convert("RGB")
    colour = image.getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(colour, tuple)
    return colour


def assert_near(actual: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 6) -> None:
    """Two colours are the same to the eye."""
    assert max(abs(a - b) for a, b in zip(actual, expected, strict=True)) <= tolerance, (actual, expected)


def assert_corners(data: bytes) -> None:
    """The four quarters are where `corners` draws them."""
    for (x, y), expected in zip(
        [(0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)], [RED, GREEN, BLUE, YELLOW], strict=True
    ):
        assert_near(colour_at(data, x, y), expected)


@pytest.mark.parametrize("name", pictures.GOOD)
@pytest.mark.parametrize("max_side", [1024, 200])
def test_every_kind_of_picture_is_sent_as_rgb(name: str, max_side: int) -> None:
    """Whatever comes in, an RGB JPEG or PNG within the cap goes out, without a profile or a turn left in it."""
    data = pictures.GOOD[name]()
    prepared = images.prepare(data, Preparation(max_side=max_side))
    sent = decode(prepared.data)
    assert (sent.mode, sent.format) == ("RGB", "PNG" if name == "png" and max_side == 1024 else "JPEG")
    assert sent.size == (prepared.width, prepared.height)
    assert max(sent.size) == min(max_side, max(prepared.source_width, prepared.source_height))
    assert sent.getexif().get(0x0112, 1) == 1
    assert "icc_profile" not in sent.info
    assert bool(prepared.steps) == (prepared.data != data)


@pytest.mark.parametrize(
    "name", ["progressive jpeg", "grayscale jpeg", "grayscale png", "palette png", "webp", "tiff", "gif", "bmp", "avif"]
)
def test_photographs_keep_their_looks(name: str) -> None:
    """A photograph looks the same after preparation, whatever it was stored as."""
    data = pictures.GOOD[name]()
    sent = np.asarray(decode(images.prepare(data, STANDARD).data), dtype=float)
    assert np.abs(sent - np.asarray(decode(data).convert("RGB"), dtype=float)).mean() < 2


@pytest.mark.parametrize(("name", "sentence"), [(name, sentence) for name, (_, sentence) in pictures.BAD.items()])
def test_bad_pictures_are_refused_with_their_reason(name: str, sentence: str) -> None:
    """Each bad file fails with a sentence that says what it is."""
    with pytest.raises(InvalidImage) as error:
        images.prepare(pictures.BAD[name][0](), STANDARD)
    assert sentence in error.value.message


@pytest.mark.parametrize("image", [encode(photo()), encode(photo(), "PNG"), encode(photo(), icc_profile=SRGB)])
def test_a_picture_that_is_right_already_is_sent_byte_for_byte(image: bytes) -> None:
    """An upright RGB JPEG or PNG within the cap, untagged or in sRGB, is not touched."""
    prepared = images.prepare(image, STANDARD)
    assert (prepared.data, prepared.steps) == (image, ())
    assert (prepared.width, prepared.height) == photo().size


@pytest.mark.parametrize("name", ["jpeg", "cmyk jpeg", "alpha png", "alpha webp", "wide gamut jpeg"])
def test_without_a_cap_pictures_are_sent_as_they_are(name: str) -> None:
    """With max_side 0 upright JPEG, PNG and WebP pictures go out byte for byte."""
    data = pictures.GOOD[name]()
    assert images.prepare(data, Preparation(max_side=0)).data == data


def test_without_a_cap_damage_is_still_found() -> None:
    """A picture sent as it is has been read to its end all the same."""
    with pytest.raises(InvalidImage, match="truncated"):
        images.prepare(encode(photo())[:-500], Preparation(max_side=0))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(form: str, orientation: int) -> None:
    """A picture stored in any of the eight EXIF orientations comes out upright, resized and thumbnailed too."""
    lying = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    upright = corners(320, 240)
    stored = upright if lying is None else upright.transpose(lying)
    data = encode(stored, form, orientation=orientation)
    whole, small = images.prepare(data, STANDARD), images.prepare(data, Preparation(max_side=80))
    assert (whole.width, whole.height, small.width, small.height) == (320, 240, 80, 60)
    assert (whole.source_width, whole.source_height) == (320, 240)
    assert ("rotated" in whole.steps) == (orientation != 1)
    assert "resized 320x240->80x60" in small.steps
    for picture in (whole.data, small.data, images.thumbnail(data, 64)):
        assert_corners(picture)


@pytest.mark.filterwarnings(r"ignore:Corrupt EXIF:UserWarning", r"ignore:Tag:UserWarning")
def test_broken_exif_costs_no_picture() -> None:
    """What can be read of broken EXIF is honoured, the rest is ignored (with the warnings off, as images sets them)."""
    prepared = images.prepare(pictures.with_broken_exif(orientation=6), STANDARD)
    assert (prepared.width, prepared.height, prepared.steps) == (48, 64, ("rotated",))


def test_exif_behind_the_pixels_is_honoured() -> None:
    """A PNG may carry its orientation after the picture; it is turned all the same."""
    prepared = images.prepare(pictures.with_late_exif(orientation=6), STANDARD)
    assert (prepared.width, prepared.height, prepared.steps) == (240, 320, ("rotated",))


def test_alpha_is_laid_on_the_background() -> None:
    """Transparent parts take the background's colour; what lay hidden below them does not shine through."""
    for data in (encode(pictures.ghost(640, 480), "PNG"), pictures.see_through_palette()):
        for max_side in (1024, 32):
            prepared = images.prepare(data, Preparation(background="#102030", max_side=max_side))
            assert "flattened" in prepared.steps
            assert_near(colour_at(prepared.data, 0.2, 0.5), RED)
            assert_near(colour_at(prepared.data, 0.8, 0.5), (0x10, 0x20, 0x30))


@pytest.mark.parametrize("background", ["wite", "#12345", "rgb(1, 2, 300)", ""])
def test_a_background_that_is_no_colour_is_a_setting_to_mend(background: str) -> None:
    """An unknown colour is no fault of the picture."""
    with pytest.raises(ConfigurationError, match="is no colour; use a name such as white, or #rrggbb"):
        images.prepare(encode(photo()), Preparation(background=background))


def test_sixteen_bits_keep_their_brightness() -> None:
    """Mid-grey stays mid-grey when 16 bits become 8."""
    for colour_type in (0, 2, 6):
        prepared = images.prepare(pictures.deep_png(32768, colour_type=colour_type), STANDARD)
        assert "converted from 16 bits" in prepared.steps
        assert_near(colour_at(prepared.data, 0.5, 0.5), (128, 128, 128), 2)


@pytest.mark.parametrize("has_marker", [True, False])
def test_cmyk_is_not_inverted(has_marker: bool) -> None:
    """Ink is taken as Adobe stores it where the Adobe marker says so, and as the standard has it elsewhere."""
    ink = Image.new("CMYK", (64, 64), (0, 255, 255, 0))  # red
    if has_marker:
        data = encode(ink)
    else:
        data = pictures.without_adobe_marker(encode(Image.new("CMYK", (64, 64), (255, 0, 0, 255))))
    prepared = images.prepare(data, STANDARD)
    assert prepared.steps == ("converted from CMYK",)
    assert_near(colour_at(prepared.data, 0.5, 0.5), (255, 0, 0))


def to_srgb(colour: tuple[int, int, int]) -> tuple[int, ...]:
    """Adobe RGB to sRGB by their definitions, as an answer from elsewhere."""
    xyz = np.array(pictures.ADOBE_RGB).T @ (np.array(colour) / 255) ** (2.2)
    # XYZ under D50 to linear sRGB (IEC 61966-2-1 with Bradford adaptation)
    inverse = np.array(
        [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]]
    )
    linear = np.clip(inverse @ xyz, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(round(value * 255) for value in encoded)


@pytest.mark.parametrize("colour", [(100, 180, 120), (200, 90, 70), (128, 128, 128)])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colours_are_converted_by_their_profile(form: str, colour: tuple[int, int, int]) -> None:
    """A wide-gamut colour becomes the sRGB value that looks the same."""
    data = encode(Image.new("RGB", (32, 32), colour), form, icc_profile=pictures.wide_gamut_profile())
    prepared = images.prepare(data, STANDARD)
    assert "srgb" in prepared.steps
    assert_near(colour_at(prepared.data, 0.5, 0.5), to_srgb(colour), 4)


@pytest.mark.parametrize(
    "data",
    [
        encode(corners(), icc_profile=b"not a profile"),
        encode(corners(), icc_profile=pictures.wide_gamut_profile()[:200]),
        encode(corners().convert("CMYK"), icc_profile=pictures.wide_gamut_profile()),
    ],
    ids=["garbage", "cut short", "of another colour space"],
)
def test_a_broken_profile_is_ignored(data: bytes) -> None:
    """A profile that cannot be used costs no picture, and leaves a step that says so."""
    prepared = images.prepare(data, STANDARD)
    assert "profile ignored" in prepared.steps
    assert "icc_profile" not in decode(prepared.data).info


@pytest.mark.parametrize(("source", "sent"), [((1800, 1200), (1024, 683)), ((1200, 1800), (683, 1024))])
def test_the_longest_side_is_capped(source: tuple[int, int], sent: tuple[int, int]) -> None:
    """Larger pictures come down to the cap in proportion, as a JPEG decoded at reduced scale too."""
    prepared = images.prepare(encode(photo("coffee.jpg").resize(source)), STANDARD)
    assert (prepared.width, prepared.height) == sent
    assert prepared.steps == (f"resized {source[0]}x{source[1]}->{sent[0]}x{sent[1]}",)


def test_a_picture_is_never_enlarged() -> None:
    """A picture below the cap keeps its size."""
    prepared = images.prepare(encode(corners(), "WEBP"), STANDARD)
    assert (prepared.width, prepared.height, prepared.steps) == (64, 48, ("converted from WebP",))


def test_decoding_at_reduced_scale_loses_nothing_to_the_eye() -> None:
    """A large JPEG comes out as if it had been decoded whole and resampled, but for the noise of its own coding."""
    large = photo("coffee.jpg").resize((3600, 2400), Image.Resampling.BICUBIC)
    fair = large.resize((450, 300), Image.Resampling.LANCZOS)

    def difference(data: bytes) -> float:
        return float(np.abs(np.asarray(decode(data), dtype=float) - np.asarray(fair, dtype=float)).mean())

    sent = images.prepare(encode(large), Preparation(max_side=450)).data
    assert difference(sent) < 1.1 * difference(encode(fair, subsampling=0))


def test_a_first_page_is_named() -> None:
    """Of a TIFF with pages the first is used, and the steps say so."""
    prepared = images.prepare(pictures.GOOD["two-page tiff"](), STANDARD)
    assert prepared.steps == ("converted from TIFF", "first of several pages")
    assert_corners(prepared.data)


def test_a_comment_is_not_passed_on() -> None:
    """What an editor left in the file is not sent along when the picture is written anew."""
    prepared = images.prepare(encode(photo(), comment=b"made by an editor", orientation=3), STANDARD)
    assert b"made by an editor" not in prepared.data


@pytest.mark.parametrize(
    ("form", "content_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
def test_an_answer_is_verified(form: str, content_type: str) -> None:
    """A whole picture is told by its size and content type, at any size."""
    assert images.verify(encode(corners(), form)) == images.Picture(64, 48, content_type)
    assert images.verify(encode(Image.new("RGB", (1, 1)), form)).width == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "the answer is empty"),
        (b"<html><body>busy</body></html>", "the answer is an HTML page"),
        (b'{"error": 1}', "the answer is JSON"),
        (b"upstream timed out", "the answer is not a picture: it begins with 'upstream timed out'"),
        (encode(photo())[:-100], "the answer is a truncated JPEG file"),
        (encode(photo(), "PNG")[:-2000], "the answer is a truncated PNG file"),
        (encode(photo(), "GIF"), "the answer is a GIF file; JPEG, PNG or WebP was expected"),
    ],
)
def test_an_answer_without_a_whole_picture_is_malformed(data: bytes, sentence: str) -> None:
    """What came instead of a picture is named."""
    with pytest.raises(MalformedResponse) as error:
        images.verify(data)
    assert sentence in error.value.message


@pytest.mark.parametrize("name", pictures.GOOD)
def test_thumbnails_are_small_jpegs(name: str) -> None:
    """A thumbnail of any picture is an RGB JPEG of at most the side asked for."""
    thumbnail = decode(images.thumbnail(pictures.GOOD[name](), 48))
    assert (thumbnail.format, thumbnail.mode) == ("JPEG", "RGB")
    assert max(thumbnail.size) <= 48


def test_threads_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Good and bad pictures at the same time, large ones taking turns, all come out as they do alone."""
    monkeypatch.setattr(bounds, "LARGE", 10_000)
    good = [encode(photo(), orientation=turn) for turn in range(1, 9)] + [make() for make in pictures.GOOD.values()]
    bad = [make() for make, _ in pictures.BAD.values()]
    alone = [images.prepare(data, Preparation(max_side=100)) for data in good]

    def refused(data: bytes) -> bool:
        with pytest.raises(InvalidImage):
            images.prepare(data, STANDARD)
        return True

    with ThreadPoolExecutor(8) as threads:
        refusals = threads.map(refused, bad)
        together = threads.map(lambda data: images.prepare(data, Preparation(max_side=100)), good)
        assert list(together) == alone
        assert all(refusals)


SAMPLES = ("rotated jpeg", "see-through palette png", "alpha webp", "tiff", "gif")


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(SAMPLES),
    hits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0.05, 1.0),
)
def test_damage_is_survived(name: str, hits: list[tuple[int, int]], cut: float) -> None:
    """Whatever happens to the bytes, a picture is either prepared or refused as invalid."""
    data = pictures.GOOD[name]()
    damaged = bytearray(data[: max(1, int(len(data) * cut))])
    for place, value in hits:
        damaged[place % len(damaged)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as images sets it for Pillow, which pytest undoes
        try:
            prepared = images.prepare(bytes(damaged), Preparation(max_side=64))
        except InvalidImage:
            return
    assert images.verify(prepared.data).width == prepared.width
