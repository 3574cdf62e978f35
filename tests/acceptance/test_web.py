"""Pictures on the web with the real command: exports of shops as they are, and a server that has its moods."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.acceptance.conftest import Alone
from tests.support import exports
from tests.support.catalog import picture
from tests.support.command import Command
from tests.support.web import WebServer, serving_pictures

pytestmark = pytest.mark.acceptance


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server of this machine."""
    with serving_pictures() as found:
        yield found


def fetching(alone: Alone, **more: str) -> Command:
    """The command, whose workers may ask this machine."""
    env = {"RESTYLE_FETCH_HTTP": "true", "RESTYLE_FETCH_PRIVATE": "127.0.0.1", "RESTYLE_FETCH_PER_MINUTE": "6000"}
    return dataclasses.replace(alone.command, env={**alone.command.env, **env, **more})


@pytest.mark.parametrize(
    "export",
    [
        exports.shopify,
        *(
            pytest.param(one, marks=pytest.mark.long)
            for one in (exports.woocommerce, exports.magento, exports.merchant)
        ),
    ],
)
def test_an_export_is_restyled_as_it_is(alone: Alone, web: WebServer, export: Callable[[str], str]) -> None:
    """One command, each picture fetched once, and none of them twice at the same moment from all sides."""
    for addresses in exports.pictures(f"{web.origin}/").values():
        for url in addresses:
            web.put(url.rpartition("/")[2], picture(url))
    is_of_paths = export is exports.magento
    (alone.folder / "export.csv").write_text(export("" if is_of_paths else f"{web.origin}/"))
    where = ("--images", f"{web.origin}/") if is_of_paths else ()
    done = fetching(alone)("run", "export.csv", *where, "--prompt", "oak", "--sandbox", "--yes", "--json")
    assert done.json["succeeded"] == 39
    assert "39 addresses on the web, of 127.0.0.1" in " ".join(done.err.split())
    assert web.statuses() == {200: 39}
    assert web.most_in_flight <= 4


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_thousand_pictures_of_a_server_with_moods(alone: Alone, web: WebServer) -> None:
    """Calls begin long before the last picture has come; the next night costs a 304 each."""
    addresses, web.seconds = web.have_moods(2000, picture), 0.05
    (alone.folder / "catalog.csv").write_text("id,image\n" + "".join(f"{n},{url}\n" for n, url in enumerate(addresses)))
    command = fetching(alone, RESTYLE_WINDOW_JOBS="500", RESTYLE_SHARD_JOBS="100")
    words = ("run", "catalog.csv", "--prompt", "oak", "--yes", "--json")
    first = command(*words, timeout=900, expect=1).json
    assert (first["succeeded"], first["failed"]) == (2002, 3)
    assert web.most_in_flight <= 4
    assert web.statuses() == {200: 2003, 500: 100, 429: 100, 302: 100, 404: 1, 403: 1}
    called = sorted(datetime.fromisoformat(one["timestamps"]["called"]).timestamp() for one in alone.records().values())
    assert called[100] < web.at[1000], "calls wait for their own pictures alone"
    web.forget()
    second = command(*words, timeout=900, expect=1).json
    assert (second["succeeded"], second["skipped"], second["failed"]) == (1, 2000, 4)
    assert web.statuses() == {304: 2000, 200: 3, 302: 100, 404: 1, 403: 1}
    assert second["attempts"] == 1
    for path in alone.bucket.rglob("*"):
        told = path.read_bytes() if path.is_file() else b""
        assert b"geheim" not in told, path
