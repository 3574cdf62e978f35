"""What must hold of the image and the fleet in containers, in the order of a fleet's life."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from typing import Any

from tests.containers.bases import base_of_image
from tests.containers.fleet import CONCURRENCY, IMAGE, SERVICES, Fleet
from tests.containers.image import build, own_layers
from tests.support.wait import wait_until

#: Bytes that the image may have over its base.
LARGEST = 200_000_000
WORKERS = 4
#: A run's jobs, and those of the one that an upgrade is to last less long than.
JOBS, MANY_JOBS = 48, 240


class NotHeld(Exception):
    """A proof did not hold, for the reason that it names."""


def image(fleet: Fleet) -> str:
    """The image is small, is nobody's root, and comes out alike when it is built again."""
    engine, base = fleet.engine, base_of_image()
    layers = []
    for _ in range(2):
        build(engine, IMAGE, "this", "--no-cache")
        layers.append(own_layers(engine, IMAGE, base, fleet.folder))
    one, again = layers
    differing = one.differing(again)
    hold(not differing, f"two builds differ in {len(differing)} files: {', '.join(differing[:5])}")
    hold(one.size <= LARGEST, f"{_megabytes(one.size)} over its base, more than {_megabytes(LARGEST)}")
    user = engine.run("image", "inspect", "--format", "{{.Config.User}}", IMAGE).strip()
    hold(user.split(":")[0] not in {"", "0", "root"}, f"its user is {user or 'root'}")
    return (
        f"{_megabytes(one.size)} over its base, {len(one.files)} files, user {user}; built twice from nothing, "
        f"one digest but for time stamps: `{one.digest[:12]}`"
    )


def up(fleet: Fleet) -> str:
    """Every service comes up and is well by its own health check."""
    fleet.up(2)
    containers = fleet.wait_healthy(*SERVICES)
    hold(containers == len(SERVICES) + 1, f"{containers} containers run")
    with urllib.request.urlopen(f"http://127.0.0.1:{fleet.env['DASHBOARD_PORT']}/readyz", timeout=10) as answer:
        hold(answer.status == 200, f"the dashboard answers {answer.status}")
    return f"{len(SERVICES)} services healthy, the worker twice; the dashboard answers at the host's port"


def sealed(fleet: Fleet) -> str:
    """No container runs as root, has a capability, may gain rights, or may write its own files."""
    containers = [name for service in SERVICES for name in fleet.containers(service)]
    for name in containers:
        hold(fleet.inside(name, "id", "-u").strip() != "0", f"{name} runs as root")
        lines = fleet.inside(name, "cat", "/proc/1/status").splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        hold(int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0, f"{name} has capabilities")
        hold(status["NoNewPrivs"] == "1", f"{name} may gain rights")
        hold(_refuses_writes(fleet, name), f"root may write files in {name}")
    return f"{len(containers)} containers: no root, no capabilities, no new rights, read-only"


def run(fleet: Fleet) -> str:
    """A run goes through, each job for one paid call."""
    before = fleet.paid()
    return _paid(fleet, fleet.submit(JOBS), before=before, jobs=JOBS)


def scale(fleet: Fleet) -> str:
    """More workers join by one command."""
    fleet.up(WORKERS)
    hold(fleet.wait_healthy("worker") == WORKERS, f"{len(fleet.containers('worker'))} workers run")
    _all_there(fleet)
    return f"from 2 workers to {WORKERS}: each healthy, and seen by `restyle status`"


def kill(fleet: Fleet) -> str:
    """A worker's container that is killed costs at most the calls it had in flight."""
    before, run_id = _under_way(fleet)
    fleet.engine.run("kill", "--signal", "KILL", fleet.containers("worker")[0])
    result = _paid(fleet, run_id, before=before, jobs=JOBS, more=CONCURRENCY)
    _whole_again(fleet)
    return f"1 of {WORKERS} killed in mid-run, {CONCURRENCY} calls in flight in it: {result}"


def drain(fleet: Fleet) -> str:
    """A worker's container that is stopped ends its calls first."""
    before, run_id = _under_way(fleet)
    name = fleet.containers("worker")[0]
    _stop(fleet, name)
    result = _paid(fleet, run_id, before=before, jobs=JOBS)
    _whole_again(fleet)
    return f"1 of {WORKERS} stopped in mid-run, exit 0: {result}"


