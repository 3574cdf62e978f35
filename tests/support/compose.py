"""docker-compose.yml without Docker: read with an environment, and its services run as processes of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.servers import die_with_parent

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:?[-?])([^}]*))?\})")


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """The text with its variables filled in, by the Compose specification's rules.

    Raises:
        KeyError: a variable is required and missing.
    """

    def fill(match: re.Match[str]) -> str:
        dollar, name, how, rest = match.groups()
        if dollar:
            return "$"
        value = env.get(name)
        if value or (value is not None and how in {"-", "?"}):
            return value
        if how in {":-", "-"}:
            return str(rest)
        raise KeyError(f"{name}: {rest}")

    return _VARIABLE.sub(fill, text)


def read_compose(env: Mapping[str, str]) -> dict[str, Any]:
    """The whole file with its variables filled in."""

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value) for value in node]
        return interpolated(node, env) if isinstance(node, str) else node

    found: dict[str, Any] = walk(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    return found


@dataclass(frozen=True)
class Host:
    """How this machine stands in for the containers' network and files: texts and what they become."""

    folder: Path
    instead: Mapping[str, str]

    def here(self, text: str) -> str:
        """A text of the file as it is right on this machine."""
        for there, here in self.instead.items():
            text = text.replace(there, here)
        return text

    def argv(self, words: list[str]) -> list[str]:
        """The words of a command; `python` is ours."""
        return [self.here(word) for word in (sys.executable if word == "python" else word for word in words)]

    @contextmanager
    def running(self, argv: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A process with this environment, and no other settings."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        env |= {name: self.here(str(value)) for name, value in environment.items()}
        with log.open("wb") as written:
            process = subprocess.Popen(
                argv, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=written, stderr=written,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only asks to end with this process
            )  # fmt: skip
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def healthy(self, check: Mapping[str, Any]) -> bool:
        """Runs a healthcheck's command as the engine would, once."""
        kind, *words = check["test"]
        argv = ["/bin/sh", "-c", self.here(words[0])] if kind == "CMD-SHELL" else self.argv(words)
        return subprocess.run(argv, capture_output=True, timeout=30, check=False).returncode == 0
