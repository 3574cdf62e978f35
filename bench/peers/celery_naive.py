"""Celery as most people write it: prefork, clients made in the task, `autoretry_for`, results kept, `delay`."""

import body
import boto3
import requests
from celery import Celery

app = Celery("celery_naive", broker=body.REDIS, backend=body.REDIS)
app.conf.broker_connection_retry_on_startup = True


@app.task(autoretry_for=(Exception,), retry_backoff=True, max_retries=5)
def restyle(number: int) -> int:
    """One job."""
    body.work(number, boto3.client("s3", region_name="us-east-1"), requests.post)
    return number


def enqueue(numbers: range) -> None:
    """Queues jobs."""
    for number in numbers:
        restyle.delay(number)
