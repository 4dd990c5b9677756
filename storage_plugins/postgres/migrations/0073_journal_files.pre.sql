-- Ranges of the journal's acts that have left the database as files. Each row is signed with the key of the seals, so
-- that nobody hides removed rows by a row here.
create table journal_detached (
    first_seq bigint primary key,
    last_seq bigint not null,
    row_count bigint not null,
    file text collate "C" not null,
    -- SHA-256 of the file's lines without the last one.
    digest bytea not null,
    detached_at timestamptz not null default clock_timestamp(),
    key_id text collate "C" not null,
    signature bytea not null
);
