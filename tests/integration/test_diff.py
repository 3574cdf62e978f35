"""What `plan --diff` and `prune` see in a real S3: nights of a prefix, manifests without ETags, records, old runs."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from producers.planning.compare import diff as diffing
from producers.planning.compare import lookup
from producers.planning.compare.changes import Change
from producers.planning.compare.diff import Diff, compare, put_diff, with_diff
from producers.planning.compare.lookup import etags
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.request import PlanRequest
from producers.planning.retry import Slice, plan_retry
from producers.runs.control import Control
from producers.runs.outcomes import RunPruned, outcomes
from producers.runs.snapshot import snapshot, write_run
from reports.prune import leftovers, prunable, remove
from reports.report import write_report
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.errors import ConfigurationError, StoreAccessDenied
from restyle.fingerprint import Fingerprint
from restyle.keys import Workspace
from restyle.models import Job, Outcome, OutcomeKind, Run, RunStatus, utc_now
from restyle.request_digest import request_digest
from restyle.s3.store import Listed, Store
from tests.support.runs import write

SETTINGS = Settings()
#: How the jobs of these ids end, where not as succeeded; None is pending.
Ends = Mapping[str, OutcomeKind | None]


def put(store: Store, uri: str, content: str) -> None:
    """Stores an object."""
    store.put(uri, content.encode(), content_type="image/jpeg")


def shop(store: Store, workspace: Workspace, count: int) -> str:
    """A prefix with so many pictures; answers with its URI."""
    for number in range(count):
        put(store, workspace.under(f"in/{number:02}.jpg"), f"picture {number}")
    return workspace.under("in/")


def plan(manifest: str, workspace: Workspace, store: Store, **asked: Any) -> Plan:
    """A plan, by one prompt unless another is asked for."""
    asked.setdefault("prompt", "photo of {id}")
    return make_plan(PlanRequest(manifest, **asked), SETTINGS, workspace=workspace, store=store)


def compared(manifest: str, workspace: Workspace, store: Store, **asked: Any) -> Diff:
    """A plan, sorted."""
    return compare(plan(manifest, workspace, store, **asked), store=store, workspace=workspace, settings=SETTINGS)


def counts(told: Diff) -> dict[str, int]:
    """The kinds of change that there are."""
    return {change.value: group.jobs for change, group in told.groups.items() if group.jobs}


def fingerprint_of(job: Job, run: Run, etags_: Mapping[str, str]) -> Fingerprint:
    """What the job's result would be made from; the sha256 is true of uploaded pictures, which are named by it."""
    request = request_digest(job.params, run.options.model, run.options.preparation)
    return Fingerprint(etag=etags_[job.image], sha256=Path(job.image).stem, request=request)


def put_record(job: Job, fingerprint: Fingerprint, run_id: str, workspace: Workspace, store: Store) -> None:
    """A job's record, with as little in it as it may have."""
    now = utc_now().isoformat().replace("+00:00", "Z")
    record = {
        "job_id": workspace.job_id(job.id, job.variant), "run_id": run_id, "id": job.id, "variant": job.variant,
        "fingerprint": fingerprint.model_dump(), "params": job.params.model_dump(), "outputs": [],
        "input": {
            "uri": job.image, "etag": fingerprint.etag, "sha256": fingerprint.sha256, "bytes": 1, "width": 1,
            "height": 1,
        },
        "prepared": {"width": 1, "height": 1, "steps": []}, "samples_expected": 1, "samples_received": 1,
        "api": {"url": "x", "sandbox": True, "seconds": 1, "attempts": 1, "in_doubt": 0},
        "timestamps": dict.fromkeys(("started", "called", "answered", "stored"), now), "worker": "w", "version": "1",
    }  # fmt: skip
    store.put(workspace.record(job.id, job.variant), json.dumps(record).encode(), content_type="application/json")


