"""Before anything is queued: what a plan would replace, whose places it would write to, and whether it may at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from producers.manifest import ReadOptions
from producers.planning.clashes import Clashes, find_clashes
from producers.planning.make import make_plan
from producers.planning.plan import Plan
from producers.planning.probing import probe
from producers.planning.request import PlanRequest
from producers.runs.listing import shared_job
from producers.runs.snapshot import write_run
from reports.missing import find_missing
from restyle.errors import ConfigurationError, ManifestError
from restyle.keys import Workspace
from restyle.models import RunStatus, utc_now
from tests.support.bench import Bench, running_bench
from tests.support.catalog import picture, write_pictures
from tests.support.proxy import running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    with running_bench(s3, redis_url, sandbox) as found:
        yield found


def clashes(bench: Bench, plan: Plan) -> Clashes:
    """What is found of a plan."""
    return find_clashes(plan, store=bench.resources.store, workspace=bench.resources.workspace)


def drafted(bench: Bench, manifest: str, **asked: object) -> Plan:
    """A manifest by its name, judged."""
    here = bench.resources
    request = PlanRequest(manifest, prompt="{id} on oak", **asked)  # type: ignore[arg-type] # as the tests say
    return make_plan(request, here.settings, workspace=here.workspace, store=here.store)


def done(bench: Bench, plan: Plan) -> None:
    """Does all of a plan, to the end of its run."""
    here, run = bench.resources, bench.begin(plan)
    bench.work(run)
    bench.close(run)
    ended = run.model_copy(update={"status": RunStatus.FINISHED, "finished": utc_now()})
    write_run(ended, store=here.store, workspace=here.workspace)


# -- ids that two manifests share --------------------------------------------------------------------------


def test_ids_of_two_folders(bench: Bench, tmp_path: Path) -> None:
    """Equally named pictures of two folders share ids: the second is told what it would replace, the first is not."""
    for name in ("shoes", "hats"):
        for number in (1, 2):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{number}.jpg").write_bytes(picture(f"{name} {number}"))
    shoes, hats = drafted(bench, f"{tmp_path}/shoes"), drafted(bench, f"{tmp_path}/hats")
    assert clashes(bench, shoes) == Clashes(2, [], [], [])
    done(bench, shoes)
    assert not clashes(bench, drafted(bench, f"{tmp_path}/shoes/")).needs_yes
    (tmp_path / "shoes" / "1.jpg").write_bytes(picture("mended"))
    assert not clashes(bench, drafted(bench, f"{tmp_path}/shoes")).needs_yes
    found = clashes(bench, hats)
    assert found.needs_yes
    (sentence,) = found.sentences()
    assert "id 1, 2 was last made from" in sentence
    assert f"{tmp_path}/shoes" in sentence
    assert "2 of 2 jobs" in sentence
    assert "--namespace hats" in sentence
    apart = drafted(bench, f"{tmp_path}/hats", read=ReadOptions(namespace="hats"))
    assert not clashes(bench, apart).needs_yes
    done(bench, apart)
    assert bench.output("hats/1").data != bench.output("1").data


def test_equally_named_manifests_of_two_folders(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their pictures tell: `.` in one folder is not `.` in another; one that moved is still one."""
    for name in ("shoes", "hats"):
        (tmp_path / name).mkdir()
        for number in (1, 2):
            (tmp_path / name / f"{number}.jpg").write_bytes(picture(f"{name} {number}"))
    monkeypatch.chdir(tmp_path / "shoes")
    done(bench, drafted(bench, "."))
    monkeypatch.chdir(tmp_path / "hats")
    assert clashes(bench, drafted(bench, ".")).needs_yes
    monkeypatch.chdir(shutil.copytree(tmp_path / "shoes", tmp_path / "moved"))
    Path("1.jpg").write_bytes(picture("mended"))
    assert not clashes(bench, drafted(bench, ".")).needs_yes
    Path("2.jpg").write_bytes(picture("mended, too"))
    monkeypatch.chdir(tmp_path / "shoes")
    Path("1.jpg").write_bytes(picture("mended"))
    Path("2.jpg").write_bytes(picture("mended, too"))
    assert not clashes(bench, drafted(bench, ".")).needs_yes, "all of it has changed where it lies"


