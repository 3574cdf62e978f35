"""The shards of a run in Redis: which are open, how their jobs ended, and when they were last fed."""

from __future__ import annotations

from dataclasses import dataclass

from restyle.coordination.redis.hints import read_number
from restyle.coordination.runs.registry import Registry
from restyle.errors import RunUnreadable
from restyle.models import Outcome


@dataclass(frozen=True)
class OpenShard:
    """A shard that is out: how many of its jobs have ended, and when it was last fed (0: marked for enqueueing)."""

    shard: int
    size: int
    ended: int
    fed: float


class Shards(Registry):
    """The open and closed shards of runs."""

    def open_shards(self, run_id: str) -> list[OpenShard]:
        """The shards that are out, by number.

        Raises:
            RunUnreadable: what Redis has of one cannot be read.
        """
        fed = dict(self.state.ask("ZRANGE", self._run(run_id, "open"), 0, -1, "WITHSCORES"))
        if foreign := [number for number in fed if not _is_number(number)]:
            raise RunUnreadable(f"what Redis has of a shard cannot be read ({foreign[0][:100]!a} is none)")
        numbers = sorted(fed, key=int)
        counts = self.state.ask_all(*(("HMGET", self._shard(run_id, int(n)), "size", "n") for n in numbers))
        for number, (size, _) in zip(numbers, counts, strict=True):
            if size is None:
                # Closed since by another dispatcher; or lost, and then it is opened again.
                self.state.run("lose_shard", run=run_id, shard=number)
        try:
            return [
                OpenShard(int(number), int(size), int(ended or 0), float(fed[number]) / 1000)
                for number, (size, ended) in zip(numbers, counts, strict=True)
                if size is not None
            ]
        except ValueError as error:
            raise RunUnreadable(f"what Redis has of a shard cannot be read ({error})") from None

    def open_shard(self, run_id: str, shard: int, size: int, *, probing: bool = False) -> bool:
        """Opens a shard; False where it is open or closed already, or anything is suspended.

        For a probe an outage is no hindrance.
        """
        return bool(self.state.run("open_shard", run=run_id, shard=shard, size=size, probing=probing))

    def recount(self, run_id: str, shard: int, size: int) -> int:
        """Makes an open shard's counts true to its outcomes and its plan; how many outcomes there are."""
        return int(self.state.run("recount", run=run_id, shard=shard, size=size))

    def gaps(self, run_id: str, cursor: int) -> list[int]:
        """Shards below the cursor that are neither open nor closed: Redis lost them."""
        is_open = set(self.state.ask("ZRANGE", self._run(run_id, "open"), 0, -1))
        bits = self.state.ask_all(*(("GETBIT", self._run(run_id, "closed"), shard) for shard in range(cursor)))
        return [shard for shard, closed in enumerate(bits) if not closed and str(shard) not in is_open]

    def close_shard(self, run_id: str, shard: int) -> bool:
        """Forgets the outcomes of a shard whose results are in S3."""
        return bool(self.state.run("close_shard", run=run_id, shard=shard))

    def fed(self, run_id: str, shard: int) -> None:
        """Notes that a shard's pending jobs are on the queue as of now."""
        self.state.ask("ZADD", self._run(run_id, "open"), "XX", f"{self.state.clock() * 1000:.0f}", str(shard))

    def mark_for_enqueue(self, run_id: str) -> None:
        """Has the pending jobs of all open shards fed again at the next tick."""
        numbers = self.state.ask("ZRANGE", self._run(run_id, "open"), 0, -1)
        self.state.ask_all(*(("ZADD", self._run(run_id, "open"), "XX", 0, number) for number in numbers))

    def fed_at(self, run_id: str, shard: int) -> float:
        """When an open shard was last fed, by Redis's clock; 0 where that is not known."""
        return float(self.state.ask("ZSCORE", self._run(run_id, "open"), str(shard)) or 0) / 1000

    def check_closed(self, run_id: str) -> None:
        """Raises RunUnreadable where what Redis has of the closed shards is not one with itself."""
        key = self._run(run_id)
        count, bits = self.state.ask_all(("HGET", key, "closed"), ("BITCOUNT", f"{key}:closed"))
        if (read_number(count) or 0) != bits:
            fault = f"{(count or '0')[:100]!a} shards are closed by one count, and {bits} by another"
            raise RunUnreadable(f"what Redis has of run {run_id} cannot be read ({fault})")

    def ended(self, run_id: str, shard: int) -> set[int]:
        """The places of an open shard's jobs that have an outcome."""
        fields = self.state.ask("HKEYS", self._shard(run_id, shard))
        return {int(field[2:]) for field in fields if field.startswith("o:") and _is_number(field[2:])}

    def outcomes(self, run_id: str, shard: int) -> dict[int, Outcome]:
        """The outcomes of an open shard so far, each with its calls and doubts.

        Raises:
            RunUnreadable: what Redis has of one cannot be read.
        """
        fields = self.state.ask("HGETALL", self._shard(run_id, shard))
        outcomes = {}
        for field, text in fields.items():
            index = field[2:]
            if field.startswith("o:") and _is_number(index):
                try:
                    counts = {
                        "attempts": int(fields.get(f"c:{index}", 0)),
                        "in_doubt": int(fields.get(f"d:{index}", 0)),
                    }
                    outcomes[int(index)] = Outcome.read(text).model_copy(update=counts)
                except ValueError:
                    raise RunUnreadable(f"what Redis has of job {index} of shard {shard} cannot be read") from None
        return outcomes

    def spent(self, run_id: str, shard: int) -> dict[str, float]:
        """What the jobs of an open shard have cost so far, by day."""
        fields = self.state.ask("HGETALL", self._shard(run_id, shard))
        return {
            name[2:]: credits
            for name, amount in fields.items()
            if name.startswith("s:") and (credits := read_number(amount)) is not None
        }

    def _shard(self, run_id: str, shard: int) -> str:
        return self._run(run_id, "shard", str(shard))


def _is_number(text: str) -> bool:
    """Whether it can be a shard's number, or a job's place in one."""
    return text.isascii() and text.isdecimal() and len(text) <= 9
