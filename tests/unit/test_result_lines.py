"""Lines of earlier results that are read quickly say what they say as models, and what is damaged is refused alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from producers.planning.compare.lines import Lines, Word, word_of
from producers.runs.outcomes import ResultLine, UnchangedLine
from restyle.models import Job, Outcome, OutcomeKind, Params, utc_now

JOB = Job(
    id="größe/1", variant="oak", image="s3://in/1.jpg", params=Params(prompt='an "oak" table', seed=7),
    output="s3://team/w/outputs/1/oak.jpg", etag="e1", meta={"title": "oak"},
)  # fmt: skip
OUTCOME = Outcome(
    outcome=OutcomeKind.SUCCEEDED, attempts=1, credits=0.02, seed=7, outputs=(JOB.output,), etag="e1",
    fingerprint="f" * 32, worker="w", seconds=1.5, ended=utc_now(), stored=("r1", "300 o1"),
)  # fmt: skip
Line = dict[str, Any]


def line() -> Line:
    """A line as it is written."""
    parts: Line = {
        "before": 3, "job": JOB.model_dump(mode="json"),
        "outcome": OUTCOME.model_dump(mode="json", exclude_defaults=True),
    }  # fmt: skip
    return parts


def put(*path: str, value: object) -> Callable[[Line], None]:
    """Sets something in a line."""

    def change(parts: Line) -> None:
        for name in path[:-1]:
            parts = parts[name]
        parts[path[-1]] = value

    return change


def drop(*path: str) -> Callable[[Line], None]:
    """Takes something out of a line."""

    def change(parts: Line) -> None:
        for name in path[:-1]:
            parts = parts[name]
        del parts[path[-1]]

    return change


VALUES: list[object] = [
    None, "", "x", "7", "failed", "skipped", 0, 1, -1, 7, 10**15, 10**30, 0.5, 7.0, True, [], ["x"], [7], {},
    {"x": "y"},
    {"x": 7}, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.500000Z", "2026-01-01T01:00:00+01:00", 1767225600,
    "2026-13-01T00:00:00Z", "a" * 64,
]  # fmt: skip
PATHS = [
    ("before",), ("job",), ("outcome",), ("more",), ("job", "more"), ("outcome", "more"), ("job", "params", "more"),
    *(("job", name) for name in Job.model_fields), *(("outcome", name) for name in Outcome.model_fields),
    *(("job", "params", name) for name in Params.model_fields),
]  # fmt: skip


def as_model(text: bytes, form: type[ResultLine]) -> Word | str:
    """What a line says as a model, or that it is refused."""
    try:
        result = form.read(text)
    except ValidationError:
        return "refused"
    return word_of(result.job, result.outcome)


def plainly(word: Word | str) -> object:
    """Without what tells tuples from lists, and with the parameters that are shared alone."""
    if isinstance(word, str):
        return word
    end = word.end._replace(outputs=tuple(word.end.outputs), stored=tuple(word.end.stored))
    return word._replace(end=end, params=word.params.with_texts("-", "", 0))


@pytest.mark.parametrize("form", [ResultLine, UnchangedLine])
@pytest.mark.parametrize("path", PATHS, ids=map(".".join, PATHS))
def test_a_line_says_what_it_says_as_a_model(path: tuple[str, ...], form: type[ResultLine]) -> None:
    """Whatever stands in it, wherever; after lines that were as usual, and after others of its own kind."""
    for change in (*(put(*path, value=value) for value in VALUES), drop(*path)):
        parts = line()
        try:
            change(parts)
        except KeyError:
            continue  # it was not there
        text = json.dumps(parts, ensure_ascii=False).encode()
        lines = Lines()
        lines.read(json.dumps(line()).encode())
        for _ in range(3):
            try:
                word: Word | str = lines.read(text, form)
            except ValidationError:
                word = "refused"
            assert plainly(word) == plainly(as_model(text, form)), text


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"7", b"null", b'{"job": 7, "outcome": 7}', b'{"job": null}', b"\xff"]
)
def test_what_is_no_line_is_refused(text: bytes) -> None:
    """As damaged, whatever it is."""
    with pytest.raises(ValidationError):
        Lines().read(text)


def test_usual_lines_are_read_quickly() -> None:
    """Once the first one has shown their parameters."""
    lines = Lines()
    first = lines.read(json.dumps(line()).encode())
    parts = line()
    parts["job"]["params"] |= {"prompt": "another", "seed": 8}
    assert lines.read(json.dumps(parts).encode()).params is first.params
