"""The commands of the README, the tutorial and the guides, typed into a shell as they are written."""

from __future__ import annotations

import re
import shutil
import socket
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from apps.stack.servers import free_port
from restyle.s3.store import Store
from tests.acceptance.conftest import Alone, FleetOf
from tests.support.catalog import picture, write_pictures, write_rows, write_variants
from tests.support.command import Command
from tests.support.pages import ROOT, Page, typed, typing, with_browser
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3
from tests.support.wait import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.long, pytest.mark.timeout(300)]


#: What a shell puts in the place of RUN: the newest run's id, from the first line below the list's head.
NEWEST = "$(restyle runs | grep -oE '^[0-9]{8}T[^ ]+' | head -1)"


@pytest.fixture
def clone(tmp_path: Path) -> Command:
    """Where a reader stands: a shell without settings in a clone of the repository, installed already."""
    folder = tmp_path / "restyle"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("examples", "requirements"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.prefix) / "bin")
    (folder / ".venv/.local").touch()  # newer than what is installed from, so that `make demo` installs nothing
    return Command(folder)


def shop(folder: Path, count: int) -> list[str]:
    """What the pages call `catalog.csv`, `styles.json` and `photos/`; answers with the ids."""
    ids = [f"mug-{number}" for number in range(40, 40 + count)]
    write_pictures(folder / "photos", ids)
    write_rows(folder / "catalog.csv", ({"id": name, "image": f"photos/{name}.jpg"} for name in ids))
    write_variants(folder).rename(folder / "styles.json")
    return ids


def with_run(command: Command, line: str) -> str:
    """A line with the id of the newest run in the place of RUN."""
    return re.sub(r"\bRUN\b", command("runs", "--json").json["runs"][0]["run_id"], line) if "RUN" in line else line


@pytest.mark.page("docs/tutorial.md")
def test_the_tutorial(clone: Command, page: Page) -> None:
    """From a folder of pictures to a manifest, a change, a failure and its mending."""
    done = typed(with_browser(clone), *(re.sub(r"\bRUN\b", NEWEST, line) for line in page.commands()))
    told = re.findall(r"finished +(\d+) succeeded · (\d+) skipped · (\d+) failed", str(done))
    # The demo; a folder; 2 entries; the other 10; one style anew and two of one picture; a broken picture; mended.
    assert told == [
        ("36", "0", "0"), ("12", "0", "0"), ("6", "0", "0"), ("30", "6", "0"), ("14", "22", "0"), ("0", "33", "3"),
        ("3", "33", "0"),
    ]  # fmt: skip
    assert "exit code 1" in done.out
    assert "report.html" in (clone.folder.parent / "shop" / "opened").read_text()
    assert re.search(r"new +0", done.err)
    assert re.search(r"recipe changed +12 ", done.err)
    assert re.search(r"input changed +2 ", done.err)
    assert len(list((clone.folder.parent / "shop" / "restyled").rglob("*.jpg"))) == 12


@pytest.mark.page("README.md", "Your own pictures")
def test_the_readme(alone: Alone, page: Page, sandbox: SandboxServer) -> None:
    """Each line does what its comment says, and the account is charged once a job."""
    ids = shop(alone.folder, 22)
    played, planned, tried, some, rest, opened, *others = page.commands("Your own pictures")
    command = with_browser(alone.command)
    assert f"finished  {len(ids)} succeeded" in str(typed(command, played))
    assert "(44 calls, 44 samples)" in str(typed(command, planned))
    assert sandbox.calls == 0
    (alone.folder / "prompts.txt").write_text("photo of {id} in the snow\n")
    assert "grid.html" in typed(command, f"{tried.partition('#')[0]} --yes").err.replace("\n", "")
    assert sandbox.charged == 18
    typed(command, some)
    assert sandbox.charged == 58
    assert "4 succeeded · 40 skipped" in str(typed(command, rest))
    typed(command, with_run(command, opened))
    assert "report.html" in (alone.folder / "opened").read_text()
    said = [typed(command, with_run(command, line)).out for line in others]
    assert "mug-41" in said[0]
    assert len(said) == 5
    assert len(list((alone.folder / "restyled").rglob("*.jpg"))) == 44
    # A trial's six pictures have one seed each in its three columns; nothing else was paid for twice.
    assert (sandbox.charged, sorted(sandbox.paid_twice.values())) == (62, [3] * 6)


