"""Taskiq: asyncio, shared clients, Redis streams' simpler sibling, the list queue."""

import asyncio

import body
from taskiq import Context, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(url=body.REDIS, queue_name="taskiq", max_connection_pool_size=body.CONCURRENCY + 16)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_clients(state: TaskiqState) -> None:
    """Opens the clients of the process."""
    state.clients = await body.AsyncClients().open()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_clients(state: TaskiqState) -> None:
    """Closes them."""
    await state.clients.close()


@broker.task
async def restyle(number: int, context: Context = TaskiqDepends()) -> None:
    """One job."""
    clients = context.state.clients
    await body.work_async(number, clients.s3, clients.http)


def enqueue(numbers: range) -> None:
    """Queues jobs."""

    async def send() -> None:
        await broker.startup()
        for number in numbers:
            await restyle.kiq(number)
        await broker.shutdown()

    asyncio.run(send())
