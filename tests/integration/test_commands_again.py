"""Commands that S3 or Redis cut off half-way can be typed again, and the dispatcher finishes what they began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from producers.runs.control import AlreadyEnded, Control
from producers.runs.snapshot import read_run
from producers.runs.suspensions import read_suspension
from restyle.coordination.claim_types import Limits
from restyle.coordination.fleet import Fleet
from restyle.coordination.redis.client import State
from restyle.coordination.runs.progress import Progress
from restyle.errors import ConfigurationError, StateUnavailable, StoreUnavailable
from restyle.models import Run
from restyle.s3.store import Endpoint, Store
from tests.support.proxy import Proxy, running_proxy
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, Valkey
from tests.support.wait import wait_until
from tests.support.works import Works, running_works

pytestmark = pytest.mark.timeout(60)


@dataclass
class Person:
    """Somebody at a machine of their own, whose ways to S3 and to Redis can be cut."""

    works: Works
    to_s3: Proxy
    to_redis: Proxy
    control: Control

    def cut_redis_after(self, request: bytes) -> None:
        """Redis is out of reach from the moment that S3 has been told this."""
        self.to_s3.once(request, self.to_redis.cut, when="after")

    def mend(self) -> None:
        """All is well again, and the next command has connections of its own."""
        self.to_s3.mend()
        self.to_redis.mend()
        self.control.progress.state.close()

    def run_json(self, run_id: str) -> Run:
        """What S3 says."""
        here = self.works.resources
        return read_run(run_id, store=here.store, workspace=here.workspace)

    def in_redis(self, run_id: str) -> dict[str, str]:
        """What Redis says, `suspended` for why it stands still."""
        state = self.works.resources.state
        found: dict[str, str] = state.ask("HGETALL", state.key("run", run_id))
        reasons = self.works.resources.progress.suspensions(run_id)
        return {**found, "suspended": " ".join(sorted(found.reason for found in reasons))}


@pytest.fixture
def to_s3(s3: S3) -> Iterator[Proxy]:
    """A person's way to S3."""
    with running_proxy(s3.port) as found:
        yield found


@pytest.fixture
def to_redis(valkey: Valkey) -> Iterator[Proxy]:
    """A person's way to Redis."""
    with running_proxy(valkey.port) as found:
        yield found


@contextmanager
def at(works: Works, s3: S3, to_s3: Proxy, to_redis: Proxy) -> Iterator[Person]:
    """The person, beside this fleet."""
    here = works.resources
    store = Store(embedded=Endpoint(f"http://127.0.0.1:{to_s3.port}", s3.access_key, s3.secret_key))
    account = here.settings.account or ""
    url = f"redis://127.0.0.1:{to_redis.port}/0"
    state = State(url, namespace=here.workspace.namespace, account=account)
    fleet = Fleet(state, Limits(budgets=here.tools.fleet.limits.budgets, api_timeout=5))
    try:
        yield Person(works, to_s3, to_redis, Control(store, here.workspace, Progress(state), fleet, "me@home", 0.05))
    finally:
        store.close()
        state.close()


@pytest.fixture
def quiet(s3: S3, redis_url: str, sandbox: SandboxServer, to_s3: Proxy, to_redis: Proxy) -> Iterator[Person]:
    """A person beside a fleet that has no worker: nobody finishes what they begin."""
    with running_works(s3, redis_url, sandbox, idle=True) as works, at(works, s3, to_s3, to_redis) as person:
        yield person


@pytest.fixture
def busy(s3: S3, redis_url: str, sandbox: SandboxServer, to_s3: Proxy, to_redis: Proxy) -> Iterator[Person]:
    """A person beside a fleet at work."""
    sandbox.control(latency=0.5)
    with running_works(s3, redis_url, sandbox) as works, at(works, s3, to_s3, to_redis) as person:
        yield person


def expect(person: Person, run_id: str, **told: str) -> None:
    """Redis says this of the run."""
    found = person.in_redis(run_id)
    assert {name: found.get(name, "") for name in told} == told


