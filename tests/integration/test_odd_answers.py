"""Thousands of odd answers of the API, each read over the wire by a process with all that a worker loads."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys

import pytest

from tests.support.answering import speaking
from tests.support.odd_answers import odd_answer

#: MB of a worker, and the seconds that one answer may take.
MOST_MB, MOST_SECONDS = 300.0, 5.0

_ASK = """
import json, sys, time
from restyle import images
from restyle.job import costs
from restyle.runtime import allocator
from restyle.runtime import core_dumps
from restyle.coordination.budgets import Budgets
from restyle.errors import RestyleError
from restyle.models import Params
from restyle.runtime.memory import UploadBuffer, MemoryBudget
from restyle.segmind.v1 import Segmind
from tasks import image

allocator.hold_little()
url, count = sys.argv[1], int(sys.argv[2])
api, room = Segmind(url, "SG_secret_key_of_ours", timeout=30), MemoryBudget()
params, budgets = Params(prompt="p"), Budgets()
good, odd, slowest, dearest = 0, 0, 0.0, 0.0
for _ in range(count):
    began = time.process_time()
    with room.reserve() as hold:
        try:
            answer = costs.judged(api.img2img(UploadBuffer(b"picture", hold), params), params, budgets)
            for each in answer.images:
                images.verify(each)
            dearest = max(dearest, answer.cost or 0.0)
            assert answer.cost is None or 0 <= answer.cost
            assert answer.request_id is None or (len(answer.request_id) <= 200 and answer.request_id.isprintable())
            good += 1
        except RestyleError as error:
            assert "SG_secret" not in error.message and len(error.message) < 2000, error.message
            assert error.message.isprintable(), error.message
            odd += 1
    slowest = max(slowest, time.process_time() - began)
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"good": good, "odd": odd, "slowest": slowest, "dearest": dearest, "peak": peak}))
"""


@pytest.mark.parametrize("count", [24, pytest.param(5000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_no_answer_breaks_a_worker(count: int) -> None:
    """None ends it, takes it beyond 300 MB or holds it up, and none has it believe a cost that cannot be."""
    numbers = itertools.count()

    def speak(connection: socket.socket) -> None:
        connection.sendall(odd_answer(next(numbers)))
        connection.close()

    with speaking(speak) as server:
        done = subprocess.run(
            [sys.executable, "-c", _ASK, f"http://127.0.0.1:{server.port}/v1/sdxl-img2img", str(count)],
            capture_output=True, text=True, check=False, timeout=1500,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["good"] + told["odd"] == count
    assert told["good"] >= count // 64, told
    assert told["dearest"] <= 2.0, told
    assert told["slowest"] < MOST_SECONDS, told
    assert told["peak"] < MOST_MB, told
