"""The one entry point to Redis: a client, the scripts, and redis-py's errors as ours.

Every change of shared state is one Lua script (restyle/coordination/lua/) or one transaction, so that it happens whole
or not at all. What Redis refuses is StateUnavailable, in its own words (restyle/coordination/redis/errors.py).
"""

from __future__ import annotations

import copy
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import redis

from restyle.coordination.redis.address import RedisAddress
from restyle.coordination.redis.durability import Proof
from restyle.coordination.redis.errors import LOGIN, code_of, drops, meaning
from restyle.coordination.redis.hints import read_number
from restyle.coordination.redis.repair import repair
from restyle.coordination.redis.scripts import TAKEN_WHEN_FULL, Argument, Scalar, signatures, texts
from restyle.coordination.redis.spells import Spells
from restyle.errors import ConfigurationError, StateUnavailable
from restyle.formats import check, lying_at

P = ParamSpec("P")
R = TypeVar("R")

#: Times that Redis is repaired for one command: somebody may be at it all the while.
_REPAIRS = 3


class State:
    """A Redis client with the scripts loaded, bound to one workspace and one API account."""

    def __init__(self, address: RedisAddress | str, *, namespace: str, account: str, connections: int = 64) -> None:
        self.namespace = namespace
        self.account = f"restyle:{account}:"
        #: Tells whoever listens when Redis begins to refuse or to be silent, and when it is over.
        self.spells = Spells()
        where = RedisAddress(address) if isinstance(address, str) else address
        self.redis = redis.Redis.from_pool(where.pool(connections))
        self._scripts = {name: self.redis.register_script(text) for name, text in texts().items()}
        self._signatures = signatures()

    def of_account(self, account: str) -> State:
        """The same Redis, with another account's suspension and rate."""
        other = copy.copy(self)
        other.account = f"restyle:{account}:"
        return other

    def key(self, *parts: str) -> str:
        """A key of this workspace."""
        return self.namespace + ":".join(parts)

    def run(self, script: str, /, **arguments: Argument) -> Any:
        """Runs a script with the arguments that it declares (restyle/coordination/redis/scripts.py).

        Raises:
            TypeError: an argument is missing, or is none of the script's.
            StateUnavailable: Redis has refused it, and nothing has changed; or its answer is lost, and it may have run.
            RunUnreadable: what Redis has of a run is none of ours.
        """
        values = self._signatures[script].values(arguments)
        return self._with_repair(lambda: self._run(script, values), values)

    def _run(self, script: str, values: list[Scalar]) -> Any:
        with self.translated():
            answer = self._scripts[script](args=[self.namespace, self.account, *values])
        self.spells.end(taken_when_full=script in TAKEN_WHEN_FULL)
        return answer

    def _parts(self, args: Iterable[str | float]) -> Iterator[str | float]:
        """What the keys among these arguments are made of, once somebody asks."""
        for arg in args:
            if str(arg).startswith(self.namespace):
                yield from str(arg).removeprefix(self.namespace).split(":")

    def _with_repair(self, ask: Callable[[], R], args: Iterable[str | float]) -> R:
        """Asks again where somebody has put into Redis what a script fails by (repair.py, beside)."""
        for turn in range(_REPAIRS):
            try:
                return ask()
            except redis.ResponseError:
                args = tuple(args)  # what they are made of is looked at here alone
                # Where nothing is wrong, it may have been repaired for somebody else, or written over, in between.
                if not repair(self, args) and turn > 0:
                    raise
        try:
            return ask()
        except redis.ResponseError as error:
            if not repair(self, args):
                raise
            raise StateUnavailable("somebody writes to Redis, again and again, what is none of restyle's") from error

    def run_durably(self, proof: Proof | None, script: str, /, **arguments: Argument) -> tuple[Any, bool | None]:
        """Runs a script, and waits until what it wrote is safe: its answer, and whether that was confirmed.

        None: the server cannot tell. It does not know the question (Redis before 7.2), or has no append-only file.

        Raises:
            StateUnavailable: as `run` does.
        """
        if proof is None:
            return self.run(script, **arguments), True
        values = self._signatures[script].values(arguments)
        return self._with_repair(lambda: self._run_durably(proof, script, values), values)

    def _run_durably(self, proof: Proof, script: str, values: list[Scalar]) -> tuple[Any, bool | None]:
        known = self._scripts[script]
        with self.translated():
            for how in (("EVALSHA", known.sha), ("EVAL", known.script)):
                # One connection: the proof is about what was written over it.
                with self.redis.pipeline(transaction=False) as pipeline:
                    pipeline.execute_command(*how, 0, self.namespace, self.account, *values)  # type: ignore[no-untyped-call] # redis has no types here
                    pipeline.execute_command(*proof.words)  # type: ignore[no-untyped-call] # nor here
                    answer, confirmed = pipeline.execute(raise_on_error=False)
                if not isinstance(answer, redis.exceptions.NoScriptError):
                    break
            if isinstance(answer, Exception):
                raise answer
        self.spells.end(taken_when_full=script in TAKEN_WHEN_FULL)
        if isinstance(confirmed, Exception):
            return answer, None
        return answer, int(confirmed[0] if isinstance(confirmed, list) else confirmed) >= proof.least

    def ask(self, command: str, *args: str | float) -> Any:
        """One plain command; for reading, or where a single command is the whole change."""
        return self._with_repair(lambda: self._ask(command, *args), self._parts(args))

    def _ask(self, command: str, *args: str | float) -> Any:
        with self.translated():
            return self.redis.execute_command(command, *args)  # type: ignore[no-untyped-call] # redis has no types here

    def peek(self, command: str, *args: str | float) -> Any | None:
        """The answer to a command that is not allowed everywhere; None where it is not."""
        with self.translated():
            try:
                return self.redis.execute_command(command, *args)  # type: ignore[no-untyped-call] # nor here
            except redis.RedisError as error:
                if code_of(error)[0] in {"NOPERM", "ERR"}:
                    return None
                raise

    def ask_all(self, *commands: tuple[str | float, ...]) -> list[Any]:
        """Several plain commands in one round trip: all of them, or none."""
        parts = self._parts(arg for _, *args in commands for arg in args)
        return self._with_repair(lambda: self._ask_all(*commands), parts)

    def _ask_all(self, *commands: tuple[str | float, ...]) -> list[Any]:
        with self.translated(), self.redis.pipeline() as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call] # redis has no types here
            return pipeline.execute()

    def ping(self) -> None:
        """Raises StateUnavailable where Redis does not answer; one that refuses writes alone does."""
        self.ask("EXISTS", self.key("account"))

    def log_in(self) -> None:
        """The first word of a process: a login that is refused here is for a person to correct.

        Raises:
            ConfigurationError: Redis refuses user or password.
            NewerFormat: a later version of restyle has written what it holds.
            StateUnavailable: it does not answer, or refuses for another reason.
        """
        try:
            self.ping()
            with lying_at(f"{self.key('format')} in Redis"):
                check(read_number(self.ask("GET", self.key("format"))))
        except StateUnavailable as error:
            if error.refusal in LOGIN:
                raise ConfigurationError(f"{error.message}; {error.next}") from None
            raise

    def check_writes(self) -> None:
        """Raises StateUnavailable where Redis takes no writes, though it may be read; changes nothing."""
        self.ask("SET", self.key("nothing"), "", "XX")
        self.spells.end()

    def clock(self) -> float:
        """Redis's own time, in Unix seconds: the only clock that shared state knows."""
        seconds, microseconds = self.ask("TIME")
        return float(seconds) + float(microseconds) / 1e6

    def close(self) -> None:
        """Closes the connections, those to sentinels too."""
        self.redis.close()
        if sentinels := getattr(self.redis.connection_pool, "sentinel_manager", None):
            sentinels.close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns the errors of redis-py into ours; after some of them every connection is made anew.

        Raises:
            StateUnavailable: Redis is out of reach, or refuses.
        """
        try:
            yield
        except redis.RedisError as error:
            unavailable = meaning(error)
            if unavailable is None:
                raise
            if unavailable.refusal and drops(unavailable.refusal):
                self.redis.connection_pool.disconnect(inuse_connections=False)
            self.spells.begin(unavailable)
            raise unavailable from error


def patiently(stopping: threading.Event, ask: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Asks Redis until it answers and takes what is written, so that work in hand outlives its restart.

    Raises:
        StateUnavailable: Redis is out of reach or refuses, and this worker drains.
    """
    while True:
        try:
            return ask(*args, **kwargs)
        except StateUnavailable:
            if stopping.wait(random.uniform(0.2, 1.0)):
                raise
