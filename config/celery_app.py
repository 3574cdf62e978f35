"""The Celery application and its settings; the reasons are in docs/decisions/ and beside each."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from config.connections import redis_address
from config.settings import Settings
from restyle.coordination.redis.address import RedisAddress

if TYPE_CHECKING:
    from celery import Celery

#: The queues of jobs and of tasks about whole runs; a report need not wait behind thousands of jobs.
JOBS, RUNS = "queue:jobs", "queue:runs"
#: The queue of a run's jobs by its priority; workers read them in this order.
QUEUES = {"high": f"{JOBS}:high", "normal": JOBS, "low": f"{JOBS}:low"}

#: Explicit names, so that moving a module never strands a message.
IMAGE_TASK, START_TASK, FINISH_TASK = "restyle.image", "restyle.start", "restyle.finish"

#: Threads beside the calls in flight, which fetch, prepare and store meanwhile: at least 4, and half as many as calls.
#: That is enough for calls of a second and an S3 that takes 50 ms for each of a job's four requests.
SPARE_THREADS, SPARE_SHARE = 4, 1 / 2


def make_celery(settings: Settings) -> Celery:
    """The Celery application of one workspace.

    Raises:
        ConfigurationError: no Redis is set, or its address cannot be read.
    """
    # Imported at first use: Celery takes a fifth of a second that most commands need not wait for.
    from celery import Celery
    from kombu import Queue

    address = redis_address(settings)
    # set_as_current: `celery -A workers.main` and the tasks find it; there is one per process.
    app = Celery("restyle", broker=address.broker_url, set_as_current=True)
    app.conf.update(
        task_queues=[Queue(RUNS), *map(Queue, QUEUES.values())],
        task_default_queue=JOBS,
        # The default exchange: a lost `_kombu.binding.*` set cannot swallow messages then.
        task_default_exchange="",
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_pool="threads",
        worker_concurrency=settings.concurrency + max(SPARE_THREADS, int(settings.concurrency * SPARE_SHARE)),
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False, worker_send_task_events=False, task_send_sent_event=False,
        worker_hijack_root_logger=False, worker_redirect_stdouts=False,
        # True would run the calls in flight a second time after any blip of the connection.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=0,
        broker_use_ssl=_tls(address),
        broker_transport_options=_transport_options(settings, address),
    )  # fmt: skip
    return app


def _transport_options(settings: Settings, address: RedisAddress) -> dict[str, Any]:
    return {
        **_sentinels(address),
        "global_keyprefix": settings.effective_workspace.namespace,
        # Unacknowledged messages are kept in memory alone, which saves two round trips to Redis a job. A message
        # is a hint, and the dispatcher feeds again the jobs of a dead worker (docs/decisions/0016).
        "ack_emulation": False,
        # Longer than any call and its backoffs: recovery does not need redelivery.
        "visibility_timeout": 6 * 3600,
        "priority_steps": [0],
        # In the order of QUEUES, so that an urgent run's jobs are always taken first.
        "queue_order_strategy": "priority",
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


def _tls(address: RedisAddress) -> dict[str, Any] | None:
    """How certificates are checked: by itself kombu would trust any server, and send it the password."""
    if address.is_sentinels:
        return address.tls_options if address.sentinel_tls else None
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if address.url.startswith("rediss:") else None


def _sentinels(address: RedisAddress) -> dict[str, Any]:
    """The options of kombu for sentinels; empty where there are none."""
    if not address.is_sentinels:
        return {}
    return {"master_name": address.master, "sentinel_kwargs": address.sentinel_options}
