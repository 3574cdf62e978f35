"""Pictures in every dress that an answer may give them, and the bounds of looking for them."""

from __future__ import annotations

import base64
import json
import textwrap
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restyle.errors import MalformedResponse
from restyle.segmind.unpacking import MOST_PICTURES, unpack
from tests.support import pictures

JPEG = pictures.encode(pictures.photo())
PNG = pictures.encode(pictures.photo(), "PNG")
B64 = base64.b64encode(JPEG).decode()
LINES = "\n".join(textwrap.wrap(B64, 76))
SAFE = base64.urlsafe_b64encode(JPEG).decode()
LINK = "https://images.segmind.com/a.jpg"


def doc(found: Any) -> bytes:
    """A JSON body."""
    return json.dumps(found).encode()


DRESSES: dict[str, tuple[str, bytes]] = {
    "bytes": ("image/jpeg", JPEG),
    "bytes under a wrong type": ("application/json", JPEG),
    "bytes under no type": ("", JPEG),
    "base64": ("text/plain", B64.encode()),
    "base64 as an image": ("image/jpeg", B64.encode()),
    "base64 in quotes": ("text/plain", f'"{B64}"'.encode()),
    "base64 with line breaks": ("text/plain", LINES.encode()),
    "base64 with CRLF and spaces": ("text/plain", LINES.replace("\n", "\r\n  ").encode()),
    "base64 as Python shows it": ("text/plain", f"b'{B64}'".encode()),
    "base64 in UTF-16": ("text/plain; charset=utf-16", B64.encode("utf-16")),
    "data URI": ("text/plain", f"data:image/jpeg;base64,{B64}".encode()),
    "data URI in capitals with parameters": ("text/plain", f"DATA:IMAGE/JPEG;Charset=UTF-8;BASE64,{B64}".encode()),
    "data URI with spaces": ("text/plain", f"data:image/jpeg; base64, {LINES}".encode()),
    "data URI in per cents": ("text/plain", f"data:image/jpeg,{quote(JPEG)}".encode()),
    "JSON": ("application/json", doc({"image": B64})),
    "JSON under a wrong type": ("image/jpeg", doc({"image": B64})),
    "JSON with a BOM": ("application/json", b"\xef\xbb\xbf" + doc({"image": B64})),
    "JSON in UTF-16": ("application/json", json.dumps({"image": B64}).encode("utf-16")),
    "JSON in Latin-1": ("application/json", f'{{"prompt": "M\u00fchle", "image": "{B64}"}}'.encode("latin-1")),
    "JSON with line breaks": ("application/json", doc({"image": LINES})),
    "JSON with raw line breaks": ("application/json", f'{{"image": "{LINES}"}}'.encode()),
    "JSON in the other alphabet": ("application/json", doc({"image": SAFE})),
    "JSON without padding": ("application/json", doc({"image": SAFE.rstrip("=")})),
    "JSON in per cents": ("application/json", doc({"image": quote(B64, safe="")})),
    "JSON with an escaped slash": ("application/json", doc({"image": B64}).replace(b"/", b"\\/")),
    "JSON in JSON": ("application/json", doc({"statusCode": 200, "body": json.dumps({"image": B64})})),
    "a list": ("application/json", doc([B64])),
    "a list of objects": ("application/json", doc([{"image": B64}])),
    "images": ("application/json", doc({"images": [B64]})),
    "image as an object": ("application/json", doc({"image": {"data": f"data:image/jpeg;base64,{B64}"}})),
    "output": ("application/json", doc({"status": "ok", "output": {"images": [{"base64": B64}]}})),
    "as of OpenAI": ("application/json", doc({"created": 1, "data": [{"b64_json": B64, "url": None}]})),
    "as of Stability": ("application/json", doc({"artifacts": [{"base64": B64, "seed": 1, "finishReason": "x"}]})),
    "as of Hugging Face": ("application/json", doc({"predictions": [{"generated": {"bytes": B64}}]})),
    "as of Node": ("application/json", doc({"image": {"type": "Buffer", "data": list(JPEG)}})),
    "a result in a result": ("application/json", doc({"result": {"data": {"result": {"imageBase64": B64}}}})),
    "an unheard-of name": ("application/json", doc({"id": "x" * 100, "zz": {"qq": B64}})),
    "the input beside it": ("application/json", doc({"input": {"image": base64.b64encode(PNG).decode()}, "out": B64})),
    "a thumbnail beside it": ("application/json", doc({"thumbnail": base64.b64encode(PNG).decode(), "img": B64})),
    "lines of JSON": ("application/x-ndjson", b'{"progress": 1}\n' + doc({"image": B64}) + b"\n"),
    "events": ("text/event-stream", b'data: {"progress": 1}\n\ndata: ' + doc({"image": B64}) + b"\n\n"),
    "parts": (
        'multipart/mixed; boundary="xx"',
        b"--xx\r\ncontent-type: application/json\r\n\r\n{\"seed\": 1}\r\n--xx\r\ncontent-type: image/jpeg\r\n\r\n"
        + JPEG + b"\r\n--xx--\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("dress", DRESSES)
def test_a_picture_is_found_in_every_dress(dress: str) -> None:
    """Whatever the gateway made of it, the picture is the one that was paid for, byte for byte."""
    assert unpack(*DRESSES[dress]) == [JPEG]


@pytest.mark.parametrize(
    "found",
    [
        {"image": LINK},
        {"images": [{"url": LINK, "content_type": "image/jpeg"}]},
        {"status": "COMPLETED", "output": LINK, "metrics": {"cost": 0.02}},
        {"data": [{"url": LINK, "revised_prompt": "x"}]},
        {"output": {"0": LINK}},
        {"imageUrl": LINK, "statusUrl": "https://api.segmind.com/status"},
        [LINK],
        LINK,
    ],
)
def test_a_link_is_found_where_a_picture_is_due(found: Any) -> None:
    """By its name, or alone; other links are none of the picture's."""
    assert unpack("application/json", doc(found)) == [LINK]


def test_a_bare_link_is_one() -> None:
    """As text, with or without a line's end."""
    assert unpack("text/plain", f"{LINK}\n".encode()) == [LINK]


def test_several_samples_come_in_their_order() -> None:
    """As a list, as numbered names, as numbered keys; bytes and links alike."""
    png = base64.b64encode(PNG).decode()
    for found in (
        {"image": [B64, png]},
        {"images": [{"image": B64}, {"image": png}]},
        {"image_0": B64, "image_1": png},
        {"images": {"0": B64, "1": png}},
        {"img1": B64, "img2": png},
    ):
        assert unpack("application/json", doc(found)) == [JPEG, PNG]
    assert unpack("application/json", doc({"images": [B64, None, png]})) == [JPEG, PNG]


@pytest.mark.parametrize(
    ("kind", "content_type", "body"),
    [
        ("empty", "image/jpeg", b""),
        ("empty", "image/jpeg", b" \r\n"),
        ("page", "image/jpeg", b"<!DOCTYPE html><title>Login</title>"),
        ("page", "text/html", b"\n<!-- busy --><html>"),
        ("text", "text/plain", b"upstream connect error or disconnect/reset before headers"),
        ("unknown bytes", "image/jpeg", bytes(range(256))),
        ("broken JSON", "application/json", b'{"image": "abc'),
        ("broken JSON", "application/json", b"[" * 5_000),
        ("JSON of too many values", "application/json", b"[" * 50_000),
        ("JSON of too many values", "application/json", b"[" + b"[]," * 30_000 + b"[]]"),
        ("JSON: error, status", "application/json", b'{"status": "failed", "error": "busy"}'),
        ("JSON: image", "application/json", b'{"image": "no base64 at all!"}'),
        ("JSON: image", "application/json", b'{"image": {"input": "https://cdn.example/1.jpg"}}'),
        ("JSON: status_url", "application/json", b'{"status_url": "https://cdn.example/1"}'),
        ("JSON: a list", "application/json", b"[1, 2, 3]"),
        ("JSON: a NoneType", "application/json", b"null"),
        ("JSON: nothing", "application/json", b"{}"),
    ],
)
def test_what_holds_no_picture_is_told_apart(kind: str, content_type: str, body: bytes) -> None:
    """Answers of one kind are alike: by that a habit of the API is known from an accident."""
    with pytest.raises(MalformedResponse) as caught:
        unpack(content_type, body)
    assert caught.value.kind == kind


def test_numbers_and_names_of_any_size_are_read() -> None:
    """A number of thousands of digits takes no time, and a name goes into a kind only as a word."""
    with pytest.raises(MalformedResponse) as caught:
        unpack("", b'{"a\\u001b[2Jb": ' + b"9" * 100_000 + b"}")
    assert caught.value.kind == "JSON: ?"


def test_there_are_at_most_so_many_pictures() -> None:
    """A call asks for four."""
    assert len(unpack("", doc({"images": [B64] * 100}))) == MOST_PICTURES


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just(B64) | st.just(LINK),
    lambda below: (
        st.lists(below) | st.dictionaries(st.sampled_from(["image", "url", "data", "input", "x", "7"]), below)
    ),
    max_leaves=8,
)


@given(
    st.sampled_from(["", "image/jpeg", "application/json", "text/plain", "multipart/mixed; boundary=x"]),
    st.one_of(st.binary(), st.text().map(str.encode), DOCUMENTS.map(doc)),
)
def test_nothing_foreign_is_raised(content_type: str, body: bytes) -> None:
    """Whatever comes: pictures and links, or one error that says what it was."""
    found: list[Any] = []
    why = ""
    try:
        found = unpack(content_type, body)
    except MalformedResponse as error:
        why = error.kind and error.message
    assert all(found)
    assert bool(found) is not bool(why)
