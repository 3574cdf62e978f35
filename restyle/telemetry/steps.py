"""The steps of a job, for whoever wants to follow it: each is a function that says its name by `@step(...)`.

Nobody listens unless a process says so; a step then costs one look at a variable.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Told of a step by its name: what it answers with surrounds the step.
Listener = Callable[[str], AbstractContextManager[object]]

_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Has this process's steps told to this one; None: to nobody."""
    global _listener  # noqa: PLW0603 - one a process, set at its start
    _listener = listener


def step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function a step."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if _listener is None:
                return function(*args, **kwargs)
            with _listener(name):
                return function(*args, **kwargs)

        return call

    return decorate
