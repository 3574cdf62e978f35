"""What leaves of a picture, and which pictures are refused for what they are: decided before anything is paid."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from restyle import images
from restyle.errors import InvalidImage, MalformedResponse
from restyle.fingerprint import Preparation
from restyle.images.formats import implied
from restyle.images.formats.structure import png_chunks
from restyle.models import InputRules
from tests.support import pictures
from tests.support.pictures import corners, decode, encode, photo

STANDARD = Preparation()
SECRET = b"GPS 52.3N 13.2E"


def sent(data: bytes, **rules: Any) -> images.Prepared:
    """A picture as it leaves."""
    given = InputRules(min_side=1, max_ratio=0).model_copy(update=rules)
    return images.prepare(data, STANDARD, given)


def apart(one: Any, other: Any) -> int:
    """By how many levels two colours differ, at most."""
    return int(np.abs(np.subtract(one, other)).max())


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """A PNG with a chunk before its pixels."""
    place = data.index(b"IDAT") - 4
    return data[:place] + chunk(name, content) + data[place:]


def deep_png(colour: int, pixel: tuple[int, ...], back: tuple[int, ...]) -> bytes:
    """A PNG of 16 bits: a square on a background whose colour is transparent."""
    form, size = f">{len(pixel)}H", 64
    rows = b"".join(
        b"\0" + b"".join(struct.pack(form, *(pixel if 16 < x < 48 and 16 < y < 48 else back)) for x in range(size))
        for y in range(size)
    )
    head = struct.pack(">IIBBBBB", size, size, 16, colour, 0, 0, 0)
    key, pixels = chunk(b"tRNS", struct.pack(form, *back)), chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + key + pixels + chunk(b"IEND", b"")


# -- what does not leave -------------------------------------------------------------------------------------


def phone() -> bytes:
    """A JPEG as phones make them: EXIF, a second picture, and a film behind it."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    file = BytesIO()
    second = Image.new("RGB", photo().size, "green")
    photo().save(file, "MPO", save_all=True, append_images=[second], exif=exif, comment=SECRET, quality=90)
    return file.getvalue() + SECRET + bytes(5000)


def between_scans(data: bytes, marker: bytes) -> bytes:
    """A progressive JPEG with a segment behind its first scan."""
    place = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    return data[:place] + marker + struct.pack(">H", 2 + len(SECRET)) + SECRET + data[place:]


@pytest.mark.parametrize(
    "data",
    [
        phone(),
        encode(photo(), xmp=SECRET, comment=SECRET, progressive=True),
        with_chunk(with_chunk(encode(photo(), "PNG"), b"tEXt", b"Comment\0" + SECRET), b"eXIf", b"MM\0*" + SECRET),
        encode(photo(), "PNG") + SECRET,
        between_scans(encode(photo(), progressive=True), b"\xff\xfe"),
        between_scans(encode(photo(), progressive=True), b"\xff\xe1"),
        encode(photo())[:-2] + b"\xff\xfe" + struct.pack(">H", 2 + len(SECRET)) + SECRET + b"\xff\xd9",
    ],
    ids=["phone", "progressive", "png", "behind a png", "between scans", "exif between scans", "behind the scan"],
)
def test_metadata_do_not_leave(data: bytes) -> None:
    """Nor a second picture, nor what follows the first; its pixels are those of the file, bit by bit."""
    made = sent(data)
    assert SECRET in data
    assert SECRET not in made.data
    assert made.steps == ("metadata removed",)
    assert made.data.count(b"\xff\xd8\xff") <= 1
    assert decode(made.data).tobytes() == decode(data).tobytes()
    assert (sent(made.data).data, sent(made.data).steps) == (made.data, ())
    assert sent(data, keep_metadata=True).data == data