def test_ids_of_two_manifests_in_s3(bench: Bench) -> None:
    """One picture under one id is none, wherever it lies; another picture is, and a retry's is its manifest's."""
    here = bench.resources
    uris = {name: bench.put(name, picture("mug" if name == "copy" else name)) for name in ("mug", "copy", "pot")}
    for name, image in (("one", "mug"), ("two", "copy"), ("three", "pot")):
        text = f"id,image\n7,{uris[image]}\n"
        here.store.put(here.workspace.under(f"{name}.csv"), text.encode(), content_type="text/csv")
    one, two, three = (here.workspace.under(f"{name}.csv") for name in ("one", "two", "three"))
    done(bench, drafted(bench, one))
    assert not clashes(bench, drafted(bench, two)).needs_yes
    assert "7 was last made from" in clashes(bench, drafted(bench, three)).sentences()[0]


@pytest.mark.long
def test_a_million_jobs_are_a_sample(bench: Bench, s3: S3, redis_url: str, sandbox: SandboxServer) -> None:
    """Of many jobs a few hundred are looked at, evenly spread, by one pass and a bounded number of requests."""
    images = "".join(f"{number},s3://shop/{number}.jpg\n" for number in range(5000))
    with running_proxy(s3.port) as proxy:
        store_url = f"http://127.0.0.1:{proxy.port}"
        with running_bench(
            s3, redis_url, sandbox, local_s3_endpoint=store_url, workspace=bench.resources.workspace.uri
        ) as far:
            bench.resources.store.put(far.resources.workspace.record("x", "y"), b"{}", content_type="text/plain")
            plan = far.plan("id,image\n" + images)
            requests: list[bytes] = []
            proxy.listen(requests.append)
            found = clashes(far, plan)
    assert 150 <= found.looked_at < 300
    assert len(requests) <= 2 * found.looked_at
    ids = [int(job.entry.id) for job in plan.spread]
    assert max(after - before for before, after in pairwise(ids)) <= 32


def test_a_manifest_that_shares_its_pictures(bench: Bench) -> None:
    """What a manifest's last run found done is its own to change, until another makes it anew: as in the tutorial."""
    here = bench.resources

    def written(name: str, image: str) -> str:
        text = f"id,image\n7,{image}\n"
        here.store.put(here.workspace.under(f"{name}.csv"), text.encode(), content_type="text/csv")
        return here.workspace.under(f"{name}.csv")

    demo, mine = written("demo", bench.put("mug")), written("mine", bench.put("copy", picture("mug")))
    done(bench, drafted(bench, demo))
    done(bench, drafted(bench, mine))
    mended = written("mine", bench.put("mended", picture("mended")))
    assert not clashes(bench, drafted(bench, mended)).needs_yes
    done(bench, drafted(bench, written("demo", bench.put("pot", picture("pot")))))
    assert "7 was last made from" in clashes(bench, drafted(bench, mended)).sentences()[0]


# -- places ------------------------------------------------------------------------------------------------


def test_places_of_other_jobs_and_of_people(bench: Bench) -> None:
    """A second manifest of one naming is told before anything is paid; its own outputs are none of that."""
    naming = {"naming": "{stem}_{variant}"}
    rows = {name: f"id,image\n{name},{bench.put(f'{name}/1')}\n" for name in ("shoe", "hat")}
    bench.run(rows["shoe"], naming)
    found = clashes(bench, bench.plan(rows["hat"], naming))
    assert (len(found.taken), found.needs_yes) == (1, False)
    assert "goes beside it" in found.sentences()[0]
    assert clashes(bench, bench.plan(rows["shoe"], naming)).taken == []
    assert clashes(bench, bench.plan(rows["hat"])).taken == []


