"""Taking the workspace: the flag is raised in S3, the others' are looked at again, and nobody may be in the way."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from restyle.coordination.fleet import Fleet
from restyle.coordination.runs.progress import Progress
from restyle.coordination.workspace.flags import Flags, Look, Owner
from restyle.coordination.workspace.holder import (
    Standing,
    Step,
    Terms,
    next_step,
)
from restyle.coordination.workspace.tenure import Known, Tenure
from restyle.models import utc_now

#: Looks of a candidate at others that came at the same moment, and seconds between two.
LOOKS, BETWEEN = 15, 0.2


class Entry:
    """One process's way of taking the workspace for its Redis."""

    def __init__(self, fleet: Fleet, owner: Owner, terms: Terms, tenure: Tenure, flags: Flags) -> None:
        self._fleet = fleet
        self._owner = owner
        self._terms = terms
        self._tenure = tenure
        self._flags = flags

    def look(self, known: Known) -> Look:
        """The records in S3. What another process of this Redis has written since `known` was read is its own."""
        look = self._flags.look(known)
        while look.rivals:
            later = self._tenure.know()
            if later.names <= known.names and later.beats <= known.beats:
                break
            known = replace(known, names=known.names | later.names, beats=known.beats | later.beats)
            look = self._flags.look(known)
        return look

    def enter(self, known: Known, look: Look) -> bool:
        """Raises the flag, looks at the others' again, and holds the workspace where nobody is in the way."""
        name = secrets.token_hex(8) + (f"-{self._owner.machine}" if self._owner.machine else "")
        number = 1 + max((known.number, *(rival.number for rival in look.rivals if rival.record)))
        fresh = replace(
            known, who=self._owner.who, since=utc_now().isoformat(), names=known.names | {name}, name=name,
            number=number,
        )  # fmt: skip
        with self._tenure.turn(name) as turn:
            if turn is None:
                return False
            raised = self._flags.write(Standing.CANDIDATE, turn, fresh)
            others = self._alone(replace(fresh, etag=raised.etag, beats=known.beats | {turn.beat}))
            if others is None or not self._tenure.has(turn):
                self._flags.remove([name])
                return False
            self._flags.remove(rival.name for rival in others.rivals)
            is_continued = not known.name or not any(rival.number > known.number for rival in others.rivals)
            if not is_continued:
                self._part_with_runs()
            record = self._flags.write(Standing.HOLDER, turn, fresh)
            if not self._tenure.note(turn, self._terms.lease, record, anew=not is_continued):
                return False
            self._flags.remove(others.mine.keys() - {name})
            self._flags.remove_wishes(others.stops)
            return True

    def _alone(self, known: Known) -> Look | None:
        """The records as they are when nobody is in the way; None where somebody stays."""
        for _ in range(LOOKS):
            look = self.look(known)
            step = next_step(look.rivals, known.name, raised=True)
            # A listing without what was written here a moment ago may lack another one's too.
            if step is Step.GO_ON and known.name in look.mine:
                return look
            if step is Step.STEP_BACK:
                return None
            time.sleep(BETWEEN)
        return None

    def _part_with_runs(self) -> None:
        """Another Redis was at work here since: S3 has what it did, and what this one believes of its runs is old."""
        progress, state = Progress(self._fleet.state), self._fleet.state
        run_ids = progress.unfinished()
        for run_id in run_ids:
            state.ask("SREM", state.key("runs"), run_id)
        progress.forget(run_ids)
        for run_id in run_ids:
            why = "another Redis has worked in this workspace since; the run goes on by what S3 has of it"
            progress.suspend(run_id, "workspace_held", why, self._owner.who)
