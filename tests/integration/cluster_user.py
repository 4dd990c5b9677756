"""A process that uses the PostgreSQL of a data folder until its standard input ends or it is told to stop.

`python -m tests.integration.cluster_user DATA [BINARIES]` prints the DSN, or the message of the error.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from server.domain.errors import KoyomiError
from storage_plugins.postgres.embedded.server import embedded


async def main(data: Path, binaries: Path | None) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        async with embedded(data, binaries=binaries, progress=lambda line: print(line, file=sys.stderr)) as cluster:
            print(cluster.dsn(), flush=True)
            # As often as the end of the input is seen: impatience must not keep PostgreSQL from being stopped.
            loop.add_reader(sys.stdin, task.cancel)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        pass
    except KoyomiError as error:
        print(error.message)
        sys.exit(1)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
