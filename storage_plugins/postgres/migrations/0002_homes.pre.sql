-- Homes and all that lies in them.
--
-- Every row of a home carries home_id, leading in its keys. Text is compared by COLLATE "C". Rows of `object`,
-- `occurrence`, `alarm`, `outbox` and `audit` have no foreign keys: they are written by the functions of the write path
-- alone, on which every check of a key would be paid; `koyomi db check` looks for orphans.

create extension if not exists btree_gist;

-- The calendar or address-book home of a principal, with the counter that orders every change in it.
create table home (
    id bigint generated always as identity primary key,
    principal_id bigint not null references principal (id),
    kind text collate "C" not null check (kind in ('calendar', 'addressbook')),
    -- Latest revision given to a change in this home. Taken last in a transaction: whoever holds the row commits next.
    revision bigint not null default 0,
    -- Moves when the home is restored from a backup.
    incarnation bigint not null default 1,
    -- Bytes of all members that are not deleted, in collections that are not deleted. No check holds it above zero: a
    -- write counts before it finds out that its collection was deleted meanwhile and gives up.
    used_bytes bigint not null default 0,
    -- Live bindings.
    collection_count integer not null default 0 check (collection_count >= 0),
    -- Oldest revisions whose tokens of depth 1 and of infinite depth are still valid.
    sync_floor bigint not null default 0,
    infinite_sync_floor bigint not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    modified_at timestamptz not null default clock_timestamp(),
    -- Dead properties: {"{namespace}name": "<xml/>"}; null when there are none.
    properties jsonb check (jsonb_typeof(properties) = 'object'),
    unique (principal_id, kind)
) with (fillfactor = 50);

-- What is stored of a collection; homes show it through bindings.
create table collection (
    home_id bigint not null references home (id),
    id bigint generated always as identity,
    -- Latest revision of the collection, its properties and its members: the ctag.
    revision bigint not null,
    member_count integer not null default 0,
    used_bytes bigint not null default 0,
    modified_at timestamptz not null default clock_timestamp(),
    -- Oldest revision whose token is still valid.
    sync_floor bigint not null default 0,
    kind text collate "C" not null check (kind in ('calendar', 'addressbook', 'inbox', 'outbox', 'notification')),
    -- supported-calendar-component-set of a calendar.
    components text[] collate "C" not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    -- Members of a deleted collection stay, for restoring.
    deleted_at timestamptz,
    -- calendar-timezone as iCalendar text.
    timezone text collate "C",
    source text collate "C",
    properties jsonb check (jsonb_typeof(properties) = 'object'),
    primary key (home_id, id)
) with (fillfactor = 50);

create index collection_deleted on collection (deleted_at) where deleted_at is not null;

-- The name under which a home shows a collection: its own, or one that is shared with its owner. One row per name ever
-- used: a tombstone until the name is used again.
create table binding (
    home_id bigint not null references home (id),
    name text collate "C" not null check (name <> ''),
    collection_home_id bigint not null,
    collection_id bigint not null,
    rights text collate "C" not null default 'owner' check (rights in ('owner', 'write', 'read')),
    -- Moves when the rights or the name change: tokens end.
    incarnation bigint not null default 1,
    created_revision bigint not null,
    -- Latest revision of the binding itself. Changes of a home's own collection count too: see collection.revision.
    revision bigint not null,
    deleted_revision bigint,
    deleted_at timestamptz,
    primary key (home_id, name),
    foreign key (collection_home_id, collection_id) references collection (home_id, id),
    check ((deleted_revision is null) = (deleted_at is null)),
    check ((rights = 'owner') = (home_id = collection_home_id))
);

create index binding_collection on binding (collection_home_id, collection_id);
create index binding_deleted on binding (deleted_at) where deleted_at is not null;

-- To whom a collection is granted by sharing: people and groups. `free-busy` makes no binding.
create table share (
    home_id bigint not null,
    collection_id bigint not null,
    principal_id bigint not null references principal (id) on delete cascade,
    rights text collate "C" not null check (rights in ('write', 'read', 'free-busy')),
    created_at timestamptz not null default now(),
    primary key (home_id, collection_id, principal_id),
    foreign key (home_id, collection_id) references collection (home_id, id)
);

create index share_principal on share (principal_id);