def done(found: Plan, workspace: Workspace, store: Store, ends: Ends | None = None, *, records: bool = False) -> Run:
    """Writes a plan and what a fleet would leave of it: results, a run.json that says finished, perhaps records."""
    run = write(found, workspace=workspace, store=store, shard_jobs=10, by="me@here")
    listed = {each.uri: each.etag for each in store.list(workspace.uri + "/")}
    for shard in range(run.shards):
        lines = []
        for line in gzip.decompress(store.get(workspace.shard(run.run_id, shard)).data).splitlines():
            job = Job.model_validate_json(line)
            kind = (ends or {}).get(job.id, OutcomeKind.SUCCEEDED)
            outcome = Outcome(outcome=OutcomeKind.FAILED, error="api_timeout", ended=utc_now()) if kind else None
            if kind in {OutcomeKind.SUCCEEDED, OutcomeKind.SKIPPED}:
                fingerprint = fingerprint_of(job, run, listed)
                if records:
                    put_record(job, fingerprint, run.run_id, workspace, store)
                outcome = Outcome(
                    outcome=OutcomeKind.SUCCEEDED, etag=fingerprint.etag, fingerprint=fingerprint.token, ended=utc_now()
                )
            told = outcome.model_dump(mode="json", exclude_defaults=True) if outcome else None
            lines.append(json.dumps({"job": json.loads(line), "outcome": told}))
        data = gzip.compress("\n".join(lines).encode(), mtime=0)
        store.put(workspace.results(run.run_id, shard), data, content_type="application/gzip")
    ended = run.model_copy(update={"status": RunStatus.FINISHED, "finished": utc_now()})
    write_run(ended, store=store, workspace=workspace)
    return ended


# -- nights of a prefix ------------------------------------------------------------------------------------


def test_the_second_night(store: Store, workspace: Workspace) -> None:
    """New, replaced and deleted pictures are told apart without reading a record; the estimate is of what is paid."""
    prefix = shop(store, workspace, 20)
    first = compared(prefix, workspace, store)
    assert (counts(first), first.since, first.records_read) == ({"new": 20}, None, 0)
    found = plan(prefix, workspace, store)
    put_diff(first, found.run_id, store, workspace)
    night = done(found, workspace, store)
    report(night, store, workspace)
    assert json.loads(store.get(workspace.run(night.run_id, "report.json")).data)["diff"]["new"]["jobs"] == 20
    assert (
        "Since the beginning: 20 new, 0 input changed"
        in store.get(workspace.run(night.run_id, "report.html")).data.decode()
    )
    for number in range(20, 30):
        put(store, workspace.under(f"in/{number}.jpg"), "new")
    for number in range(5):
        put(store, workspace.under(f"in/{number:02}.jpg"), "another")
    for number in range(5, 8):
        store.delete(workspace.under(f"in/{number:02}.jpg"))
    found = plan(prefix, workspace, store)
    told = compare(found, store=store, workspace=workspace, settings=SETTINGS)
    assert counts(told) == {"new": 10, "input_changed": 5, "unchanged": 12, "removed": 3}
    assert (told.since, told.exact, told.records_read) == (night.run_id, True, 0)
    assert told.groups[Change.REMOVED].examples == ["05/default", "06/default", "07/default"]
    assert {change.value: group.credits for change, group in told.groups.items() if group.credits} == {
        "new": 0.2, "input_changed": 0.1
    }  # fmt: skip
    priced = with_diff(found, told, SETTINGS).estimate
    assert (priced.calls, priced.credits, priced.at_most) == (15, 0.3, False)


def test_a_changed_prompt(store: Store, workspace: Workspace) -> None:
    """Only the jobs of the variant whose prompt changed are to be paid for."""
    prefix = shop(store, workspace, 4)
    Path("v.csv").write_text("name,prompt\noak,{id} on oak\nsea,{id} by the sea\n")
    done(plan(prefix, workspace, store, prompt=None, variants="v.csv"), workspace, store)
    Path("v.csv").write_text("name,prompt\noak,{id} on oak\nsea,{id} in a harbour\n")
    told = compared(prefix, workspace, store, prompt=None, variants="v.csv")
    assert counts(told) == {"recipe_changed": 4, "unchanged": 4}
    assert told.groups[Change.RECIPE_CHANGED].examples == [f"{number:02}/sea" for number in range(4)]
    Path("v.csv").write_text("name,prompt\noak,{id} on oak\n")
    assert counts(compared(prefix, workspace, store, prompt=None, variants="v.csv")) == {"unchanged": 4, "removed": 4}


