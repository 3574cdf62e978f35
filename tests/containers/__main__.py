"""Builds the image, runs the compose file's fleet in containers, and writes what held into docs/reliability.md.

`make containers` runs it, with Docker or with Podman. Everything lies in a temporary folder, and is removed at the end.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.containers.bases import bases, provide
from tests.containers.engine import Engine, Failed, Missing, engine_at_hand
from tests.containers.fleet import IMAGE, SERVICES, Fleet, environment
from tests.containers.page import Row, write_rows
from tests.containers.proofs import NEEDED, PROOFS, NotHeld

LOGS = Path(__file__).parents[2] / "build" / "containers"


def main() -> int:
    """Runs every proof; 1 where one is red, and 0 where there is nothing to run them with."""
    with _folder() as folder:
        env = environment(folder)
        try:
            engine = engine_at_hand(folder)
            began = time.monotonic()
            origin, made = provide(engine, bases(env), folder)
        except Missing as error:
            _say(f"skipped: {error}")
            return 0
        rows = [_row(engine, "versions", f"{engine.versions}; {origin}", time.monotonic() - began)]
        fleet = Fleet(engine, folder, env)
        try:
            for what, proof in PROOFS.items():
                rows.append(_proved(engine, what, partial(proof, fleet)))
                if rows[-1].is_red and what in NEEDED:
                    break
            if any(row.is_red for row in rows):
                _keep_logs(fleet)
        finally:
            _remove(fleet, made)
        write_rows(rows)
        return int(any(row.is_red for row in rows))


def _proved(engine: Engine, what: str, proof: Callable[[], str]) -> Row:
    began = time.monotonic()
    try:
        result = proof()
    except (NotHeld, Failed, AssertionError, OSError) as error:
        result = f"**{str(error).replace('|', '/')}**"
    return _row(engine, what, result, time.monotonic() - began)


def _row(engine: Engine, what: str, result: str, seconds: float) -> Row:
    row = Row(engine.name, what, result, f"{seconds:.0f} s", datetime.now(UTC).date().isoformat())
    _say(f"{what}: {row.result} ({row.took})")
    return row


def _say(sentence: str) -> None:
    sys.stdout.write(f"containers: {sentence}\n")
    sys.stdout.flush()


def _keep_logs(fleet: Fleet) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    with suppress(Failed):
        for name in (name for service in SERVICES for name in fleet.containers(service, dead=True)):
            (LOGS / f"{name}.log").write_text(fleet.engine.logs(name), encoding="utf-8")
    _say(f"the containers' logs are in {LOGS.name}/")


def _remove(fleet: Fleet, made: list[str]) -> None:
    """Removes what was made for this run, whatever of it is there."""
    with suppress(Failed):
        fleet.down()
    if fleet.engine.name == "podman":
        # All of its storage is this run's; what is left of it would hold networks of the whole machine.
        for words in (("rm", "--all", "--force", "--depend", "--time", "0"), ("network", "prune", "--force")):
            with suppress(Failed):
                fleet.engine.run(*words)
    for image in (f"{IMAGE}:next", IMAGE, *made):
        with suppress(Failed):
            fleet.engine.run("image", "rm", "--force", image)


@contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder; what an engine mounted in it is unmounted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="restyle-containers-"))
    try:
        yield folder
    finally:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if Path(mount).is_relative_to(folder)), reverse=True):
            unmount = ["umount", mount]
            subprocess.run(unmount, capture_output=True, check=False)
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
