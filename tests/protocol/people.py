"""What people say of the fleet and of runs, and a rate limit that ends."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from restyle.models import (
    RunStatus,
)
from tests.protocol.dispatching import Dispatching
from tests.protocol.places import (
    ALIKE,
    OPERATOR,
    RUN,
    a_run,
)


class Spoken(Dispatching):
    """Adds people."""

    @rule(reason=st.sampled_from(["operator", "no_credits"]))
    def suspend(self, reason: str) -> None:
        """The fleet is suspended."""
        assert self.dispatcher.suspend(reason, "", "me") == (reason not in self.suspended)
        self.suspended.add(reason)

    @rule()
    def resume(self) -> None:
        """The fleet goes on."""
        self.dispatcher.resume()
        for reason, status in self.stopped_alike:
            if reason in self.suspended:
                self.allowed[status] = 2 * self.allowed.get(status, ALIKE)
        self.suspended.clear()
        self.stopped_alike.clear()
        self.streak, self.failing, self.probing, self.held_back = 0, set(), None, False
        self.lost, self.unreachable, self.alike = 0, 0, (self.alike[0], set())
        self.epoch += 1

    @rule(run=RUN, reason=st.sampled_from(["operator", "awaiting_approval"]))
    def suspend_run(self, run: str, reason: str) -> None:
        """One run is suspended: by a person, which stands in S3 first, or by a limit of its own."""
        ledger = self.ledgers[run]
        if reason == "operator":
            ledger.word = True
            assert self.progress.agree(a_run(run, ledger.status), OPERATOR) == ledger.known
            self.agreed(run)
        else:
            self.progress.suspend(run, reason, "", "me")
            ledger.suspended.add(reason)

    @rule(run=RUN, keep=st.just(frozenset({"awaiting_approval"})))
    def resume_run(self, run: str, keep: frozenset[str]) -> None:
        """One run goes on; an approval is another thing, but where the dispatcher's question is answered by `keep`."""
        ledger = self.ledgers[run]
        ledger.word = False
        # Whoever approves says so in run.json; here it says so all the time, and the script takes it at that.
        assert self.progress.agree(a_run(run, ledger.status), None, lift=True) == ledger.known
        self.progress.resume(run, keep=keep)
        ledger.suspended &= keep - ({"awaiting_approval"} if ledger.known else set())

    def cancel(self, run: str) -> None:
        """A run is cancelled, in S3 first; where Redis does not know it that is all."""
        ledger = self.ledgers[run]
        ledger.status = RunStatus.CANCELLED
        assert self.progress.agree(a_run(run, ledger.status), self.word(run)) == ledger.known
        self.agreed(run)

    @rule(run=RUN)
    def agree(self, run: str) -> None:
        """The dispatcher has read S3, and nobody has spoken since."""
        ledger, revision = self.ledgers[run], self.progress.revision(run)
        assert self.progress.agree(a_run(run, ledger.status), self.word(run), revision=revision) == ledger.known
        self.agreed(run)

    @rule(run=RUN)
    def agree_too_late(self, run: str) -> None:
        """The dispatcher has read S3, and a person has spoken since: what it read is not told to Redis."""
        ledger, revision = self.ledgers[run], self.progress.revision(run)
        before = a_run(run, ledger.status), self.word(run)
        if ledger.word:
            self.resume_run(run, frozenset({"awaiting_approval"}))
        else:
            self.suspend_run(run, "operator")
        assert not self.progress.agree(*before, revision=revision)
        if not ledger.known:
            told = self.told(run)
            assert not self.progress.restore(before[0], told, sorted(ledger.closed), revision=revision)

    @rule(run=RUN)
    def forget_a_word(self, run: str) -> None:
        """Redis falls back to before a person suspended a run."""
        self.state.ask("HDEL", self.state.key("run", run, "suspension"), "operator")
        self.ledgers[run].suspended.discard("operator")

    @rule()
    def hold_ends(self) -> None:
        """A rate limit has reset."""
        self.state.ask("HDEL", f"{self.state.account}rate", "hold", "limited_since")
        self.held_back = False
