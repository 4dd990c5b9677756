-- A put or a deletion of a change set, without its texts, occurrences, alarms and personal copies.
create type member_write as (
    -- Its number in the set, from 0.
    n integer,
    deletes boolean,
    home_id bigint,
    collection_id bigint,
    -- The binding that it was decided by.
    binding_home_id bigint,
    binding text collate "C",
    incarnation bigint,
    name text collate "C",
    -- The state that it was decided on; null: the name is free.
    id bigint,
    revision bigint,
    uid text collate "C",
    component text collate "C",
    etag text collate "C",
    schedule_tag text collate "C",
    size integer,
    time_key text collate "C",
    -- The version of the code that derived what is stored beside the text.
    derived integer,
    summary jsonb,
    -- False: the occurrences stay as they are, and the next seven are null.
    materialised boolean,
    tzids text[] collate "C",
    recurrence text collate "C",
    span_start timestamptz,
    span_end timestamptz,
    endless boolean,
    expanded_from timestamptz,
    expanded_until timestamptz,
    -- Whether it was decided for a calendar whose objects have personal copies; if not, the rest is null.
    views boolean,
    neutral_etag text collate "C",
    neutral_busy smallint[],
    -- How many personal copies the caller knew, and their latest revision.
    views_known integer,
    views_revision bigint
);
