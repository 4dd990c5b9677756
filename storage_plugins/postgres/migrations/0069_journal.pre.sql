-- The journal: what happened, for consumers and as a record, in one order without gaps. Changes write rows of `outbox`;
-- the sequencer moves them into `journal`, and gives each its number there. Rows of `audit` come over (0070).

-- Both tables of the version before, under locks that wait for every transaction that writes them. What follows is
-- written to the new outbox only.
alter table outbox rename to outbox_before;
alter table outbox_before rename constraint outbox_pkey to outbox_before_pkey;
alter index outbox_position rename to outbox_before_position;
alter sequence outbox_id_seq rename to outbox_before_id_seq;

create function koyomi_without_audit_1() returns trigger language plpgsql as $$
begin
    return null;
end $$;

-- Servers of the version before write a row here and one in the outbox; the journal has the one of the outbox.
create trigger audit_ended before insert on audit for each row execute function koyomi_without_audit_1();

-- Rows on their way into the journal; most live for less than a second. home_id is 0 where no home is concerned. Within
-- a home the ids are in the order of commits: each is drawn while the row of the home is locked.
create table outbox (
    id bigint generated always as identity (cache 1) primary key,
    home_id bigint not null default 0,
    -- Tells which rows are of one transaction. It means nothing in another cluster.
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    revision bigint not null default 0,
    collection_id bigint,
    object_id bigint,
    -- The principal that a change concerns, where it is not one of a home.
    subject_id bigint,
    -- Who did it, for whom, and from where.
    principal_id bigint,
    acting_for bigint default nullif(current_setting('koyomi.acting_for', true), '')::bigint,
    -- Of rows whose transaction was moved in part: the id that all its rows have as their `change`.
    change bigint,
    text_id bigint,
    kind text collate "C" not null,
    -- What happened in the words of a reader, where that is not the kind.
    action text collate "C",
    origin text collate "C" not null,
    request_id text collate "C" not null default '',
    trace text collate "C" default nullif(current_setting('koyomi.trace', true), ''),
    -- Ids and codes only, never texts, names or addresses.
    details jsonb,
    text_digest bytea
);

select setval(pg_get_serial_sequence('outbox', 'id'), greatest(last_value, 1), is_called) from outbox_before_id_seq;

alter table outbox set (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1
);

-- `seq` rises by one from row to row; rows that were carried over from the version before have numbers up to 0. An act
-- is what somebody did; an echo follows from an act and is kept for a shorter time. `month` never falls with rising
-- `seq`. Rows are only added; old partitions are detached as a whole.
create table journal (
    seq bigint not null,
    act boolean not null,
    month date not null,
    at timestamptz not null,
    home_id bigint not null,
    revision bigint not null,
    collection_id bigint,
    object_id bigint,
    subject_id bigint,
    principal_id bigint,
    acting_for bigint,
    -- Equal for all rows of one transaction.
    change bigint,
    -- The id in `audit` of a row that was carried over.
    carried bigint,
    -- Names, addresses and free texts lie in journal_text; the digest is of its salt and body.
    text_id bigint,
    kind text collate "C" not null,
    action text collate "C",
    origin text collate "C" not null,
    request_id text collate "C" not null,
    trace text collate "C",
    details jsonb,
    text_digest bytea,
    primary key (seq, act, month)
) partition by list (act);

create table journal_act partition of journal for values in (true) partition by range (month);
create table journal_echo partition of journal for values in (false) partition by range (month);

-- The first partitions hold everything until the month after this one, what is carried over included. The sequencer
-- makes the others ahead.
do $$
declare
    v_next date := date_trunc('month', now() at time zone 'UTC') + interval '1 month';
begin
    execute format('create table journal_act_first partition of journal_act for values from (minvalue) to (%L)', v_next);
    execute format('create table journal_echo_first partition of journal_echo for values from (minvalue) to (%L)', v_next);
end $$;

-- The last number that was given, in a run of the sequencer that may have been rolled back.
create sequence journal_seq as bigint minvalue 0 start 0 cache 1;

create index journal_carried on journal_act_first (carried) where carried is not null;

-- What must be erasable of a row of the journal. The salt keeps its digest from saying anything once it is erased.
create table journal_text (
    id bigint generated always as identity primary key,
    -- The principals whom it is about.
    principal_ids bigint[] not null,
    at timestamptz not null default clock_timestamp(),
    salt bytea not null,
    body text collate "C" not null
);

create index journal_text_principals on journal_text using gin (principal_ids);
create index journal_text_at on journal_text (at);

-- How far each consumer has come. A new generation ends what earlier owners of a partition still do.
create table journal_position (
    consumer text collate "C" not null,
    partition integer not null default 0,
    generation bigint not null default 1,
    position bigint not null default 0,
    -- That of the row at the position; readers look at later partitions only.
    month date not null default '-infinity',
    -- It starts again from the tables, and reads the journal from its end.
    anew boolean not null default false,
    moved_at timestamptz not null default clock_timestamp(),
    primary key (consumer, partition)
);

insert into journal_position (consumer, anew) values ('bindings', true);

-- The chain: each seal covers the acts of (last_seq of the one before, last_seq]. It contains the digest of the one
-- before; a first one that of the last seal of `audit`.
create table journal_seal (
    number bigint primary key,
    first_seq bigint not null,
    last_seq bigint not null unique,
    row_count bigint not null,
    rows_digest bytea not null,
    previous bytea not null unique,
    digest bytea not null,
    sealed_at timestamptz not null,
    -- Which key made the signature of the digest (Ed25519).
    key_id text collate "C" not null,
    signature bytea not null
);

-- How far rows of the version before have been carried over: the next lower number, and the id in `audit` behind it.
create table journal_carry (
    one boolean primary key default true check (one),
    next_seq bigint not null default 0,
    audit_id bigint not null default 9223372036854775807
);

insert into journal_carry default values;
