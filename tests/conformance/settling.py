"""A proxy for the conformance suite: it answers a write when the jobs have delivered all scheduling messages.

The suite looks at once for what a write has sent. Where jobs deliver, this lets it compare how it ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import aiohttp
import asyncpg
from aiohttp import web
from yarl import URL

from tests.e2e.processes import database
from tests.server_process import ServerProcess

READS = {"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"}
WAITS = """
    select exists (select from job where kind in ('deliveries', 'refreshes') and state <> 'failed')
        or exists (select from scheduling_dispatch where waiting)
"""
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
"""Headers of one connection, and those that the other one gets anew."""


async def run_behind(server: ServerProcess, port: int, command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command while the proxy listens on a port. Returns its exit code."""
    async with database(server) as session, aiohttp.ClientSession(auto_decompress=False) as client:
        runner = web.ServerRunner(web.Server(_Proxy(server, session, client).answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=None, cwd=os.getcwd())
            return await process.wait()
        finally:
            await runner.cleanup()


class _Proxy:
    def __init__(self, server: ServerProcess, session: asyncpg.Connection, client: aiohttp.ClientSession) -> None:
        self._server, self._session, self._client = server, session, client
        self._lock = asyncio.Lock()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass a request on; answer a write when no messages wait."""
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP]
        async with self._client.request(
            request.method,
            URL(self._server.url + request.raw_path, encoded=True),
            data=await request.read(),
            headers=headers,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as reply:
            body = await reply.read()
            answered = web.Response(status=reply.status, reason=reply.reason, body=body)
            answered.headers.popall("Content-Type", None)
            for name, value in reply.headers.items():
                if name.lower() not in HOP:
                    answered.headers.add(name, value)
        if request.method not in READS:
            async with self._lock:
                while await self._session.fetchval(WAITS):
                    await asyncio.sleep(0.01)
        return answered
