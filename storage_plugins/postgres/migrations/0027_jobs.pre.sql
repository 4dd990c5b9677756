-- The queue of jobs. A job is a row, written in the transaction of the change that asks for it; the runners of all workers
-- take the rows that are due (server/jobs/runner.py).
create table job (
    id bigint generated always as identity primary key,
    -- Names the handler.
    kind text collate "C" not null,
    -- Ids that the handler needs, never texts, names or addresses.
    payload jsonb not null default '{}' check (octet_length(payload::text) <= 2000),
    -- Jobs with one lock key run one at a time, those that are not periodic in the order of their ids.
    lock_key text collate "C",
    -- A job that was not tried yet takes in later ones of its kind and queueing key. With a lock key at most one other,
    -- which is running or waits for its next try, is beside it.
    queueing_key text collate "C" check (queueing_key is null or lock_key is not null),
    -- Greater first.
    priority smallint not null default 0,
    not_before timestamptz not null default clock_timestamp(),
    -- Of a periodic job: the time between two runs. Its row stays, and not_before is its next run.
    every interval check (every > interval '0'),
    -- A periodic job is to run again at once after the run under way.
    again boolean not null default false,
    state text collate "C" not null default 'queued' check (state in ('queued', 'running', 'failed')),
    -- How often it was taken since it last succeeded.
    attempts integer not null default 0,
    -- Names the run under way; a runner whose run it is no longer changes nothing.
    run uuid,
    heartbeat_at timestamptz,
    -- The name of the last error.
    error text collate "C",
    created_at timestamptz not null default clock_timestamp(),
    check ((state = 'running') = (run is not null)),
    check ((state = 'running') = (heartbeat_at is not null)),
    check (state <> 'failed' or every is null)
);

create index job_next on job (priority desc, not_before, id) where state = 'queued';
create index job_due on job (not_before) where state = 'queued';
create index job_lock on job (lock_key, id) where state in ('queued', 'running');
create unique index job_locked on job (lock_key) where state = 'running';
create unique index job_queueing on job (kind, queueing_key) where state = 'queued' and attempts = 0;
create unique index job_periodic on job (kind) where every is not null;
create index job_heartbeat on job (heartbeat_at) where state = 'running';
create index job_failed on job (kind, queueing_key) where state = 'failed';

-- Kinds of which no job is taken until an administrator releases them.
create table job_hold (
    kind text collate "C" primary key,
    held_at timestamptz not null default clock_timestamp()
);

-- Two processes that seal at once cannot both continue the chain.
create unique index audit_seal_previous on audit_seal (previous);
