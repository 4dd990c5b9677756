-- Restoring deleted collections, and what follows when a database was restored.

-- Bind a deleted collection of a home again, with all that it held. Its incarnation is one that no token knows.
create or replace function koyomi_restore_collection_1(
    p_home_id bigint, p_collection_id bigint, p_name text, p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_revision bigint;
    v_now timestamptz;
    v_used bigint;
    v_incarnation bigint;
begin
    update home h
    set revision = h.revision + 1, modified_at = clock_timestamp(), collection_count = h.collection_count + 1,
        -- Its members come with revisions that infinite tokens have seen without them.
        infinite_sync_floor = h.revision + 1
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    update collection c set deleted_at = null, revision = v_revision, modified_at = v_now
    where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is not null
    returning c.used_bytes into v_used;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    update home h set used_bytes = h.used_bytes + v_used where h.id = p_home_id;
    perform 1 from binding b where b.home_id = p_home_id and b.name = p_name and b.deleted_revision is null;
    if found then
        raise exception using errcode = 'KY006', message = 'name is taken';
    end if;
    -- The binding that it had may be another collection's by now: how often it was bound is not known, but the time is.
    select greatest(extract(epoch from v_now)::bigint, 1 + max(b.incarnation)) into v_incarnation from binding b
    where (b.home_id = p_home_id and b.name = p_name)
       or (b.collection_home_id = p_home_id and b.collection_id = p_collection_id);
    delete from binding b where b.home_id = p_home_id and b.name = p_name;
    insert into binding (
        home_id, name, collection_home_id, collection_id, incarnation, created_revision, revision
    ) values (
        p_home_id, p_name, p_home_id, p_collection_id, v_incarnation, v_revision, v_revision
    );
    insert into outbox (home_id, revision, kind, action, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-created', 'collection-restored', p_collection_id, p_principal_id,
            p_origin, p_request_id);
    return v_revision;
end $$;

-- As koyomi_restore_collection_1, of a collection that was deleted at most p_restore_days ago and has all its members.
create or replace function koyomi_restore_collection_2(
    p_home_id bigint, p_collection_id bigint, p_name text, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
begin
    -- The home comes first in the order of locks. The lock of the collection makes the job that forgets members wait.
    perform 1 from home h where h.id = p_home_id for no key update;
    perform 1 from collection c
    where c.home_id = p_home_id and c.id = p_collection_id and not c.members_forgotten
      and c.deleted_at >= clock_timestamp() - make_interval(days => p_restore_days)
    for no key update;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    return koyomi_restore_collection_1(
        p_home_id, p_collection_id, p_name, p_principal_id, p_origin, p_request_id
    );
end $$;

-- After a database was restored: tokens of the time that is lost, and of any earlier restoring, end. An incarnation is
-- the time of the restoring, which no restoring of the same backup had before.
create or replace function koyomi_begin_incarnation_1() returns bigint language plpgsql as $$
declare
    v_begun bigint := extract(epoch from clock_timestamp())::bigint;
begin
    update installation set incarnation = greatest(incarnation + 1, v_begun) returning incarnation into v_begun;
    update home set incarnation = greatest(incarnation + 1, v_begun);
    update binding set incarnation = greatest(incarnation + 1, v_begun);
    return v_begun;
end $$;
