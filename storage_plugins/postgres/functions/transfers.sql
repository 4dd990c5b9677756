-- COPY and MOVE of a member.

-- Copy or move a member. In calendars with personal copies, it can only rename a member in its calendar: other copies and
-- moves are puts and deletions, because all texts change. Locks the objects and the homes first, in their order, and ends
-- at the first object that has changed: its row may be a tombstone, which others lock after the home. Copies, and moves
-- into another home, count against all bytes of the home.
create or replace function koyomi_transfer_object_5(
    p_move boolean,
    p_source_home_id bigint, p_source_collection_id bigint, p_source_binding_home_id bigint, p_source_binding text,
    p_source_incarnation bigint, p_source_name text, p_source_id bigint, p_source_revision bigint,
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text, p_expected_id bigint, p_expected_revision bigint,
    -- The quota of a home whose principal has none of its own.
    p_quota_bytes bigint, p_max_members integer, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text,
    -- `source_revision` is that of the tombstone a move leaves.
    out revision bigint, out object_id bigint, out modified_at timestamptz, out source_revision bigint
) language plpgsql as $$
#variable_conflict use_column
declare
    v_id bigint := case when p_move then p_source_id else nextval('object_id_seq') end;
    -- A new name in the same collection: personal copies stay.
    v_renamed boolean := p_move and p_source_home_id = p_home_id and p_source_collection_id = p_collection_id;
    -- What others see of a private object goes with it.
    v_neutral boolean;
    v_object record;
    v_source object%rowtype;
    v_replaced object%rowtype;
    v_delta bigint;
    v_source_revision bigint;
    v_revision bigint;
    v_now timestamptz;
    v_used bigint;
    v_total bigint;
    v_members integer;
