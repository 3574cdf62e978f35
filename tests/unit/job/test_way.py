"""The way of a job that the architecture page draws is the way that it takes."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType

from tests.support.one_job import OneJob

ROOT = Path(__file__).parents[3]
#: What stands in memory for the fleet, the API and S3 here, and whom they would ask.
STOOD_FOR = {
    "restyle/coordination/fleet.py", "restyle/job/blocking.py", "restyle/segmind/v1.py", "restyle/http/exchange.py",
    "restyle/segmind/responses.py",
}  # fmt: skip


def stations() -> list[tuple[str, str]]:
    """The modules of the page's table, each with what the job is from there on."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = page.partition("## The modules that a job passes through")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([\w/]+\.py)` \|.*\| (?:`([\w.]+)` )?\|$", table, re.MULTILINE)


def test_a_job_passes_through_few_modules_and_forms() -> None:
    """At most 25 modules and 10 forms, each of which is there."""
    forms = [form for _, form in stations() if form]
    assert 0 < len(stations()) <= 25
    assert 0 < len(forms) <= 10
    for form in forms:
        module, _, name = form.rpartition(".")
        assert isinstance(getattr(import_module(module), name), type)


def test_a_job_passes_through_the_modules_that_are_drawn() -> None:
    """A job that is called for and stored runs code of each station of the domain, as the page has them."""
    one, passed = OneJob(), set[str]()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            passed.add(frame.f_code.co_filename)

    earlier = sys.getprofile()
    sys.setprofile(note)
    try:
        one.run()
    finally:
        sys.setprofile(earlier)
    drawn = {module for module, _ in stations() if module.startswith("restyle/")} - STOOD_FOR
    assert drawn - {str(Path(name).relative_to(ROOT)) for name in passed if name.startswith(str(ROOT))} == set()
