"""What a trial pays for, the real run reuses; and a trial touches nothing that is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.planning.request import TrialRequest
from producers.runs.trials import read_trial
from reports.audit import audit
from reports.pages.grid import write_grid
from tests.support.bench import Bench, running_bench
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3

PROMPTS = tuple(f"photo of {{id}} in look {place}" for place in range(2))
AXIS = "strength=0.3,0.5"


@pytest.fixture
def bench(s3: S3, redis_url: str, sandbox: SandboxServer) -> Iterator[Bench]:
    """A workspace and a worker of this test alone."""
    sandbox.control(price=1.0)
    with running_bench(s3, redis_url, sandbox, price=1.0) as found:
        yield found


def manifest(bench: Bench, count: int) -> str:
    """So many pictures."""
    names = [f"mug-{place}" for place in range(count)]
    return "id,image\n" + "".join(f"{name},{bench.put(name)}\n" for name in names)


def test_the_chosen_column_is_paid_for_once(bench: Bench, sandbox: SandboxServer) -> None:
    """2 prompts x 2 strengths x 3 of 6 pictures are 12 calls; the chosen column over all 6 pays for the other 3."""
    text = manifest(bench, 6)
    published = bench.run(text, prompt="an earlier look of {id}")
    pictures = {entry.partition("/")[0]: bench.output(entry.partition("/")[0]).data for entry in published}
    assert sandbox.charged == 6
    trial = TrialRequest(PROMPTS, axes=(AXIS,), entries=3)
    plan = bench.plan(text, prompt=None, trial=trial)
    run = bench.begin(plan)
    outcomes = bench.work(run)
    assert (len(outcomes), sandbox.charged) == (12, 6 + 12)
    # Nothing published was touched; again, it costs nothing.
    assert {name: bench.output(name).data for name in pictures} == pictures
    bench.close(run)
    assert bench.run(text, prompt=None, trial=trial)
    assert sandbox.charged == 6 + 12

    store, workspace = bench.resources.store, bench.resources.workspace
    kept = read_trial(run.run_id, store=store, workspace=workspace)
    assert kept is not None
    chosen = kept.columns[2]
    Path("chosen.json").write_text(json.dumps([{"name": chosen.name, **chosen.params}]))
    done = bench.run(text, prompt=None, variants="chosen.json")
    assert sandbox.charged == 6 + 12 + 3
    assert sorted(outcome.reused for outcome in done.values()) == [False] * 3 + [True] * 3
    assert all("/outputs/" in outcome.outputs[0] for outcome in done.values())
    assert list(audit(store, workspace)) == []

    page = write_grid(run, bench.rows(run), workspace=workspace, store=store, snapshot={})
    text = store.get(page).data.decode()
    assert text.count('data-state="') == 12
    assert text.count("data:image/jpeg;base64,") == 15


def test_a_trial_takes_no_picture_with_another_seed(bench: Bench, sandbox: SandboxServer) -> None:
    """A run's picture has a seed of its own, and a trial's row would not be comparable; the run's stays the run's."""
    text = manifest(bench, 1)
    bench.run(text, prompt=PROMPTS[0])
    before = bench.output("mug-0").data
    outcomes = bench.run(text, prompt=None, trial=TrialRequest(PROMPTS[:1]))
    assert sandbox.charged == 2
    assert not any(outcome.reused for outcome in outcomes.values())
    # Another id with the same picture gets what was published first.
    twin = "id,image\ntwin," + bench.put("twin", bench.resources.store.get(bench.put("mug-0")).data) + "\n"
    bench.run(twin, prompt=PROMPTS[0].replace("{id}", "mug-0"))
    assert sandbox.charged == 2
    assert bench.output("twin").data == before


def test_each_draw_is_another_picture(bench: Bench, sandbox: SandboxServer) -> None:
    """The run that follows takes the first draw's."""
    text = manifest(bench, 1)
    outcomes = bench.run(text, prompt=None, trial=TrialRequest(PROMPTS[:1], draws=2))
    assert sandbox.charged == 2
    first = next(outcome for name, outcome in outcomes.items() if name.endswith(".s1"))
    done = bench.run(text, prompt=PROMPTS[0])
    assert sandbox.charged == 2
    (outcome,) = done.values()
    store = bench.resources.store
    assert store.get(outcome.outputs[0]).data == store.get(first.outputs[0]).data