-- Access control entries of a collection (RFC 3744), in their order.
create table ace (
    home_id bigint not null,
    collection_id bigint not null,
    position integer not null check (position >= 0),
    -- Whom it concerns: a principal, or a class of them.
    principal_id bigint references principal (id) on delete cascade,
    principal_class text collate "C" check (principal_class in ('all', 'authenticated', 'unauthenticated', 'owner')),
    grants boolean not null,
    -- Qualified names of privileges.
    privileges text[] collate "C" not null,
    primary key (home_id, collection_id, position),
    foreign key (home_id, collection_id) references collection (home_id, id),
    check ((principal_id is null) <> (principal_class is null))
);

create index ace_principal on ace (principal_id);

-- What a person other than the owner set for themselves on a collection.
create table collection_view (
    home_id bigint not null,
    collection_id bigint not null,
    principal_id bigint not null references principal (id) on delete cascade,
    -- Latest revision of the view in the collection's home; 0 where the view moves the person's own binding instead.
    revision bigint not null default 0,
    properties jsonb check (jsonb_typeof(properties) = 'object'),
    primary key (home_id, collection_id, principal_id),
    foreign key (home_id, collection_id) references collection (home_id, id)
);

create index collection_view_principal on collection_view (principal_id);

-- Members of collections: one row per name ever used, a tombstone until the name is used again or it is pruned.
create table object (
    home_id bigint not null,
    collection_id bigint not null,
    id bigint generated by default as identity,
    created_revision bigint not null,
    -- Latest revision; of a tombstone, the deleted revision.
    revision bigint not null,
    deleted_revision bigint,
    created_at timestamptz not null,
    modified_at timestamptz not null,
    deleted_at timestamptz,
    -- Bytes of the text in UTF-8.
    size integer not null check (size >= 0),
    endless boolean not null default false,
    name text collate "C" not null check (name <> ''),
    uid text collate "C" not null,
    component text collate "C" not null,
    etag text collate "C" not null,
    schedule_tag text collate "C",
    -- Hash of what concerns time: equal keys mean equal occurrences.
    time_key text collate "C" not null,
    -- The hull of all instances (null is unbounded) and the part of it of which all occurrences are stored.
    span_start timestamptz,
    span_end timestamptz,
    expanded_from timestamptz,
    expanded_until timestamptz,
    -- Keys of the time zones that the times depend on.
    tzids text[] collate "C",
    -- Columns for display and search.
    summary jsonb check (jsonb_typeof(summary) = 'object'),
    -- Dead properties; null when there are none.
    properties jsonb check (jsonb_typeof(properties) = 'object'),
    -- What the client sent. Null in a tombstone from which nothing can be restored.
    text text collate "C",
    -- What sharees without a view of their own see, where that differs from the text.
    neutral_etag text collate "C",
    neutral_text text collate "C",
    primary key (home_id, id),
    check ((deleted_revision is null) = (deleted_at is null)),
    check (deleted_revision is not null or text is not null),
    check (deleted_revision is null or deleted_revision = revision)
);

-- Listings of names and ETags are answered by this index alone.
create unique index object_name on object (home_id, collection_id, name) include (etag) where deleted_revision is null;
create unique index object_tombstone on object (home_id, collection_id, name) where deleted_revision is not null;
create unique index object_uid on object (home_id, collection_id, uid) where deleted_revision is null;
create index object_revision on object (home_id, collection_id, revision);
-- Those of which only a part is expanded: candidates for windows outside of it, and for the job that moves the horizon.
create index object_partial on object (home_id, collection_id)
    where (expanded_from is not null or expanded_until is not null) and deleted_revision is null;
create index object_availability on object (home_id, collection_id, component)
    where component = 'VAVAILABILITY' and deleted_revision is null;
create index object_horizon on object (expanded_until) where expanded_until is not null and deleted_revision is null;
create index object_deleted on object (deleted_at) where deleted_at is not null;

alter table object set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- Texts whose tombstone had to make way for a new member of the same name while they could be restored.
create table trash (
    home_id bigint not null,
    id bigint generated always as identity,
    collection_id bigint not null,
    object_id bigint not null,
    name text collate "C" not null,
    uid text collate "C" not null,
    component text collate "C" not null,
    properties jsonb,
    text text collate "C" not null,
    deleted_at timestamptz not null,
    primary key (home_id, id)
);

create index trash_collection on trash (home_id, collection_id);
create index trash_deleted on trash (deleted_at);

-- An object as one person other than the owner sees it: with their own alarms, transparency and properties.
create table object_view (
    home_id bigint not null,
    object_id bigint not null,
    principal_id bigint not null references principal (id) on delete cascade,
    revision bigint not null,
    etag text collate "C" not null,
    size integer not null,
    -- The personal parts as iCalendar text, and the whole text with them.
    personal text collate "C" not null,
    text text collate "C" not null,
    primary key (home_id, object_id, principal_id)
);