@pytest.mark.page("docs/guides/trying.md")
def test_finding_the_prompt(clone: Command, page: Page) -> None:
    """Two prompts in three strengths, on six pictures."""
    (line,) = page.commands()
    clone_in = replace(clone, folder=clone.folder / "examples")
    told = str(typed(clone_in, line))
    assert "2 prompts x strength 0.3, 0.5, 0.7: 6 columns, of 12 entries in all" in told
    assert "finished  36 succeeded" in told


def put_shop(s3: S3, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """The shop in a bucket of that name, apart from the workspace."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    store, names = Store(), [f"mug-{number}" for number in range(count)]
    for name in names:
        store.put(f"s3://shop/photos/{name}.jpg", picture(name), content_type="image/jpeg")
    rows = "".join(f"{name},s3://shop/photos/{name}.jpg\n" for name in names)
    store.put("s3://shop/catalog.csv", f"id,image\n{rows}".encode(), content_type="text/csv")


@pytest.mark.page("README.md", "A fleet")
def test_a_fleet_by_the_readme(
    fleet: FleetOf, s3: S3, page: Page, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker, a run from a bucket, a look at it, and the worker drained."""
    put_shop(s3, monkeypatch, 5)
    shop(fleet.command.folder, 1)
    worker, submit, watch = page.commands("A fleet")
    watch = watch.replace("RUN", '"$RUN"')
    done = typed(fleet.command, f"{worker} 2> worker.log &", f"RUN=$({submit})", watch, "kill $!", "wait $!")
    assert "10 succeeded" in str(done)
    assert sandbox.charged == 10


@pytest.mark.page("docs/guides/fleet.md")
def test_a_fleet_by_the_guide(clone: Command, page: Page) -> None:
    """Servers, settings, two workers, a run, and its pictures."""
    text = "\n".join(page.commands())
    ports = {port: free_port() for port in ("6390", "6391", "6392")}
    for port, here in ports.items():
        assert port in text
        text = text.replace(port, str(here))
    said = str(typed(clone, text))
    assert "2 workers" in said
    assert "36 succeeded" in said
    assert len(list((clone.folder / "restyled").rglob("*.jpg"))) == 36
    wait_until(lambda: not any(map(is_open, ports.values())), timeout=20, description="the end of the servers")


@pytest.mark.page("docs/guides/budgets.md")
def test_budgets_by_the_guide(alone: Alone, page: Page, sandbox: SandboxServer) -> None:
    """Each line ends as the guide says, and the account is charged once a job."""
    shop(alone.folder, 40)
    shutil.copy(alone.folder / "catalog.csv", alone.folder / "urgent.csv")
    sandbox.control(price=1)
    lines = page.commands()
    # The budget is used up by the first two, the sample waits; all others go through.
    stopped = {line for line in lines if "--budget 50" in line or "--then-ask" in line}
    assert len(stopped) == 3
    command = Command(alone.folder, {**alone.command.env, "RESTYLE_PRICE": "1"})
    for line in lines:
        typed(command, with_run(command, line), expect=4 if line in stopped else 0)
    assert (sandbox.charged, sandbox.paid_twice) == (80, {})


@pytest.mark.page("docs/guides/outputs.md", "Marks of origin", "Pictures that look wrong", "Names", "A local folder")
def test_outputs_by_the_guide(alone: Alone, page: Page, sandbox: SandboxServer) -> None:
    """Marked, judged, named and copied as it says; what is done is never paid for again."""
    ids = shop(alone.folder, 4)
    (marked,) = page.commands("Marks of origin")
    sandbox.script("black", prompt_contains=f"{ids[1]} on")
    sandbox.script("flat", prompt_contains=f"{ids[2]} on")
    assert "2 suspect" in str(typed(alone.command, marked, expect=1))
    assert all(b"/trainedAlgorithmicMedia" in picture for picture in alone.outputs().values())
    assert len(alone.outputs()) == 6

    listed, again, accepted = page.commands("Pictures that look wrong")
    typed(alone.command, with_run(alone.command, listed))
    table = (alone.folder / "suspect.csv").read_text()
    assert [name in table for name in ids] == [False, True, True, False]
    (alone.folder / "fine.txt").write_text(f"{ids[1]}\n")
    typed(alone.command, accepted)
    assert (len(alone.outputs()), sandbox.charged) == (7, 8)
    first = alone.command("runs", "--json").json["runs"][-1]["run_id"]
    typed(alone.command, again.replace("RUN", first))
    assert f"{ids[2]}/oak.jpg" in alone.outputs()
    charged = sandbox.charged
    assert charged == 10

    (named,) = page.commands("Names")
    typed(alone.command, named)
    assert {f"{ids[0]}__oak_0.jpg", f"{ids[3]}__sea_0.jpg"} <= set(alone.outputs())
    (copied,) = page.commands("A local folder")
    typed(alone.command, copied)
    assert len(list((alone.folder / "restyled").rglob("*.jpg"))) == 8
    assert (sandbox.charged, sandbox.paid_twice) == (charged, {})


def is_open(port: int) -> bool:
    """Whether anybody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bytes:
    """What a page holds; nothing where nobody listens yet."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: bytes = answer.read()
    except urllib.error.HTTPError as error:
        found = error.read()
    except urllib.error.URLError:
        return b""
    return found


@pytest.mark.page("docs/guides/dashboard.md", "The dashboard", "Who gets in")
def test_the_dashboard_by_the_guide(fleet: FleetOf, page: Page, sandbox: SandboxServer) -> None:
    """It is opened in a browser, stands beside a run as long as that lasts, and asks for a token where one is set."""
    shop(fleet.command.folder, 3)
    command, port = with_browser(fleet.command), free_port()
    alone, beside = page.commands("The dashboard")
    with typing(command, f"{alone} --port {port}"):
        opened = command.folder / "opened"
        wait_until(lambda: opened.exists() and opened.read_text(), timeout=30, description="the browser")
        assert opened.read_text().strip() == f"http://127.0.0.1:{port}/"
        assert b"<h1>Runs</h1>" in answers(f"http://127.0.0.1:{port}/")
    with fleet.worker():
        assert "The dashboard is at http://127.0.0.1:" in typed(command, beside).err
    assert sandbox.charged == 6

    token, everywhere = page.commands("Who gets in")
    with typing(command, token, f"{everywhere} --port {port}"):
        found = wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), timeout=30, description="the dashboard")
        assert found == b"Sign in first.\n"


