-- When rooms and equipment are taken. The home of the resource is held, so that writers of its reservations queue; the
-- exclusion constraint of the table (SQLSTATE 23P01) refuses what overlaps.

-- End the reservations of objects of a home, whose rows the transaction holds.
create or replace function koyomi_release_1(p_home_ids bigint[], p_object_ids bigint[]) returns void language plpgsql as $$
begin
    delete from reservation r using unnest(p_home_ids, p_object_ids) as w (home_id, object_id)
    where r.home_id = w.home_id and r.object_id = w.object_id;
    update object o set reserved = false from unnest(p_home_ids, p_object_ids) as w (home_id, object_id)
    where o.home_id = w.home_id and o.id = w.object_id and o.reserved;
end $$;

-- Put reservations in the place of those of an object. The object is in the state that is expected; without one, it is
-- what this transaction has put.
create or replace function koyomi_book_1(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text, p_expected_id bigint, p_expected_revision bigint,
    p_resource_id bigint, p_recurrence_ids text[], p_starts timestamptz[], p_ends timestamptz[],
    out revision bigint, out object_id bigint
) language plpgsql as $$
#variable_conflict use_column
begin
    select o.revision, o.id into revision, object_id from object o
    where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
      and o.deleted_revision is null
      and (p_expected_id is null or (o.id = p_expected_id and o.revision = p_expected_revision))
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    perform 1 from home h where h.id = p_home_id for no key update;
    perform koyomi_require_collection_2(
        p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation
    );
    perform koyomi_release_1(array[p_home_id], array[object_id]);
    if cardinality(p_starts) > 0 then
        insert into reservation (home_id, resource_id, collection_id, object_id, recurrence_id, during)
        select p_home_id, p_resource_id, p_collection_id, object_id, t.recurrence_id, tstzrange(t.start_at, t.end_at)
        from unnest(p_recurrence_ids, p_starts, p_ends) as t (recurrence_id, start_at, end_at);
        update object o set reserved = true where o.home_id = p_home_id and o.id = object_id;
    end if;
end $$;
