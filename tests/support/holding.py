"""A workspace that is held for as long as a test lasts, where the test is about something else."""

from __future__ import annotations

from restyle.coordination.redis.client import State


def hold(state: State) -> None:
    """Lets claims succeed as if S3 had said, long ago and for good, that the workspace is this Redis's."""
    state.ask("SET", state.key("holder"), "0")