@pytest.mark.parametrize("form", ["WEBP", "PNG", "JPEG"])
def test_metadata_do_not_leave_without_a_cap(form: str) -> None:
    """Also where every picture is sent as it is stored."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    profile = pictures.wide_gamut_profile()
    data = encode(photo(), form, exif=exif.tobytes(), icc_profile=profile)
    made = images.prepare(data, Preparation(max_side=0))
    assert SECRET not in made.data
    assert decode(made.data).info["icc_profile"] == profile
    assert decode(made.data).tobytes() == decode(data).tobytes()


# -- pictures that are not all there -------------------------------------------------------------------------

KINDS: list[dict[str, Any]] = [
    {}, {"progressive": True}, {"subsampling": 2}, {"restart_marker_rows": 1}, {"optimize": True}, {"quality": 30},
]  # fmt: skip


def white() -> Image.Image:
    """A product on white, as catalogs have them: most of it is one colour."""
    page = Image.new("RGB", (450, 600), "white")
    page.paste(photo().resize((200, 150)), (100, 60))
    return page


IMAGES: dict[str, Callable[[], Image.Image]] = {
    "photo": photo,
    "grey": lambda: photo().convert("L"),
    "on white": white,
    "all white": lambda: Image.new("RGB", (300, 200), "white"),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_is_all_there(name: str, kind: dict[str, Any]) -> None:
    """It is taken, also where its last bytes alone are missing, which carry no pixels."""
    data = encode(IMAGES[name](), **kind)
    assert sent(data).data == data or name == "grey"
    assert sent(data[:-2]).width == sent(data[:-1]).width == sent(data).width
    if name != "grey":
        assert sent(data[:-2]).data == data
        assert sent(data[:-2]).steps == ("end marker added",)
    images.verify(data)


@pytest.mark.parametrize("name", ["photo", "grey", "on white"])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(share=st.floats(0.3, 0.93), hole=st.sampled_from(["cut", "closed", "zeros"]))
def test_a_jpeg_that_is_not_all_there(name: str, kind: dict[str, Any], share: float, hole: str) -> None:
    """It is refused whatever marker closes it, and so is an answer: what is missing would be drawn grey."""
    data = encode(IMAGES[name](), **kind)
    keep = int(len(data) * share)
    if hole == "zeros" and ("progressive" in kind or "restart_marker_rows" in kind):
        hole = "closed"
    damaged = data[:keep] + {
        "cut": b"", "closed": b"\xff\xd9", "zeros": bytes(len(data) - keep - 2) + b"\xff\xd9",
    }[hole]  # fmt: skip
    if hole == "zeros" and name == "on white" and "optimize" in kind:
        return  # zeros are how this file's table writes white: as many as are missing cannot be told from them
    with pytest.raises(InvalidImage, match=r"truncated|damaged"):
        sent(damaged)
    with pytest.raises(MalformedResponse):
        images.verify(damaged)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "marks",
    [b"\xff\xd9", b"\xff\xff\xff\xd9", b"\xff" * 10_000 + b"\xd9", b"\xff\xff"],
    ids=["closed", "filled", "long filled", "not closed"],
)
def test_a_jpeg_that_breaks_off_within_a_byte_of_ones(marks: bytes, kind: dict[str, Any]) -> None:
    """The 0xFF that the cut leaves is no part of the pixels, nor are the fill bytes that may stand before a marker."""
    data = encode(photo().convert("L"), **kind)
    cuts = [place + 1 for place in range(len(data) // 2, len(data) - 200) if data[place : place + 2] == b"\xff\0"]
    assert cuts
    for cut in cuts[:: max(1, len(cuts) // 5)]:
        with pytest.raises(InvalidImage, match=r"truncated|damaged"):
            sent(data[:cut] + marks)
    assert sent(data[:-2] + marks).width == sent(data).width


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_that_lacks_restarts(mode: str, subsampling: int) -> None:
    """Pixels between two of them that are gone: the rest would move up, and the end be grey. All there: it is taken."""
    for size in ((64, 64), (450, 600), (451, 333)):
        data = encode(photo().resize(size).convert(mode), restart_marker_rows=1, subsampling=subsampling)
        assert sent(data).width == size[0]
        marks = [place for place in range(len(data) - 1) if data[place] == 0xFF and 0xD0 <= data[place + 1] <= 0xD7]
        for first, last in ((1, 2), (0, len(marks) - 1)):
            with pytest.raises(InvalidImage, match=r"some of its pixels are missing|truncated"):
                sent(data[: marks[first]] + data[marks[last] :])


def test_a_png_that_lacks_its_end() -> None:
    """All of its pixels are there: it is taken, and ended."""
    data = encode(photo(), "PNG")
    for cut in (1, 4, 8, 11, 12):
        assert sent(data[:-cut]).data == data
    with pytest.raises(InvalidImage, match="truncated"):
        sent(data[:-30])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "RGBA", "P"])
def test_a_png_with_fewer_rows_than_it_says(mode: str, interlaced: bool) -> None:
    """Its data end early and are well otherwise: the rest would be black. One that is whole is taken."""
    image = photo().resize((101, 67)).convert(mode)
    data = encode(image, "PNG")
    assert sent(data).width == 101
    if interlaced:
        data = data[:28] + b"\1" + struct.pack(">I", zlib.crc32(data[12:28] + b"\1")) + data[33:]
    pixels = zlib.decompress(b"".join(data[at : at + size] for name, at, size in png_chunks(data) if name == b"IDAT"))
    place = data.index(b"IDAT") - 4
    short = data[:place] + chunk(b"IDAT", zlib.compress(pixels[: len(pixels) // 2])) + chunk(b"IEND", b"")
    with pytest.raises(InvalidImage, match="fewer pixels than its head says"):
        sent(short)


@pytest.mark.parametrize("form", ["AVIF", "WEBP"])
@pytest.mark.parametrize("kept", [0, 1000])
def test_a_file_with_a_hole_of_zeros(form: str, kept: int) -> None:
    """As a download that broke off, or skipped a page, leaves it: its reader would make something of them."""
    data = encode(photo().resize((600, 600)), form, quality=95)
    assert sent(data).width == 600
    with pytest.raises(InvalidImage, match="it has a hole of zeros"):
        sent(data[: len(data) // 2] + bytes(len(data) - len(data) // 2 - kept) + data[len(data) - kept :])


def test_kinds_of_jpeg_that_no_reader_knows() -> None:
    """Lossless ones are whole."""
    data = encode(photo()).replace(b"\xff\xc0", b"\xff\xc3", 1)
    with pytest.raises(InvalidImage, match="a lossless or hierarchical JPEG"):
        sent(data)


def test_pixels_that_do_not_match_their_checksum() -> None:
    """A PNG's reader takes them for right."""
    data = bytearray(encode(photo(), "PNG"))
    place = data.rindex(b"IEND") - 5
    data[place] ^= 1
    with pytest.raises(InvalidImage, match="do not match their checksum"):
        sent(bytes(data))


