"""Two versions of restyle in one fleet, while it is upgraded: what the newer one wrote is not paid for again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from producers.runs.listing import read_runs
from producers.runs.snapshot import read_run
from restyle.errors import StateUnavailable
from restyle.formats import FORMAT, NewerFormat
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


def later(fields: dict[str, Any]) -> None:
    """Raises the number of what is stored, as a version does whose words this one would misread."""
    fields["schema_version"] = FORMAT + 1


@pytest.mark.parametrize("kind", ["record", "entry"])
def test_what_a_later_format_says_is_done_is_not_called_for(bench: Bench, sandbox: SandboxServer, kind: str) -> None:
    """Neither a record nor an entry of the index counts as none: the job waits for a version that reads it."""
    here = bench.resources
    picture = bench.put("mug")
    bench.run(f"id,image\nmug,{picture}\n", prompt="felt")
    (entry,) = (one.uri for one in here.store.list(here.workspace.under("results") + "/"))
    uri = here.workspace.record("mug", "default") if kind == "record" else entry
    other = "mug" if kind == "record" else "cup"
    run = bench.begin(bench.plan(f"id,image\n{other},{picture}\n", prompt="felt"))
    rewrite(bench, uri, later)
    assert bench.work(run) == {}
    assert sandbox.calls == 1
    totals = here.progress.totals(run.run_id)
    assert totals is not None
    assert (totals.pending, totals.failed) == (1, 0)


def test_a_plan_over_a_later_format_is_refused(bench: Bench) -> None:
    """A run whose plan this version would misread is named with its place, both numbers and what to do."""
    here = bench.resources
    run = bench.begin(bench.plan(f"id,image\nmug,{bench.put('mug')}\n"))
    rewrite(bench, here.workspace.run(run.run_id), later)
    with pytest.raises(NewerFormat) as refused:
        read_run(run.run_id, store=here.store, workspace=here.workspace)
    assert refused.value.message == (
        f"{here.workspace.run(run.run_id)}: it has format {FORMAT + 1}, and this version reads up to"
        f" {FORMAT}: a later one wrote it. Nothing was spent; go on with that version"
    )
    with pytest.raises(NewerFormat):
        list(read_runs([run.run_id], here.store, here.workspace))


def test_a_redis_of_a_later_format_grants_nothing(bench: Bench, sandbox: SandboxServer) -> None:
    """Every script refuses it, in a process that was there before too; one that starts ends with the sentence."""
    here = bench.resources
    here.holding.hold()
    assert here.state.ask("GET", here.state.key("format")) == str(FORMAT)
    here.state.ask("SET", here.state.key("format"), FORMAT + 1)
    with pytest.raises(StateUnavailable, match=f"format {FORMAT + 1}.*up to {FORMAT}") as refused:
        here.holding.hold()
    assert "that version" in refused.value.next
    with pytest.raises(NewerFormat, match=r"format in Redis: it has format"):
        here.state.log_in()
    assert sandbox.calls == 0


def test_a_workspace_of_a_later_format_is_not_held(bench: Bench) -> None:
    """With a Redis that knows nothing of it: what held the workspace last was a later version."""
    here = bench.resources
    name = "0123456789abcdef"
    record = {"schema_version": FORMAT + 1, "state": "left", "words": "of a later version"}
    here.store.put(here.workspace.fleet(name), json.dumps(record).encode(), content_type="application/json")
    with pytest.raises(NewerFormat, match=rf"fleets/{name}.json: it has format {FORMAT + 1}"):
        here.holding.hold()
