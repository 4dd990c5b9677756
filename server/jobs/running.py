"""The runner of a worker, with its connections, and the jobs that it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from server.domain.actors import Actor
from server.domain.changes import Cause
from server.events.bus import Bus
from server.events.counting import keep_counting
from server.events.relay import Relay
from server.events.sequencing import Sequencing
from server.events.sharees import keep_informed
from server.jobs import maintenance
from server.jobs.buses import publisher_of
from server.jobs.runner import Kind, Result, Runner
from server.observe.metrics import Metrics
from server.services.collections import Collections
from server.services.lookup import Lookup
from server.services.mail.incoming import IncomingMails
from server.services.mail.invitations_to import NOTICES
from server.services.mail.notices import Notices
from server.services.mail.sending import MailJobs
from server.services.principals import changes as principals
from server.services.rooms.check_in_mails import CheckInMails
from server.services.rooms.clashes import CLASHES, Clashes
from server.services.rooms.directory_book import DirectoryBook
from server.services.rooms.missing_addresses import give_addresses
from server.services.rooms.no_shows import NO_SHOWS, NoShows
from server.services.scheduling.dispatches import DELIVERIES, REDELIVERIES, REFRESHES
from server.services.scheduling.dividing import LongSeries
from server.services.scheduling.long_series import SPLITS
from server.services.scheduling.memberships import MEMBERS, Memberships
from server.services.scheduling.queued import QueuedDeliveries
from server.services.scheduling.refreshing import Refreshing
from server.services.scheduling.removals import REMOVALS, Removals
from server.settings.model import Settings
from server.storage import Storage
from server.storage.access import Access
from server.storage.business import Business
from server.storage.directory import Directory
from server.storage.incoming_mail import IncomingMail
from server.storage.jobs import HANDOVERS, MEMBERSHIPS, ROOM_ADDRESSES, ROOM_CARDS, TakenJob
from server.storage.mails import CHECK_IN_LINKS, MAIL, MAIL_OUTCOMES, NOTICE, RELEASED
from storage_plugins.postgres.advisory_locks import TurnLock
from storage_plugins.postgres.bus import PostgresBusRecords
from storage_plugins.postgres.changes import handover_jobs
from storage_plugins.postgres.database import Database, DatabaseLimits
from storage_plugins.postgres.directory import PostgresDirectory
from storage_plugins.postgres.jobs import PostgresJobs
from storage_plugins.postgres.journal import PostgresJournal, PostgresSequencer
from storage_plugins.postgres.storage import PostgresStorage
from storage_plugins.postgres.turns import PostgresTurn

_QUEUE = DatabaseLimits(connections=1, acquire_timeout=10.0)
"""The queue uses a separate connection, so that neither requests nor handlers delay heartbeats."""
_MAINTENANCE = DatabaseLimits(connections=2, acquire_timeout=60.0, connect_timeout=10.0, statement_timeout=300.0)
CONNECTIONS = _QUEUE.connections + _MAINTENANCE.connections + 1
"""The most connections to the database that a worker's jobs and the sequencer hold, except one for online steps of a
migration."""
RELAY_CONNECTIONS = 1
"""Further ones, where the bus is not the journal itself."""
_ACTOR = Actor(None, "jobs")
_TRIES = 36
"""Tries of a job that delivers, in about a day."""
_MAIL_TRIES = 200
"""Tries of a job that sends a mail: more than `server.services.mail.sending.TRIED_FOR` takes."""
_RELEASING = 30.0
"""Seconds between two runs in which bookings that nobody checks in are released."""
_RETRY = 5.0
"""Seconds after which changes are passed on again at the latest, after a failure."""


def sharees(access: Access, bus: Bus) -> Kind:
    """The job that passes changes of shared collections on to the sharees' homes. One worker runs it all the time."""

    async def handle(_: TakenJob) -> Result:
        await keep_informed(access, bus)
        return Result(next_run=0.0)

    return Kind("bindings", handle, every=_RETRY, stays=True)


