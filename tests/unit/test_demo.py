"""What `restyle demo` says to type next."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli.start.demo import activation


def test_a_command_that_is_not_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make demo` the environment is made active first; where the command is known, nothing more is said."""
    script = tmp_path / ".venv/bin/activate"
    script.parent.mkdir(parents=True)
    script.touch()
    monkeypatch.setenv("PATH", "/nowhere")
    assert activation(script) == ". .venv/bin/activate && "
    monkeypatch.chdir("/")
    assert activation(script) == f". {str(script).lstrip('/')} && "
    assert activation(tmp_path / "none") == ""
    command = tmp_path / "restyle"
    command.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert activation(script) == ""
