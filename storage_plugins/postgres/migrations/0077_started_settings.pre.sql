-- What servers started with last, so that the journal can name the settings that have changed since. The digests are
-- salted, and those of secrets are slow ones.
create table started_settings (
    host text collate "C" primary key,
    at timestamptz not null default clock_timestamp(),
    salt bytea not null,
    -- By the names of the settings.
    digests jsonb not null
);
