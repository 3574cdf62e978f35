"""Two versions of restyle in one fleet, while it is upgraded: what the newer one wrote is not paid for again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from restyle.record import Record
from tests.support.bench import Bench, running_bench
from tests.support.pages import ROOT
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3

NEWER = {"lineage": {"parents": ["a"]}, "note": "of a later version"}


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    with running_bench(s3, redis_url, sandbox) as found:
        yield found


def rewrite(bench: Bench, uri: str, change: Any) -> None:
    """Changes a JSON object in S3 as another version would have written it."""
    found = json.loads(bench.resources.store.get(uri).data)
    change(found)
    bench.resources.store.put(uri, json.dumps(found).encode(), content_type="application/json")


def test_a_newer_record_is_read_and_keeps_what_is_new_in_it(bench: Bench, sandbox: SandboxServer) -> None:
    """Its job is done: nothing is called; where the record is written anew, its unknown keys stay."""
    uri = bench.resources.workspace.record("mug", "default")
    manifest = f"id,image\nmug,{bench.put('mug')}\n"
    bench.run(manifest)
    rewrite(bench, uri, lambda told: (told.update(NEWER), told["api"].update(region="eu"), told["marks"].update(x=1)))
    (again,) = bench.run(manifest).values()
    assert (again.outcome.value, sandbox.charged) == ("skipped", 1)
    (marked,) = bench.run(manifest, {"mark": "trainedAlgorithmicMedia"}).values()
    assert (marked.outcome.value, sandbox.charged) == ("skipped", 1)
    told = json.loads(bench.resources.store.get(uri).data)
    assert told["marks"]["provenance"] == "trainedAlgorithmicMedia"
    assert {name: told[name] for name in NEWER} == NEWER
    assert bench.run(manifest)["mug/default"].outcome.value == "skipped"


def test_what_is_written_is_what_the_schema_says(bench: Bench) -> None:
    """The schema, and the model that writes, know no other keys."""
    bench.run(f"id,image\nmug,{bench.put('mug')}\n")
    told = json.loads(bench.resources.store.get(bench.resources.workspace.record("mug", "default")).data)
    schema = json.loads((ROOT / "docs/record.schema.json").read_text())
    jsonschema.validate(told, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | NEWER, schema)
    with pytest.raises(ValueError, match="note"):
        Record.model_validate(told | NEWER)


def test_a_run_of_a_newer_restyle_is_left_to_newer_workers(bench: Bench, sandbox: SandboxServer) -> None:
    """What its plan froze may be part of the request, so a worker that does not know it neither calls nor fails."""
    run = bench.begin(bench.plan(f"id,image\nmug,{bench.put('mug')}\n"))
    rewrite(bench, bench.resources.workspace.run(run.run_id), lambda told: told["options"].update(upscale=2))
    assert bench.work(run) == {}
    assert sandbox.calls == 0
    totals = bench.resources.progress.totals(run.run_id)
    assert totals is not None
    assert (totals.pending, totals.failed) == (1, 0)


def test_outcomes_of_newer_workers_are_read(bench: Bench) -> None:
    """The dispatcher and the report take what they know of an outcome that another version reported."""
    run = bench.begin(bench.plan(f"id,image\nmug,{bench.put('mug')}\n"))
    bench.work(run)
    state = bench.resources.state
    shard = state.key("run", run.run_id, "shard", "0")
    told = json.loads(state.ask("HGET", shard, "o:0")) | {"queue_seconds": 1.5}
    state.ask("HSET", shard, "o:0", json.dumps(told))
    assert bench.resources.progress.outcomes(run.run_id, 0)[0].outcome.value == "succeeded"