def business_counts(business: Business, bus: Bus) -> Kind:
    """The job that counts what people do, for metrics. One worker runs it all the time."""

    async def handle(_: TakenJob) -> Result:
        await keep_counting(business, bus)
        return Result(next_run=0.0)

    return Kind("business_counts", handle, every=_RETRY, stays=True)


def copies(collections: Collections, lookup: Lookup) -> Kind:
    """The job that goes on with the copy of a large collection where the request for it was broken off."""

    async def handle(job: TakenJob) -> Result:
        await collections.resume_copy(lookup, job.payload["home"], job.payload["collection"])
        return Result()

    return Kind("copies", handle)


def scheduling(
    queued: QueuedDeliveries,
    refreshing: Refreshing,
    removals: Removals,
    memberships: Memberships,
    long_series: LongSeries,
) -> tuple[Kind, ...]:
    """The jobs that deliver scheduling messages, try again, refresh copies after answers, cancel and decline the
    meetings of deleted calendars, let meetings follow the members of groups, and divide long series."""

    async def deliver(job: TakenJob) -> Result:
        await queued.deliver(job.payload["meeting"])
        return Result()

    async def redeliver(job: TakenJob) -> Result:
        await queued.redeliver(job.payload["meeting"])
        return Result()

    async def refresh(job: TakenJob) -> Result:
        await refreshing.refresh(job.payload["home"], job.payload["object"])
        return Result()

    async def remove(job: TakenJob) -> Result:
        ids = job.payload
        cause = Cause(ids["principal"] or None, "jobs", acting_for=ids["acting_for"] or None)
        return Result(await removals.send(ids["home"], ids["collection"], cause))

    async def plan(job: TakenJob) -> Result:
        return Result(await memberships.plan(job.payload["group"]))

    async def follow(job: TakenJob) -> Result:
        return Result(int(await memberships.follow(job.payload["home"], job.payload["object"])))

    async def split(job: TakenJob) -> Result:
        return Result(int(await long_series.split(job.payload["home"], job.payload["object"])))

    return (
        Kind(SPLITS, split),
        Kind(MEMBERSHIPS, plan),
        Kind(MEMBERS, follow),
        Kind(REMOVALS, remove),
        Kind(DELIVERIES, deliver, tries=_TRIES),
        Kind(REDELIVERIES, redeliver, tries=_TRIES),
        Kind(REFRESHES, refresh),
    )


def room_clashes(clashes: Clashes) -> Kind:
    """The job that declines what has no time in a room any more."""

    async def decline(job: TakenJob) -> Result:
        return Result(int(await clashes.decline(job.payload["home"], job.payload["object"])))

    return Kind(CLASHES, decline)


def no_shows(found: NoShows, mails: CheckInMails) -> tuple[Kind, ...]:
    """The jobs that release what nobody checks in, and send organizers links to check in and news of releases."""

    async def release(_: TakenJob) -> Result:
        return Result(await found.release_due())

    async def link(job: TakenJob) -> Result:
        ids = job.payload
        return Result(int(await mails.send_link(ids["home"], ids["object"], ids.get("name", 0), job.id)))

    async def tell(job: TakenJob) -> Result:
        ids = job.payload
        return Result(int(await mails.tell_released(ids["home"], ids["object"], ids["start"], ids["end"], job.id)))

    return (
        Kind(NO_SHOWS, release, every=_RELEASING),
        Kind(CHECK_IN_LINKS, link, tries=_TRIES),
        Kind(RELEASED, tell, tries=_TRIES),
    )


def room_cards(book: DirectoryBook) -> Kind:
    """The job that brings the cards of rooms up to date."""

    async def handle(_: TakenJob) -> Result:
        return Result(await book.follow())

    return Kind(ROOM_CARDS, handle)


def room_addresses(storage: Storage, directory: Directory, domain: str) -> Kind:
    """The job that gives addresses to rooms that have none (`server.process.preparation` asks for it)."""

    async def handle(_: TakenJob) -> Result:
        return Result(await give_addresses(storage, directory, domain) if domain else 0)

    return Kind(ROOM_ADDRESSES, handle)