create index object_view_principal on object_view (principal_id);

-- Instances of calendar objects; how they are meant: server.calendar.occurrences.
create table occurrence (
    home_id bigint not null,
    collection_id bigint not null,
    object_id bigint not null,
    ordinal integer not null,
    component integer not null,
    -- 0: up to a day, 1: up to 31 days, 2: longer or unbounded; of the range.
    length_class smallint not null,
    -- 0: timed, 1: floating, 2: date.
    kind smallint not null,
    -- 0: FREE, 1: BUSY, 2: BUSY-TENTATIVE, 3: BUSY-UNAVAILABLE.
    busy smallint not null,
    -- False: counts only for free-busy.
    matches boolean not null,
    -- The hull of start, end and the bounds for matching; infinite where these are unbounded.
    range_start timestamptz not null,
    range_end timestamptz not null,
    start_at timestamptz not null,
    end_at timestamptz not null,
    -- Null is unbounded.
    matches_from timestamptz,
    matches_until timestamptz,
    local_start timestamp not null,
    tzid text collate "C",
    recurrence_id text collate "C" not null,
    primary key (home_id, object_id, ordinal)
);

create index occurrence_window on occurrence (home_id, collection_id, length_class, range_start, range_end)
    include (object_id);

alter table occurrence set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- Triggers of alarms, joined to the occurrences by queries with a widened window.
create table alarm (
    home_id bigint not null,
    collection_id bigint not null,
    object_id bigint not null,
    -- Whose view it belongs to; 0: the text itself.
    viewer_id bigint not null default 0,
    component integer not null,
    alarm integer not null,
    -- An absolute trigger.
    at timestamptz,
    -- The offset: nominal days and exact seconds.
    days integer not null,
    seconds bigint not null,
    from_end boolean not null,
    repeat integer not null,
    interval_seconds bigint not null,
    primary key (home_id, object_id, viewer_id, component, alarm)
);

create index alarm_collection on alarm (home_id, collection_id, at);

-- When rooms and equipment are taken; home_id is the resource's calendar home. The lock per resource decides, this
-- constraint is the last defence.
create table reservation (
    home_id bigint not null references home (id),
    id bigint generated always as identity,
    resource_id bigint not null references principal (id),
    collection_id bigint not null,
    object_id bigint not null,
    recurrence_id text collate "C" not null,
    during tstzrange not null check (not isempty(during)),
    primary key (home_id, id),
    unique (home_id, object_id, recurrence_id),
    exclude using gist (home_id with =, resource_id with =, during with &&)
);

-- Time zones that are ours in neither name nor rules: the rules that a client sent, once per hash.
create table zone (
    key text collate "C" primary key,
    tzid text collate "C" not null,
    rules text collate "C" not null,
    created_at timestamptz not null default now()
);

-- What happened, for consumers: in the order of `revision` within a home. home_id is 0 where no home is concerned.
-- A row is final for readers when its xid lies before pg_snapshot_xmin().
create table outbox (
    home_id bigint not null default 0,
    id bigint generated always as identity,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    kind text collate "C" not null,
    collection_id bigint,
    object_id bigint,
    -- The principal that a change concerns, where it is not one of a home.
    subject_id bigint,
    -- Who did it, and from where.
    principal_id bigint,
    origin text collate "C" not null,
    request_id text collate "C" not null default '',
    primary key (home_id, id)
);

create index outbox_position on outbox (xid, id);

alter table outbox set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- Who changed what, for good: append-only, sealed into a hash chain by a job. Ids only: names and addresses can be
-- erased where they are. home_id is 0 where no home is concerned.
create table audit (
    home_id bigint not null default 0,
    id bigint generated always as identity,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    action text collate "C" not null,
    revision bigint,
    collection_id bigint,
    object_id bigint,
    subject_id bigint,
    principal_id bigint,
    origin text collate "C" not null,
    request_id text collate "C" not null default '',
    details jsonb,
    primary key (home_id, id)
);

create index audit_position on audit using brin (id);

-- The chain: each seal covers the audit rows of (previous last_id, last_id].
create table audit_seal (
    last_id bigint primary key,
    row_count bigint not null,
    previous bytea not null,
    digest bytea not null,
    sealed_at timestamptz not null default now()
);
