"""The lines of `--only-ids`, of prompts and of forms: an editor's, whatever else Python takes for a line's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.cli.options import read_ids
from apps.dashboard.acts.orders import FIELDS, request_of
from producers.manifest.encoding import lines_of
from restyle.errors import ConfigurationError


def test_an_id_is_a_line(tmp_path: Path) -> None:
    """With U+2028 in it too, however the file ends its lines; blank lines are none."""
    file = tmp_path / "ids.txt"
    file.write_bytes("\ufeffa\u2028b\r\n\r\nc\rd\n \n e ".encode())
    assert read_ids(str(file)) == frozenset({"a\u2028b", "c", "d", "e"})
    file.write_bytes(b"a\nb\x0cc\n")
    with pytest.raises(ConfigurationError, match=r"ids\.txt:2: the id has a control character"):
        read_ids(str(file))
    assert lines_of("") == [""]


def test_a_prompt_is_a_line() -> None:
    """One that somebody has pasted from a page is tried, and paid for, once."""
    fields = dict.fromkeys(FIELDS, "") | {
        "kind": "try",
        "manifest": "s3://shop/c.csv",
        "prompts": "oak\u2028and brass\r\npine\x0b",
    }
    request = request_of(fields, folder=None)
    assert request.trial is not None
    assert request.trial.prompts == ("oak\u2028and brass", "pine")
