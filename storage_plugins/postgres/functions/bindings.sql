-- Binding a new collection to a name, and removing a binding.

-- Make a collection in a home whose row the transaction holds already, and bind it to a free name. Returns its id.
create or replace function koyomi_add_collection_1(
    p_home_id bigint, p_revision bigint, p_now timestamptz, p_name text, p_kind text, p_components text[],
    p_timezone text, p_source text, p_properties jsonb
) returns bigint language plpgsql as $$
declare
    v_id bigint;
    v_deleted_revision bigint;
begin
    insert into collection (
        home_id, revision, modified_at, sync_floor, kind, components, created_at, timezone, source, properties
    ) values (
        p_home_id, p_revision, p_now, 0, p_kind, p_components, p_now, p_timezone, p_source, p_properties
    ) returning id into v_id;
    select b.deleted_revision into v_deleted_revision from binding b
    where b.home_id = p_home_id and b.name = p_name and b.deleted_revision is not null;
    update binding
    set collection_home_id = p_home_id, collection_id = v_id, rights = 'owner', incarnation = incarnation + 1,
        created_revision = p_revision, revision = p_revision, deleted_revision = null, deleted_at = null
    where home_id = p_home_id and name = p_name and deleted_revision is not null;
    if found then
        -- Members of the collection that had the name have no tombstones in the new one: who has not heard of its end
        -- must start anew.
        update home set infinite_sync_floor = greatest(infinite_sync_floor, v_deleted_revision) where id = p_home_id;
    else
        insert into binding (home_id, name, collection_home_id, collection_id, created_revision, revision)
        values (p_home_id, p_name, p_home_id, v_id, p_revision, p_revision);
    end if;
    update home set collection_count = collection_count + 1 where id = p_home_id;
    return v_id;
end $$;

-- Bind a collection of a home, whose row the transaction holds, to a free name.
create or replace function koyomi_bind_collection_1(
    p_home_id bigint, p_id bigint, p_name text, p_revision bigint, p_max_collections integer
) returns void language plpgsql as $$
declare
    v_count integer;
    v_deleted_revision bigint;
begin
    perform 1 from binding b where b.home_id = p_home_id and b.name = p_name and b.deleted_revision is null;
    if found then
        raise exception using errcode = 'KY001', message = 'name is taken';
    end if;
    select h.collection_count into v_count from home h where h.id = p_home_id;
    if v_count >= p_max_collections then
        raise exception using errcode = 'KY005', message = 'collections';
    end if;
    select b.deleted_revision into v_deleted_revision from binding b where b.home_id = p_home_id and b.name = p_name
    for update;
    if found then
        update binding
        set collection_home_id = p_home_id, collection_id = p_id, rights = 'owner', incarnation = incarnation + 1,
            created_revision = p_revision, revision = p_revision, deleted_revision = null, deleted_at = null
        where home_id = p_home_id and name = p_name;
        -- Members of the collection that had the name have no tombstones in the new one: clients that have not heard of
        -- its end must start anew.
        update home set infinite_sync_floor = greatest(infinite_sync_floor, v_deleted_revision) where id = p_home_id;
    else
        insert into binding (home_id, name, collection_home_id, collection_id, created_revision, revision)
        values (p_home_id, p_name, p_home_id, p_id, p_revision, p_revision);
    end if;
    update home set collection_count = collection_count + 1 where id = p_home_id;
end $$;

-- Remove a binding, and the collection if it is the home's own. If it is another person's, the sharing with the owner
-- of the home ends.
create or replace function koyomi_remove_binding_1(
    p_home_id bigint, p_revision bigint, p_now timestamptz, p_name text, p_collection_home_id bigint,
    p_collection_id bigint, p_incarnation bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns void language plpgsql as $$
declare
    v_used bigint := 0;
begin
    update binding
    set revision = p_revision, deleted_revision = p_revision, deleted_at = p_now
    where home_id = p_home_id and name = p_name and collection_home_id = p_collection_home_id
      and collection_id = p_collection_id and incarnation = p_incarnation and deleted_revision is null;
    if not found then
        raise exception using errcode = 'KY001', message = 'binding changed';
    end if;
    if p_collection_home_id = p_home_id then
        update collection
        set revision = p_revision, deleted_at = p_now, modified_at = p_now
        where home_id = p_home_id and id = p_collection_id and deleted_at is null
        returning used_bytes into v_used;
        if not found then
            raise exception using errcode = 'KY001', message = 'collection changed';
        end if;
        delete from reservation where home_id = p_home_id and collection_id = p_collection_id;
    else
        delete from share s using home h
        where h.id = p_home_id and s.home_id = p_collection_home_id and s.collection_id = p_collection_id
          and s.principal_id = h.principal_id;
        insert into share_declined (home_id, collection_id, principal_id)
        select p_collection_home_id, p_collection_id, h.principal_id from home h where h.id = p_home_id
        on conflict do nothing;
    end if;
    update home set used_bytes = used_bytes - v_used, collection_count = collection_count - 1 where id = p_home_id;
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, p_revision, 'collection-deleted', p_collection_id, p_principal_id, p_origin, p_request_id);
end $$;
