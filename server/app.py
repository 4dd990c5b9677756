"""Puts a worker together: storage, sign-in, services, standards, and the HTTP server in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from aiohttp import web

from admin_api.front_end import ApiFrontEnd
from admin_api.site import ApiSite
from admin_api.table import OPERATIONS
from server.auth.authenticate import Authenticator
from server.check_in.pages import CheckInPages
from server.dav.core.front_end import DavFrontEnd, not_offered
from server.dav.core.names import split
from server.dav.core.registry import build
from server.dav.core.request import Site
from server.dav.rfc4918.put import CREATION
from server.dav.standards import standards
from server.domain.errors import MailDelayed
from server.http.client_address import ClientAddresses
from server.http.dispatch import Dispatcher
from server.http.request_log import RequestLog
from server.jobs.buses import bus_of
from server.jobs.runner import Kind
from server.jobs.running import (
    business_counts,
    copies,
    held_messages,
    maintenance_kinds,
    no_shows,
    notices,
    outgoing_mails,
    relaying,
    room_addresses,
    room_cards,
    room_clashes,
    running_jobs,
    scheduling,
    sequencing,
    sharees,
)
from server.mail.folder import FolderTransport
from server.mail.lmtp import LmtpServer
from server.mail.smtp import MailServer, SmtpTransport
from server.observe.metrics import Metrics
from server.observe.monitoring import Monitoring
from server.observe.tracing import Tracing
from server.process.connections import Connections
from server.process.worker import Post, Served
from server.services.collections import Collections
from server.services.granting import Granting
from server.services.health import Health
from server.services.lookup import Lookup
from server.services.mail.incoming import IncomingMails, receiving
from server.services.mail.notices import Notices
from server.services.mail.outgoing import OutgoingMails
from server.services.mail.sending import MailJobs
from server.services.mail.transport import Transport
from server.services.objects import Objects
from server.services.principals.accounts import Accounts
from server.services.principals.people import People
from server.services.reading import Reading
from server.services.rooms.check_in_mails import CheckInMails
from server.services.rooms.checking_in import CheckingIn
from server.services.rooms.clashes import Clashes
from server.services.rooms.directory_book import DirectoryBook
from server.services.rooms.no_shows import NoShows
from server.services.rooms.reading import RoomReading
from server.services.scheduling.busy_times import BusyTimes
from server.services.scheduling.dividing import LongSeries
from server.services.scheduling.implicit import Scheduling
from server.services.scheduling.memberships import Memberships
from server.services.scheduling.queued import QueuedDeliveries
from server.services.scheduling.refreshing import Refreshing
from server.services.scheduling.removals import Removals
from server.services.scheduling.splitting import Splitting
from server.services.system import System
from server.services.watching import Watching
from server.settings.in_force import in_force
from server.settings.model import Settings
from storage_plugins.postgres.access import PostgresAccess
from storage_plugins.postgres.business import PostgresBusiness
from storage_plugins.postgres.changes.security_events import PostgresActs
from storage_plugins.postgres.database import DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.health import PostgresHealth
from storage_plugins.postgres.incoming_mail import PostgresIncomingMail
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.service_tokens import PostgresServiceTokens
from storage_plugins.postgres.storage import PostgresStorage

log = structlog.get_logger()


@asynccontextmanager
async def served(post: Post, settings: Settings, dsn: str) -> AsyncIterator[Served]:
    """What a worker of `koyomi serve` serves on the database `dsn`."""
    metrics = Metrics()
    metrics.worker_starts.labels(post.reason).inc()
    async with _parts(settings, dsn, metrics) as parts:
        server = Connections(parts.dispatcher, metrics)
        tasks = [
            asyncio.create_task(metrics.keep_written(lambda: parts.sample(post.number, len(server.connections)))),
            asyncio.create_task(metrics.watch_event_loop()),
        ]
        try:
            async with (
                maintenance_kinds(dsn, settings) as kinds,
                running_jobs(dsn, parts.storage, [*parts.kinds, *kinds], metrics),
                sequencing(dsn, parts.storage, metrics),
                relaying(dsn, parts.storage, settings, metrics),
            ):
                lmtp = LmtpServer(parts.mails, settings.mail.incoming.lmtp_clients)
                yield Served(server, Connections(parts.monitoring.to_everyone(), metrics), lmtp)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@asynccontextmanager
async def application(settings: Settings, dsn: str) -> AsyncIterator[web.Server]:
    """The HTTP server of one worker on the database `dsn`, without maintenance, to be given sockets by the caller."""
    metrics = Metrics()
    async with (
        _parts(settings, dsn, metrics) as parts,
        running_jobs(dsn, parts.storage, parts.kinds, metrics),
        sequencing(dsn, parts.storage, metrics),
        relaying(dsn, parts.storage, settings, metrics),
    ):
        yield Connections(parts.dispatcher, metrics)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a worker is put together from."""

    dispatcher: Dispatcher
    monitoring: Monitoring
    metrics: Metrics
    storage: PostgresStorage
    authenticator: Authenticator
    kinds: tuple[Kind, ...]
    """Jobs that use the storage of the requests."""
    mails: IncomingMails

    def sample(self, worker: int, connections: int) -> None:
        """Copy to the metrics what is counted elsewhere."""
        database, metrics = self.storage.database, self.metrics
        metrics.connections.labels(str(worker)).set(connections)
        metrics.pool_in_use.set(database.in_use)
        metrics.pool_waiting.set(database.waiting)
        metrics.rise(metrics.pool_waits, database.waits)
        metrics.rise(metrics.sign_in_failures, self.authenticator.failures)


