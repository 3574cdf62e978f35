"""The steps of a job, for tracing: each is a function with the decorator `@step(name)`.

A process without a listener pays one read of a variable a step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: Takes the name of a step; the context manager that it returns surrounds the step.
Listener = Callable[[str], AbstractContextManager[object]]

_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Sets the listener of this process's steps; None: there is none."""
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
