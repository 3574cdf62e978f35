"""docs/guides/nightly.md as it is written, with receivers of notifications that are slow, down, and out of order."""

from __future__ import annotations

import json
import re
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from restyle.s3.store import Store
from tests.acceptance.conftest import FleetOf
from tests.acceptance.test_nightly import beats, ended
from tests.support.catalog import VARIANTS, picture
from tests.support.pages import Page
from tests.support.receiver import receiving
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

pytestmark = pytest.mark.acceptance

GUIDE = (Path(__file__).parents[2] / "docs/guides/nightly.md").read_text(encoding="utf-8")
SECRET = "shared with the receiver"
#: Nobody listens at the mail server's address.
DOWN = 'email = { to = ["a@example.com"] }'


def blocks(language: str) -> list[str]:
    """The guide's blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.page("docs/guides/nightly.md")
def test_the_guide(fleet: FleetOf, s3: S3, page: Page, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands do what it says; a signed notification arrives in spite of all, and the run does not wait for it."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    shop = Store()
    for name in ("a", "b", "c"):
        shop.put(f"s3://shop/images/{name}.jpg", picture(name), content_type="image/jpeg")
    shop.put("s3://shop/styles.json", json.dumps(VARIANTS).encode(), content_type="application/json")
    commands = [line.split()[1:] for line in page.commands()]
    assert commands[-1] == ["beat"]
    with receiving() as webhook, receiving() as slack:
        webhook.slow, webhook.answers, slack.answers = 2.0, [500], [503, 302]
        text = blocks("toml")[0].replace("https://hooks.example.com/restyle", webhook.url)
        (fleet.command.folder / "restyle.toml").write_text(f"{text}slack = true\n{DOWN}\n", encoding="utf-8")
        there = fleet.with_settings(
            RESTYLE_NOTIFY_SECRET=SECRET, RESTYLE_NOTIFY_SLACK=slack.url, RESTYLE_SMTP_HOST="127.0.0.1",
            RESTYLE_SMTP_PORT="1", RESTYLE_SMTP_TLS="none", RESTYLE_SMTP_FROM="b@example.com",
        )  # fmt: skip
        with there.worker():
            said = {" ".join(words): there.command(*words).out for words in commands[:-1]}
            assert "6 jobs of 3 entries" in said["schedules check"]
            assert "nightly" in said["schedules"]
            run_id = said["schedules run nightly"].strip()
            assert run_id in said["runs"]
            began = time.monotonic()
            assert ended(fleet, run_id).succeeded == 6
            assert time.monotonic() - began < 5
            wait_until(lambda: len(webhook.came) >= 2 and len(slack.came) >= 3, timeout=40, description="the notices")
            wait_until(
                lambda: fleet.store.head(fleet.workspace.run(run_id, "notices", "finished-webhook.json")), timeout=40,
                description="the note in S3",
            )  # fmt: skip
        with beats(there, 1) as (process,):
            wait_until(
                lambda: "beat is up" in "".join(p.read_text() for p in fleet.command.folder.glob("beat-*.log")),
                timeout=40, description="the beat",
            )  # fmt: skip
            process.send_signal(signal.SIGTERM)
    assert sandbox.charged == 6
    assert webhook.events() == ["finished"] * 2
    verify(webhook.came[-1], run_id)


def verify(came: tuple[dict[str, str], bytes], run_id: str) -> None:
    """The guide's own function takes it, and nothing that was changed on the way."""
    known: dict[str, Any] = {}
    exec(blocks("python")[0], known)  # noqa: S102 - the guide's function is what is tested
    headers, body = came
    header = headers["X-Restyle-Signature"]
    assert known["is_ours"](header, body, SECRET)
    assert not known["is_ours"](header, body + b" ", SECRET)
    assert not known["is_ours"](header, body, "another")
    assert not known["is_ours"](re.sub(r"t=\d+", "t=1700000000", header), body, SECRET)
    told = json.loads(body)
    assert (told["v"], told["run_id"], told["schedule"], told["status"]) == (1, run_id, "nightly", "finished")
    assert told["summary"]["succeeded"] == 6
    assert told["links"]["html"].endswith(f"{run_id}/report.html")


def test_its_tables_are_settings() -> None:
    """Every table of the guide is one that restyle.toml may hold."""
    from config.schedules import Notify, Schedule

    found = [tomllib.loads(block) for block in blocks("toml")]
    assert [Schedule.model_validate(table) for part in found for table in part.get("schedule", [])]
    assert [Notify.model_validate(part["notify"]) for part in found if "notify" in part]
