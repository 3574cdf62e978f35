"""Each reader of foreign bytes, for a moment here and for minutes in `make acceptance`.

A corpus lies beside this file, a folder for each reader. What was found once is added to it.
"""

from __future__ import annotations

import io
import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.requests import Request

from apps.dashboard.access.identity import Access
from apps.dashboard.access.security import own_names
from producers.manifest import Problems, open_manifest
from restyle import images
from restyle.coordination.budgets import Budgets
from restyle.errors import InvalidImage, ManifestError, RestyleError
from restyle.fingerprint import Preparation
from restyle.job import costs
from restyle.models import Params
from restyle.segmind.responses import read_answer
from tests.support.mutating import fuzz

CORPUS = Path(__file__).parent / "corpus"
SHORT, LONG = 1.5, 150.0


def picture(data: bytes) -> None:
    """A picture is prepared, or refused in a sentence."""
    refusal = ""
    try:
        assert images.prepare(data, Preparation()).data
    except InvalidImage as error:
        refusal = error.message
    assert len(refusal) < 500
    assert refusal.isprintable()


def answer(data: bytes) -> None:
    """An answer of the API: status, headers, an empty line, the body. It is a picture, or one of our errors."""
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    status = int(first) if re.fullmatch(r"\d{1,3}", first) else 200
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    refusal = ""
    try:
        read = read_answer(status, headers, body, 1.0, api_key="SG_secret_key_of_ours")
        assert read.images
        judged = costs.judged(read, Params(prompt="p"), Budgets())
        assert judged.cost is None or 0 <= judged.cost < 1000
    except RestyleError as error:
        refusal = error.message
    assert "SG_secret_key_of_ours" not in refusal
    assert len(refusal) < 2000


def manifest(data: bytes) -> None:
    """A manifest is read, or refused with lines and reasons; twice the same."""

    def read() -> object:
        problems = Problems()
        try:
            entries = list(open_manifest("-", store=None, stdin=io.BytesIO(data)).entries(problems))
        except ManifestError as error:
            return error.message
        return entries, problems.listed

    assert read() == read()


def host(data: bytes) -> None:
    """A Host header is one of our names, or none of ours."""
    names = own_names("restyle.shop", ("other.shop",), "https://shown.shop")
    text = data.decode("latin-1")
    if names.knows(text):
        name = re.sub(r":\d+$", "", text.lower()).strip("[]")
        with suppress(ValueError):
            ipaddress.ip_address(name)
            return
        assert name in names.names


def cookie(data: bytes) -> None:
    """Whatever stands in a cookie, in a name or in a token, signs nobody in."""
    access = Access("me", "a-token-of-many-letters")
    request = Request({"type": "http", "headers": [(b"cookie", data)], "server": ("here", 80), "path": "/", "scheme":
                       "http", "query_string": b"", "method": "GET"})  # fmt: skip
    assert access.who(request) is None
    assert access.form_token(request)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "pictures": picture, "answers": answer, "manifests": manifest, "hosts": host, "cookies": cookie,
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_for_a_moment(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the corpus breaks a reader, nor what a moment makes of it."""
    monkeypatch.chdir(tmp_path)
    assert fuzz(TARGETS[name], CORPUS / name, seconds=SHORT) > 20


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("seed", [1, 2])
def test_for_minutes(name: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what minutes do."""
    monkeypatch.chdir(tmp_path)
    assert fuzz(TARGETS[name], CORPUS / name, seconds=LONG, seed=seed) > 20
