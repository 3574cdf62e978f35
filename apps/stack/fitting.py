"""Whether a worker that is up may do the run of a command with other settings. Pure, but for its message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from restyle.errors import ConfigurationError

#: Whose account pays, by which API mode, and the limits of what may be spent: these must be the same.
_DECISIVE = (
    "account", "api", "api_url", "in_doubt", "min_credits", "daily_budget", "monthly_budget", "max_price", "time_zone",
)  # fmt: skip
#: Settings of its pace and patience: these may differ.
_PACE = ("concurrency", "processes", "max_rpm", "max_attempts", "api_timeout")


def describe_worker(settings: Settings) -> dict[str, Any]:
    """The settings of a worker that commands compare; of the key only its digest."""
    values = {name: getattr(settings, name) for name in (*_DECISIVE, *_PACE)}
    return {**values, "max_rpm": settings.effective_max_rpm, "processes": settings.effective_processes}


def check_worker(settings: Settings, description: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Compares the worker that is up with this command's settings; `say` gets the differences that may be.

    Raises:
        ConfigurationError: it would spend another account's credits, more than this command allows, or too fast.
    """
    ours = describe_worker(settings)
    others = [name for name in _DECISIVE if description.get(name) != ours[name]]
    if "api_url" in others:
        others.remove("account")  # a digest of both
    rpm, theirs = ours["max_rpm"], description.get("max_rpm") or 0
    if rpm and (not theirs or theirs > rpm):
        others.append("max_rpm")
    if others:
        raise ConfigurationError(
            "a worker of this folder is up for another command, and would do this run too, with"
            f" {_listed(others, description, ours)}. Wait for its runs to end, or end it: restyle stop"
        )
    if paces := [name for name in _PACE if description.get(name) != ours[name]]:
        listed = _listed(paces, description, ours)
        say(f"The worker of this folder is up with {listed}: its own holds until it has ended")


def _listed(names: list[str], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """The settings by name and values; for an account, whose digest means nothing to people, only that it differs."""
    return ", ".join(
        "another API key" if name == "account" else f"{name} {theirs.get(name)} (here {ours[name]})" for name in names
    )
