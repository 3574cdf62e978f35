"""A bare asyncio script without queue or guards: the least CPU that Python's usual clients can take."""

import asyncio
import sys

import body
import uvloop


async def run() -> None:
    """Does the jobs of each range that comes in, CONCURRENCY at a time."""
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
