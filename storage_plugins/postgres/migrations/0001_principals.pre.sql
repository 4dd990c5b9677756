-- Principals, how they sign in, and the installation itself. None of these belongs to a home.
--
-- Text that is compared carries COLLATE "C"; what compares without regard to case is folded in Python
-- (NFC, casefold, NFC) into a column `..._key`.

create table installation (
    singleton boolean primary key default true check (singleton),
    id uuid not null default gen_random_uuid(),
    -- Moves when a backup is restored, so that clients' tokens of the lost time end.
    incarnation bigint not null default 1,
    -- Version of the zone data from which the stored occurrences were computed; null before the first server start.
    tz_version text collate "C",
    created_at timestamptz not null default now()
);

insert into installation default values;

create table principal (
    id bigint generated always as identity primary key,
    -- The stable id in URLs.
    uid text collate "C" not null constraint principal_uid_taken unique check (uid <> ''),
    kind text collate "C" not null check (kind in ('individual', 'group', 'room', 'resource')),
    name text collate "C" not null check (name <> ''),
    -- The folded name: one name space for all kinds. Null when the principal was deleted and its data kept.
    name_key text collate "C" constraint principal_name_taken unique check (name_key <> ''),
    display_name text collate "C" not null default '',
    roles text[] collate "C" not null default '{}',
    disabled_at timestamptz,
    deleted_at timestamptz,
    -- Moves when a password, an app password or the right to sign in changes.
    credential_version bigint not null default 0,
    -- Null: the installation's default holds.
    quota_bytes bigint check (quota_bytes >= 0),
    -- How a room or a piece of equipment answers invitations: {"mode": ..., "auto_accept_group": uid}.
    auto_schedule jsonb check (jsonb_typeof(auto_schedule) = 'object'),
    -- Where a room is: {"name": ..., "street": ..., "geo": ...}.
    place jsonb check (jsonb_typeof(place) = 'object'),
    created_at timestamptz not null default now(),
    modified_at timestamptz not null default now(),
    check ((name_key is null) = (deleted_at is not null)),
    check (deleted_at is null or disabled_at is not null)
);

create index principal_kind on principal (kind, name_key);

-- E-mail addresses, in the order that they are shown in. An address belongs to one principal.
create table principal_address (
    principal_id bigint not null references principal (id) on delete cascade,
    position integer not null check (position >= 0),
    address text collate "C" not null check (address <> ''),
    address_key text collate "C" not null constraint principal_address_taken unique check (address_key <> ''),
    -- Deferred: a changed order passes through equal positions.
    primary key (principal_id, position) deferrable initially deferred
);

create table membership (
    group_id bigint not null references principal (id) on delete cascade,
    member_id bigint not null references principal (id) on delete cascade,
    primary key (group_id, member_id),
    check (group_id <> member_id)
);

create index membership_member on membership (member_id, group_id);

create table delegate (
    principal_id bigint not null references principal (id) on delete cascade,
    delegate_id bigint not null references principal (id) on delete cascade,
    rights text collate "C" not null check (rights in ('read', 'write')),
    primary key (principal_id, delegate_id, rights),
    check (principal_id <> delegate_id)
);

create index delegate_delegate on delegate (delegate_id, principal_id);

-- Who a person is elsewhere (OpenID Connect).
create table identity (
    issuer text collate "C" not null,
    subject text collate "C" not null,
    principal_id bigint not null references principal (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (issuer, subject)
);

create index identity_principal on identity (principal_id);

create table password (
    principal_id bigint primary key references principal (id) on delete cascade,
    -- argon2id in the PHC string format.
    hash text collate "C" not null,
    changed_at timestamptz not null default now()
);

create table app_password (
    id bigint generated always as identity primary key,
    principal_id bigint not null references principal (id) on delete cascade,
    name text collate "C" not null check (name <> ''),
    -- The first group of the secret: finds the row, so that one sign-in costs one verification.
    selector text collate "C" not null,
    hash text collate "C" not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    constraint app_password_selector_taken unique (principal_id, selector)
);

create unique index app_password_name_taken on app_password (principal_id, name) where revoked_at is null;

-- Failed sign-ins, per client address and per account, until they are forgotten.
create table signin_failure (
    scope text collate "C" not null check (scope in ('address', 'account')),
    key text collate "C" not null,
    failures integer not null check (failures > 0),
    first_at timestamptz not null default now(),
    last_at timestamptz not null default now(),
    blocked_until timestamptz not null default now(),
    primary key (scope, key)
);

create index signin_failure_last on signin_failure (last_at);
