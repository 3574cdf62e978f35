"""An audit finds what leads nowhere and what nobody leads to; mending loses no picture that was paid for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reports.audit import Finding, Kind, audit, mend
from restyle.models import OutcomeKind
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
