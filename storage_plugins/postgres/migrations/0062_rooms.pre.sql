-- What rooms and resources have beside their names. Every principal of these kinds has a row; one that a server of the
-- version before made gets it with its next change.
create table room (
    principal_id bigint primary key references principal (id) on delete cascade,
    type text collate "C" not null constraint room_type check (type in ('ROOM', 'EQUIPMENT', 'PARKING', 'OTHER')),
    site text collate "C" not null default '',
    building text collate "C" not null default '',
    floor text collate "C" not null default '',
    number text collate "C" not null default '',
    capacity integer constraint room_capacity check (capacity >= 0),
    features text[] collate "C" not null default '{}',
    accessibility text collate "C" not null default '',
    latitude double precision constraint room_latitude check (latitude between -90 and 90),
    longitude double precision constraint room_longitude check (longitude between -180 and 180),
    photograph text collate "C" not null default '',
    contact text collate "C" not null default '',
    time_zone text collate "C" not null default '',
    opening_times text collate "C" not null default '',
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    buffer_before interval not null default '0' constraint room_buffer_before check (buffer_before >= '0'),
    buffer_after interval not null default '0' constraint room_buffer_after check (buffer_after >= '0'),
    pieces integer not null default 1 constraint room_pieces check (pieces >= 1),
    allowed_overlaps integer not null default 0 constraint room_allowed_overlaps check (allowed_overlaps >= 0),
    -- The room that it is a part of.
    parent_id bigint references principal (id) on delete set null,
    -- Parameters of the booking policy that differ from their defaults.
    policy jsonb not null default '{}' check (jsonb_typeof(policy) = 'object'),
    -- Moves with every change of the principal, too.
    version bigint not null default 1,
    -- Texts as they are searched for, folded.
    site_key text collate "C" not null default '',
    building_key text collate "C" not null default '',
    floor_key text collate "C" not null default '',
    -- All attributes that words are searched in, one a line.
    words text collate "C" not null default '',
    constraint room_position check ((latitude is null) = (longitude is null)),
    constraint room_parent check (parent_id <> principal_id)
);

create index room_building on room (building_key, floor_key, capacity);
create index room_site on room (site_key);
create index room_features on room using gin (features);
create index room_parent on room (parent_id) where parent_id is not null;

insert into room (principal_id, type)
select id, case kind when 'resource' then 'EQUIPMENT' else 'ROOM' end from principal where kind in ('room', 'resource');

-- Where a person works: {"building": ..., "floor": ...}.
alter table principal add column office jsonb check (jsonb_typeof(office) = 'object');
