"""Every report is a manifest: whatever is written into one is read back as it was."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.manifest import Entry, Problems, open_manifest
from producers.runs.outcomes import Row
from reports.report import slice_csv
from restyle.keys import Workspace, normalise_id
from restyle.models import MAX_SEED, Job, ManifestSource, Outcome, OutcomeKind, Params, Run, RunOptions, RunStatus

WORKSPACE = Workspace("s3://bucket/team")
RUN = Run(
    run_id="20260131T120000Z-ab12cd",
    status=RunStatus.FINISHED,
    created=datetime(2026, 1, 31, tzinfo=UTC),
    manifest=ManifestSource(uri="m.csv", sha256="0" * 64),
    plan_digest="d",
    options=RunOptions(),
    shards=1,
    planned=1,
)


def read_back(rows: list[Row]) -> list[Entry]:
    """The entries of the report of these rows; none of them may be a bad line."""
    out = io.StringIO(newline="")
    every = frozenset({"succeeded", "skipped", "failed", "pending"})
    slice_csv(RUN, lambda: iter(rows), workspace=WORKSPACE, statuses=every, out=out)
    manifest = open_manifest("-", store=None, stdin=io.BytesIO(out.getvalue().encode()))
    problems = Problems()
    entries = list(manifest.entries(problems))
    assert manifest.is_report
    assert problems.listed == []
    return entries


def a_job(entry: str, params: Params, meta: dict[str, str] | None = None) -> Job:
    """A job of this entry."""
    image = "s3://bucket/in/a picture.jpg"
    return Job(
        id=entry, variant="oak", image=image, params=params, output=WORKSPACE.output("x", "oak"), meta=meta or {}
    )


def rendered(template: object) -> str:
    """A template without names as it is sent."""
    return str(template).format()


@pytest.mark.parametrize(
    "entry", ["=1+1", "+49", "-5", "@home", "a,b", 'say "hi"', "über/größe", "'quoted'", "'=x", "''-y"]
)
def test_ids(entry: str) -> None:
    """Ids that a spreadsheet would take for formulas, or CSV for its own marks, come back as they were."""
    (found,) = read_back([(a_job(entry, Params(prompt="p")), None)])
    assert (found.id, found.variant, found.image) == (entry, "oak", "s3://bucket/in/a picture.jpg")


@pytest.mark.parametrize("seed", [-1, 0, MAX_SEED])
def test_seeds(seed: int) -> None:
    """The planned seed comes back, a random one too, whatever seed the API drew: so the job counts as done."""
    drawn = Outcome(outcome=OutcomeKind.SUCCEEDED, seed=12345)
    (found,) = read_back([(a_job("a", Params(prompt="p", seed=seed)), drawn)])
    assert found.params["seed"] == seed


def test_parameters() -> None:
    """Every parameter comes back with its value and type; braces in prompts are not taken for names."""
    params = Params(
        prompt="-{title}- {{x}}\nline two", negative_prompt="@{a}", samples=2, scheduler="Euler a", base_model="other",
        num_inference_steps=42, guidance_scale=7.0, strength=0.1, seed=5, base64=True,
    )  # fmt: skip
    (found,) = read_back([(a_job("a", params), None)])
    templates = {name: rendered(found.params[name]) for name in ("prompt", "negative_prompt")}
    assert Params(**{**found.params, **templates}) == params


def test_columns() -> None:
    """Columns of the entries come back, also those named like a report's own."""
    meta = {"title": "=HYPERLINK(1)", "outcome": "theirs", "prompt": "{x}", "mark": "redo", "Größe": "a\rb\nc"}
    (found,) = read_back([(a_job("a", Params(prompt="p"), meta), None)])
    assert found.meta == meta
    assert found.mark == ""


#: Blanks alone are an empty cell, and no prompt that a plan lets through.
_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t"), max_size=12).filter(
    lambda text: not text or bool(text.strip())
)


def _is_id(text: str) -> bool:
    try:
        return normalise_id(text) == text
    except ValueError:
        return False


@given(entry=_texts.filter(_is_id), prompt=_texts.filter(bool), title=_texts)
def test_any_text(entry: str, prompt: str, title: str) -> None:
    """Whatever the text, id, prompt and columns come back."""
    (found,) = read_back([(a_job(entry, Params(prompt=prompt), {"title": title}), None)])
    assert (found.id, rendered(found.params["prompt"]), found.meta.get("title", "")) == (entry, prompt, title)
