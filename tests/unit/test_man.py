"""The man pages are made of the help, and troff reads them."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from apps.cli.commands import COMMANDS, load
from tests.support.pages import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they were written."""
    spec = spec_from_file_location("make_man", ROOT / "docs/make_man.py")
    assert spec
    assert spec.loader
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = tmp_path_factory.mktemp("man")
    script.write(folder)
    return folder


def test_each_command_has_a_page_with_its_options(folder: Path) -> None:
    """One page a command, with whatever its help shows."""
    for name in COMMANDS:
        command = load(name)
        if command.hidden:
            continue
        text = (folder / f"restyle-{name}.1").read_text(encoding="ascii")
        shown = [one for one in command.params if not getattr(one, "hidden", False)]
        for option in [option for one in shown if one.param_type_name != "argument" for option in one.opts]:
            assert option.replace("-", "\\-") in text, (name, option)
        assert ".SH EXIT STATUS" in text


GROFF = shutil.which("groff")


@pytest.mark.skipif(not GROFF, reason="there is no groff")
def test_troff_has_nothing_to_say(folder: Path) -> None:
    """No page has an order that troff does not know, or a character that it cannot read."""
    pages = sorted(map(str, folder.glob("*.1")))
    words = [GROFF or "", "-man", "-Tutf8", "-ww", "-z", *pages]
    assert subprocess.run(words, check=True, capture_output=True, timeout=60).stderr == b""