#: A command, what it writes to S3, and what Redis says once it is done.
Command = tuple[Callable[[Control, str], object], bytes, dict[str, str]]
COMMANDS: dict[str, Command] = {
    "cancel": (lambda control, run: control.cancel(run), b"/run.json", {"status": "cancelled"}),
    "reject": (lambda control, run: control.cancel(run, what="rejected"), b"/run.json", {"status": "cancelled"}),
    "approve": (lambda control, run: control.approve(run), b"/run.json", {"approved": "1", "suspended": "budget"}),
    "resume": (lambda control, run: control.resume(run, budget=9), b"/run.json", {"budget": "9", "approved": "0"}),
    "suspend": (lambda control, run: control.suspend(run), b"/suspended.json", {"approved": "0"}),
}


@pytest.mark.parametrize("cut", ["redis", "s3 after it was told"])
def test_a_command_that_was_cut_off_can_be_typed_again(quiet: Person, cut: str) -> None:
    """S3 was told and Redis not, or the answer was lost: typed again it is done, in both; nothing says 'already'."""
    rows = quiet.works.catalog(3 * len(COMMANDS))
    for number, name in enumerate(COMMANDS):
        ids = frozenset(f"item-{3 * number + offset:03d}" for offset in range(3))
        run = quiet.works.planned(rows, sample=2, then_ask=True, budget=4, only_ids=ids)
        quiet.works.control.admit(run)
        cut_off_and_type_again(quiet, name, cut, run)


def cut_off_and_type_again(quiet: Person, name: str, cut: str, run: Run) -> None:
    """One command of them."""
    command, written, expected = COMMANDS[name]
    for reason in ("awaiting_approval", "budget"):
        quiet.works.resources.progress.suspend(run.run_id, reason, "", "dispatcher")
    put = b"PUT /" + quiet.works.resources.workspace.run(run.run_id).removeprefix("s3://").rpartition("/")[0].encode()
    if cut == "redis":
        quiet.cut_redis_after(put + written)
    else:
        quiet.to_s3.once(put + written, quiet.to_s3.cut, when="after")
    with pytest.raises((StateUnavailable, StoreUnavailable)):
        command(quiet.control, run.run_id)
    quiet.mend()
    command(quiet.control, run.run_id)
    found = quiet.in_redis(run.run_id)
    assert float(found["budget"]) == (9 if name == "resume" else 4)
    expect(quiet, run.run_id, **{key: value for key, value in expected.items() if key != "budget"})
    if name == "suspend":
        assert "operator" in found["suspended"]
    if name == "resume":
        assert found["suspended"] == "awaiting_approval"
    if name in {"cancel", "reject"}:
        with pytest.raises(AlreadyEnded, match="cancelled already"):
            command(quiet.control, run.run_id)
    if name == "approve":
        with pytest.raises(ConfigurationError, match="waits for no approval"):
            command(quiet.control, run.run_id)


def test_a_fleet_wide_suspension_can_be_typed_again(quiet: Person) -> None:
    """Also a resume of it; where S3 is away it is suspended all the same, and the person is told."""
    fleet, note = quiet.works.resources.tools.fleet, b"/suspended.json"
    quiet.cut_redis_after(note)
    with pytest.raises(StateUnavailable):
        quiet.control.suspend(None)
    assert not fleet.suspensions()
    quiet.mend()
    quiet.control.suspend(None)
    assert [found.reason for found in fleet.suspensions()] == ["operator"]
    quiet.cut_redis_after(note)
    with pytest.raises(StateUnavailable):
        quiet.control.resume(None)
    quiet.mend()
    quiet.control.resume(None)
    assert not fleet.suspensions()
    quiet.to_s3.cut()
    with pytest.raises(StoreUnavailable):
        quiet.control.suspend(None)
    assert [found.reason for found in fleet.suspensions()] == ["operator"]


@pytest.mark.long
def test_a_cancel_whose_second_write_failed_is_finished(busy: Person, sandbox: SandboxServer) -> None:
    """run.json says cancelled and the command said that S3 cannot be reached: within seconds no call begins."""
    run_id = busy.works.submit(busy.works.catalog(30))
    wait_until(lambda: sandbox.charged >= 4, timeout=20, description="4 calls")
    busy.to_s3.once(b"/run.json", busy.to_s3.cut, when="after")
    with pytest.raises(StoreUnavailable):
        busy.control.cancel(run_id)
    busy.mend()
    if busy.run_json(run_id).status.value == "running":  # it was the reading that was cut
        busy.to_s3.once(b"PUT ", busy.to_s3.cut, when="after")
        with pytest.raises(StoreUnavailable):
            busy.control.cancel(run_id)
        busy.mend()
    now = busy.works.ended(run_id)
    assert (now.status.value, now.succeeded) == ("cancelled", sandbox.charged)
    assert now.pending > 0
    with pytest.raises(AlreadyEnded, match="cancelled already"):
        busy.control.cancel(run_id)