# -- specks, strips, raw files, pages ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "told"),
    [((63, 100), "63 x 100 pixels; both sides need 64"), ((2000, 200), "a strip of 1:10.0; 1:4 at most"),
     ((4096, 4096 // 4), ""), ((64, 64), ""), ((1600, 250), "1:6.4")],
)  # fmt: skip
def test_specks_and_strips_are_refused(size: tuple[int, int], told: str) -> None:
    """As they are sent; both are settings, and the check at planning says the same."""
    data = encode(photo().resize(size))
    for made in (images.prepare, images.check):
        if not told:
            made(data, STANDARD, InputRules())
            continue
        with pytest.raises(InvalidImage, match=told):
            made(data, STANDARD, InputRules())
    sent(data)


def tiff(*pages: tuple[dict[int, tuple[int, ...]], int], order: str = "<") -> bytes:
    """A TIFF of directories with numbers alone, and how many below each follow."""
    data, places = bytearray(b"II*\0" if order == "<" else b"MM\0*"), []
    data += bytes(4)
    for tags, _ in pages:
        extra = b""
        place = len(data)
        body = struct.pack(f"{order}H", len(tags))
        for tag, values in sorted(tags.items()):
            text = struct.pack(f"{order}{len(values)}I", *values)
            at = place + 2 + 12 * len(tags) + 4 + len(extra)
            body += struct.pack(f"{order}HHI", tag, 4, len(values)) + (
                text if len(text) == 4 else struct.pack(f"{order}I", at)
            )
            extra += text if len(text) > 4 else b""
        places.append((place, place + len(body)))
        data += body + bytes(4) + extra
    tops = [place for number, (place, _) in enumerate(places) if not pages[number][1]]
    struct.pack_into(f"{order}I", data, 4, tops[0])
    for (_, link), following in itertools.pairwise([(0, 4), *[p for n, p in enumerate(places) if not pages[n][1]]]):
        struct.pack_into(f"{order}I", data, link, following[0])
    return bytes(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "pages",
    [
        [({254: (1,), 256: (160,), 257: (120,), 330: (1000,)}, 0), ({262: (32803,), 256: (3000,), 257: (2000,)}, 0)],
        [({50706: (4,), 256: (3000,), 257: (2000,)}, 0)],
        [({256: (3000,), 257: (2000,), 262: (34892,)}, 0)],
    ],
    ids=["filters", "dng", "linear"],
)
def test_a_cameras_raw_file_is_refused(pages: Any, order: str) -> None:
    """Its preview is not the picture."""
    with pytest.raises(InvalidImage, match="a camera's raw file"):
        sent(tiff(*pages, order=order) + bytes(3000))


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"), (b"IIRO\x08\0\0\0", "a camera's raw file"),
        (b"IIU\0\x18\0\0\0", "a camera's raw file"), (b"\0\0\0\x18ftypcrx \0", "a camera's raw file"),
        (b"\0\0\0\x0cJXL \r\n", "a JPEG XL picture"), (b"\xff\x0a\x10", "a JPEG XL picture"),
        (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 picture"), (b"\0\0\0\x18ftypmp42", "a film"),
        (b"\x1a\x45\xdf\xa3", "a film"),
    ],
)  # fmt: skip
def test_what_else_people_take_for_pictures(start: bytes, what: str) -> None:
    """Each is named, so that they know what to do."""
    with pytest.raises(InvalidImage, match=f"is {what}"):
        sent(start + bytes(300))


def test_the_largest_page_is_the_picture() -> None:
    """Of a TIFF whose first page is a thumbnail."""
    data = encode(photo().resize((90, 60)), "TIFF", save_all=True, append_images=[corners(320, 240)])
    made = sent(data)
    assert (made.source_width, made.source_height) == (320, 240)
    assert made.steps == ("converted from TIFF", "page 2 of several")


# -- colours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "pixel", "back"),
    [(0, (30840,), (7,)), (0, (0x0107,), (0x0007,)), (2, (51400, 15420, 5140), (1, 2, 3)),
     (2, (0x0101, 0x0202, 0x0304), (0x0101, 0x0202, 0x0303))],
)  # fmt: skip
def test_a_transparent_colour_of_16_bits(colour: int, pixel: tuple[int, ...], back: tuple[int, ...]) -> None:
    """It shows the background, and a colour that differs in its lowest bit alone does not."""
    image = decode(sent(deep_png(colour, pixel, back)).data)
    expected = tuple(round(level / 257) for level in pixel) * (3 if colour == 0 else 1)
    assert apart(image.getpixel((4, 4)), (255, 255, 255)) <= 3
    assert apart(image.getpixel((32, 32)), expected) <= 3