def test_done_again_whatever(store: Store, workspace: Workspace) -> None:
    """--overwrite pays for what is unchanged, too; --new-seed is another recipe."""
    prefix = shop(store, workspace, 3)
    done(plan(prefix, workspace, store), workspace, store)
    found = plan(prefix, workspace, store, overwrite=True, sets=("seed=7",))
    assert counts(compare(found, store=store, workspace=workspace, settings=SETTINGS)) == {"recipe_changed": 3}
    done(found, workspace, store)
    told = compare(found, store=store, workspace=workspace, settings=SETTINGS)
    assert counts(told) == {"unchanged": 3}
    assert with_diff(found, told, SETTINGS).estimate.calls == 3
    assert counts(compared(prefix, workspace, store, new_seed=True)) == {"recipe_changed": 3}


def test_what_was_made_anew_is_done(store: Store, workspace: Workspace) -> None:
    """A picture of another seed (redo, --new-seed) is unchanged for an ordinary plan, however that is told."""
    prefix = shop(store, workspace, 3)
    done(plan(prefix, workspace, store), workspace, store)
    anew = done(plan(prefix, workspace, store, overwrite=True, new_seed=True), workspace, store, records=True)
    told = compared(prefix, workspace, store)
    assert (counts(told), told.records_read) == ({"unchanged": 3}, 0)
    assert counts(compared(prefix, workspace, store, prompt="{id} in felt")) == {"recipe_changed": 3}
    for listed in list(store.list(workspace.under("runs/"))):
        store.delete(listed.uri)
    told = compared(prefix, workspace, store)
    assert (counts(told), told.records_read) == ({"unchanged": 3}, 3)
    assert counts(compared(prefix, workspace, store, sets=("seed=7",))) == {"recipe_changed": 3}
    assert anew.planned == 3


def test_local_pictures_that_were_made_anew(store: Store, workspace: Workspace, tmp_path: Path) -> None:
    """Of local files too, which are compared by content: after the run that drew, and after one that found them."""
    (tmp_path / "mug.jpg").write_bytes(b"mug")
    folder = str(tmp_path) + "/"
    done(plan(folder, workspace, store), workspace, store)
    anew = done(plan(folder, workspace, store, overwrite=True, new_seed=True), workspace, store)
    assert counts(compared(folder, workspace, store)) == {"unchanged": 1}
    ((made, outcome),) = outcomes(anew, workspace=workspace, store=store, open_outcomes=lambda _shard: {})
    assert outcome is not None
    found = done(plan(folder, workspace, store), workspace, store)
    skipped = outcome.model_copy(update={"seed": made.params.seed, "ended": utc_now()})
    ((job, _),) = outcomes(found, workspace=workspace, store=store, open_outcomes=lambda _shard: {})
    line = json.dumps({"job": job.model_dump(mode="json"), "outcome": skipped.model_dump(mode="json")})
    store.put(
        workspace.results(found.run_id, 0), gzip.compress(line.encode(), mtime=0), content_type="application/gzip"
    )
    assert counts(compared(folder, workspace, store)) == {"unchanged": 1}
    (tmp_path / "mug.jpg").write_bytes(b"another mug")
    assert counts(compared(folder, workspace, store)) == {"input_changed": 1}


def test_a_part_tells_of_no_removal(store: Store, workspace: Workspace) -> None:
    """--limit and --only-ids leave jobs out that the manifest still has; nor is such a run what others go by."""
    prefix = shop(store, workspace, 6)
    whole = done(plan(prefix, workspace, store), workspace, store)
    for part in ({"limit": 2}, {"only_ids": frozenset({"00", "05"})}, {"sample": 2}):
        told = compared(prefix, workspace, store, **part)
        assert (counts(told), told.since) == ({"unchanged": 2}, None)
        assert told.as_json()["removed"] == {"jobs": None, "credits": 0.0, "examples": []}
    done(plan(prefix, workspace, store, limit=2), workspace, store)
    store.delete(workspace.under("in/05.jpg"))
    told = compared(prefix, workspace, store)
    assert (counts(told), told.since) == ({"unchanged": 5, "removed": 1}, whole.run_id)