def test_a_suspension_whose_second_write_failed_is_finished(busy: Person, sandbox: SandboxServer) -> None:
    """Of a run and of the fleet, and so is their resume; what was begun since is not undone."""
    works = busy.works
    run_id = works.submit(works.catalog(40))
    wait_until(lambda: sandbox.charged >= 4, timeout=20, description="4 calls")
    for whom in (run_id, None):
        busy.cut_redis_after(b"/suspended.json")
        with pytest.raises(StateUnavailable):
            busy.control.suspend(whom)
        busy.mend()
        works.stands(run_id, "operator")
        busy.cut_redis_after(b"/suspended.json")
        with pytest.raises(StateUnavailable):
            busy.control.resume(whom)
        busy.mend()
        calls = sandbox.calls
        wait_until(lambda calls=calls: sandbox.calls > calls, timeout=20, description="calls again")  # type: ignore[misc]


@pytest.mark.long
def test_an_approval_and_a_budget_whose_second_write_failed_are_finished(busy: Person, sandbox: SandboxServer) -> None:
    """run.json has the approval, then the budget, and Redis is told by the dispatcher; exactly that much is spent."""
    works = busy.works
    run_id = works.submit(works.catalog(12), sample=3, then_ask=True, budget=6)
    works.stands(run_id, "awaiting_approval")
    busy.cut_redis_after(b"PUT ")
    with pytest.raises(StateUnavailable):
        busy.control.approve(run_id)
    busy.mend()
    works.stands(run_id, "budget")
    assert sandbox.charged == 6
    busy.cut_redis_after(b"PUT ")
    with pytest.raises(StateUnavailable):
        busy.control.resume(run_id, budget=8)
    busy.mend()
    wait_until(lambda: sandbox.charged == 8, timeout=20, description="the new budget")
    works.stands(run_id, "budget")
    assert sandbox.charged == 8


def test_what_redis_forgot_of_a_persons_words_is_told_again(busy: Person, sandbox: SandboxServer) -> None:
    """A Redis that fell back to before a cancel and a suspension learns of both from S3."""
    works, state = busy.works, busy.works.resources.state
    rows = works.catalog(40)
    first = works.submit(rows, only_ids=frozenset(f"item-{number:03d}" for number in range(20)))
    second = works.submit(rows, only_ids=frozenset(f"item-{number:03d}" for number in range(20, 40)))
    wait_until(lambda: sandbox.charged >= 2, timeout=20, description="2 calls")
    works.control.suspend(second)
    works.control.suspend(None)
    works.control.cancel(first)
    works.stands(second, "operator")
    calls = sandbox.calls
    state.ask("DEL", f"{state.account}suspension", state.key("run", second, "suspension"))
    state.ask("HSET", state.key("run", second), "approved", 0, "budget", 1)
    now = works.ended(first)
    assert now.status.value == "cancelled"
    works.stands(second, "operator")
    wait_until(works.resources.tools.fleet.suspensions, timeout=20, description="the fleet's suspension")
    wait_until(lambda: busy.in_redis(second)["budget"] == "0", timeout=20, description="the budget of run.json")
    assert sandbox.calls - calls <= 4, "what began before the dispatcher had looked"
    assert read_suspension(second, works.resources.store, works.resources.workspace)


def test_a_resume_of_another_workspace_of_the_account_holds(quiet: Person) -> None:
    """The fleet's suspension is the account's: who resumes it in one workspace is not overruled by another's S3."""
    works = quiet.works
    quiet.control.suspend(None)
    state = works.resources.state
    state.ask("HSET", state.key("stock"), "id", "this one", "server", "this one")
    quiet.control.suspend(None)
    other = replace(quiet.control, workspace=works.resources.workspace.sandbox)
    other.resume(None)
    assert quiet.control.keep_suspended() == set()
    state.ask("FLUSHALL")
    assert quiet.control.keep_suspended() == {"operator"}, "a Redis that knows nothing of it is safe rather than sorry"
