"""What commands that plan are told by their options."""

from __future__ import annotations

import pytest

from apps.cli.commands import refuse_empty
from apps.cli.start.choices import Choice
from restyle.errors import ConfigurationError


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice(prompt=["on ice", "on sand"]), "--prompt is there 2 times, and a run takes one: give them in"),
        (Choice(variants=["a.csv", "b.csv", "c.csv"]), "--variants is there 3 times, and a run takes one: write them"),
    ],
    ids=["prompts", "files"],
)
def test_none_of_several_is_left_out_in_silence(choice: Choice, says: str) -> None:
    """The last of them would have been paid for alone."""
    with pytest.raises(ConfigurationError, match=says):
        choice.request()


def test_one_is_taken() -> None:
    """A prompt, and a place as mails write it."""
    assert Choice(prompt=["on ice"]).request()["prompt"] == "on ice"
    assert Choice(variants=["S3://b/v.csv"]).request()["variants"] == "s3://b/v.csv"
    assert Choice().request()["prompt"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["", "--prompt", "x"], "argument 1 is empty"),
        (["a.csv", "--namespace", "", "--yes"], "--namespace is empty"),
        (["a.csv", "--images= "], "--images is empty"),
    ],
    ids=["a manifest", "an option", "one with a sign"],
)
def test_what_is_empty_is_refused(words: list[str], says: str) -> None:
    """An empty manifest was the current folder, all of it; an empty namespace was none."""
    with pytest.raises(ConfigurationError, match=f"{says}; is a variable of your shell not set"):
        refuse_empty(words)


def test_what_is_not_empty_is_not_refused() -> None:
    """A parameter's value is looked at by itself, and what stands behind `--` too."""
    refuse_empty(["a.csv", "--set", "negative_prompt=", "-v", "--name=x=", "--", ""])
