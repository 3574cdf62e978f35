"""Pictures on the web with the real command: exports of shops as they are, and a server that has its moods."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.acceptance.conftest import Alone
from tests.support import exports
from tests.support.catalog import picture
from tests.support.command import Command
from tests.support.web import WebServer, serving_pictures

pytestmark = pytest.mark.acceptance

CDN = "https://cdn.example.com/restyled/"


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A web server of this machine."""
    with serving_pictures() as found:
        yield found


def fetching(alone: Alone, **more: str) -> Command:
    """The command, whose workers may ask this machine."""
    env = {"RESTYLE_FETCH_HTTP": "true", "RESTYLE_FETCH_PRIVATE": "127.0.0.1", "RESTYLE_FETCH_PER_MINUTE": "6000"}
    return dataclasses.replace(alone.command, env={**alone.command.env, **env, **more})


@dataclass(frozen=True)
class Export:
    """An export, and what becomes of it."""

    file: str
    write: Callable[[str], str | bytes]
    is_read_as: str
    like: str
    cells: tuple[str, ...]
    """Columns of pictures."""
    takes: tuple[str, ...] = ()
    is_of_paths: bool = False


EXPORTS = {
    "shopify": Export("export.csv", exports.shopify, "a Shopify export: 41 rows, 20 products, 39 pictures", "shopify",
                      ("Image Src", "Variant Image")),
    "woocommerce": Export("export.csv", exports.woocommerce, "a WooCommerce export", "woocommerce", ("Images",)),
    "magento": Export("export.csv", exports.magento, "a Magento export", "csv",
                      ("base_image", "thumbnail_image", "small_image", "additional_images"), is_of_paths=True),
    "merchant": Export("feed.tsv", exports.merchant, "a Merchant feed", "merchant",
                       ("image_link", "additional_image_link")),
    "merchant xml": Export("feed.xml", exports.merchant_xml, "a Merchant feed", "merchant",
                           ("image_link", "additional_image_link")),
    "workbook": Export("catalog.xlsx", exports.workbook, "a workbook, sheet Products: 39 rows, 39 pictures", "csv",
                       ("Picture URL",), takes=("--column", "image=Picture URL", "--column", "id=SKU")),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_goes_and_comes_back(alone: Alone, web: WebServer, name: str) -> None:
    """One command takes it as it is; each picture is fetched once; it comes back with others in it."""
    export = EXPORTS[name]
    for addresses in exports.pictures(f"{web.origin}/").values():
        for url in addresses:
            web.put(url.rpartition("/")[2], picture(url))
    content = export.write("" if export.is_of_paths else f"{web.origin}/")
    (alone.folder / export.file).write_bytes(content.encode() if isinstance(content, str) else content)
    where = ("--images", f"{web.origin}/") if export.is_of_paths else ()
    words = (export.file, *export.takes, *where, "--prompt", "oak", "--sandbox")
    command = fetching(alone)
    assert f"read as {export.is_read_as}" in " ".join(command("plan", *words).err.split())
    done = command("run", *words, "--yes", "--json")
    assert done.json["succeeded"] == 39
    assert "39 addresses on the web, of 127.0.0.1" in " ".join(done.err.split())
    assert web.statuses() == {200: 39}
    assert web.most_in_flight <= 4

    back = command("export", done.json["run_id"], "--like", export.like, *export.takes, "--public", CDN, "--sandbox")
    if isinstance(content, str) and export.file != "feed.xml":
        separator = "\t" if export.like == "merchant" else ","
        before, after = (list(csv.reader(io.StringIO(text), delimiter=separator)) for text in (content, back.out))
        pictured = {before[0].index(cell) for cell in export.cells if cell in before[0]}
        others = [
            [[cell for at, cell in enumerate(row) if at not in pictured] for row in rows] for rows in (before, after)
        ]
        assert others[1] == others[0]
    assert back.out.count(CDN) >= 39
    assert web.origin not in back.out


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
