"""`koyomi jobs`: what servers do in the background."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable

import click

from server.commands.options import with_settings
from server.commands.session import open_storage
from server.commands.table import table
from server.settings.model import Settings
from server.storage.jobs import KindCounts, State, StoredJob
from storage_plugins.postgres.jobs import PostgresJobs

_MOST = 100
"""Jobs that are listed."""


@click.group
def jobs() -> None:
    """Jobs: what is to be done in the background, what failed, and what an administrator holds back."""


@contextlib.asynccontextmanager
async def _queue(settings: Settings) -> AsyncIterator[PostgresJobs]:
    """The queue. Runners look for jobs at once when the context ends."""
    async with open_storage(settings) as session:
        yield PostgresJobs(session.storage.database)
        session.storage.announce_jobs()


@jobs.command("list")
@click.option("--kind", metavar="KIND", help="Only jobs of this kind.")
@click.option("--state", type=click.Choice(["queued", "running", "failed"]), help="Only jobs in this state.")
@with_settings()
async def list_(settings: Settings, kind: str | None, state: State | None) -> None:
    """List jobs, and how many there are of each kind. Times are in UTC."""
    async with open_storage(settings) as session:
        queue = PostgresJobs(session.storage.database)
        counts = await queue.counts()
        found = await queue.jobs(kind, state, _MOST)
    heads = ("KIND", "HELD", "WAIT", "RUN", "FAILED", "DUE SINCE (s)")
    click.echo(table(heads, [_counts(each) for each in counts if kind in (None, each.kind)]))
    click.echo()
    click.echo(
        table(("ID", "KIND", "STATE", "TRIES", "NOT BEFORE", "EVERY", "DONE", "ERROR", "IDS"), [_row(j) for j in found])
    )
    if len(found) == _MOST:
        click.echo(f"Only the first {_MOST} are listed.")


def _counts(each: KindCounts) -> tuple[str, ...]:
    numbers = (each.queued, each.running, each.failed, round(each.oldest))
    return (each.kind, "held" if each.held else "", *map(str, numbers))


def _row(job: StoredJob) -> tuple[str, ...]:
    return (
        str(job.id),
        job.kind,
        "held" if job.held and job.state == "queued" else job.state,
        str(job.attempts),
        f"{job.not_before:%Y-%m-%d %H:%M:%S}",
        "" if job.every is None else f"{job.every.total_seconds():g} s",
        _progress(job),
        job.error or "",
        " ".join(f"{name}={value}" for name, value in sorted(job.payload.items())),
    )


def _progress(job: StoredJob) -> str:
    if job.done is None:
        return ""
    return str(job.done) if job.total is None else f"{job.done} of {job.total}"


@jobs.command
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")
@with_settings()
async def retry(settings: Settings, ids: tuple[int, ...]) -> None:
    """Run jobs at once that have failed or wait. A periodic job runs at once, too."""
    async with _queue(settings) as queue:
        done = await queue.retry(ids)
    _tell(done, ids, "is due now", "There is no such job, or it runs")


@jobs.command
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")
@with_settings()
async def drop(settings: Settings, ids: tuple[int, ...]) -> None:
    """Remove jobs that are not to be done any more. Periodic jobs stay: hold their kind."""
    async with _queue(settings) as queue:
        done = await queue.drop(ids)
    _tell(done, ids, "was removed", "There is no such job, or it runs or is periodic")


def _tell(done: Iterable[int], asked: tuple[int, ...], said: str, otherwise: str) -> None:
    for id_ in done:
        click.echo(f"Job {id_} {said}.")
    if missing := sorted(set(asked) - set(done)):
        raise click.ClickException(f"{otherwise}: {', '.join(map(str, missing))}.")


@jobs.command
@click.argument("kind")
@with_settings()
async def hold(settings: Settings, kind: str) -> None:
    """Let no job of a kind begin any more. Jobs that run go on."""
    async with _queue(settings) as queue:
        await queue.hold(kind)
    click.echo(f"Jobs of the kind {kind} are held.")


@jobs.command
@click.argument("kind")
@with_settings()
async def release(settings: Settings, kind: str) -> None:
    """Let jobs of a kind begin again."""
    async with _queue(settings) as queue:
        held = await queue.release(kind)
    click.echo(f"Jobs of the kind {kind} are {'no longer' if held else 'not'} held.")