def held_messages(mails: IncomingMails, incoming: IncomingMail) -> Kind:
    """The job that removes what came by mail and was held for a month, and the counts of past hours."""

    async def handle(_: TakenJob) -> Result:
        await incoming.forget_senders()
        return Result(await mails.held.forget(_ACTOR.cause))

    return Kind("held_messages", handle, every=maintenance.INTERVAL)


def outgoing_mails(jobs: MailJobs) -> tuple[Kind, ...]:
    """The jobs that send mails to people elsewhere, and write what became of them."""

    async def send(job: TakenJob) -> Result:
        await jobs.send(job.payload["home"], job.id)
        return Result()

    async def state(job: TakenJob) -> Result:
        await jobs.state(job.payload["home"], job.payload["meeting"])
        return Result()

    return Kind(MAIL, send, tries=_MAIL_TRIES), Kind(MAIL_OUTCOMES, state)


def notices(sender: Notices) -> tuple[Kind, ...]:
    """The jobs that tell delegates by mail of invitations."""

    async def plan(job: TakenJob) -> Result:
        return Result(await sender.plan(job.payload["principal"], job.payload["item"]))

    async def send(job: TakenJob) -> Result:
        ids = job.payload
        return Result(int(await sender.send(ids["principal"], ids["item"], ids["recipient"])))

    return Kind(NOTICES, plan), Kind(NOTICE, send, tries=_MAIL_TRIES)


def handovers(database: Database) -> Kind:
    """The job that goes on with a handover where the command for it was broken off."""

    async def handle(job: TakenJob) -> Result:
        people = await handover_jobs.people(database, job.payload)
        if people is not None:
            await principals.hand_over(_ACTOR, PostgresDirectory(database), *people)
        return Result()

    return Kind(HANDOVERS, handle)


@contextlib.asynccontextmanager
async def maintenance_kinds(dsn: str, settings: Settings) -> AsyncIterator[list[Kind]]:
    """The maintenance jobs and handovers, on separate connections, which are closed with the context."""
    # When a job is taken over from a worker that died, its statements must not be running still.
    database = Database(dsn, _MAINTENANCE, application="koyomi maintenance", end_with_client=True)
    await database.open()
    try:
        yield [*maintenance.kinds(database, dsn, settings), handovers(database)]
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def running_jobs(
    dsn: str, storage: PostgresStorage, kinds: Sequence[Kind], metrics: Metrics
) -> AsyncIterator[None]:
    """Run jobs within the context. Raises `Unavailable` or `DatabaseError` if the database does not answer."""
    # If a crash loses the last state of a job, it runs once more, so commits of the queue need not wait for the disk.
    queue = Database(dsn, _QUEUE, application="koyomi jobs", synchronous_commit=False)
    await queue.open()
    try:
        runner = Runner(PostgresJobs(queue), kinds, metrics)
        unsubscribe = storage.subscribe(runner.hear)
        running = asyncio.create_task(runner.run())
        try:
            yield
        finally:
            unsubscribe()
            running.cancel()
            await asyncio.wait([running])
            # Other runners take jobs that were put back at once.
            storage.announce_jobs()
    finally:
        await queue.close()


@contextlib.asynccontextmanager
async def sequencing(dsn: str, storage: PostgresStorage, metrics: Metrics) -> AsyncIterator[None]:
    """Move what is written into the journal within the context, when it is this worker's turn."""
    running = Sequencing(PostgresSequencer(dsn), storage.announce_change, metrics)
    unsubscribe = storage.subscribe(running.hear)
    task = asyncio.create_task(running.run())
    try:
        yield
    finally:
        unsubscribe()
        task.cancel()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def relaying(dsn: str, storage: PostgresStorage, settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """Bring the journal to the bus of the settings within the context, when it is this worker's turn."""
    publisher = await publisher_of(settings, storage)
    if publisher is None:
        yield
        return
    journal = PostgresJournal(storage.database)
    records = PostgresBusRecords(storage.database)
    running = Relay(journal, records, publisher, PostgresTurn(dsn, TurnLock.RELAY), metrics)
    unsubscribe = storage.subscribe(running.hear)
    tasks = [asyncio.create_task(running.run()), asyncio.create_task(running.measure())]
    try:
        yield
    finally:
        unsubscribe()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
