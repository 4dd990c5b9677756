"""Puts a worker together: storage, sign-in, services, standards, and the HTTP server in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from server import log
from server.auth.authenticate import Authenticator
from server.dav.core.dispatch import Dispatcher
from server.dav.core.ledger import Ledger
from server.dav.core.registry import build
from server.dav.core.request import Site
from server.dav.standards import standards
from server.services.collections import Collections
from server.services.objects import Objects
from server.settings import Settings
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.migrations import migrate
from storage_plugins.postgres.storage import PostgresStorage

MAX_HEADER = 32 * 1024
"""Bytes of a request line or of one header field."""
KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept open."""


@asynccontextmanager
async def serving(settings: Settings, dsn: str) -> AsyncIterator[web.BaseRunner]:
    """A runner for the application, set up and ready for connections; what `server.worker` runs."""
    log.configure(settings.log_level, settings.log_format)
    await migrate(dsn)
    async with application(settings, dsn) as server:
        runner = web.ServerRunner(server, shutdown_timeout=settings.stop_timeout)
        await runner.setup()
        try:
            yield runner
        finally:
            await runner.cleanup()


@asynccontextmanager
async def application(settings: Settings, dsn: str) -> AsyncIterator[web.Server]:
    """The HTTP server of one worker on the database `dsn`, to be given sockets by the caller."""
    limits = DatabaseLimits(
        connections=settings.database_pool_size,
        acquire_timeout=settings.database_pool_timeout,
        statement_timeout=settings.database_statement_timeout,
    )
    async with PostgresStorage(dsn, limits, restore_days=settings.restore_days) as storage:
        installation = (await storage.installation()).bytes
        directory = PostgresDirectory(storage.database)
        authenticator = Authenticator.from_settings(settings, directory)
        try:
            site = Site(
                registry=build(standards(installation)),
                storage=storage,
                directory=directory,
                access=PostgresAccess(storage),
                objects=Objects(storage, settings.limits),
                collections=Collections(storage, settings.limits),
                limits=settings.limits,
                page_size=settings.page_size,
                prefix=settings.path_prefix,
                installation=installation,
            )
            ledger = Ledger(
                methods=site.registry.methods,
                reports=site.registry.reports,
                addresses=authenticator.addresses,
                slow=settings.slow_request,
            )
            dispatcher = Dispatcher(site, authenticator, ledger, gzip=settings.gzip)
            yield web.Server(
                dispatcher,
                access_log=None,
                auto_decompress=False,
                keepalive_timeout=KEEP_ALIVE,
                max_line_size=MAX_HEADER,
                max_field_size=MAX_HEADER,
            )
        finally:
            authenticator.close()