def upgrade(fleet: Fleet) -> str:
    """Workers of another image take the place of the old ones, one by one, while a run goes on."""
    build(fleet.engine, f"{IMAGE}:next", "next")
    fleet.engine.run("tag", f"{IMAGE}:next", IMAGE)
    new = _id(fleet.engine.run("image", "inspect", "--format", "{{.Id}}", IMAGE))
    before, run_id = _under_way(fleet, jobs=MANY_JOBS)
    fleet.sandbox(latency=10)
    for name in fleet.containers("worker"):
        hold(_id(fleet.inspect(name, ".Image")) != new, f"{name} has the new image already")
        hold(fleet.status(run_id)["pending"] > 0, f"the run ended before {name} was replaced")
        _stop(fleet, name)
        fleet.engine.run("rm", name)
        _whole_again(fleet)
    images = {_id(fleet.inspect(name, ".Image")) for name in fleet.containers("worker")}
    hold(images == {new}, "not every worker has the new image")
    pending = fleet.status(run_id)["pending"]
    hold(pending > 0, "the run ended before the last worker was replaced")
    result = _paid(fleet, run_id, before=before, jobs=MANY_JOBS)
    return f"{WORKERS} workers replaced by those of another image, {pending} jobs still pending then: {result}"


PROOFS: dict[str, Callable[[Fleet], str]] = {
    "image": image, "up": up, "sealed": sealed, "a run": run, "scaling": scale, "kill -9": kill, "drain": drain,
    "upgrade": upgrade,
}  # fmt: skip
#: Without these there is nothing to prove.
NEEDED = {"image", "up"}


def hold(condition: bool, otherwise: str) -> None:
    """Goes on where this is so.

    Raises:
        NotHeld: it is not.
    """
    if not condition:
        raise NotHeld(otherwise)


def _under_way(fleet: Fleet, jobs: int = JOBS) -> tuple[int, str]:
    """A run in which every worker has all its calls in flight: what was paid before it, and its id."""
    # Long enough that the first calls of all workers overlap, however busy the machine is.
    before = int(fleet.sandbox(latency=20)["charged"])
    run_id = fleet.submit(jobs)
    calls = WORKERS * CONCURRENCY
    wait_until(lambda: fleet.sandbox()["in_flight"] == calls, timeout=180, description=f"{calls} calls in flight")
    return before, run_id


def _paid(fleet: Fleet, run_id: str, *, before: int, jobs: int, more: int = 0) -> str:
    """Waits for the run's end: every job succeeded, and as many calls paid as there are jobs, or so many more."""
    fleet.sandbox(latency=0.5)
    status: dict[str, Any] = fleet.ended(run_id, timeout=900)
    hold(status["succeeded"] == jobs, f"{status['succeeded']} of {jobs} jobs succeeded")
    paid = fleet.paid() - before
    hold(jobs <= paid <= jobs + more, f"{paid} calls paid for {jobs} jobs")
    return f"{paid} calls paid for {jobs} jobs"


def _stop(fleet: Fleet, worker: str) -> None:
    """Stops a worker as Compose would: it has the file's time to drain."""
    fleet.engine.run("stop", worker)
    code = fleet.inspect(worker, ".State.ExitCode")
    hold(code == "0", f"{worker} ended with {code}")


def _whole_again(fleet: Fleet) -> None:
    fleet.up(WORKERS)
    hold(fleet.wait_healthy("worker") == WORKERS, f"{len(fleet.containers('worker'))} workers run")
    _all_there(fleet)


def _all_there(fleet: Fleet) -> None:
    wait_until(
        lambda: len(fleet.status()["workers"]) == WORKERS, timeout=180, description=f"{WORKERS} workers in the status"
    )


def _refuses_writes(fleet: Fleet, container: str) -> bool:
    """Whether not even root may write outside /tmp there."""
    words = "touch /written 2> /tmp/refusal || grep -q 'Read-only file system' /tmp/refusal"
    return fleet.engine.succeeds("exec", "--user", "0", container, "sh", "-c", words) and not fleet.engine.succeeds(
        "exec", container, "ls", "/written"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def _id(digest: str) -> str:
    return digest.strip().removeprefix("sha256:")
