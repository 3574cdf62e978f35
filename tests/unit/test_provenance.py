"""The mark: read back from every form, beside pixels and profiles that stay as they were, an old one replaced."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from restyle.images.xmp import mark
from tests.support import pictures
from tests.support.pictures import corners, decode, encode, photo

FORMS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encode(photo()),
    "progressive jpeg": lambda: encode(photo(), progressive=True),
    "jpeg with exif": lambda: encode(photo(), orientation=6),
    "jpeg with a profile": lambda: encode(photo(), icc_profile=pictures.wide_gamut_profile()),
    "cmyk jpeg": lambda: encode(photo().convert("CMYK")),
    "png": lambda: encode(photo(), "PNG"),
    "alpha png": lambda: encode(pictures.ghost(), "PNG"),
    "palette png": pictures.see_through_palette,
    "webp": lambda: encode(photo(), "WEBP"),
    "lossless webp": lambda: encode(corners(), "WEBP", lossless=True),
    "alpha webp": lambda: encode(pictures.ghost(), "WEBP", lossless=True),
    "webp with a profile": lambda: encode(photo(), "WEBP", icc_profile=pictures.wide_gamut_profile()),
    "odd webp": lambda: encode(photo().resize((63, 41)), "WEBP", quality=31),
}
FOREIGN = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    b' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Credit="Studio \xc3\x96"'
    b' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Theirs"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def marked(data: bytes, source_type: str = "trainedAlgorithmicMedia") -> bytes:
    """The picture with a mark."""
    return mark(data, source_type=source_type, tool='restyle 0.1 & "co"', job_id="0123456789abcdef01234567")


def packet(data: bytes) -> str:
    """The XMP that a reader finds."""
    xmp = decode(data).info.get("xmp", b"")
    return xmp.decode() if isinstance(xmp, bytes) else str(xmp)


@pytest.mark.parametrize("form", FORMS)
def test_the_mark_is_read_back_and_nothing_else_changes(form: str) -> None:
    """Pixels, mode, EXIF and profile are as before, and a reader finds type, tool and job."""
    plain = FORMS[form]()
    image, before = decode(marked(plain)), decode(plain)
    assert (image.size, image.mode, image.tobytes()) == (before.size, before.mode, before.tobytes())
    for name in ("icc_profile", "exif", "jfif", "dpi", "transparency"):
        assert image.info.get(name) == before.info.get(name), name
    found = packet(marked(plain))
    assert "digitalsourcetype/trainedAlgorithmicMedia" in found
    assert "restyle 0.1 &amp; &quot;co&quot;" in found
    assert "0123456789abcdef01234567" in found


@pytest.mark.parametrize("form", FORMS)
def test_another_mark_takes_the_place_of_the_first(form: str) -> None:
    """A picture has one mark, the last one, however often it is marked."""
    twice = marked(marked(FORMS[form]()), "compositeWithTrainedAlgorithmicMedia")
    found = packet(twice)
    assert found.count("digitalsourcetype/") == 1
    assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in found
    assert packet(marked(twice, "compositeWithTrainedAlgorithmicMedia")) == found
    assert decode(twice).tobytes() == decode(FORMS[form]()).tobytes()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_what_was_said_of_a_picture_is_kept(form: str) -> None:
    """XMP of somebody else stays, but for what we say ourselves."""
    found = packet(marked(_with_xmp(form, FOREIGN)))
    assert "Studio" in found
    assert "Theirs" not in found
    assert found.count("CreatorTool") == 1
    assert "digitalsourcetype/trainedAlgorithmicMedia" in found


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_broken_xmp_is_replaced(form: str) -> None:
    """What no reader could make sense of gives way."""
    found = packet(marked(_with_xmp(form, b"<x:xmpmeta><unclosed")))
    assert "unclosed" not in found
    assert "digitalsourcetype/trainedAlgorithmicMedia" in found


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8", b"RIFF\4\0\0\0WEBP", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    """Bytes without a picture in them are never taken for one."""
    with pytest.raises(ValueError, match=r".+"):
        marked(data)


def _with_xmp(form: str, xmp: bytes) -> bytes:
    if form != "PNG":
        return encode(corners(), form, xmp=xmp)
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return encode(Image.new("RGB", (20, 20)), "PNG", pnginfo=info)