def test_colours_that_a_file_implies() -> None:
    """P3 by cICP is converted like P3 by a profile; gamma 1 is made brighter; sRGB by any name is sent as it is."""
    plain = encode(Image.new("RGB", (64, 64), (100, 180, 120)), "PNG")
    wide = implied.profile_of("PNG", with_chunk(plain, b"cICP", bytes([12, 13, 0, 1])))
    assert wide is not None
    assert ImageCms.getProfileName(ImageCms.ImageCmsProfile(BytesIO(wide)))
    by_chunk = decode(sent(with_chunk(plain, b"cICP", bytes([12, 13, 0, 1]))).data).getpixel((9, 9))
    by_hand = (65, 182, 114)  # Display P3 to sRGB by their definitions
    assert apart(by_chunk, by_hand) <= 3
    linear = decode(sent(with_chunk(plain, b"gAMA", struct.pack(">I", 100_000))).data).getpixel((9, 9))
    assert apart(linear, (168, 218, 182)) <= 3
    for name, content in ((b"gAMA", struct.pack(">I", 45455)), (b"sRGB", b"\0"), (b"cICP", bytes([1, 13, 0, 1]))):
        tagged = with_chunk(plain, name, content)
        assert sent(tagged).data == tagged
    with pytest.raises(InvalidImage, match=r"HDR picture \(PQ\)"):
        sent(with_chunk(plain, b"cICP", bytes([9, 16, 0, 1])))


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bits_of_either_byte_order(mode: str) -> None:
    """A TIFF's grey of 16 bits keeps its brightness."""
    grey = Image.new("I", (64, 64), 0x8000).convert("I;16")
    data = encode(grey, "TIFF")
    if mode == "I;16B":
        data = encode(Image.frombytes("I;16B", (64, 64), b"\x80\x00" * 4096), "TIFF")
    assert apart(decode(sent(data).data).getpixel((9, 9)), (128, 128, 128)) <= 2


def test_a_kind_that_no_reader_knows_is_not_called_damaged() -> None:
    """A BMP with bit fields of its own is whole."""
    head = struct.pack("<IiiHHIIiiII4I", 108, 64, 64, 1, 32, 3, 64 * 64 * 4, 0, 0, 0, 0, 0x3FF, 0xFFC00, 0x3FF00000, 0)
    head += bytes(108 - len(head))
    data = b"BM" + struct.pack("<IHHI", 14 + 108 + 64 * 64 * 4, 0, 0, 14 + 108) + head + bytes(64 * 64 * 4)
    with pytest.raises(InvalidImage, match="of a kind that cannot be read here"):
        sent(data)


def test_orientation_in_xmp_alone() -> None:
    """Browsers go by EXIF, and so does what is sent."""
    data = encode(corners(320, 240), xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>')
    assert (sent(data).width, sent(data).height) == (320, 240)


def test_lab_is_converted() -> None:
    """TIFF's Lab shows its colours."""
    red = Image.new("RGB", (64, 64), (200, 40, 40))
    srgb, named = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(red, srgb, named, outputMode="LAB")
    assert lab is not None
    seen = decode(sent(encode(lab, "TIFF")).data).getpixel((9, 9))
    assert apart(seen, (200, 40, 40)) <= 4
