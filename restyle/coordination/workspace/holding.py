"""Holding the workspace: what restyle/coordination/workspace/holder.py decides, carried out in S3 and noted in Redis.

Two places say the same. In S3 the record of each Redis, by which they see one another. In this Redis a lease
(`<namespace>holder`) without which no claim succeeds: it is set when S3 has taken the record, and ends by itself long
before anybody else may take the workspace. Processes of one Redis take turns at writing its record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from restyle.coordination.fleet import Fleet
from restyle.coordination.workspace.entry import BETWEEN, Entry
from restyle.coordination.workspace.flags import Flags, Look, Owner
from restyle.coordination.workspace.holder import (
    Rival,
    Standing,
    Step,
    Terms,
    described,
    in_the_way,
    lost_to,
    next_step,
    refusal,
)
from restyle.coordination.workspace.tenure import Known, Tenure
from restyle.errors import RestyleError, StoreUnavailable, WorkspaceHeld
from restyle.keys import Workspace
from restyle.models import utc_now
from restyle.s3.store import Store

#: Seconds after which a command gives up where nobody is in the way and the workspace cannot be taken all the same.
LONGEST_ENTRY = 60.0
#: Seconds for which a command's interest in the workspace is remembered after its last word.
INTEREST = 15.0


class Holding:
    """One process's part in holding the workspace for its Redis."""

    def __init__(self, store: Store, workspace: Workspace, fleet: Fleet, owner: Owner, terms: Terms) -> None:
        self._workspace = workspace
        self._fleet = fleet
        self._tenure = Tenure(fleet.state, machine=owner.machine)
        self._owner = owner
        self.terms = terms
        self._flags = Flags(store, workspace, owner, terms)
        self._entry = Entry(fleet, owner, terms, self._tenure, self._flags)
        #: Told when this Redis takes the workspace, loses it, or leaves it.
        self.notice: Callable[[str], None] = lambda _: None
        self._idle_since: float | None = None
        self._next_try = 0.0

    # -- for commands --------------------------------------------------------------------------------------

    def hold(
        self, *, patient: bool = True, take_over: bool = False, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Holds the workspace for this Redis, or goes on holding it.

        Args:
            patient: looks whether another holder still lives, until it is silent for long, before giving up.
            take_over: asks another holder to stop, and waits until it has.
            say: given what is waited for, once.

        Raises:
            WorkspaceHeld: another Redis is at work there.
            StateUnavailable, StoreUnavailable: Redis or S3 is out of reach.
        """
        met: set[str] = set()
        try:
            self._wait_to_hold(met, patient=patient, take_over=take_over, say=say)
        except BaseException:
            self.lose_interest()
            raise
        finally:
            for name in met if take_over else ():
                with suppress(RestyleError):
                    self._flags.remove_wishes([name])

    def lose_interest(self) -> None:
        """Lets the workspace be left as soon as nothing else wants it."""
        with suppress(RestyleError):
            self._tenure.lose_interest()

    def _wait_to_hold(self, met: set[str], *, patient: bool, take_over: bool, say: Callable[[str], None]) -> None:
        until = time.monotonic() + LONGEST_ENTRY
        while (known := self._tenure.know(INTEREST)).lease <= 0:
            look = self._entry.look(known)
            if next_step(look.rivals, "", raised=False) is Step.GO_ON and self._enter(known, look):
                return
            rival = in_the_way(look.rivals)
            if rival is None or not rival.holds:
                if time.monotonic() > until:
                    raise StoreUnavailable(
                        f"{self._workspace.uri}: S3 does not list what was just written below fleets/, so that nobody"
                        " can tell who else is at work there"
                    )
                time.sleep(BETWEEN)
                continue
            until = time.monotonic() + LONGEST_ENTRY
            if rival.name in self._tenure.know(INTEREST).names - known.names:
                continue  # this Redis was emptied, and has learned the name of its own record again
            if not take_over and (rival.beats or not patient):
                raise WorkspaceHeld(refusal(self._workspace.uri, rival, utc_now()))
            if rival.name not in met:
                met.add(rival.name)
                self._meet(rival, say, take_over=take_over)
            time.sleep(min(self.terms.poll, max(rival.silent_in, BETWEEN)))

    def refuse_elsewhere(self) -> None:
        """Raises WorkspaceHeld where another Redis holds the workspace, as far as S3 says so now."""
        known = self._tenure.know()
        try:
            rival = in_the_way(self._entry.look(known).rivals) if known.lease <= 0 else None
        except RestyleError:
            return
        if rival and rival.holds:
            raise WorkspaceHeld(refusal(self._workspace.uri, rival, utc_now()))

    def holder(self) -> tuple[Rival, bool] | None:
        """Who holds the workspace by S3, and whether it is this Redis; None where nobody does."""
        known = self._tenure.know()
        look = self._entry.look(known)
        if known.here and (mine := look.mine.get(known.name)):
            return self._flags.seen(known.name, mine, look.at), True
        holders = sorted((rival for rival in look.rivals if rival.holds), key=lambda rival: rival.is_silent)
        return (holders[0], False) if holders else None

    def _meet(self, rival: Rival, say: Callable[[str], None], *, take_over: bool) -> None:
        words = f"{self._workspace.uri} is held by {described(rival, utc_now())}"
        if take_over:
            self._flags.ask_to_stop(rival.name)
            say(f"{words}; it is asked to stop. Its calls in flight end first…")
        else:
            say(f"{words}; looking whether it is still at work, for {rival.silent_after:.0f} s at most…")

    # -- for whoever looks for work that is left ------------------------------------------------------------

    def was_last(self) -> bool:
        """Whether no other Redis stands in the way, or has held the workspace since this one did.

        One at this Redis's address is this one, where it has forgotten its own record's name.
        """
        known = self._tenure.know()
        if not known.name or known.loss:
            return False
        rivals = self._entry.look(known).rivals
        return not any(
            rival.is_living or (rival.number > known.number and not self._is_here(rival)) for rival in rivals
        )

    def _is_here(self, rival: Rival) -> bool:
        return rival.record is not None and rival.record.redis == self._owner.redis

    def take_interest(self) -> None:
        """Has the workspace held for a while, although Redis knows of nothing to do."""
        self._tenure.know(2 * self.terms.silent_after)

    # -- for the thread that renews ------------------------------------------------------------------------

    def step(self, *, interest: bool = False) -> None:
        """Does what is due: renews, takes the workspace where there is work, leaves it where there is none.

        Raises:
            StateUnavailable, StoreUnavailable: Redis or S3 is out of reach; it is due again.
        """
        known = self._tenure.know(INTEREST if interest else 0)
        if known.loss.get("leaving"):
            self._finish_leaving(known)
        elif not known.has_work:
            self._leave_in_time(known)
        else:
            self._idle_since = None
            is_old = known.now - known.renewed >= self.terms.renew * 1000
            is_due = is_old or known.lease <= 0 or known.runs != known.noted_runs
            if is_due and self._is_time():
                self._renew(known) if known.lease > 0 else self._take_if_free(known)

    def leave(self, *, if_idle: bool) -> bool:
        """Says in S3 that this Redis is done, so that the next one goes on at once; False where it is not.

        Args:
            if_idle: only where it has nothing to do.
        """
        with self._tenure.turn() as turn:
            known = self._tenure.know()
            if turn is None or known.lease <= 0 or not self._tenure.end(if_idle=if_idle):
                return False
            self._flags.write(Standing.LEFT, turn, known)
            self.notice(f"{self._workspace.uri} is left: there is nothing to do")
            return True

    def _is_time(self) -> bool:
        """Whether S3 may be asked again: every two seconds at most, whatever goes wrong."""
        now = time.monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + self.terms.poll
        return True

    def _take_if_free(self, known: Known) -> None:
        if float(str(known.loss.get("until", 0))) > known.now:
            return
        look = self._entry.look(known)
        if next_step(look.rivals, "", raised=False) is Step.GO_ON:
            self._enter(known, look)
            return
        rival = in_the_way(look.rivals)
        if rival and rival.holds and rival.beats and known.runs and not known.loss:
            self._lose(rival, known)

    def _leave_in_time(self, known: Known) -> None:
        """Leaves once there has been nothing to do for a while."""
        now = time.monotonic()
        if (known.lease <= 0 and not known.here and not known.lost) or self._has_jobs_in_hand():
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= self.terms.renew / 2 and self._is_time():
            self.leave(if_idle=True) if known.lease > 0 else self._take_down(known)

    def _take_down(self, known: Known) -> None:
        """With nothing to do, a record that is still there says so, and a loss is none any more."""
        with self._tenure.turn() as turn:
            if turn and self._tenure.end(if_idle=True) and known.name in self._entry.look(known).mine:
                self._flags.write(Standing.LEFT, turn, known)

    def _has_jobs_in_hand(self) -> bool:
        """Whether a call may be in flight here: its job is in a worker's hands."""
        return bool(self._fleet.hands.snapshot() or self._fleet.living_jobs)

    # -- taking and renewing -------------------------------------------------------------------------------

    def _enter(self, known: Known, look: Look) -> bool:
        is_in = self._entry.enter(known, look)
        if is_in:
            self.notice(f"{self._workspace.uri} is held by this Redis")
        return is_in

    def _renew(self, known: Known) -> None:
        look = self._entry.look(known)
        stranger = next((rival for rival in look.rivals if rival.name == known.name), None)
        above = next((rival for rival in look.rivals if rival.outranks(known.number)), None)
        if stranger and not stranger.beats:
            return  # Redis fell back by a moment, and another process of it knows that it wrote this
        if rival := stranger or above:
            self._lose(rival, known)
        elif known.name not in look.mine:
            self._enter(known, look)  # removed by hand: nobody else may do that before the lease is over
        elif known.name in look.stops:
            self._begin_leaving(known)
        else:
            with self._tenure.turn() as turn:
                if turn:
                    record = self._flags.write(Standing.HOLDER, turn, known)
                    self._tenure.note(turn, self.terms.lease, record, is_renewal=True)
                    self._flags.remove(look.mine.keys() - {known.name})

    # -- losing and leaving --------------------------------------------------------------------------------

    def _lose(self, rival: Rival, known: Known) -> None:
        """Another one has the workspace: no call begins here, and nobody fights for it."""
        by = rival.record.who if rival.record else "another Redis"
        self._note_loss(lost_to(self._workspace.uri, rival, utc_now()), by, known)
        if rival.name != known.name and known.here:
            with self._tenure.turn() as turn:
                if turn:
                    self._flags.write(Standing.LEFT, turn, known)

    def _note_loss(self, detail: str, by: str, known: Known, *, leaving: bool = False) -> None:
        until = known.now + self.terms.silent_after * 1000
        self.notice(detail)
        self._tenure.lose({"detail": detail, "by": by, "since": known.now, "until": until, "leaving": leaving})

    def _begin_leaving(self, known: Known) -> None:
        by = self._flags.who_asks(known.name)
        self._note_loss(f"{by} has taken {self._workspace.uri} over; no call begins here", by, known, leaving=True)

    def _finish_leaving(self, known: Known) -> None:
        """Goes once the calls in flight have ended; until then it says that it still lives."""
        is_busy = self._has_jobs_in_hand()
        if is_busy and not self._is_time():
            return
        with self._tenure.turn() as turn:
            if turn is None:
                return
            if is_busy:
                self._flags.write(Standing.LEAVING, turn, known)
                return
            self._flags.write(Standing.LEFT, turn, known)
            self._flags.remove_wishes({known.name})
            self._note_loss(str(known.loss["detail"]), str(known.loss["by"]), known)
