"""Dramatiq: threads, shared clients, its own retries."""

import body
import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=body.REDIS)
dramatiq.set_broker(broker)
s3, session = body.shared_clients()


@dramatiq.actor(max_retries=5, time_limit=600_000)
def restyle(number: int) -> None:
    """One job."""
    body.work(number, s3, session.post)


def enqueue(numbers: range) -> None:
    """Queues jobs."""
    for number in numbers:
        restyle.send(number)