@pytest.mark.page("examples/README.md")
def test_the_examples(clone: Command, page: Page) -> None:
    """Each of the manifests as its line says, and the pictures are drawn anew as they were."""
    before = {path.name: path.read_bytes() for path in (clone.folder / "examples/catalog").iterdir()}
    played, planned, other, folder, _ = [str(typed(clone, line)) for line in page.commands()]
    assert "finished  36 succeeded" in played
    assert "(36 calls, 36 samples)" in planned
    assert "finished  8 succeeded" in other
    assert "finished  12 succeeded" in folder
    assert {path.name: path.read_bytes() for path in (clone.folder / "examples/catalog").iterdir()} == before


@pytest.mark.page("apps/sandbox/README.md", "Starting it", "Faults")
def test_a_sandbox_by_its_page(clone: Command, page: Page) -> None:
    """One of its own stands for the API, and is told what to do while it runs."""
    shop(clone.folder, 3)
    port = str(free_port())
    serve, run = (line.replace("8000", port) for line in page.commands("Starting it"))
    with typing(clone, serve):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/control"), timeout=30, description="the sandbox")
        assert "3 succeeded" in str(typed(clone, run))
        for line in page.commands("Faults"):
            told = typed(clone, line.replace("8000", port)).out
    assert '"neon"' in told
    assert '"balance"' in told
