-- Up to which seal of the journal the heads have been written to each second place, so that those that could not be
-- written are written later.
create table journal_head (
    -- As the setting journal.heads names it.
    place text collate "C" primary key,
    number bigint not null,
    written_at timestamptz not null default clock_timestamp()
);
