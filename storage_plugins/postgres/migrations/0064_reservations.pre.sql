-- Reservations are derived from the occurrences of what lies in the calendars of rooms and equipment. Nothing has
-- written any before.
alter table home add column reserves boolean not null default false;

alter table reservation
    drop constraint reservation_home_id_object_id_recurrence_id_key,
    drop constraint reservation_home_id_resource_id_during_excl,
    drop constraint reservation_resource_id_fkey,
    add constraint reservation_resource_id_fkey
        foreign key (resource_id) references principal (id) on delete cascade,
    -- When the meeting is; `during` is wider by the room's buffers.
    add column starts_at timestamptz not null,
    add column ends_at timestamptz not null,
    -- 1 where the room takes one booking at a time; null equals nothing, so that others may overlap.
    add column sole smallint check (sole = 1),
    add constraint reservation_taken
        exclude using gist (resource_id with =, during with &&, sole with =, object_id with <>);

create index reservation_object on reservation (home_id, object_id);

-- The offsets of the time zone of a room's calendar, for floating times and dates: the local times, as if they were in
-- UTC, from which on each offset holds, in seconds.
create table calendar_clock (
    home_id bigint not null,
    collection_id bigint not null,
    -- The name of the zone, or a VTIMEZONE.
    zone text collate "C" not null,
    starts timestamptz[] not null,
    offsets integer[] not null,
    primary key (home_id, collection_id),
    check (cardinality(starts) = cardinality(offsets) and cardinality(starts) > 0)
);
