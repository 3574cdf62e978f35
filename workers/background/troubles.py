"""Why single runs cannot be moved: each reason is logged once, and shown by `restyle status`.

One run's error costs that run its tick, never the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from restyle.coordination.runs.progress import Progress
from restyle.errors import RestyleError, StateUnavailable, StoreUnavailable

log = structlog.get_logger("restyle.dispatcher")


class Troubles:
    """The runs that this process could not move: the reason by run and by the part of the process that failed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._standing: dict[tuple[str, str], str] = {}

    @contextmanager
    def of_run(self, run_id: str, who: str) -> Iterator[None]:
        """Takes any error inside for this run's alone, except that Redis is away.

        Raises:
            StateUnavailable: Redis is out of reach.
        """
        try:
            yield
        except StateUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other runs go on
            self._note(run_id, who, error)
        else:
            self._clear(run_id, who)

    @contextmanager
    def of_all(self, what: str) -> Iterator[None]:
        """An error inside ends this step alone; each reason is logged once.

        Raises:
            StateUnavailable: Redis is out of reach.
        """
        try:
            yield
        except StateUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the next step, or the next tick, goes on
            self._log(("", what), error, what)
        else:
            self._standing.pop(("", what), None)

    def _note(self, run_id: str, who: str, error: Exception) -> None:
        self._log((run_id, who), error, "the run cannot be moved; the others go on")
        trouble = {"reason": _reason(error), "next": _next(run_id, error)}
        self._progress.note_trouble(run_id, json.dumps(trouble))

    def _clear(self, run_id: str, who: str) -> None:
        if self._standing.pop((run_id, who), None) and not any(run == run_id for run, _ in list(self._standing)):
            self._progress.note_trouble(run_id, "")

    def _log(self, key: tuple[str, str], error: Exception, what: str) -> None:
        reason = _reason(error)
        if self._standing.get(key) == reason:
            return
        self._standing[key] = reason
        if isinstance(error, RestyleError):
            log.warning(what, run=key[0], reason=reason, next=_next(key[0], error))
        else:
            log.error(what, run=key[0], reason=reason, next=_next(key[0], error), exc_info=error)


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, RestyleError) else f"{type(error).__name__}: {error}"[:500]


def _next(run_id: str, error: Exception) -> str:
    if isinstance(error, (StateUnavailable, StoreUnavailable)):
        return "nothing: it goes on when that is back"
    if advice := getattr(error, "next", ""):
        return str(advice)
    if not run_id:
        return "if it stays, report it"
    return f"correct that, or rebuild the run: restyle resume {run_id}; or end it: restyle cancel {run_id}"
