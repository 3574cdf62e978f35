"""The recipes for other systems hold what those systems read, and commands that restyle takes as they stand."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.cli.commands import load
from tests.support.pages import ROOT, blocks

PAGE = "docs/guides/recipes.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def recipe(heading: str) -> list[str]:
    """The blocks below a heading."""
    return [text for above, _, text in blocks(TEXT) if above == heading]


def commands() -> Iterator[str]:
    """Each command line of restyle in the blocks."""
    for heading, _, text in blocks(TEXT):
        if heading == "Airflow":
            yield "restyle submit a.csv --variants b.json --yes --quiet"
            yield "restyle watch 20260101T021500Z-ab12cd --quiet"
            continue
        yield from re.findall(r"\brestyle (?:run|submit|watch) [^\n]*", text)


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_a_recipe_types_what_restyle_takes(line: str) -> None:
    """Each option of a recipe is one of its command."""
    _, name, *words = shlex.split(line)
    command = load(name)
    assert not command.make_context(name, words, resilient_parsing=True).args
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= options


def test_the_crontab_has_five_fields() -> None:
    """A line of cron is five fields and a command; percent signs would be line ends there."""
    lines = [line for line in recipe("cron")[0].splitlines() if not re.match(r"[A-Z_]+=", line)]
    assert [re.fullmatch(r"([\d*/,-]+ +){5}cd .*", line) is not None for line in lines] == [True]
    assert "%" not in lines[0]


def test_the_units_are_systemds() -> None:
    """Service and timer have the sections that systemd reads, and a time that it understands."""
    service, timer = (_unit(text) for text in recipe("systemd"))
    assert service["Service"]["SuccessExitStatus"].split() == ["1", "4"]
    assert service["Service"]["ExecStart"].startswith("/usr/local/bin/restyle run ")
    if analyze := shutil.which("systemd-analyze"):
        when = timer["Timer"]["OnCalendar"]
        subprocess.run([analyze, "calendar", when], check=True, capture_output=True, timeout=20)


class _Unit(configparser.ConfigParser):
    """Names of systemd have capitals."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _unit(text: str) -> configparser.ConfigParser:
    unit = _Unit(interpolation=None)
    unit.read_string(text)
    return unit


def test_the_workflow_is_yaml() -> None:
    """One job, each night, one at a time, with its secrets from where secrets are kept."""
    flow = yaml.safe_load(recipe("GitHub Actions")[0])
    assert flow["concurrency"]["cancel-in-progress"] is False
    (job,) = flow["jobs"].values()
    assert all("secrets." in job["env"][name] for name in job["env"] if "KEY" in name)
    assert job["steps"][-1]["run"].startswith("restyle run ")


def test_make_makes_it_once(tmp_path: Path, on_path: Callable[[int], None]) -> None:
    """What is up to date is not run again; what failed is."""
    (tmp_path / "Makefile").write_text(recipe("Make")[0])
    (tmp_path / "restyled").mkdir()
    for name in ("catalog.csv", "styles.json"):
        (tmp_path / name).touch()
    make = [shutil.which("make") or "make", "-C", str(tmp_path)]
    on_path(1)
    assert subprocess.run(make, check=False, capture_output=True).returncode
    on_path(0)
    assert not subprocess.run(make, check=False, capture_output=True).returncode
    assert b"up to date" in subprocess.run(make, check=True, capture_output=True).stdout


@pytest.mark.parametrize(
    ("code", "ends"), [(0, "done"), (1, "fail"), (2, "fail"), (3, "again"), (4, "skip"), (5, "fail"), (69, "again")]
)
def test_the_sensor_reads_exit_codes(
    code: int, ends: str, on_path: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suspended: the slot is given back; the run's own limit: skipped; done with the id; all else fails."""
    made = _airflow(monkeypatch)
    on_path(code)
    try:
        answer = made["finished"]("20260101T021500Z-ab12cd")
        seen = "done" if answer == {"is_done": True, "xcom_value": "20260101T021500Z-ab12cd"} else "again"
    except (Skip, Fail) as error:
        seen = type(error).__name__.lower()
    assert seen == ends


def test_the_task_hands_on_the_run(on_path: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """`submit` prints the run's id alone."""
    made = _airflow(monkeypatch)
    on_path(0)
    assert made["submit"]("a.csv", "b.json") == "20260101T021500Z-ab12cd"


class Skip(Exception):
    """Airflow's."""


class Fail(Exception):
    """Airflow's."""


class Task:
    """Airflow's decorators: functions stay what they are."""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`@task`."""
        return function

    def sensor(self, **_: object) -> Task:
        """`@task.sensor(...)`."""
        return self


def _airflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the recipe defines, beside a stand-in of the few names of Airflow that it imports."""
    modules: dict[str, dict[str, Any]] = {
        "airflow": {}, "airflow.sensors": {}, "airflow.decorators": {"task": Task()},
        "airflow.exceptions": {"AirflowFailException": Fail, "AirflowSkipException": Skip},
        "airflow.sensors.base": {"PokeReturnValue": dict},
    }  # fmt: skip
    for name, names in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, module)
    made: dict[str, Any] = {}
    exec(compile(recipe("Airflow")[0], PAGE, "exec"), made)  # noqa: S102 - the page is ours
    return made


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Puts a restyle on the path that prints a run's id and ends with a code."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(code: int) -> None:
        script = folder / "restyle"
        script.write_text(f"#!/bin/sh\necho 20260101T021500Z-ab12cd\nexit {code}\n")
        script.chmod(0o755)

    return put
