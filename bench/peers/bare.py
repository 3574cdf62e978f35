"""No queue, no guard: one asyncio script over a list of jobs. The limit of what Python's usual clients can do."""

import asyncio
import sys

import body
import uvloop


async def run() -> None:
    """Does the jobs of each range that comes in, so many at a time."""
    clients = await body.AsyncClients().open()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        first, last = map(int, line.split())
        numbers = iter(range(first, last))

        async def slot(numbers=numbers) -> None:
            for number in numbers:
                await body.work_async(number, clients.s3, clients.http)

        await asyncio.gather(*(slot() for _ in range(body.CONCURRENCY)))
    await clients.close()


uvloop.run(run())
