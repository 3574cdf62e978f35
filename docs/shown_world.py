"""A fleet with runs in every state, for make_images.py: real commands, two workers, a beat, a sandbox of the API."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.command import Command
from tests.support.sandbox import SandboxServer, running_sandbox
from tests.support.servers import S3, running_s3, running_valkey
from tests.support.wait import wait_until

EXAMPLES = Path(__file__).parents[1] / "examples"
PROMPTS = (
    "soft watercolor of a {title} on cold-pressed paper",
    "studio photo of a {title}, oak table, window light",
    "pencil sketch of a {title}, fine hatching",
    "a {title} on the first day of winter, snow in the air",
    "a {title} under neon light, wet street at night",
)
SCHEDULE = """
[[schedule]]
name = "nightly"
cron = "15 2 * * *"
time_zone = "Europe/Berlin"
manifest = "s3://shop/catalog.csv"
prompt = "poster of a {title}, flat colours"
budget = 20
"""
#: A manifest with an unclosed brace, a repeated id and a number that is none.
WRONG = """id,image,title,strength
home/mug,catalog/mug.jpg,stoneware mug,0.4
home/mug,catalog/mug.jpg,stoneware mug,0.4
home/chair,catalog/chair.jpg,shell chair,much
home/lamp,,mushroom lamp,0.5
"""


@dataclass
class World:
    """A fleet with runs in every state, a dashboard over it, and one over a workspace in which nothing is."""

    command: Command
    sandbox: SandboxServer
    url: str = ""
    empty_url: str = ""
    runs: dict[str, str] = field(default_factory=dict)

    def submit(self, name: str, *options: str, end: str = "finished") -> str:
        """Begins a run of the example catalog, and waits until it stands so."""
        words = ("submit", "s3://shop/catalog.csv", "--yes", "--name", name)
        styles = () if "--prompt" in options else ("--variants", "variants.json")
        self.runs[name] = self.command(*words, *styles, *options).out.strip()
        self.reach(name, end)
        return self.runs[name]

    def reach(self, name: str, end: str) -> None:
        """Waits until a run stands so."""
        wait_until(lambda: self.command("status", self.runs[name], "--json").json["status"] == end,
                   timeout=180, description=f"{name} {end}")  # fmt: skip


@contextmanager
def dashboard(command: Command, *options: str) -> Iterator[str]:
    """A dashboard's address."""
    with command.started("dashboard", "--port", "0", *options) as process:
        assert process.stderr is not None
        address = ""
        while not address:
            line = process.stderr.readline()
            assert line, "the dashboard ended"
            match = re.search(r"http://127\S+", line)
            address = match.group().rstrip("/") if match else ""
        yield address


@contextmanager
def beside(command: Command, *words: str) -> Iterator[None]:
    """A process of the fleet."""
    log = (command.folder / f"{words[0]}-{secrets.token_hex(2)}.log").open("w")
    argv, env = command.argv(*words), command.environment
    process = subprocess.Popen(argv, cwd=command.folder, env=env, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def stocked(folder: Path, s3: S3) -> None:
    """Puts the example catalog into S3 and beside the commands."""
    s3.store.put("s3://shop/catalog.csv", (EXAMPLES / "catalog.csv").read_bytes(), content_type="text/csv")
    for picture in (EXAMPLES / "catalog").glob("*.jpg"):
        s3.store.put(f"s3://shop/catalog/{picture.name}", picture.read_bytes(), content_type="image/jpeg")
    for name in ("catalog.csv", "variants.json"):
        shutil.copy(EXAMPLES / name, folder / name)
    shutil.copytree(EXAMPLES / "catalog", folder / "catalog")
    (folder / "prompts.txt").write_text("\n".join(PROMPTS), encoding="utf-8")
    (folder / "wrong.csv").write_text(WRONG, encoding="utf-8")


def ended(world: World) -> None:
    """Runs in every state but going."""
    sandbox = world.sandbox
    sandbox.script("400:prompt: refused by the content filter", prompt_contains="shell chair under neon")
    sandbox.script("400:prompt: refused by the content filter", prompt_contains="snake plant in a pot under neon")
    sandbox.script("black", prompt_contains="studio photo of a dropper bottle")
    world.submit("spring")
    sandbox.control(rates={"400": 1.0})
    world.submit("price-labels", "--prompt", "label of a {title}", "--limit", "2")
    sandbox.control(rates={})
    world.runs["nightly"] = world.command("schedules", "run", "nightly").out.strip()
    world.reach("nightly", "finished")
    world.submit("pop-sample", "--prompt", "pop art of a {title}", "--namespace", "pop", "--sample", "4", "--then-ask",
                 end="awaiting_approval")  # fmt: skip
    tried = world.command("try", "s3://shop/catalog.csv", "--prompts", "prompts.txt", "--axis", "strength=0.3,0.5,0.7",
                          "--yes", "--name", "which-look", "--detach")  # fmt: skip
    world.runs["which-look"] = tried.out.strip()
    world.reach("which-look", "finished")


def going(world: World, latency: float) -> None:
    """A run that is at it, far enough to be looked at."""
    world.sandbox.control(latency=latency, jitter=latency / 4, rates={"500": 0.08})
    world.submit("autumn", "--namespace", "autumn", "--no-reuse", end="running")
    wait_until(lambda: world.command("status", world.runs["autumn"], "--json").json["succeeded"] >= 11,
               timeout=180, description="pictures")  # fmt: skip


@contextmanager
def running_world() -> Iterator[World]:
    """All of it, in a folder that goes with it."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(running_valkey(folder / "valkey"))
        s3 = stack.enter_context(running_s3(folder / "s3"))
        sandbox = stack.enter_context(running_sandbox(latency=0.2, jitter=1.0, credits=60.0))
        os.environ.update(s3.env)  # for whoever puts the catalog there
        stocked(folder, s3)
        env = {
            **valkey.env, **s3.env, "LOGNAME": "anna", "RESTYLE_CONCURRENCY": "4",
            "RESTYLE_API_URL": sandbox.url, "RESTYLE_API_KEY": sandbox.api_key,
        }  # fmt: skip
        empty = stack.enter_context(dashboard(Command(folder, {**env, "RESTYLE_WORKSPACE": "s3://shop/first-visit"})))
        (folder / "restyle.toml").write_text(SCHEDULE, encoding="utf-8")
        token = secrets.token_hex(12)
        command = Command(folder, {**env, "RESTYLE_WORKSPACE": "s3://shop/restyle", "RESTYLE_DASHBOARD_TOKEN": token})
        world = World(command, sandbox, stack.enter_context(dashboard(command)), empty)
        for words in ("worker", "worker", "beat"):
            stack.enter_context(beside(command, words))
        ended(world)
        yield world
