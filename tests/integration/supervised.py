"""A small application under the real supervisor, run as a process of its own by `test_supervisor`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from server.observe import log as logs
from server.process.listening import open_listeners, url_of
from server.process.signals import Signals
from server.process.supervisor import supervise
from server.process.worker import Job, Post, Served


@asynccontextmanager
async def application(post: Post, marks: Path, broken: bool) -> AsyncIterator[Served]:
    """`/` gives the worker's pid; `/crash` kills it; `/wait` answers once there is a file `go`; `/block` blocks.

    With a file `broken` no worker starts from then on; with a file `slow` it does not become ready. Workers wait as
    long as there is a file `held`, the second one also as long as there is a file `late`.
    """
    from aiohttp import web

    while (marks / "held").exists() or (post.number == 1 and (marks / "late").exists()):
        await asyncio.sleep(0.01)
    if broken or (marks / "broken").exists():
        (marks / "refused").touch()
        raise RuntimeError("cannot start")
    if (marks / "slow").exists():
        (marks / "starting").touch()
        await asyncio.sleep(3600)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/crash":
            os._exit(7)
        if request.path == "/wait":
            (marks / "waiting").touch()
            while not (marks / "go").exists():
                await asyncio.sleep(0.01)
        if request.path == "/block":
            (marks / "blocked").touch()
            while not (marks / "go").exists():
                pass
        return web.Response(text=str(os.getpid()))

    yield Served(web.Server(answer, access_log=None))


async def main(workers: int, marks: Path, stop_timeout: float, broken: bool) -> int:
    logs.configure("info", "json", (marks / "log").open("w", buffering=1))
    listeners = open_listeners("127.0.0.1", 0)
    url = url_of(listeners[0])
    (marks / "url").write_text(url)
    job = Job("tests.integration.supervised:application", (marks, broken), stop_timeout)
    with Signals.handled() as signals:
        return await supervise(listeners, workers, job, signals, ready=lambda: print(url, flush=True))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "broken")))
