"""Exit codes of errors and of runs, as docs/formats.md defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restyle.errors import ConfigurationError, ManifestError, RestyleError, StateUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from config.settings import Settings
    from producers.runs.snapshot import Snapshot

DONE, SOME_FAILED, WRONG_INPUT, NEEDS_PERSON, OWN_LIMIT, CANCELLED = range(6)
UNREACHABLE, BUG, INTERRUPTED, TERMINATED = 69, 70, 130, 143

#: Reasons of a suspension that are the run's own limit, rather than a matter for a person.
OWN_LIMITS = frozenset({"budget", "deadline", "awaiting_approval", "failing", "suspect"})


def exit_code(error: RestyleError | KeyboardInterrupt) -> int:
    """The code for an error that ended a command."""
    match error:
        case KeyboardInterrupt():
            return int(getattr(error, "code", INTERRUPTED))
        case ConfigurationError() | ManifestError():
            return WRONG_INPUT
        case StateUnavailable() | StoreUnavailable():
            return UNREACHABLE
    return NEEDS_PERSON


def run_code(now: Snapshot, settings: Settings) -> int:
    """The code for a run's status; failures that the settings allow do not count."""
    from restyle.models import RunStatus

    if now.status is RunStatus.FINISHED:
        suspects = now.suspect and not settings.allow_suspects
        invalid = now.invalid and not settings.allow_invalid
        return SOME_FAILED if now.failed or suspects or invalid else DONE
    if now.status is RunStatus.CANCELLED:
        return CANCELLED
    if now.suspension is not None:
        return OWN_LIMIT if now.suspension.reason in OWN_LIMITS else NEEDS_PERSON
    return DONE
