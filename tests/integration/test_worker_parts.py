"""The parts of a worker beside its jobs: none ends by itself, and the worker ends although one cannot."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from celery.utils.dispatch import Signal

from restyle.coordination.in_hand import JobsInHand
from restyle.errors import ConfigurationError, StateUnavailable
from workers.background.heartbeat import Heartbeat
from workers.lifecycle import end_all, essential
from workers.watchdog import EXIT

#: A watchdog at the end of its patience, beside a part that does not end well.
AT_THE_END = """
    import threading
    from types import SimpleNamespace
    from workers.watchdog import Watchdog

    def leave():
        raise RuntimeError("cannot join thread before it is started")

    hands = SimpleNamespace(snapshot=dict)
    tools = SimpleNamespace(stopping=threading.Event(), fleet=SimpleNamespace(hands=hands))
    settings = SimpleNamespace(watchdog_seconds=1.0, api_timeout=1.0)
    watchdog = Watchdog(SimpleNamespace(settings=settings, state=None, tools=tools), 4, leave)
    watchdog._end("the heartbeat")
"""


def test_a_watchdog_ends_its_process_although_a_part_cannot_end() -> None:
    """Else the worker would be a zombie for ever, its watchdog included."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(AT_THE_END)], capture_output=True, check=False)
    assert done.returncode == EXIT, done


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigurationError("a sentence"), "restyle: a sentence"), (KeyError("a bug"), EXIT)]
)
def test_a_worker_that_cannot_begin_ends(error: Exception, code: object) -> None:
    """Celery writes down what a receiver of its signals raises, and would go on as a zombie."""
    signal = Signal("worker_init")

    @essential
    def begin(**_: Any) -> None:
        raise error

    signal.connect(begin, weak=False)
    with pytest.raises(SystemExit) as ended:
        signal.send(sender=None)
    assert ended.value.code == code


def test_a_heart_goes_on_whatever_a_beat_meets() -> None:
    """Without it the worker counts as dead, and its calls are made again elsewhere."""
    faults: list[Exception] = [StateUnavailable("away"), ConfigurationError("guarded"), KeyError("a bug")]
    beaten = threading.Event()

    def beat(_status: object) -> None:
        if faults:
            raise faults.pop(0)
        beaten.set()

    fleet = SimpleNamespace(hands=JobsInHand(), heartbeat=beat, leave=lambda: None)
    traffic = SimpleNamespace(last_minute=lambda: SimpleNamespace(as_dict=dict))
    tools = SimpleNamespace(
        fleet=fleet, stopping=threading.Event(), traffic=traffic, rotation=SimpleNamespace(out="", troubles={})
    )
    settings = SimpleNamespace(concurrency=1, heartbeat_ttl=1.0, heartbeat_seconds=0.02, time_zone="UTC")
    resources: Any = SimpleNamespace(tools=tools, settings=settings)
    heart = Heartbeat(resources)
    heart.start()
    assert beaten.wait(10)
    heart.stop()
    heart.join(5)


def test_every_part_is_ended_whatever_the_others_meet() -> None:
    """One that raises costs the others nothing."""
    ended: list[str] = []

    def fails() -> None:
        raise RuntimeError("cannot join thread before it is started")

    end_all(lambda: ended.append("one"), fails, lambda: ended.append("three"))
    assert ended == ["one", "three"]
