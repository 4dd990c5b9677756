-- What an app password opens: CalDAV and the like (apps), the JSON API (api).
alter table app_password add column doors text[] collate "C" not null default '{apps}';

-- Tokens with which programs use the JSON API in the name of a principal.
create table service_token (
    id bigint generated always as identity primary key,
    principal_id bigint not null references principal (id) on delete cascade,
    name text collate "C" not null check (name <> ''),
    -- The first part of the token: finds the row.
    selector text collate "C" not null unique,
    -- SHA-256 of the secret part, which is random.
    digest bytea not null,
    -- Areas of the API, each to read or to write.
    scopes text[] collate "C" not null check (cardinality(scopes) > 0),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz
);

create unique index service_token_name_taken on service_token (principal_id, name) where revoked_at is null;
create index service_token_principal on service_token (principal_id);
