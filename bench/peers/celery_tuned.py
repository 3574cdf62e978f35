"""Celery as its documentation tunes it: threads, shared clients, late acknowledgement, prefetch 1, no results."""

import body
from celery import Celery

app = Celery("celery_tuned", broker=body.REDIS)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    task_send_sent_event=False,
    broker_connection_retry_on_startup=True,
)
s3, session = body.shared_clients()


@app.task(acks_late=True, ignore_result=True)
def restyle(number: int) -> None:
    """One job."""
    body.work(number, s3, session.post)


def enqueue(numbers: range) -> None:
    """Queues jobs over one connection."""
    with app.producer_pool.acquire(block=True) as producer:
        for number in numbers:
            restyle.apply_async((number,), producer=producer)
