"""The commands of the documentation: where they stand, and a shell to type them into as they are written.

A test says by `@pytest.mark.page("docs/guides/outputs.md", "Names")` what it types: those sections of the page, or all
of it. tests/unit/test_pages.py holds that against the pages, so that no command stands there untried.
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tests.support.command import Command, Done

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(^|\s{2,})# .*$")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Each fenced block of a page: the heading above it, its language, its text."""
    fences = list(_FENCE.finditer(text))
    inside = [range(*fence.span()) for fence in fences]
    headings = [found for found in _HEADING.finditer(text) if not any(found.start() in span for span in inside)]
    for fence in fences:
        above = [found[1] for found in headings if found.start() < fence.start()]
        yield above[-1] if above else "", fence["language"].strip(), textwrap.dedent(fence["text"])


def sections(page: str) -> dict[str, list[str]]:
    """The commands of a page, a line each, by the heading that they stand under."""
    found: dict[str, list[str]] = {}
    for heading, language, text in blocks((ROOT / page).read_text(encoding="utf-8")):
        if language == "sh":
            lines = [_COMMENT.sub("", line) for line in text.splitlines()]
            lines = [line for line in lines if line]
            found.setdefault(heading, []).extend(lines)
    return found


class Page:
    """What a test types of a page."""

    def __init__(self, name: str, *headings: str) -> None:
        there = sections(name)
        self._sections = {heading: there[heading] for heading in headings or there}
        #: Sections that nobody has asked for yet.
        self.left = set(self._sections)

    def commands(self, *headings: str) -> list[str]:
        """The commands below these headings, or all of them."""
        wanted = headings or tuple(self._sections)
        self.left -= set(wanted)
        return [line for heading in wanted for line in self._sections[heading]]


def marked(tests: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Each mark `page` of a test: where it stands, the page's name, and the headings that it names."""
    for path in sorted(tests.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.page":
                    name, *headings = (ast.literal_eval(word) for word in mark.args)
                    yield f"{path.name}::{node.name}", name, headings


@contextlib.contextmanager
def typing(command: Command, *lines: str) -> Iterator[subprocess.Popen[str]]:
    """A shell that types lines and ends at the first that fails; whatever is left of it is ended at the end."""
    env = {**command.environment, "PATH": f"{Path(sys.executable).parent}:{command.environment['PATH']}"}
    with subprocess.Popen(
        ["/bin/bash", "-e", "-c", "\n".join(lines)], cwd=command.folder, env=env, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def typed(command: Command, *lines: str, expect: int = 0, timeout: float = 280) -> Done:
    """Types lines into a shell, and waits for its end; `expect` is its exit code."""
    with typing(command, *lines) as process:
        out, err = process.communicate(timeout=timeout)
    done = Done(process.returncode, out, err)
    assert done.code == expect, f"{lines}: {done}"
    assert "Traceback" not in err, f"{lines}: {done}"
    return done


def with_browser(command: Command, **settings: str) -> Command:
    """The same shell, with a browser that notes in `opened` what it was asked to open."""
    browser = command.folder / "browser"
    browser.write_text('#!/bin/sh\necho "$1" >> opened\n')
    browser.chmod(0o755)
    return Command(command.folder, {**command.env, **settings, "BROWSER": f"{browser} %s"})
