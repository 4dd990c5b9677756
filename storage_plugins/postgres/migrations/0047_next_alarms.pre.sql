alter table alarm
    -- When it rings next; null: not any more. '-infinity': to be computed, as servers of the version before leave it.
    add column next_at timestamptz default '-infinity',
    -- Of a floating time or a date: next_at is its place in UTC, which the zone of the calendar moves.
    add column floating boolean not null default false;
