-- Scheduling messages of one change that jobs deliver, with their recipients. When all deliveries have ended, the row
-- says what became of them for a while.
create table scheduling_dispatch (
    -- The sender's home.
    home_id bigint not null references home (id) on delete cascade,
    id bigint not null generated always as identity,
    uid text collate "C" not null,
    -- A number for the meeting: its messages are delivered in the order of the ids.
    meeting bigint not null,
    -- Moves with each change.
    version bigint not null default 1,
    -- As server.services.scheduling.dispatches writes it.
    state jsonb not null,
    -- There are recipients to whom a delivery is still to be tried.
    waiting boolean not null,
    -- There are recipients to whom it is to be tried again.
    failing boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    modified_at timestamptz not null default clock_timestamp(),
    primary key (home_id, id)
);

create index scheduling_dispatch_waiting on scheduling_dispatch (meeting, id) where waiting;
create index scheduling_dispatch_failing on scheduling_dispatch (meeting, id) where failing;
create index scheduling_dispatch_uid on scheduling_dispatch (home_id, uid, id);
create index scheduling_dispatch_modified on scheduling_dispatch (modified_at) where not waiting and not failing;