def transport(settings: Settings, metrics: Metrics) -> Transport:
    """What sends mails: the mail server of the settings, or a folder."""
    mail = settings.mail
    if not mail.smtp_host:
        return FolderTransport(mail.folder or settings.storage.data / "mail")
    return SmtpTransport(MailServer.from_settings(mail), metrics.breaker("smtp", MailDelayed))


@asynccontextmanager
async def _parts(settings: Settings, dsn: str, metrics: Metrics) -> AsyncIterator[_Parts]:
    limits = DatabaseLimits(
        connections=settings.storage.pool_size,
        acquire_timeout=settings.storage.pool_timeout,
        statement_timeout=settings.storage.statement_timeout,
    )
    async with PostgresStorage(dsn, limits, restore_days=settings.retention.restore_days) as storage:
        installation = (await storage.installation()).bytes
        directory = PostgresDirectory(storage.database)
        tokens = PostgresServiceTokens(storage.database)
        authenticator = Authenticator.from_settings(
            settings.sign_in,
            directory,
            tokens,
            ClientAddresses(settings.network.trusted_proxies, unix=settings.network.unix_socket is not None),
        )
        tracing = Tracing() if settings.log.traces else None
        access = PostgresAccess(storage)
        try:
            watching = Watching(PostgresActs(storage.database))
            lookup = Lookup(storage, asked_by_all=settings.scheduling.free_busy_for_everyone, watching=watching)
            state, queue = PostgresHealth(storage), PostgresJobs(storage.database)
            business = PostgresBusiness(storage.database)
            health = Health(state, business, queue)
            monitoring = Monitoring(health, metrics, lookup)
            objects = Objects(storage, settings.limits.values)
            outgoing = OutgoingMails(settings.mail, await storage.restored_at())
            if await storage.hold_if_moved(settings.network.external_url):
                log.warning("mail_held")
            site = Site(
                registry=build(standards(installation), not_offered),
                lookup=lookup,
                reading=Reading(storage, settings.storage.page_size),
                people=People(directory, access),
                objects=objects,
                splitting=Splitting(storage, objects, settings.limits.values, mails=outgoing),
                scheduling=Scheduling(
                    storage,
                    objects,
                    settings.limits.values,
                    settings.scheduling,
                    counts=metrics.scheduling,
                    mails=outgoing,
                ),
                collections=Collections(storage, settings.limits.values, settings.scheduling),
                granting=Granting(access),
                rooms=RoomReading(storage, settings.rooms),
                busy_times=BusyTimes(storage, access, lookup, settings.limits.values),
                limits=settings.limits.values,
                page_size=settings.storage.page_size,
                prefix=settings.network.path_prefix,
                installation=installation,
            )
            requests = RequestLog(
                methods=site.registry.routes.methods,
                operations={
                    CREATION: CREATION,
                    **{name: split(name)[1] for name in site.registry.reports},
                    **{row.id: row.id for row in OPERATIONS},
                },
                addresses=authenticator.addresses,
                metrics=metrics,
                access_log=settings.log.access_log,
                slow=settings.log.slow_request,
                tracing=tracing,
            )
            check_in = CheckInPages(CheckingIn(storage, settings.rooms), settings.mail.language)
            api = ApiSite(
                lookup,
                site.people,
                Accounts(directory, tokens),
                System(
                    health,
                    state,
                    queue,
                    settings=in_force(settings),
                    unavailable=metrics.unavailable,
                    announce_jobs=storage.announce_jobs,
                ),
                max_body=settings.api.max_body,
                requests_per_minute=settings.api.requests_per_minute,
                prefix=site.prefix,
            )
            dispatcher = Dispatcher(
                [monitoring, check_in, ApiFrontEnd(api), DavFrontEnd(site)],
                authenticator,
                requests,
                prefix=site.prefix,
                gzip=settings.network.gzip,
                hsts_seconds=settings.network.hsts_seconds,
                note_refusal=watching.refused,
            )
            jobs = storage, objects, settings.limits.values, settings.scheduling
            queued = QueuedDeliveries(*jobs, counts=metrics.scheduling, mails=outgoing, turns=site.scheduling.turns)
            refreshing = Refreshing(*jobs, counts=metrics.scheduling)
            removals = Removals(storage, settings.limits.values, mails=outgoing)
            incoming = PostgresIncomingMail(storage.database)
            mails = await receiving(site.scheduling, incoming, settings.mail, counts=metrics.incoming_mail)
            memberships = Memberships(site.scheduling, timedelta(seconds=settings.scheduling.membership_delay))
            sender = transport(settings, metrics)
            mail_jobs = MailJobs(storage, objects, settings.limits.values, settings.mail, sender, counts=metrics.mails)
            kinds = (
                sharees(access, bus_of(settings, storage)),
                business_counts(business, bus_of(settings, storage)),
                copies(site.collections, lookup),
                *scheduling(queued, refreshing, removals, memberships, LongSeries(site.splitting, settings.scheduling)),
                room_clashes(Clashes(site.scheduling)),
                *no_shows(
                    NoShows(site.scheduling, settings.rooms, settings.mail.language),
                    CheckInMails(
                        storage,
                        settings.mail,
                        settings.rooms,
                        settings.network.external_url,
                        sender,
                        counts=metrics.mails,
                    ),
                ),
                room_cards(DirectoryBook(storage, directory, objects)),
                room_addresses(storage, directory, settings.rooms.mail_domain),
                held_messages(mails, incoming),
                *outgoing_mails(mail_jobs),
                *notices(
                    Notices(
                        storage,
                        access,
                        settings.limits.values,
                        settings.mail,
                        sender,
                        counts=metrics.mails,
                    )
                ),
            )
            yield _Parts(dispatcher, monitoring, metrics, storage, authenticator, kinds, mails)
        finally:
            authenticator.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)
