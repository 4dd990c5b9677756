"""A process that has a turn in a queue until it is killed; `python -m tests.integration.storage.queue_process DSN KEY`.

It says so in a line.
"""

from __future__ import annotations

import asyncio
import sys

from server.storage.queues import Queue
from storage_plugins.postgres.storage import PostgresStorage


async def main(dsn: str, key: int) -> None:
    async with PostgresStorage(dsn, notify=False) as storage, storage.turn(Queue.MEETING, key, 30) as came:
        print(came, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
