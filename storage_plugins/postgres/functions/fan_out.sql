-- Passing changes of shared collections and of groups on to other homes.

-- Read the next final rows of the outbox, and store the work that follows. `waiting`: there is work. Reads nothing while
-- another session reads.
create or replace function koyomi_plan_fan_out_1(
    p_limit integer, out rows_read integer, out waiting boolean
) language plpgsql as $$
declare
    v_from consumer_position%rowtype;
    v_xid xid8;
    v_id bigint;
begin
    rows_read := 0;
    if koyomi_lock_1('plan-fan-out', p_wait => false) then
        select * into v_from from consumer_position p where p.name = 'bindings';
        if v_from.anew then
            select o.xid, o.id into v_xid, v_id from outbox o
            where o.xid < pg_snapshot_xmin(pg_current_snapshot())
            order by o.xid desc, o.id desc limit 1;
            insert into fan_out as f (home_id, collection_id, task)
            select s.home_id, s.collection_id, t.task
            from (select distinct home_id, collection_id from share) as s
            cross join unnest(array['bind', 'check', 'touch']) as t (task)
            order by 1, 2, 3
            on conflict (home_id, collection_id, task) do update set requested = f.requested + 1;
            update consumer_position p set anew = false, xid = coalesce(v_xid, '0'), id = coalesce(v_id, 0)
            where p.name = 'bindings'
            returning * into v_from;
        end if;
        select count(*), (array_agg(o.xid order by o.xid desc, o.id desc))[1],
               (array_agg(o.id order by o.xid desc, o.id desc))[1]
        into rows_read, v_xid, v_id
        from (
            select o.xid, o.id from outbox o
            where (o.xid, o.id) > (v_from.xid, v_from.id) and o.xid < pg_snapshot_xmin(pg_current_snapshot())
            order by o.xid, o.id limit p_limit
        ) as o;
        if rows_read > 0 then
            insert into fan_out as f (home_id, collection_id, task)
            select r.home_id, r.collection_id, r.task
            from (
                select o.home_id, o.collection_id, 'touch' as task from outbox o
                where (o.xid, o.id) > (v_from.xid, v_from.id) and (o.xid, o.id) <= (v_xid, v_id)
                  and o.kind not in ('binding', 'binding-touched')
                  and exists (
                      select from binding b
                      where b.collection_home_id = o.home_id and b.collection_id = o.collection_id
                        and b.home_id <> o.home_id and b.deleted_revision is null
                  )
                union
                -- A collection that is restored is created, with its shares.
                select o.home_id, o.collection_id, t.task from outbox o
                cross join unnest(array['bind', 'check']) as t (task)
                where (o.xid, o.id) > (v_from.xid, v_from.id) and (o.xid, o.id) <= (v_xid, v_id)
                  and o.kind in ('collection-created', 'collection-deleted')
                  and exists (select from share s where s.home_id = o.home_id and s.collection_id = o.collection_id)
                union
                select s.home_id, s.collection_id, t.task from outbox o
                cross join unnest(koyomi_groups_of_1(o.subject_id) || o.subject_id) as g (id)
                join share s on s.principal_id = g.id
                cross join unnest(array['bind', 'check']) as t (task)
                where (o.xid, o.id) > (v_from.xid, v_from.id) and (o.xid, o.id) <= (v_xid, v_id)
                  and o.kind in ('principal-members', 'principal-deleted')
            ) as r
            order by 1, 2, 3
            on conflict (home_id, collection_id, task) do update set requested = f.requested + 1;
            update consumer_position p set xid = v_xid, id = v_id where p.name = 'bindings';
        end if;
    end if;
    waiting := exists (select from fan_out);
end $$;

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
