"""An audit finds what leads nowhere and what nobody leads to; mending loses no picture that was paid for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from reports.audit import Finding, Kind, audit, mend
from restyle.errors import ObjectRefused
from restyle.models import OutcomeKind
from restyle.s3.store import Head, Listed, Store
from tests.support.bench import Bench, running_bench
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    with running_bench(s3, redis_url, sandbox) as found:
        yield found


def look(bench: Bench) -> list[Finding]:
    """What is wrong with the workspace."""
    return list(audit(bench.resources.store, bench.resources.workspace))


def test_what_is_wrong_is_found_and_mended(bench: Bench, sandbox: SandboxServer) -> None:
    """A picture that is gone, one that no record names, an entry that leads nowhere; a person's own file stays."""
    here, store = bench.resources.workspace, bench.resources.store
    rows = "id,image\n" + "".join(f"{name},{bench.put(name)}\n" for name in ("mug", "pot", "cup"))
    bench.run(rows)
    bench.run(rows, prompt="{id} in wool")
    assert look(bench) == []

    gone, stray, own = here.output("mug", "default"), here.output("pot", "default"), here.under("outputs", "mine.txt")
    store.delete(gone)
    store.delete(here.record("pot", "default"))
    store.put(own, b"mine", content_type="text/plain")
    picture = store.get(stray).data
    found = look(bench)
    entry = next(one for one in found if one.kind is Kind.ENTRY)
    assert {(one.kind, one.uri) for one in found} == {
        (Kind.RECORD, here.record("mug", "default")),
        (Kind.OUTPUT, stray),
        (Kind.OUTPUT, own),
        (Kind.ENTRY, entry.uri),
    }
    assert gone in entry.detail

    assert set(mend(found, store, here)) == {one.uri for one in found} - {own}
    assert [(one.kind, one.uri) for one in look(bench)] == [(Kind.OUTPUT, own)]
    assert store.get(own).data == b"mine"
    charged = sandbox.charged
    ended = bench.run(rows, prompt="{id} in wool")
    assert (ended["pot/default"].reused, ended["mug/default"].outcome) == (True, OutcomeKind.SUCCEEDED)
    assert store.get(stray).data == picture
    assert sandbox.charged == charged + 1


def test_what_a_run_has_taken_meanwhile_stays(bench: Bench, sandbox: SandboxServer) -> None:
    """While a person thinks about the list, a night may make the picture anew at the place of a stray one."""
    here, store = bench.resources.workspace, bench.resources.store
    rows = f"id,image\npot,{bench.put('pot')}\n"
    bench.run(rows)
    stray = here.output("pot", "default")
    store.delete(here.record("pot", "default"))
    found = [one for one in look(bench) if one.uri == stray]
    assert [one.kind for one in found] == [Kind.OUTPUT]
    bench.run(rows)
    assert mend(found, store, here) == []
    assert store.head(stray) is not None
    assert look(bench) == []


class Blind:
    """S3 that lets nobody see outputs, as of a bucket where only writing is allowed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def head(self, uri: str) -> Head | None:
        """Refused for an output."""
        if "/outputs/" in uri:
            raise ObjectRefused(f"{uri}: S3 refuses this object")
        return self._store.head(uri)

    def list(self, prefix_uri: str, **options: str) -> Iterator[Listed]:
        """No output among them."""
        return (listed for listed in self._store.list(prefix_uri, **options) if "/outputs/" not in listed.uri)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_what_s3_does_not_show_is_not_gone(bench: Bench) -> None:
    """Records and entries of outputs that nobody may look at stay: without them all would be paid for again."""
    bench.run(f"id,image\nmug,{bench.put('mug')}\n")
    blind = cast("Store", Blind(bench.resources.store))
    assert list(audit(blind, bench.resources.workspace)) == []
