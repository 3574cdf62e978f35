"""SAQ: asyncio, shared clients, a Redis pool as large as its concurrency needs."""

import asyncio
from typing import Any

import body
from redis import asyncio as redis
from saq.queue.redis import RedisQueue

# Its default pool of connections is smaller than this concurrency, and its workers die of that.
queue = RedisQueue(
    redis.Redis.from_url(body.REDIS, max_connections=2 * body.CONCURRENCY + 32), max_concurrent_ops=body.CONCURRENCY
)


async def startup(context: dict[str, Any]) -> None:
    """Opens the clients of the process."""
    context["clients"] = await body.AsyncClients().open()


async def shutdown(context: dict[str, Any]) -> None:
    """Closes them."""
    await context["clients"].close()


async def restyle(context: dict[str, Any], *, number: int) -> None:
    """One job."""
    await body.work_async(number, context["clients"].s3, context["clients"].http)


settings = {
    "queue": queue,
    "functions": [restyle],
    "concurrency": body.CONCURRENCY,
    "startup": startup,
    "shutdown": shutdown,
}


def enqueue(numbers: range) -> None:
    """Queues jobs."""

    async def send() -> None:
        await queue.connect()
        for number in numbers:
            await queue.enqueue("restyle", number=number, timeout=600, retries=5)
        await queue.disconnect()

    asyncio.run(send())
