"""The contenders, and how each is started and gets its jobs: by its own command and its own producer."""

from __future__ import annotations

import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from bench.arena import HERE, PEERS_PYTHON, Arena, start, wait_until

PEERS = HERE / "peers"


@dataclass
class Contender(ABC):
    """A program that does jobs."""

    name: str
    arena: Arena
    concurrency: int
    processes: int = 1
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file of its output."""
        return self.arena.folder / f"{self.name}.log".replace(" ", "-")

    @property
    def pid(self) -> int:
        """The id of its topmost process."""
        assert self.process is not None
        return self.process.pid

    @abstractmethod
    def start(self) -> None:
        """Starts its workers."""

    def settled(self) -> bool:
        """Whether it has nothing left to do for the jobs that it was given."""
        return True

    @abstractmethod
    def give(self, first: int, last: int) -> None:
        """Gives it the jobs of these numbers."""

    def stop(self) -> None:
        """Ends it."""
        if self.process is not None:
            subprocess.run(["kill", "-9", "--", f"-{self.process.pid}"], check=False)
            self.process.wait()


@dataclass
class Restyle(Contender):
    """restyle as a user runs it: `restyle worker` and `restyle submit`."""

    settings: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """Its settings: those that it needs, else its defaults."""
        return {
            **self.arena.env,
            "RESTYLE_REDIS_URL": self.arena.redis_url,
            "RESTYLE_WORKSPACE": "s3://bench/restyle",
            "RESTYLE_API_URL": f"{self.arena.api.url}/v1/img2img",
            "RESTYLE_API_KEY": "bench",
            "RESTYLE_HOME": str(self.arena.folder / "home"),
            **self.settings,
        }

    def command(self, *words: str) -> list[str]:
        """`restyle` with these words."""
        return [str(Path(sys.executable).with_name("restyle")), *words]

    def start(self) -> None:
        words = ("worker", "--concurrency", str(self.concurrency), "--processes", str(self.processes))
        self.process = start(self.command(*words), self.log, self.env, cwd=self.arena.folder)
        wait_until(lambda: self.log.read_text().count("ready") >= self.processes, "restyle's workers", 60)

    def give(self, first: int, last: int) -> None:
        manifest = self.arena.folder / f"manifest-{first}-{last}.csv"
        write_manifest(manifest, first, last)
        words = self.command("submit", str(manifest), "--prompt", "studio photo on an oak table", "--yes")
        subprocess.run(words, env=self.env, cwd=self.arena.folder, check=True, capture_output=True)

    def settled(self) -> bool:
        # Not before the run has ended: its last steps would disturb the next measurement.
        is_open = any(self.arena.redis.scan_iter("restyle:*:runs"))
        return bool(self.arena.s3.stats()["counts"].get("PUT report")) and not is_open

    def stop(self) -> None:
        super().stop()
        self.log.unlink(missing_ok=True)


def write_manifest(path: Path, first: int, last: int) -> None:
    """A CSV of so many pictures in S3."""
    with path.open("w", encoding="utf-8") as file:
        file.write("id,image,title\n")
        for number in range(first, last):
            file.write(f"catalog/{number // 1000}/{number},s3://bench/in/{number}.jpg,product {number}\n")


@dataclass
class Peer(Contender):
    """A peer with a worker command and a producer."""

    module: str = ""
    words: tuple[str, ...] = ()
    settles: float = 3.0
    checks: bool = False
    """Whether it checks both pictures for missing pixels."""

    @property
    def env(self) -> dict[str, str]:
        """The addresses of the servers, and its calls in flight."""
        share = self.concurrency // self.processes
        return {**self.arena.env, "BENCH_CONCURRENCY": str(share), "PYTHONPATH": str(PEERS),
                "BENCH_CHECKS": str(int(self.checks))}  # fmt: skip

    def start(self) -> None:
        self.process = start(
            [str(PEERS_PYTHON.with_name(self.words[0])), *self.words[1:]], self.log, self.env, cwd=PEERS
        )
        time.sleep(self.settles)

    def give(self, first: int, last: int) -> None:
        command = [str(PEERS_PYTHON), str(PEERS / "enqueue.py"), self.module, str(first), str(last)]
        subprocess.run(command, env=self.env, cwd=PEERS, check=True, capture_output=True)


@dataclass
class Bare(Peer):
    """The bare script, which reads its jobs from its standard input."""

    def start(self) -> None:
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [str(PEERS_PYTHON), str(PEERS / "bare.py")], env=self.env, cwd=PEERS, stdin=subprocess.PIPE,
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        time.sleep(1)

    def give(self, first: int, last: int) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{first} {last}\n".encode())
        self.process.stdin.flush()


def restyle(arena: Arena, concurrency: int, processes: int) -> Contender:
    """restyle, every guard on."""
    return Restyle("restyle", arena, concurrency, processes)


def restyle_forgetful(arena: Arena, concurrency: int, processes: int) -> Contender:
    """Restyle without the index of results, which every paid job looks into and adds to."""
    return Restyle("restyle, no reuse", arena, concurrency, processes, settings={"RESTYLE_REUSE": "false"})


def celery_naive(arena: Arena, concurrency: int, _processes: int) -> Contender:
    """Celery as most people write it."""
    words = ("celery", "-A", "celery_naive", "worker", "--pool", "prefork", "--concurrency", str(concurrency))
    return Peer("celery naive", arena, concurrency, module="celery_naive", words=words, settles=8)


def celery_tuned(arena: Arena, concurrency: int, processes: int) -> Contender:
    """Celery tuned: threads, in as many processes as restyle has."""
    share = str(concurrency // processes)
    one = ("-A", "celery_tuned", "worker", "--pool", "threads", "--without-gossip", "--without-mingle",
           "--without-heartbeat", "--concurrency", share)  # fmt: skip
    # `celery multi` would detach them; a shell keeps them below one process.
    line = " & ".join(f"celery {' '.join(one)} -n w{number}@%h" for number in range(processes))
    words = ("bash", "-c", f"PATH={PEERS_PYTHON.parent}:$PATH; {line} & wait")
    return Shell("celery tuned", arena, concurrency, processes, module="celery_tuned", words=words, settles=6)


@dataclass
class Shell(Peer):
    """A peer whose processes a shell starts."""

    def start(self) -> None:
        self.process = start(list(self.words), self.log, self.env, cwd=PEERS)
        time.sleep(self.settles)


def dramatiq(arena: Arena, concurrency: int, processes: int) -> Contender:
    """Dramatiq."""
    words = ("dramatiq", "dramatiq_threads", "--processes", str(processes), "--threads", str(concurrency // processes))
    return Peer("dramatiq", arena, concurrency, processes, module="dramatiq_threads", words=words, settles=5)


def dramatiq_checking(arena: Arena, concurrency: int, processes: int) -> Contender:
    """Dramatiq, which reads every pixel of both pictures for damage, as restyle does."""
    peer = dramatiq(arena, concurrency, processes)
    assert isinstance(peer, Peer)
    peer.name, peer.checks = "dramatiq, pictures checked", True
    return peer


def taskiq(arena: Arena, concurrency: int, processes: int) -> Contender:
    """Taskiq."""
    words = ("taskiq", "worker", "taskiq_async:broker", "--workers", str(processes),
             "--max-async-tasks", str(concurrency // processes))  # fmt: skip
    return Peer("taskiq", arena, concurrency, processes, module="taskiq_async", words=words, settles=5)


def saq(arena: Arena, concurrency: int, _processes: int) -> Contender:
    """SAQ."""
    return Peer("saq", arena, concurrency, module="saq_async", words=("saq", "saq_async.settings"), settles=4)


def bare(arena: Arena, concurrency: int, _processes: int) -> Contender:
    """The bare asyncio script."""
    return Bare("bare asyncio", arena, concurrency)


def bare_checking(arena: Arena, concurrency: int, _processes: int) -> Contender:
    """The bare asyncio script, which reads every pixel of both pictures for damage, as restyle does."""
    return Bare("bare asyncio, pictures checked", arena, concurrency, checks=True)


CONTENDERS = {
    "restyle": restyle,
    "restyle, no reuse": restyle_forgetful,
    "bare asyncio": bare,
    "bare asyncio, pictures checked": bare_checking,
    "taskiq": taskiq,
    "saq": saq,
    "dramatiq": dramatiq,
    "dramatiq, pictures checked": dramatiq_checking,
    "celery tuned": celery_tuned,
    "celery naive": celery_naive,
}
