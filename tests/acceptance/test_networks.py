"""The real command in networks of companies, and with an API whose answers cannot be read."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Alone, FleetOf
from tests.support import pictures
from tests.support.answering import speaking
from tests.support.catalog import picture, write_catalog
from tests.support.certificates import write_authority
from tests.support.command import Command
from tests.support.forward import forwarding
from tests.support.sandbox import SandboxServer
from tests.support.standin import Made, standing_in
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

RUN = ("run", "manifest.csv", "--prompt", "photo of {id}", "--yes", "--json")


@pytest.mark.long
def test_what_cannot_be_used_is_said_before_the_first_call(
    alone: Alone, fleet: FleetOf, sandbox: SandboxServer
) -> None:
    """By `run` and by a worker of a fleet, in a sentence that names the variable; and no call is made."""
    write_catalog(alone.folder, 2)
    done = Command(alone.folder, {**alone.command.env, "ALL_PROXY": "socks5://proxy.corp:1080"})(*RUN, expect=2)
    assert "ALL_PROXY names the SOCKS proxy proxy.corp:1080" in " ".join(done.err.split())
    worker = Command(fleet.command.folder, {**fleet.command.env, "SSL_CERT_FILE": "/no/such.pem"})
    done = worker("worker", expect=None)
    assert done.code != 0
    assert "SSL_CERT_FILE: /no/such.pem does not exist" in " ".join(done.err.split())
    assert sandbox.calls == 0


@pytest.mark.long
def test_a_run_goes_by_the_company_s_authority_and_proxy(alone: Alone, tmp_path: Path) -> None:
    """Both are taken from the environment by the embedded worker, too."""
    write_catalog(alone.folder, 2)
    root, cert, key = write_authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    made = pictures.encode(pictures.photo())
    with standing_in(lambda _, __: Made(made), tls=context) as api, forwarding(login="me:pass") as proxy:
        env = {
            "RESTYLE_API_URL": api.url,
            "HTTPS_PROXY": proxy.url("me:pass"),
            "SSL_CERT_FILE": str(root),
            "RESTYLE_GATES": "false",
        }
        done = Command(alone.folder, {**alone.command.env, **env})(*RUN).json
        assert (done["succeeded"], sum(api.calls.values())) == (2, 2)
        assert {passed.partition(" ")[0] for passed in proxy.passed} == {"CONNECT"}


@pytest.mark.long
def test_unreadable_answers_are_read_again_by_a_command(alone: Alone) -> None:
    """Nothing is asked, and no call made: what a later version reads is stored; reports name what is kept."""
    write_catalog(alone.folder, 2)
    odd = b'{"status": "ok", "asset": {"sealed": "AAEC"}}'
    with standing_in(lambda _, __: Made(odd, {"x-cost": "0.02"})) as api:
        command = Command(alone.folder, {**alone.command.env, "RESTYLE_API_URL": api.url})
        done = command(*RUN, expect=1).json
        assert (done["failed"], sum(api.calls.values())) == (2, 4)
        folder = alone.bucket / "unreadable" / done["run_id"]
        assert f"unreadable/{done['run_id']}/" in command("report", done["run_id"], "--status", "failed").out
        first, *_ = sorted(path for path in folder.iterdir() if "." not in path.name)
        first.write_bytes(picture("other"))  # as a later version would read it
        again = command("retry", done["run_id"], "--unreadable", "--json", expect=1).json
        assert (again["planned"], again["succeeded"], again["failed"], again["credits_spent"]) == (2, 1, 1, 0)
        assert (sum(api.calls.values()), len(alone.outputs())) == (4, 1)


def trickle(connection: socket.socket) -> None:
    """A head that comes byte by byte, for a minute."""
    for _ in range(600):
        connection.sendall(b"H")
        time.sleep(0.1)


@pytest.mark.long
def test_a_trickle_holds_no_drain(fleet: FleetOf) -> None:
    """Answers whose heads come byte by byte end at the deadline, and with them the worker that was told to end."""
    write_catalog(fleet.command.folder, 4)
    with speaking(trickle) as api:
        slow = fleet.with_settings(
            RESTYLE_API_URL=f"http://127.0.0.1:{api.port}/v1/sdxl-img2img", RESTYLE_API_TIMEOUT="4",
            RESTYLE_CONCURRENCY="4", RESTYLE_IN_DOUBT="hold",
        )  # fmt: skip
        with slow.worker() as worker:
            run_id = slow.submit()
            wait_until(lambda: len(api.heard) == 4, timeout=30, description="four calls")
            began = time.monotonic()
            worker.terminate()
            assert worker.wait(30) == 0
            assert time.monotonic() - began < 12
        with slow.worker():
            done = slow.finished(run_id, within=60)
    assert (done["failed"], done["in_doubt"], len(api.heard)) == (4, 4, 4)