def test_two_unfinished_runs_of_one_place(bench: Bench) -> None:
    """Runs that are not over yet and would write to one place are told apart by neither ids nor time."""
    naming = {"naming": "{stem}_{variant}"}
    here = bench.resources
    plans = [bench.plan(f"id,image\n{name},{bench.put(f'{name}/1')}\n", naming) for name in ("shoe", "hat")]
    first, second = (bench.begin(plan) for plan in plans)
    assert shared_job(second, first, here.store, here.workspace).endswith("1_default.jpg")
    other = bench.begin(bench.plan(f"id,image\nhat,{bench.put('hat/1')}\n"))
    assert shared_job(other, first, here.store, here.workspace) == ""


# -- what restyle wrote itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("naming", ["", "{run_id}/{id}_{variant}"])
def test_outputs_below_the_listed_prefix_are_no_inputs(bench: Bench, naming: str) -> None:
    """Three nights of a prefix with its outputs below it plan the same two pictures, and say what is left out."""
    prefix = bench.resources.workspace.under("shop")
    for name in ("a", "b"):
        bench.resources.store.put(f"{prefix}/{name}.jpg", picture(name), content_type="image/jpeg")
    for night in range(3):
        here = bench.resources
        settings = here.settings.model_copy(update={"naming": naming})
        request = PlanRequest(f"{prefix}/", prompt="{id} on oak", output=f"{prefix}/restyled/")
        plan = make_plan(request, settings, workspace=here.workspace, store=here.store)
        assert plan.jobs == 2
        assert any("lies below" in warning for warning in plan.warnings)
        assert any("left out" in warning and "where restyle writes" in warning for warning in plan.warnings) is (
            night > 0
        )
        done(bench, plan)


def test_outputs_among_their_inputs_are_no_inputs(bench: Bench) -> None:
    """Outputs that go beside their inputs are known by their metadata the next night."""
    prefix = bench.resources.workspace.under("shop")
    for name in ("a", "b"):
        bench.resources.store.put(f"{prefix}/{name}.jpg", picture(name), content_type="image/jpeg")
    here = bench.resources
    settings = here.settings.model_copy(update={"naming": "{stem}_{variant}"})
    for night in range(2):
        request = PlanRequest(f"{prefix}/", prompt="{id} on oak", output=prefix)
        plan = make_plan(request, settings, workspace=here.workspace, store=here.store)
        assert plan.jobs == 2
        assert any("restyle has made" in warning for warning in plan.warnings) is (night > 0)
        done(bench, plan)
    # By another name they are not known so: they are looked at, as far as a sample goes.
    settings = settings.model_copy(update={"naming": "new/{stem}_{variant}"})
    plan = make_plan(request, settings, workspace=here.workspace, store=here.store)
    assert plan.jobs == 4
    assert len(clashes(bench, plan).made_by_us) == 2


def test_an_inventory_with_the_workspace_in_it(bench: Bench) -> None:
    """What lies in the workspace's own folders is no input of an inventory either."""
    here = bench.resources
    bench.put("a")
    done(bench, bench.plan(f"id,image\na,{bench.put('a')}\n"))
    bucket, _, root = here.workspace.uri.removeprefix("s3://").partition("/")
    keys = [f"{root}/in/a.jpg", f"{root}/outputs/a/default.jpg", f"{root}/replaced/x/a.jpg"]
    text = "".join(f'"{bucket}","{key}"\n' for key in keys)
    here.store.put(here.workspace.under("keys.csv"), text.encode(), content_type="text/csv")
    plan = drafted(bench, here.workspace.under("keys.csv"))
    assert plan.jobs == 1
    assert "2 pictures are left out, since they lie where restyle writes" in plan.warnings


