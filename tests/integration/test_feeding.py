"""Messages that Redis takes or refuses, and what the dispatcher makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from config.celery_app import QUEUES, RUNS, make_celery
from producers.dispatch.feeder import Feeder
from restyle.errors import StateUnavailable
from tests.support.bench import running_bench
from tests.support.sandbox import SandboxServer
from tests.support.servers import S3, running_valkey


def test_a_shard_whose_messages_were_refused_is_fed_again_at_once(
    s3: S3, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """It was marked as fed before: without a word of it its jobs would wait for the long silence."""
    with (
        running_valkey(tmp_path / "valkey") as server,
        running_bench(s3, server.url, sandbox) as bench,
        redis.Redis(port=server.port) as line,
    ):
        here, state = bench.resources, bench.resources.state
        run = bench.begin(bench.plan(f"id,image\nmug,{bench.put('mug')}\nbag,{bench.put('bag')}\n"))
        feeder = Feeder(
            make_celery(here.settings), here.progress, here.tools.fleet, here.store, here.workspace, 100, 60
        )
        line.acl_setuser("default", enabled=True, commands=["-lpush"])
        with pytest.raises(StateUnavailable, match="NOPERM"):
            feeder.feed(run.run_id, 0)
        line.acl_setuser("default", enabled=True, commands=["+lpush"])
        assert here.progress.open_shards(run.run_id)[0].fed > 0
        feeder.advance(run.run_id)
        feeder.advance(run.run_id)
        assert state.ask("LLEN", state.key(QUEUES["normal"])) == 2, "each once"
        feeder.start(run.run_id)
        assert state.ask("LLEN", state.key(RUNS)) == 1
