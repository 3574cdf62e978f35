"""Whether a worker that is up fits a command that would have its run done by it. Pure, but for what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from restyle.errors import ConfigurationError

#: Whose account pays, by which way, and the limits of what may be spent: another worker would break a promise.
_DECISIVE = (
    "account", "api", "api_url", "in_doubt", "min_credits", "daily_budget", "monthly_budget", "max_price", "time_zone",
)  # fmt: skip
#: What only makes it slower or faster, or more or less patient.
_PACE = ("concurrency", "processes", "max_rpm", "max_attempts", "api_timeout")


def story_of_worker(settings: Settings) -> dict[str, Any]:
    """What a command has to know of a worker with these settings; of the key no more than what stands for it."""
    values = {name: getattr(settings, name) for name in (*_DECISIVE, *_PACE)}
    return {**values, "max_rpm": settings.effective_max_rpm, "processes": settings.effective_processes}


def check_worker(settings: Settings, story: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Tells in what the worker that is up differs from what this command asks for.

    Raises:
        ConfigurationError: it would spend another account's credits, more than this command allows, or too fast.
    """
    ours = story_of_worker(settings)
    others = [name for name in _DECISIVE if story.get(name) != ours[name]]
    if "api_url" in others:
        others.remove("account")  # which is made of both
    rpm, theirs = ours["max_rpm"], story.get("max_rpm") or 0
    if rpm and (not theirs or theirs > rpm):
        others.append("max_rpm")
    if others:
        raise ConfigurationError(
            "a worker of this folder is up for another command, and would do this run too, with"
            f" {_listed(others, story, ours)}. Wait for its runs to end, or end it: restyle stop"
        )
    if paces := [name for name in _PACE if story.get(name) != ours[name]]:
        say(f"The worker of this folder is up with {_listed(paces, story, ours)}: its own holds until it has ended")


def _listed(names: list[str], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The settings by name and values; what stands for an account tells nobody anything."""
    return ", ".join(
        "another API key" if name == "account" else f"{name} {theirs.get(name)} (here {ours[name]})" for name in names
    )