def test_a_folder_of_downloads_is_no_input(bench: Bench, tmp_path: Path) -> None:
    """Copies that restyle has put below a folder are left out of it; what somebody has put in their place is not."""
    write_pictures(tmp_path, ["a", "b"])
    copies = tmp_path / "restyled"
    write_pictures(copies / "a", ["default", "own"])
    size = (copies / "a" / "default.jpg").stat().st_size
    (copies / ".restyle-download.jsonl").write_text(
        f'\n["a/default.jpg", "etag", {size}]\nbroken\n["a/gone.jpg", "e", 1]'
    )
    plan = drafted(bench, str(tmp_path))
    assert [job.entry.id for job in plan.spread] == ["a", "b", "restyled/a/own"]
    assert "1 picture that restyle has copied there (restyled/a/default.jpg)" in plan.summary.lines()[-1][1]
    (copies / "a" / "default.jpg").write_bytes(picture("retouched", 128))
    assert drafted(bench, str(tmp_path)).jobs == 4


def test_copies_of_outputs_that_no_index_knows(bench: Bench, tmp_path: Path) -> None:
    """Outputs that somebody has copied into a folder by other means are told by their mark of origin."""
    write_pictures(tmp_path / "in", ["a", "b"])
    done(bench, drafted(bench, str(tmp_path / "in")))
    here = bench.resources
    (copied,) = [one.uri for one in here.store.list(here.workspace.under("outputs/a/"))]
    (tmp_path / "in" / "c.jpg").write_bytes(here.store.get(copied).data)
    found = clashes(bench, drafted(bench, str(tmp_path / "in")))
    assert found.made_by_us == [str(tmp_path / "in" / "c.jpg")]
    assert found.needs_yes


# -- whether it may ----------------------------------------------------------------------------------------


def test_output_buckets_are_probed(bench: Bench, tmp_path: Path) -> None:
    """A bucket that is not there is told by the line that names it, or by --output; nothing is left in those there."""
    here = bench.resources
    rows = f"id,image,output\na,{bench.put('a')},s3://shop-typo/a.jpg\nb,{bench.put('b')},\n"
    (tmp_path / "m.csv").write_text(rows)
    store = type(here.store)(embedded=None)
    with pytest.raises(ManifestError, match=r"m\.csv:2: output: nothing can be written there: .*RESTYLE_PROBE_OUTPUTS"):
        probe(drafted(bench, str(tmp_path / "m.csv")), store=store, workspace=here.workspace, with_workspace=False)
    plan = bench.plan(f"id,image\na,{bench.put('a')}\n", output="s3://shop-typo/restyled")
    with pytest.raises(ManifestError, match=r"^--output: nothing can be written there"):
        probe(plan, store=store, workspace=here.workspace, with_workspace=False)
    plan = bench.plan(f"id,image\na,{bench.put('a')}\n", output="s3://shop/restyled")
    assert probe(plan, store=store, workspace=here.workspace, with_workspace=False) == []
    assert list(store.list("s3://shop/restyled/")) == []
    elsewhere = Workspace("s3://no-such-bucket/ws")
    with pytest.raises(ConfigurationError, match="RESTYLE_WORKSPACE"):
        probe(plan, store=store, workspace=elsewhere, with_workspace=True)


@pytest.fixture(autouse=True)
def chain(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where boto3's own chain finds the server of these tests."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)


# -- afterwards --------------------------------------------------------------------------------------------


def test_pictures_that_are_gone(bench: Bench) -> None:
    """Of skipped jobs, those whose pictures somebody has removed are named."""
    rows = "id,image\n" + "".join(f"{name},{bench.put(name)}\n" for name in ("mug", "pot"))
    bench.run(rows)
    run = bench.begin(bench.plan(rows))
    bench.work(run)
    gone = bench.record("pot").outputs[0].uri
    assert find_missing(bench.rows(run), bench.resources.store).uris == ()
    bench.resources.store.delete(gone)
    missing = find_missing(bench.rows(run), bench.resources.store)
    assert (missing.looked_at, missing.uris) == (2, (gone,))
