-- What a home knows of the messages about a UID and its object's text does not say: the versions of answers, when
-- attendees were asked anew, and what an attendee declined and removed. The row outlives the object.
create table scheduling_memory (
    home_id bigint not null references home (id) on delete cascade,
    uid text collate "C" not null,
    -- Moves with each change.
    version bigint not null default 1,
    -- As server.services.scheduling.memory writes it.
    state jsonb not null,
    modified_at timestamptz not null default now(),
    primary key (home_id, uid)
);

create index scheduling_memory_modified on scheduling_memory (modified_at);