def test_bad_lines_are_not_removed(store: Store, workspace: Workspace) -> None:
    """An entry that is left out because something is wrong with it is still in the manifest."""
    shop(store, workspace, 3)
    rows = [("a", "00"), ("b", "01"), ("c", "02")]
    table = "\n".join(f"{name},{workspace.under(f'in/{key}.jpg')},30" for name, key in rows)
    Path("m.csv").write_text(f"id,image,num_inference_steps\n{table}\n")
    done(plan("m.csv", workspace, store), workspace, store)
    Path("m.csv").write_text("id,image,num_inference_steps\n" + table.replace(",30\n", ",300\n", 1) + "\n")
    assert counts(compared("m.csv", workspace, store, skip_invalid=True)) == {"unchanged": 2}


# -- inputs without ETags ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fewest", [1, 1000])
def test_a_manifest_without_etags(
    store: Store, workspace: Workspace, fewest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inputs of a table are looked at by listing or by HEAD; one that is gone is told as missing."""
    monkeypatch.setattr(lookup, "_FEWEST", fewest)
    shop(store, workspace, 12)
    rows = "".join(f"{workspace.under(f'in/{number:02}.jpg')}\n" for number in range(12))
    Path("m.csv").write_text(f"image\n{rows}")
    Path("v.csv").write_text("name,prompt\noak,oak\nsea,sea\n")
    done(plan("m.csv", workspace, store, prompt=None, variants="v.csv"), workspace, store)
    put(store, workspace.under("in/03.jpg"), "another")
    store.delete(workspace.under("in/04.jpg"))
    told = compared("m.csv", workspace, store, prompt=None, variants="v.csv")
    assert counts(told) == {"unchanged": 20, "input_changed": 2, "missing": 2}
    assert told.records_read == 0


def test_local_files(store: Store, workspace: Workspace) -> None:
    """Local pictures are compared by content, and none goes up."""
    for name in "abc":
        Path(f"{name}.jpg").write_text(name)
    Path("m.csv").write_text("image\na.jpg\nb.jpg\nc.jpg\n")
    done(plan("m.csv", workspace, store), workspace, store)
    Path("b.jpg").write_text("another")
    Path("c.jpg").write_text("c")  # touched
    Path("d.jpg").write_text("d")
    Path("m.csv").write_text("image\na.jpg\nb.jpg\nc.jpg\nd.jpg\n")
    uploaded = len(list(store.list(workspace.under("inputs/"))))
    assert counts(compared("m.csv", workspace, store)) == {"unchanged": 2, "input_changed": 1, "new": 1}
    assert len(list(store.list(workspace.under("inputs/")))) == uploaded == 3


@pytest.mark.parametrize("each", [10, 0])
def test_etags_of_many(store: Store, workspace: Workspace, each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dense or sparse, in one bucket or several, each object is found or told as missing, in the order asked for."""
    monkeypatch.setattr(lookup, "_CHUNK", 7)
    monkeypatch.setattr(lookup, "_FEWEST", 2)
    monkeypatch.setattr(lookup, "_LISTED_EACH", each)
    keys = sorted(["a/1.jpg", "a-b/1.jpg", "a/é.jpg", "b/x/1.jpg", "b/x.jpg", "c.jpg", "ü.jpg", "Z.jpg", "a/10.jpg"])
    for key in keys:
        put(store, workspace.under(key), key)
    missing = [workspace.under("a/2.jpg"), "s3://no-such-bucket/a.jpg"]
    asked = sorted([*map(workspace.under, keys), *missing])
    expected = {workspace.under(key): hashlib.md5(key.encode()).hexdigest() for key in keys}  # noqa: S324 - S3's ETag
    assert list(etags(asked, store)) == [(uri, expected.get(uri)) for uri in asked]


class Unsorted(Store):
    """An S3 that lists in no order, or refuses to."""

    def __init__(self, inner: Store, *, refuses: bool) -> None:
        super().__init__(embedded=inner._embedded)
        self.refuses = refuses

    def list(self, prefix_uri: str, *, after: str = "") -> Iterator[Listed]:
        """The same, backwards."""
        if self.refuses:
            raise StoreAccessDenied("no ListBucket")
        return reversed(list(super().list(prefix_uri, after=after)))


@pytest.mark.parametrize("refuses", [True, False])
def test_listings_that_do_not_help(store: Store, workspace: Workspace, refuses: bool) -> None:
    """Where objects may not be listed, or come in no order, each is asked for."""
    shop(store, workspace, 20)
    uris = [workspace.under(f"in/{number:02}.jpg") for number in range(20)]
    found = dict(etags(uris, Unsorted(store, refuses=refuses)))
    assert all(found.values())


# -- records -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listing", [1, 1000])
def test_what_results_do_not_tell_is_read(
    store: Store, workspace: Workspace, listing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs that failed, are pending or are unknown are sorted by their records, and by those alone."""
    monkeypatch.setattr(diffing, "_WORTH_LISTING", listing)
    prefix = shop(store, workspace, 8)
    done(plan(prefix, workspace, store), workspace, store, records=True)
    second = plan(prefix, workspace, store, prompt="{id} in wool")
    done(second, workspace, store, records=True, ends={"00": OutcomeKind.FAILED, "01": None, "02": OutcomeKind.FAILED})
    store.delete(workspace.record("02", "default"))
    put(store, workspace.under("in/new.jpg"), "new")
    told = compared(prefix, workspace, store, prompt="{id} in wool")
    assert counts(told) == {"new": 2, "recipe_changed": 2, "unchanged": 5}
    assert told.records_read == 2
    assert counts(compared(prefix, workspace, store)) == {"new": 2, "unchanged": 2, "recipe_changed": 5}


def test_records_that_cannot_be_read(store: Store, workspace: Workspace) -> None:
    """A damaged record is none, as it is for a worker."""
    prefix = shop(store, workspace, 2)
    put(store, workspace.record("00", "default"), "{")
    assert counts(compared(prefix, workspace, store)) == {"new": 2}


def test_other_runs_since(store: Store, workspace: Workspace) -> None:
    """What a run of another manifest did to the same jobs since counts, also where it was begun earlier."""
    prefix = shop(store, workspace, 4)
    other = workspace.under("in/0")  # the same pictures as a table
    Path("m.csv").write_text("id,image\n" + "".join(f"{n:02},{other}{n}.jpg\n" for n in range(2)))
    early = plan("m.csv", workspace, store, prompt="{id} in wool")
    done(plan(prefix, workspace, store), workspace, store)
    done(early, workspace, store)
    assert counts(compared(prefix, workspace, store)) == {"recipe_changed": 2, "unchanged": 2}
    assert counts(compared("m.csv", workspace, store, prompt="{id} in wool")) == {"unchanged": 2}


def test_a_report_as_manifest(store: Store, workspace: Workspace) -> None:
    """A manifest that never ran is compared with the runs there are."""
    prefix = shop(store, workspace, 3)
    run = done(plan(prefix, workspace, store), workspace, store)
    report(run, store, workspace)
    told = compared(workspace.run(run.run_id, "report.csv"), workspace, store, prompt=None)
    assert (counts(told), told.since, told.records_read) == ({"unchanged": 3}, None, 0)
    slice_of = compared(workspace.run(run.run_id, "report.csv"), workspace, store, prompt=None, sets=("strength=0.5",))
    assert counts(slice_of) == {"recipe_changed": 3}


# -- slices ------------------------------------------------------------------------------------------------


def test_only_ids(store: Store, workspace: Workspace) -> None:
    """Only those entries are planned, ids that are not there are told, and it is another plan than the whole."""
    prefix = shop(store, workspace, 4)
    found = plan(prefix, workspace, store, only_ids=frozenset({"01", "03", "x", "y"}))
    assert (found.jobs, found.warnings) == (2, ["2 ids of --only-ids are not in the manifest: x, y"])
    assert found.options.partial
    assert found.plan_digest != plan(prefix, workspace, store).plan_digest
    with pytest.raises(Exception, match="has none of the ids of --only-ids"):
        plan(prefix, workspace, store, only_ids=frozenset({"x"}))


def test_a_retry_of_some(store: Store, workspace: Workspace) -> None:
    """A retry takes jobs by error and by id; an error that no job has is told with those there are."""
    prefix = shop(store, workspace, 4)
    ends = {"00": OutcomeKind.FAILED, "01": OutcomeKind.FAILED, "02": None}
    run = done(plan(prefix, workspace, store), workspace, store, ends)

    def retried(**wanted: Any) -> list[str]:
        wanted.setdefault("statuses", frozenset({"failed"}))
        rows = lambda: outcomes(run, workspace=workspace, store=store, open_outcomes=lambda _shard: {})  # noqa: E731
        again = plan_retry(run, rows, Slice(**wanted), SETTINGS, workspace=workspace, store=store)
        return [job.id for job in again.stream() if isinstance(job, Job)]

    assert retried() == ["00", "01"]
    assert retried(errors=frozenset({"api_timeout"})) == ["00", "01"]
    assert retried(only_ids=frozenset({"01", "03"})) == ["01"]
    assert retried(statuses=frozenset({"pending"}), only_ids=frozenset({"02"})) == ["02"]
    with pytest.raises(ConfigurationError, match=r"--error in_doubt: no job .* its errors: api_timeout \(2\)"):
        retried(errors=frozenset({"in_doubt"}))
    with pytest.raises(ConfigurationError, match="--error is of failed jobs"):
        retried(statuses=frozenset({"pending"}), errors=frozenset({"api_timeout"}))


def test_a_retry_of_what_looks_wrong(store: Store, workspace: Workspace) -> None:
    """Suspect pictures are made with another seed, the same however often the jobs are streamed."""
    run = done(plan(shop(store, workspace, 2), workspace, store), workspace, store)
    found = list(outcomes(run, workspace=workspace, store=store, open_outcomes=lambda _shard: {}))
    (first, outcome), second = found[0], found[1]
    assert outcome is not None
    rows = [(first, outcome.model_copy(update={"suspect": ("black",)})), second]
    wanted = Slice(frozenset({"suspect"}))
    again = plan_retry(run, lambda: iter(rows), wanted, SETTINGS, workspace=workspace, store=store)
    (job,) = again.stream()
    assert isinstance(job, Job)
    assert job.params.seed != first.params.seed
    assert job.model_copy(update={"params": first.params}) == first
    assert list(again.stream()) == [job]


# -- pruning -----------------------------------------------------------------------------------------------


def report(run: Run, store: Store, workspace: Workspace) -> None:
    """The report that a run leaves."""
    rows = lambda: outcomes(run, workspace=workspace, store=store, open_outcomes=lambda _shard: {})  # noqa: E731
    told = {
        "run_id": run.run_id, "created": "", "finished": run.model_dump(mode="json")["finished"], "invalid": 0,
        "status": run.status.value, "planned": run.planned, "last_error": "",
    }  # fmt: skip
    write_report(run, rows, workspace=workspace, store=store, snapshot=told)


def test_prune(store: Store, workspace: Workspace, redis_url: str) -> None:
    """Old runs lose plan, results, notes and Redis keys, but for the last of each manifest; nothing else goes."""
    state = State(redis_url, namespace=workspace.namespace, account="a")
    progress = Progress(state)
    fleet = Fleet(state, Limits())
    control = Control(store, workspace, progress, fleet, "me@here")
    prefix = shop(store, workspace, 6)
    Path("m.csv").write_text(f"id,image\n00,{prefix}00.jpg\n")
    runs = [done(plan(prefix, workspace, store), workspace, store, records=number == 2) for number in range(3)]
    runs.append(done(plan("m.csv", workspace, store), workspace, store))
    runs.append(done(plan(prefix, workspace, store, limit=1), workspace, store))
    unfinished = write(plan(prefix, workspace, store), workspace=workspace, store=store, shard_jobs=10, by="me")
    for run in runs:
        report(run, store, workspace)
        progress.register(run)
        progress.end(run.run_id, RunStatus.FINISHED)
    progress.register(unfinished)
    store.put(workspace.doubt(runs[0].run_id, "x"), b"{}", content_type="application/json")
    before = {listed.uri for listed in store.list(workspace.uri + "/")}

    assert prunable(control.runs(), utc_now() - timedelta(days=1)) == []
    found = leftovers(prunable(control.runs(), utc_now()), store, workspace)
    assert {leftover.run.run_id for leftover in found} == {run.run_id for run in runs[:2]}
    remove(found, store, progress)

    gone = before - {listed.uri for listed in store.list(workspace.uri + "/")}
    folders = [workspace.run(run.run_id, folder) for run in runs[:2] for folder in ("plan", "results", "doubt")]
    assert gone == {uri for uri in before if uri.startswith(tuple(folders))}
    assert len(gone) == 5
    known = {key.split(":")[3] for key in state.ask("KEYS", state.key("run", "*"))}
    assert known == {run.run_id for run in [*runs[2:], unfinished]}
    assert leftovers(prunable(control.runs(), utc_now()), store, workspace) == []

    now = snapshot(runs[0], store=store, workspace=workspace, progress=progress, fleet=fleet)
    assert (now.status, now.planned, now.succeeded, now.pending) == (RunStatus.FINISHED, 6, 6, 0)
    with pytest.raises(RunPruned, match=r"was pruned.*restyle run s3://.*/report\.csv"):
        list(outcomes(runs[0], workspace=workspace, store=store, open_outcomes=lambda _shard: {}))
    with store.open(workspace.run(runs[0].run_id, "report.csv")) as body:
        assert len(list(csv.DictReader(body.read().decode().splitlines()))) == 6
    assert counts(compared(prefix, workspace, store)) == {"unchanged": 6}
    state.close()


def test_a_run_that_was_pruned_since(store: Store, workspace: Workspace) -> None:
    """Where a run since has lost its results, the comparison says that it is not exact."""
    prefix = shop(store, workspace, 2)
    done(plan(prefix, workspace, store), workspace, store)
    Path("m.csv").write_text(f"id,image\n00,{prefix}00.jpg\n")
    other = done(plan("m.csv", workspace, store), workspace, store)
    for name in ("plan", "results"):
        store.delete(workspace.run(other.run_id, name, "000000.jsonl.gz"))
    found = plan(prefix, workspace, store)
    told = compare(found, store=store, workspace=workspace, settings=SETTINGS)
    assert (counts(told), told.exact) == ({"unchanged": 2}, False)
    assert with_diff(found, told, SETTINGS).estimate.at_most


def test_runs_are_listed_by_name(store: Store, workspace: Workspace, redis_url: str) -> None:
    """Runs come newest first, so many as are asked for; a folder without run.json, or with a damaged one, is none."""
    state = State(redis_url, namespace=workspace.namespace, account="a")
    control = Control(store, workspace, Progress(state), Fleet(state, Limits()), "me@here")
    Path("m.csv").write_text("image\ns3://in/a.jpg\n")
    run = write(plan("m.csv", workspace, store), workspace=workspace, store=store, shard_jobs=10, by="me")
    names = [f"202601{day:02}T000000Z-aaaaaa" for day in range(1, 9)]
    for name in names:
        write_run(run.model_copy(update={"run_id": name}), store=store, workspace=workspace)
    put(store, workspace.run("20270101T000000Z-aaaaaa", "plan", "000000.jsonl.gz"), "x")
    put(store, workspace.run("20270102T000000Z-aaaaaa"), "{")
    assert [found.run_id for found in control.runs(3)] == [run.run_id, *names[:-3:-1]]
    assert len(control.runs()) == 9
    state.close()
