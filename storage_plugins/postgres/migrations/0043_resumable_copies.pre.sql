-- Copies of large collections are jobs: sets of some hundred members, into a collection that no binding shows before it
-- is complete.
create table collection_copy (
    home_id bigint not null,
    -- The new collection.
    collection_id bigint not null,
    -- What is copied, and the binding of this home that it was read by.
    source_home_id bigint not null,
    source_id bigint not null,
    source_name text collate "C" not null,
    source_incarnation bigint not null,
    -- The revision of the source when the copy began.
    begun_revision bigint not null,
    -- Every member that changed up to this revision of the source's home has been copied.
    copied_revision bigint not null default 0,
    -- The name that the copy gets, and the collection that has it until then.
    name text collate "C" not null,
    replaced_home_id bigint,
    replaced_id bigint,
    replaced_incarnation bigint,
    -- It has failed, and what was copied is being removed.
    abandoned boolean not null default false,
    job_id bigint not null,
    principal_id bigint,
    origin text collate "C" not null,
    request_id text collate "C" not null,
    acting_for bigint,
    trace text collate "C",
    primary key (home_id, collection_id),
    foreign key (home_id, collection_id) references collection (home_id, id) on delete cascade
);

-- How far a job has come, in rows or objects; null where it does not tell.
alter table job add column done bigint;
alter table job add column total bigint;
