"""How much a command says: help in boxes, `--quiet`, and progress without a terminal that grows rarer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.table import Table
from rich.text import Text

from apps.cli import panels
from apps.cli.commands import COMMANDS, load
from apps.cli.runs import progress_line
from apps.terminal import console
from apps.views.pace import Pace
from producers.runs.snapshot import Snapshot, SuspensionNote


@pytest.fixture(autouse=True)
def volume(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a command finds it, however a test leaves it."""
    monkeypatch.setattr(console.talk, "quiet", False)
    monkeypatch.setattr(console.Volume, "is_verbose", False)


def moment(done: int, why: str = "", **more: Any) -> Snapshot:
    """A run of 100 jobs."""
    since = datetime(2026, 1, 31, tzinfo=UTC)
    note = SuspensionNote(scope="run", reason=why, detail="", since=since, until=None, by="", next="") if why else None
    given = {
        "run_id": "r", "status": "suspended" if why else "running", "planned": 100, "succeeded": done, "skipped": 0,
        "failed": 0, "pending": 100 - done, "invalid": 0, "suspect": 0, "in_doubt": 0, "attempts": done,
        "credits_spent": 0.0, "credits_left": None, "suspension": note, "report": None, "outputs": "", "created": since,
        "finished": None, "workers": 1, "in_flight": 0, "last_error": "",
    }  # fmt: skip
    return Snapshot.model_validate(given | more)


def lines(capsys: pytest.CaptureFixture[str], moments: list[tuple[float, Snapshot]]) -> int:
    """How many lines there are of moments, each with its time in seconds."""
    time = 0.0
    show = progress_line._lines(Pace(), 1.0, lambda: time)
    for time, now in moments:  # noqa: B007 - the clock reads it
        show(now)
    return capsys.readouterr().err.count("\n")


def test_progress_grows_rarer(capsys: pytest.CaptureFixture[str]) -> None:
    """A minute has a line every 10 s, and a day and a half some 230 lines rather than 13,000."""
    assert lines(capsys, [(second, moment(1)) for second in range(60)]) == 6
    assert 200 < lines(capsys, [(float(second), moment(1)) for second in range(0, 36 * 3600, 100)]) < 260
    console.speak_up()
    assert lines(capsys, [(float(second), moment(1)) for second in range(0, 600, 5)]) == 60


def test_a_terminal_obeys_nobody_elses_words(capsys: pytest.CaptureFixture[str]) -> None:
    """A suspension's words lie in Redis, a file's name in a folder: what a terminal would obey is shown as it is."""
    evil = "a\x1b[2J\x1b]0;title\x07 \x9b31m \u202eb \u2028c"
    console.say(evil)
    console.fail(f"{evil}\nnext")
    console.out.print(f"  {evil}", style="yellow", markup=False)
    table = Table("name")
    table.add_row(Text(evil))
    console.out.print(table)
    console.print_json({"detail": evil, "id": "椅子\ud800"})
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "\\x1b[2J" in text
    assert printed.err.count("\n") == 3
    assert json.loads(printed.out.splitlines()[-1]) == {"detail": evil, "id": "椅子\ud800"}


def test_a_run_that_stops_or_goes_on_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """However long ago it began."""
    late = [(80_000.0, moment(1)), (80_001.0, moment(1, "budget")), (80_002.0, moment(1, "budget")),
            (80_003.0, moment(2)), (80_004.0, moment(100, status="finished", pending=0))]  # fmt: skip
    assert lines(capsys, late) == 4


def test_quiet_says_what_went_wrong_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Progress, tables and hints are left out."""
    console.hush()
    console.say("Watch it: restyle watch RUN", "dim")
    console.talk.print("[bold green]finished[/]")
    console.say("Suspended (no_credits): HTTP 406", "bold yellow")
    console.fail("there is no run x")
    assert capsys.readouterr().err == "Suspended (no_credits): HTTP 406\nrestyle: there is no run x\n"


@pytest.mark.parametrize(("value", "shown"), [(-0.001, "0.00"), (0.0, "0.00"), (-1.5, "-1.50"), (1234.567, "1,234.57")])
def test_nothing_is_not_less_than_nothing(value: float, shown: str) -> None:
    """What an account lacks by less than a cent is told as nothing."""
    assert console.amount(value) == shown
    assert [console.counted(number, "worker") for number in (0, 1, 1000)] == ["0 workers", "1 worker", "1,000 workers"]


def test_each_command_has_a_box_and_says_as_much_as_one_likes() -> None:
    """In `restyle --help`; and takes --quiet and --verbose, unless it has such an option of its own."""
    boxed = [name for names in panels.COMMANDS.values() for name in names]
    assert sorted(boxed) == sorted(COMMANDS)
    for name in COMMANDS:
        command: Any = load(name)
        for leaf in [command, *getattr(command, "commands", {}).values()]:
            assert {"-q", "--quiet", "-v", "--verbose"} <= {word for param in leaf.params for word in param.opts}


@pytest.mark.parametrize("name", ["run", "plan", "submit"])
def test_no_option_of_a_long_list_stands_alone(name: str) -> None:
    """Each has a box in which it is looked for."""
    command: Any = load(name)
    found = [param for param in command.params if param.param_type_name == "option"]
    assert [param.name for param in found if not param.rich_help_panel] == []
    assert len({param.rich_help_panel for param in found}) >= 6


@pytest.mark.parametrize("columns", ["0", ""])
def test_no_width_silences_errors(columns: str) -> None:
    """A runner of jobs may say that there are 0 columns."""
    command = [sys.executable, "-c", "from apps.terminal.console import fail; fail('it is wrong')"]
    done = subprocess.run(command, env=os.environ | {"COLUMNS": columns}, capture_output=True, text=True, check=True)
    assert done.stderr == "restyle: it is wrong\n"