begin
    for v_object in
        select l.* from (
            values (p_source_home_id, p_source_id, p_source_revision, p_source_collection_id, p_source_name),
                   (p_home_id, p_expected_id, p_expected_revision, p_collection_id, p_name)
        ) as l (home_id, id, revision, collection_id, name)
        where l.id is not null order by l.id, l.home_id
    loop
        perform 1 from object o
        where o.home_id = v_object.home_id and o.id = v_object.id and o.revision = v_object.revision
          and o.deleted_revision is null and o.collection_id = v_object.collection_id and o.name = v_object.name
        for no key update;
        if not found then
            raise exception using errcode = 'KY001', message = 'object changed';
        end if;
    end loop;
    select * into v_source from object o where o.home_id = p_source_home_id and o.id = p_source_id;
    v_neutral := v_renamed or coalesce(v_source.summary ? 'others', false);
    if p_expected_id is not null then
        select * into v_replaced from object o where o.home_id = p_home_id and o.id = p_expected_id;
        delete from occurrence where home_id = p_home_id and object_id = p_expected_id;
        delete from alarm where home_id = p_home_id and object_id = p_expected_id;
        delete from object_view where home_id = p_home_id and object_id = p_expected_id;
    end if;

    perform 1 from home h where h.id in (p_source_home_id, p_home_id) order by h.id for no key update;
    perform koyomi_require_collection_2(
        p_source_home_id, p_source_collection_id, p_source_binding_home_id, p_source_binding, p_source_incarnation
    );
    perform koyomi_require_collection_2(p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation);
    if not v_renamed then
        perform 1 from collection c
        where c.views and (
            (c.home_id = p_source_home_id and c.id = p_source_collection_id)
            or (c.home_id = p_home_id and c.id = p_collection_id)
        );
        if found then
            raise exception using errcode = 'KY001', message = 'sharing changed';
        end if;
    end if;
    if not p_move and p_source_home_id = p_home_id and v_source.scheduling in (1, 2) then
        raise exception using errcode = 'KY008', message = 'UID of a scheduling object';
    end if;
    if p_move and v_source.reserved then
        perform koyomi_release_1(array[p_source_home_id], array[p_source_id]);
    end if;
    if v_replaced.reserved then
        perform koyomi_release_1(array[p_home_id], array[p_expected_id]);
    end if;
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;

    -- The source leaves a tombstone from which nothing can be restored: what it held lives on.
    if p_move then
        update home h
        set revision = h.revision + 1, used_bytes = h.used_bytes - v_source.size, modified_at = clock_timestamp()
        where h.id = p_source_home_id
        returning h.revision, h.modified_at into v_source_revision, v_now;
        update collection c
        set revision = v_source_revision, modified_at = v_now, member_count = c.member_count - 1,
            used_bytes = c.used_bytes - v_source.size
        where c.home_id = p_source_home_id and c.id = p_source_collection_id;
        update object o
        set id = nextval('object_id_seq'), revision = v_source_revision, deleted_revision = v_source_revision,
            deleted_at = v_now, text = null, properties = null, summary = null, neutral_etag = null,
            neutral_text = null, expanded_from = null, expanded_until = null
        where o.home_id = p_source_home_id and o.id = p_source_id;
        insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
        values (p_source_home_id, v_source_revision, 'moved-out', p_source_collection_id, p_source_id, p_principal_id,
                p_origin, p_request_id);
    end if;

    v_delta := v_source.size - coalesce(v_replaced.size, 0);
    update home h set revision = h.revision + 1, used_bytes = h.used_bytes + v_delta, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    update collection c
    set revision = v_revision, modified_at = v_now, used_bytes = c.used_bytes + v_delta,
        member_count = c.member_count + case when p_expected_id is null then 1 else 0 end
    where c.home_id = p_home_id and c.id = p_collection_id
    returning c.member_count into v_members;
    if v_members > p_max_members and p_expected_id is null then
        raise exception using errcode = 'KY004', message = 'members';
    end if;
    insert into trash (home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at)
    select o.home_id, o.collection_id, o.id, o.name, o.uid, o.component, o.properties, o.text, o.deleted_at
    from object o
    where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
      and o.deleted_revision is not null and o.text is not null
      and o.deleted_at + make_interval(days => p_restore_days) > v_now;
    delete from object o
    where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
      and o.deleted_revision is not null;
    if p_expected_id is not null then
        insert into trash (home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at)
        values (p_home_id, p_collection_id, p_expected_id, p_name, v_replaced.uid, v_replaced.component,
                v_replaced.properties, v_replaced.text, v_now);
        delete from object o where o.home_id = p_home_id and o.id = p_expected_id;
    end if;
    insert into object (
        home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name, uid,
        component, etag, schedule_tag, time_key, derived, span_start, span_end, expanded_from, expanded_until,
        tzids, recurrence, summary, scheduling, organizer, sequence, properties, text, neutral_etag, neutral_text,
        neutral_busy
    ) values (
        p_home_id, p_collection_id, v_id, v_revision, v_revision,
        case when p_move then v_source.created_at else v_now end, v_now, v_source.size, v_source.endless, p_name,
        v_source.uid, v_source.component, v_source.etag, v_source.schedule_tag,
        -- Whether the new owner has declined an event, or organizes it, is computed anew; and so is what becomes of a
        -- message of an inbox.
        case when p_source_home_id <> p_home_id and v_source.component = 'VEVENT' then '' else v_source.time_key end,
        case
            when v_source.scheduling = 3 then 0
            when p_source_home_id <> p_home_id and (v_source.component = 'VEVENT' or v_source.organizer is not null) then 0
            else v_source.derived
        end,
        v_source.span_start,
        v_source.span_end, v_source.expanded_from, v_source.expanded_until, v_source.tzids,
        v_source.recurrence, v_source.summary,
        -- A home has one scheduling object of a UID.
        case
            when p_move and p_source_home_id = p_home_id and v_source.scheduling <> 3 then v_source.scheduling
            else 0
        end,
        v_source.organizer,
        v_source.sequence, v_source.properties, v_source.text,
        case when v_neutral then v_source.neutral_etag end, case when v_neutral then v_source.neutral_text end,
        case when v_neutral then v_source.neutral_busy end
    );
    if p_move then
        update occurrence o set home_id = p_home_id, collection_id = p_collection_id
        where o.home_id = p_source_home_id and o.object_id = p_source_id;
        update alarm a set home_id = p_home_id, collection_id = p_collection_id
        where a.home_id = p_source_home_id and a.object_id = p_source_id and a.viewer_id = 0;
        if not v_renamed then
            delete from alarm a where a.home_id = p_source_home_id and a.object_id = p_source_id and a.viewer_id <> 0;
            delete from object_view v where v.home_id = p_source_home_id and v.object_id = p_source_id;
        end if;
    else
        insert into occurrence (
            home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
            range_end, start_at, end_at, matches_from, matches_until, recurrence_id
        )
        select p_home_id, p_collection_id, v_id, o.ordinal, o.component, o.length_class, o.kind, o.busy, o.matches,
               o.range_start, o.range_end, o.start_at, o.end_at, o.matches_from, o.matches_until, o.recurrence_id
        from occurrence o where o.home_id = p_source_home_id and o.object_id = p_source_id;
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
        )
        select p_home_id, p_collection_id, v_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end,
               a.repeat, a.interval_seconds
        from alarm a where a.home_id = p_source_home_id and a.object_id = p_source_id and a.viewer_id = 0;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_move then 'moved-in' else 'created' end, p_collection_id, v_id,
            p_principal_id, p_origin, p_request_id);
    revision := v_revision;
    object_id := v_id;
    modified_at := v_now;
    source_revision := v_source_revision;
    if not p_move or p_source_home_id <> p_home_id then
        perform koyomi_require_space_1(p_home_id, p_quota_bytes);
        perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
    end if;
end $$;
