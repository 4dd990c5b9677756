-- Passing changes of shared collections and of groups on to other homes.

-- Store the work that follows from rows of the journal, given as one element of each array for each of them.
create or replace function koyomi_plan_fan_out_2(
    p_kinds text[], p_home_ids bigint[], p_collection_ids bigint[], p_subject_ids bigint[]
) returns void language plpgsql as $$
begin
    insert into fan_out as f (home_id, collection_id, task)
    select r.home_id, r.collection_id, r.task
    from unnest(p_kinds, p_home_ids, p_collection_ids, p_subject_ids) as o (kind, home_id, collection_id, subject_id)
    cross join lateral (
        select o.home_id, o.collection_id, 'touch' as task
        where o.kind not in ('binding', 'binding-touched')
          and exists (
              select from binding b
              where b.collection_home_id = o.home_id and b.collection_id = o.collection_id
                and b.home_id <> o.home_id and b.deleted_revision is null
          )
        union
        -- A collection that is restored is created, with its shares.
        select o.home_id, o.collection_id, t.task from unnest(array['bind', 'check']) as t (task)
        where o.kind in ('collection-created', 'collection-deleted')
          and exists (select from share s where s.home_id = o.home_id and s.collection_id = o.collection_id)
        union
        select s.home_id, s.collection_id, t.task
        from unnest(koyomi_groups_of_1(o.subject_id) || o.subject_id) as g (id)
        join share s on s.principal_id = g.id
        cross join unnest(array['bind', 'check']) as t (task)
        where o.kind in ('principal-members', 'principal-deleted')
    ) as r
    group by 1, 2, 3
    order by 1, 2, 3
    on conflict (home_id, collection_id, task) do update set requested = f.requested + 1;
end $$;

-- Store the work for all shared collections: a consumer that starts anew does not know which of them changed.
create or replace function koyomi_plan_fan_out_anew_1() returns void language sql as $$
    insert into fan_out as f (home_id, collection_id, task)
    select s.home_id, s.collection_id, t.task
    from (select distinct home_id, collection_id from share) as s
    cross join unnest(array['bind', 'check', 'touch']) as t (task)
    order by 1, 2, 3
    on conflict (home_id, collection_id, task) do update set requested = f.requested + 1
$$;

-- Touch the next bindings, at most p_limit: the homes take a new revision and their syncs report the collections.
-- Returns the homes; null where nothing waits, or another session is at it.
create or replace function koyomi_touch_bindings_2(p_limit integer, out homes bigint[]) language plpgsql as $$
declare
    v_work record;
    v_left integer := p_limit;
    v_page_homes bigint[];
    v_page_names text[];
    v_homes bigint[] := '{}';
    v_names text[] := '{}';
    v_owners bigint[] := '{}';
    v_collections bigint[] := '{}';
    v_passes bigint[] := '{}';
    -- 0: all bindings have been visited.
    v_positions bigint[] := '{}';
begin
    if not koyomi_lock_1('touch-bindings', p_wait => false) then
        return;
    end if;
    for v_work in
        select f.home_id, f.collection_id, f.position, case when f.position = 0 then f.requested else f.pass end as pass
        from fan_out f where f.task = 'touch' order by f.worked_at, f.home_id, f.collection_id limit p_limit
    loop
        select coalesce(array_agg(b.home_id order by b.home_id), '{}'),
               coalesce(array_agg(b.name order by b.home_id), '{}')
        into v_page_homes, v_page_names
        from (
            select b.home_id, b.name from binding b
            where b.collection_home_id = v_work.home_id and b.collection_id = v_work.collection_id
              and b.home_id > v_work.position and b.home_id <> v_work.home_id and b.deleted_revision is null
            order by b.home_id limit v_left
        ) as b;
        v_homes := v_homes || v_page_homes;
        v_names := v_names || v_page_names;
        v_owners := v_owners || v_work.home_id;
        v_collections := v_collections || v_work.collection_id;
        v_passes := v_passes || v_work.pass;
        v_positions := v_positions || case
            when cardinality(v_page_homes) = v_left then v_page_homes[v_left] else 0 end;
        v_left := v_left - cardinality(v_page_homes);
        exit when v_left = 0;
    end loop;
    if v_owners = '{}' then
        return;
    end if;
    select coalesce(array_agg(distinct h.id order by h.id), '{}') into homes from unnest(v_homes) as h (id);
    perform 1 from home h where h.id = any(homes) order by h.id for no key update;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = any(homes);
    with touched as (
        update binding b set revision = h.revision
        from unnest(v_homes, v_names) as t (home_id, name) join home h on h.id = t.home_id
        where b.home_id = t.home_id and b.name = t.name and b.deleted_revision is null
        returning b.home_id, b.revision, b.collection_id
    )
    insert into outbox (home_id, revision, kind, collection_id, origin)
    select t.home_id, t.revision, 'binding-touched', t.collection_id, 'sharing' from touched t;
    perform 1 from fan_out f join unnest(v_owners, v_collections) as w (home_id, collection_id)
        on f.home_id = w.home_id and f.collection_id = w.collection_id and f.task = 'touch'
    order by f.home_id, f.collection_id for update of f;
    delete from fan_out f using unnest(v_owners, v_collections, v_passes, v_positions)
        as w (home_id, collection_id, pass, position)
    where f.home_id = w.home_id and f.collection_id = w.collection_id and f.task = 'touch'
      and w.position = 0 and f.requested = w.pass;
    update fan_out f set pass = w.pass, position = w.position, worked_at = clock_timestamp()
    from unnest(v_owners, v_collections, v_passes, v_positions) as w (home_id, collection_id, pass, position)
    where f.home_id = w.home_id and f.collection_id = w.collection_id and f.task = 'touch';
end $$;
