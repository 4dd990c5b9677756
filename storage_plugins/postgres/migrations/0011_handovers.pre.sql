-- What a deleted person had is handed over to somebody else, collection by collection, in batches.

-- How far the copying of a collection into another home has come. The copy has the same ids; no binding shows it before
-- it is whole.
create table handover (
    home_id bigint not null,
    collection_id bigint not null,
    to_home_id bigint not null references home (id),
    -- The copy has every member that changed up to this revision of the collection's home.
    copied_revision bigint not null default 0,
    -- When the copy took the collection's place.
    finished_at timestamptz,
    primary key (home_id, collection_id),
    foreign key (home_id, collection_id) references collection (home_id, id) on delete cascade
);

create index handover_to on handover (to_home_id);
