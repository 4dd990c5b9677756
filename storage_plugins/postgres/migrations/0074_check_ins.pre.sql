-- When a time was reserved: a reservation that stays keeps it.
alter table reservation add column reserved_at timestamptz not null default now();

-- What became of bookings whose room asks for a check-in. A check-in belongs to the times of an instance: a booking that
-- is moved has to be checked in again. Rows stay for reports.
create table check_in (
    -- Of the room in whose calendar the booking lies.
    home_id bigint not null references home (id) on delete cascade,
    object_id bigint not null,
    recurrence_id text collate "C" not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    state text collate "C" not null check (state in ('CHECKED_IN', 'NO_SHOW')),
    at timestamptz not null,
    primary key (home_id, object_id, recurrence_id, starts_at, ends_at)
);

create index check_in_times on check_in (home_id, starts_at);
create index check_in_age on check_in (starts_at);

-- The last link to check in that was mailed for a booking.
create table check_in_link (
    home_id bigint not null references home (id) on delete cascade,
    object_id bigint not null,
    sent_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (home_id, object_id)
);

create index check_in_link_age on check_in_link (expires_at);

-- Finds the few rooms that release what nobody checks in.
create index room_releases on room ((policy ->> 'release_no_shows'));
