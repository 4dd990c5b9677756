"""The area system: the state of the installation, for administrators."""

from __future__ import annotations

from admin_api.areas import system_models as models
from admin_api.calls import Call, Reply
from admin_api.models import LARGEST_ID
from admin_api.operations import Operation
from admin_api.paging import cursor_of, number_key
from server.domain.errors import NotFound


async def _readiness(call: Call) -> Reply:
    found = await call.site.system.readiness(call.actor)
    return Reply(
        models.Readiness(status=found.status, reasons=list(found.reasons), unavailable=list(found.unavailable))
    )


async def _settings(call: Call) -> Reply:
    items = [
        models.Setting(
            name=each.name,
            value=None if each.is_secret else each.value,
            is_default=each.is_default,
            is_secret=each.is_secret,
            description=each.description,
        )
        for each in call.site.system.settings(call.actor)
    ]
    return Reply(models.Settings(items=items))


async def _migrations(call: Call) -> Reply:
    found = await call.site.system.schema(call.actor)
    return Reply(models.Migrations(usable=found.usable, pending=list(found.pending), newer=list(found.newer)))


async def _consumers(call: Call) -> Reply:
    found = await call.site.system.backlog(call.actor)
    items = [
        models.Consumer(name=name, lag_seconds=found.lags.get(name, 0.0), dead=found.dead.get(name, 0))
        for name in sorted({*found.lags, *found.dead})
    ]
    return Reply(models.Consumers(items=items, outbox_age_seconds=max(found.oldest, 0.0)))


async def _job_kinds(call: Call) -> Reply:
    items = [
        models.JobKind(
            kind=each.kind,
            held=each.held,
            queued=each.queued,
            running=each.running,
            failed=each.failed,
            failing=each.failing,
            oldest_seconds=max(float(each.oldest), 0.0),
        )
        for each in await call.site.system.job_kinds(call.actor)
    ]
    return Reply(models.JobKinds(items=items))


async def _jobs(call: Call) -> Reply:
    query = call.query_as(models.JobsQuery)
    after = number_key(query.cursor)
    found = await call.site.system.jobs(call.actor, query.kind, query.state, after=after, limit=query.limit + 1)
    items = [
        models.Job(
            id=job.id,
            kind=job.kind,
            state=job.state,
            held=job.held,
            attempts=job.attempts,
            not_before=job.not_before,
            every_seconds=None if job.every is None else job.every.total_seconds(),
            error=job.error,
            about=[models.JobId(name=name, id=id_) for name, id_ in sorted(job.payload.items())],
            done=job.done,
            total=job.total,
        )
        for job in found[: query.limit]
    ]
    more = len(found) > query.limit
    return Reply(models.JobPage(items=items, next=cursor_of(items[-1].id) if more else None))


async def _retry_job(call: Call) -> Reply:
    await call.site.system.retry(call.actor, _job_id(call))
    return Reply()


async def _drop_job(call: Call) -> Reply:
    await call.site.system.drop(call.actor, _job_id(call))
    return Reply()


async def _hold_job_kind(call: Call) -> Reply:
    await call.site.system.hold(call.actor, call.path["kind"])
    return Reply()


async def _release_job_kind(call: Call) -> Reply:
    await call.site.system.release(call.actor, call.path["kind"])
    return Reply()


def _job_id(call: Call) -> int:
    text = call.path["job"]
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_ID):
        raise NotFound("There is no such job, or it runs.")
    return int(text)


OPERATIONS = (
    Operation(
        "getReadiness",
        "GET",
        "/system/readiness",
        "system",
        "read",
        "Say whether requests are answered.",
        _readiness,
        models.Readiness,
    ),
    Operation(
        "listSettings",
        "GET",
        "/system/settings",
        "system",
        "read",
        "List the settings in force, without secrets.",
        _settings,
        models.Settings,
        tagged=True,
    ),
    Operation(
        "getMigrations",
        "GET",
        "/system/migrations",
        "system",
        "read",
        "Say which migrations the database has not had yet.",
        _migrations,
        models.Migrations,
    ),
    Operation(
        "listConsumers",
        "GET",
        "/system/consumers",
        "system",
        "read",
        "Say how far the consumers of the journal have come.",
        _consumers,
        models.Consumers,
    ),
    Operation(
        "listJobKinds",
        "GET",
        "/system/job-kinds",
        "system",
        "read",
        "Count the jobs of each kind.",
        _job_kinds,
        models.JobKinds,
    ),
    Operation(
        "holdJobKind",
        "POST",
        "/system/job-kinds/{kind}/hold",
        "system",
        "write",
        "Let no job of a kind begin any more. Jobs that run go on.",
        _hold_job_kind,
        status=204,
    ),
    Operation(
        "releaseJobKind",
        "POST",
        "/system/job-kinds/{kind}/release",
        "system",
        "write",
        "Let jobs of a kind begin again.",
        _release_job_kind,
        status=204,
    ),
    Operation(
        "listJobs",
        "GET",
        "/system/jobs",
        "system",
        "read",
        "List jobs in the background, by id.",
        _jobs,
        models.JobPage,
        query=models.JobsQuery,
    ),
    Operation(
        "retryJob",
        "POST",
        "/system/jobs/{job}/retry",
        "system",
        "write",
        "Let a job run at once that has failed or waits.",
        _retry_job,
        status=204,
    ),
    Operation(
        "dropJob",
        "POST",
        "/system/jobs/{job}/drop",
        "system",
        "write",
        "Remove a job that is not to be done any more. Periodic jobs stay.",
        _drop_job,
        status=204,
    ),
)
