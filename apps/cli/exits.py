"""Exit codes, as formats.md fixes them: of errors, and of runs."""

from __future__ import annotations

from producers.watch import Snapshot
from restyle.errors import ConfigurationError, ManifestError, RestyleError, StateUnavailable, StoreUnavailable
from restyle.models import RunStatus

DONE, SOME_FAILED, WRONG_INPUT, NEEDS_PERSON, OWN_LIMIT, CANCELLED = range(6)
UNREACHABLE, BUG, INTERRUPTED, TERMINATED = 69, 70, 130, 143

#: Reasons of a suspension that are the run's own limit, rather than a matter for a person.
OWN_LIMITS = frozenset({"budget", "deadline", "awaiting_approval"})


def exit_code(error: RestyleError) -> int:
    """The code for an error that ended a command."""
    match error:
        case ConfigurationError() | ManifestError():
            return WRONG_INPUT
        case StateUnavailable() | StoreUnavailable():
            return UNREACHABLE
    return NEEDS_PERSON


def run_code(now: Snapshot) -> int:
    """The code for how a run stands."""
    if now.status is RunStatus.FINISHED:
        return SOME_FAILED if now.failed else DONE
    if now.status is RunStatus.CANCELLED:
        return CANCELLED
    if now.suspension is not None:
        return OWN_LIMIT if now.suspension.reason in OWN_LIMITS else NEEDS_PERSON
    return DONE
