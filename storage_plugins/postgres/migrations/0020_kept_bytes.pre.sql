-- Every byte that is kept counts against a quota; alarms of personal copies are rows; a write names its binding exactly.

alter table home
    -- Bytes that are kept beside used_bytes: deleted texts (in tombstones and in the trash), members of deleted
    -- collections, neutral texts, personal copies. Triggers count them, whatever statement writes the rows.
    add column kept_bytes bigint not null default 0,
    -- Revisions r with hidden_after < r <= hidden_until changed nothing that the owner sees.
    add column hidden_after bigint not null default 0,
    add column hidden_until bigint not null default 0;

-- The ETag of the text whose alarms are stored: where it is not the ETag of the view, they are not stored yet.
alter table object_view add column alarms_etag text collate "C";

-- A trigger updates the row of the home. So who deletes or changes rows that are counted locks the home first, except
-- for the rows of a live object, whose lock comes before that of the home.

create function koyomi_keep_1(p_home_id bigint, p_delta bigint) returns void language plpgsql as $$
begin
    if p_delta <> 0 then
        update home set kept_bytes = kept_bytes + p_delta where id = p_home_id;
    end if;
end $$;

-- What is kept of an object beside its size as a live member.
create function koyomi_kept_of_object_1(
    p_neutral_text text, p_text text, p_size bigint, p_deleted_revision bigint
) returns bigint language sql immutable parallel safe as $$
    select coalesce(octet_length(p_neutral_text), 0)
           + case when p_deleted_revision is not null and p_text is not null then p_size else 0 end
$$;

create function koyomi_object_kept_1() returns trigger language plpgsql as $$
declare
    v_delta bigint;
begin
    v_delta := koyomi_kept_of_object_1(new.neutral_text, new.text, new.size, new.deleted_revision);
    if tg_op = 'UPDATE' then
        v_delta := v_delta - koyomi_kept_of_object_1(old.neutral_text, old.text, old.size, old.deleted_revision);
    end if;
    perform koyomi_keep_1(new.home_id, v_delta);
    return null;
end $$;

create function koyomi_objects_gone_1() returns trigger language plpgsql as $$
begin
    update home h set kept_bytes = h.kept_bytes - k.bytes
    from (
        select o.home_id,
               sum(koyomi_kept_of_object_1(o.neutral_text, o.text, o.size, o.deleted_revision)
                   + case when o.deleted_revision is null and c.deleted_at is not null then o.size else 0 end) as bytes
        from gone o left join collection c on c.home_id = o.home_id and c.id = o.collection_id
        group by o.home_id
    ) as k
    where h.id = k.home_id and k.bytes <> 0;
    return null;
end $$;

-- PostgreSQL prepares the condition of a trigger anew in each statement, which a DELETE need not pay: its UPDATE names
-- none of the columns that the trigger is for.
create trigger object_kept_insert after insert on object for each row
    when (new.neutral_text is not null or new.deleted_revision is not null)
    execute function koyomi_object_kept_1();
-- The function that makes a live object a tombstone with its text counts itself, together with the revision.
create trigger object_kept_update after update of neutral_text, text on object for each row
    when (
        (old.neutral_text is not null or new.neutral_text is not null or old.deleted_revision is not null)
        and not (old.deleted_revision is null and new.deleted_revision is not null and new.text is not null)
    )
    execute function koyomi_object_kept_1();
create trigger object_kept_delete after delete on object referencing old table as gone for each statement
    execute function koyomi_objects_gone_1();

-- One update of the home for all copies of a statement: a PUT writes those of all sharees.
create function koyomi_views_kept_1() returns trigger language plpgsql as $$
begin
    case tg_op
        when 'INSERT' then
            update home h set kept_bytes = h.kept_bytes + k.bytes
            from (
                select v.home_id, sum(v.size + octet_length(v.personal)) as bytes from added v group by v.home_id
            ) as k
            where h.id = k.home_id;
        when 'DELETE' then
            update home h set kept_bytes = h.kept_bytes - k.bytes
            from (
                select v.home_id, sum(v.size + octet_length(v.personal)) as bytes from gone v group by v.home_id
            ) as k
            where h.id = k.home_id;
        else
            update home h set kept_bytes = h.kept_bytes + k.bytes
            from (
                select v.home_id, sum(v.bytes) as bytes
                from (
                    select a.home_id, a.size + octet_length(a.personal) as bytes from added a
                    union all
                    select g.home_id, -(g.size + octet_length(g.personal)) from gone g
                ) as v
                group by v.home_id
            ) as k
            where h.id = k.home_id and k.bytes <> 0;
    end case;
    return null;
end $$;

create trigger object_view_kept_insert after insert on object_view referencing new table as added for each statement
    execute function koyomi_views_kept_1();
create trigger object_view_kept_update after update on object_view referencing old table as gone new table as added
    for each statement execute function koyomi_views_kept_1();
create trigger object_view_kept_delete after delete on object_view referencing old table as gone for each statement
    execute function koyomi_views_kept_1();

create function koyomi_trash_kept_1() returns trigger language plpgsql as $$
begin
    perform koyomi_keep_1(new.home_id, octet_length(new.text));
    return null;
end $$;

create function koyomi_trash_gone_1() returns trigger language plpgsql as $$
begin
    update home h set kept_bytes = h.kept_bytes - k.bytes
    from (select t.home_id, sum(octet_length(t.text)) as bytes from gone t group by t.home_id) as k
    where h.id = k.home_id;
    return null;
end $$;

create trigger trash_kept_insert after insert on trash for each row execute function koyomi_trash_kept_1();
create trigger trash_kept_delete after delete on trash referencing old table as gone for each statement
    execute function koyomi_trash_gone_1();

create function koyomi_collection_kept_1() returns trigger language plpgsql as $$
declare
    v_bytes bigint;
begin
    if new.deleted_at is not null then
        perform koyomi_keep_1(new.home_id, new.used_bytes);
    else
        -- Members may have been forgotten since it was deleted.
        select coalesce(sum(o.size), 0) into v_bytes from object o
        where o.home_id = new.home_id and o.collection_id = new.id and o.deleted_revision is null;
        perform koyomi_keep_1(new.home_id, -v_bytes);
    end if;
    return null;
end $$;

create trigger collection_kept after update on collection for each row
    when ((old.deleted_at is null) <> (new.deleted_at is null))
    execute function koyomi_collection_kept_1();

update home h set kept_bytes = k.bytes
from (
    select b.home_id, sum(b.bytes) as bytes
    from (
        select o.home_id, o.size as bytes from object o where o.deleted_at is not null and o.text is not null
        union all
        select o.home_id, octet_length(o.neutral_text) from object o where o.neutral_text is not null
        union all
        select v.home_id, v.size + octet_length(v.personal) from object_view v
        union all
        select t.home_id, octet_length(t.text) from trash t
        union all
        select o.home_id, o.size
        from collection c join object o on o.home_id = c.home_id and o.collection_id = c.id
        where c.deleted_at is not null and o.deleted_revision is null
    ) as b
    group by b.home_id
) as k
where h.id = k.home_id;

-- Raises unless a collection is alive and the binding that a write was decided by still shows it: its home, its name
-- and its incarnation.
create function koyomi_require_collection_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint
) returns void language plpgsql as $$
begin
    perform 1 from collection c where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    perform 1 from binding b
    where b.home_id = p_binding_home_id and b.name = p_binding and b.collection_home_id = p_home_id
      and b.collection_id = p_collection_id and b.incarnation = p_incarnation and b.deleted_revision is null;
    if not found then
        raise exception using errcode = 'KY001', message = 'binding changed';
    end if;
end $$;

-- Store personal copies of an object, one for each element of the arrays, with their alarms. The home's row is held.
create function koyomi_store_views_1(
    p_home_id bigint, p_collection_id bigint, p_object_id bigint, p_revision bigint, p_now timestamptz,
    p_viewers bigint[], p_etags text[], p_sizes integer[], p_personal text[], p_texts text[],
    -- [[busy type of each component] or null]
    p_busy jsonb,
    -- [{"viewer": ..., and the columns of `alarm`}]; null: none.
    p_alarms jsonb
) returns void language plpgsql as $$
begin
    insert into object_view as v (
        home_id, object_id, principal_id, revision, modified_at, etag, size, personal, text, busy, alarms_etag
    )
    select p_home_id, p_object_id, r.viewer, p_revision, p_now, r.etag, r.size, r.personal, r.text,
           case when jsonb_typeof(p_busy -> (r.n - 1)::integer) = 'array'
                then array(select b::smallint from jsonb_array_elements_text(p_busy -> (r.n - 1)::integer) as b) end,
           r.etag
    from unnest(p_viewers, p_etags, p_sizes, p_personal, p_texts)
        with ordinality as r (viewer, etag, size, personal, text, n)
    on conflict (home_id, object_id, principal_id) do update
    set revision = excluded.revision, modified_at = excluded.modified_at, etag = excluded.etag, size = excluded.size,
        personal = excluded.personal, text = excluded.text, busy = excluded.busy, alarms_etag = excluded.alarms_etag;
    delete from alarm where home_id = p_home_id and object_id = p_object_id and viewer_id = any(p_viewers);
    if p_alarms is not null then
        insert into alarm (
            home_id, collection_id, object_id, viewer_id, component, alarm, at, days, seconds, from_end, repeat,
            interval_seconds
        )
        select p_home_id, p_collection_id, p_object_id, a.viewer, a.component, a.alarm, a.at, a.days, a.seconds,
               a.from_end, a.repeat, a.interval_seconds
        from jsonb_to_recordset(p_alarms) as a (
            viewer bigint, component integer, alarm integer, at timestamptz, days integer, seconds bigint,
            from_end boolean, repeat integer, interval_seconds bigint
        );
    end if;
end $$;

-- Store the alarms of a personal copy that was written before they were rows, unless it has changed since it was read.
create function koyomi_store_view_alarms_1(
    p_home_id bigint, p_object_id bigint, p_viewer_id bigint, p_etag text, p_alarms jsonb
) returns boolean language plpgsql as $$
declare
    v_collection_id bigint;
begin
    select o.collection_id into v_collection_id from object o
    where o.home_id = p_home_id and o.id = p_object_id and o.deleted_revision is null
    for no key update;
    if not found then
        return false;
    end if;
    update object_view v set alarms_etag = v.etag
    where v.home_id = p_home_id and v.object_id = p_object_id and v.principal_id = p_viewer_id and v.etag = p_etag;
    if not found then
        return false;
    end if;
    delete from alarm where home_id = p_home_id and object_id = p_object_id and viewer_id = p_viewer_id;
    insert into alarm (
        home_id, collection_id, object_id, viewer_id, component, alarm, at, days, seconds, from_end, repeat,
        interval_seconds
    )
    select p_home_id, v_collection_id, p_object_id, p_viewer_id, a.component, a.alarm, a.at, a.days, a.seconds,
           a.from_end, a.repeat, a.interval_seconds
    from jsonb_to_recordset(p_alarms) as a (
        component integer, alarm integer, at timestamptz, days integer, seconds bigint, from_end boolean,
        repeat integer, interval_seconds bigint
    );
    return true;
end $$;

-- As koyomi_put_object_2, with the recurrence; zone keys belong to the occurrences, and stay with them. Bytes that are
-- kept count against the quota: used_bytes may reach the quota, and together with kept_bytes twice as much. Texts of
-- personal copies come as arrays: jsonb holds 256 MB at most.
create function koyomi_put_object_3(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    -- The state that the write is based on; null: the name is free.
    p_expected_id bigint, p_expected_revision bigint,
    p_uid text, p_component text, p_etag text, p_schedule_tag text, p_size integer, p_time_key text,
    p_text text, p_summary jsonb,
    -- Keys of the zones, and the recurrence of what is not materialised whole; null where the occurrences stay.
    p_tzids text[], p_recurrence text,
    -- The quota of a home whose principal has none of its own.
    p_quota_bytes bigint, p_max_members integer, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text,
    -- False: the occurrences stay as they are, and what follows is null.
    p_materialised boolean,
    p_span_start timestamptz, p_span_end timestamptz, p_endless boolean,
    p_expanded_from timestamptz, p_expanded_until timestamptz,
    p_components integer[], p_kinds smallint[], p_busy smallint[], p_matches boolean[],
    p_starts timestamptz[], p_ends timestamptz[], p_matches_from timestamptz[], p_matches_until timestamptz[],
    p_local_starts timestamp[], p_zones text[], p_recurrence_ids text[], p_alarms jsonb,
    -- Whether it was decided for a calendar that has views; if not, the rest is null.
    p_views boolean,
    p_neutral_etag text, p_neutral_text text, p_neutral_busy smallint[],
    -- How many views the caller knew, and their latest revision; and all of them as they are to be now.
    p_views_known integer, p_views_revision bigint,
    p_viewers bigint[], p_view_etags text[], p_view_sizes integer[], p_view_personal text[], p_view_texts text[],
    p_view_busy jsonb, p_view_alarms jsonb,
    out revision bigint, out object_id bigint, out modified_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
    v_id bigint := p_expected_id;
    v_delta bigint := p_size;
    v_revision bigint;
    v_now timestamptz;
    v_used bigint;
    v_kept bigint;
    v_quota bigint;
    v_members integer;
    v_deleted_at timestamptz;
    v_views boolean;
begin
    if v_id is null then
        v_id := nextval('object_id_seq');
    else
        select p_size - o.size into v_delta from object o
        where o.home_id = p_home_id and o.id = v_id and o.revision = p_expected_revision and o.deleted_revision is null
          and o.collection_id = p_collection_id and o.name = p_name
        for no key update;
        if not found then
            raise exception using errcode = 'KY001', message = 'object changed';
        end if;
        if p_views then
            -- Whoever writes a view holds the lock of its object.
            perform 1 from object_view v where v.home_id = p_home_id and v.object_id = v_id
            having count(*) = p_views_known and coalesce(max(v.revision), 0) = p_views_revision;
            if not found then
                raise exception using errcode = 'KY001', message = 'views changed';
            end if;
        end if;
    end if;
    if p_materialised then
        if p_expected_id is not null then
            delete from occurrence where home_id = p_home_id and object_id = v_id;
            delete from alarm where home_id = p_home_id and object_id = v_id and viewer_id = 0;
        end if;
        perform koyomi_replace_occurrences_1(
            p_home_id, p_collection_id, v_id, p_components, p_kinds, p_busy, p_matches, p_starts, p_ends,
            p_matches_from, p_matches_until, p_local_starts, p_zones, p_recurrence_ids, p_alarms
        );
    end if;

    update home h set revision = h.revision + 1, used_bytes = h.used_bytes + v_delta, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.used_bytes, h.kept_bytes, h.modified_at,
              coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes)
    into v_revision, v_used, v_kept, v_now, v_quota;
    update collection c
    set revision = v_revision, used_bytes = c.used_bytes + v_delta, modified_at = v_now,
        member_count = c.member_count + case when p_expected_id is null then 1 else 0 end
    where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null
      and exists (
          select from binding b
          where b.home_id = p_binding_home_id and b.name = p_binding and b.collection_home_id = p_home_id
            and b.collection_id = p_collection_id and b.incarnation = p_incarnation and b.deleted_revision is null
      )
    returning c.member_count, c.views into v_members, v_views;
    if not found then
        perform koyomi_require_collection_2(
            p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation
        );
    end if;
    if v_views <> p_views then
        raise exception using errcode = 'KY001', message = 'sharing changed';
    end if;
    if v_delta > 0 and (v_used > v_quota or v_used + v_kept > 2 * v_quota) then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;

    if p_expected_id is not null then
        if p_materialised then
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, tzids = p_tzids,
                recurrence = p_recurrence, summary = p_summary, text = p_text, neutral_etag = p_neutral_etag,
                neutral_text = p_neutral_text, neutral_busy = p_neutral_busy, endless = p_endless,
                span_start = p_span_start, span_end = p_span_end,
                expanded_from = p_expanded_from, expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.id = v_id;
        else
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key,
                summary = p_summary, text = p_text, neutral_etag = p_neutral_etag,
                neutral_text = p_neutral_text, neutral_busy = p_neutral_busy
            where o.home_id = p_home_id and o.id = v_id;
        end if;
    else
        if v_members > p_max_members then
            raise exception using errcode = 'KY004', message = 'members';
        end if;
        select o.deleted_at into v_deleted_at from object o
        where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
          and o.deleted_revision is not null
        for update;
        if found then
            if v_deleted_at > v_now - make_interval(days => p_restore_days) then
                insert into trash (
                    home_id, collection_id, object_id, name, uid, component, properties, text, deleted_at
                )
                select o.home_id, o.collection_id, o.id, o.name, o.uid, o.component, o.properties, o.text, o.deleted_at
                from object o
                where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
                  and o.deleted_revision is not null and o.text is not null;
            end if;
            update object o
            set id = v_id, created_revision = v_revision, revision = v_revision, deleted_revision = null,
                created_at = v_now, modified_at = v_now, deleted_at = null, size = p_size, uid = p_uid,
                component = p_component, etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key,
                tzids = p_tzids, recurrence = p_recurrence, summary = p_summary, properties = null, text = p_text,
                neutral_etag = p_neutral_etag, neutral_text = p_neutral_text,
                neutral_busy = p_neutral_busy, endless = coalesce(p_endless, false), span_start = p_span_start,
                span_end = p_span_end, expanded_from = p_expanded_from, expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
              and o.deleted_revision is not null;
        else
            insert into object (
                home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name,
                uid, component, etag, schedule_tag, time_key, span_start, span_end, expanded_from, expanded_until,
                tzids, recurrence, summary, text, neutral_etag, neutral_text, neutral_busy
            ) values (
                p_home_id, p_collection_id, v_id, v_revision, v_revision, v_now, v_now, p_size,
                coalesce(p_endless, false), p_name, p_uid, p_component, p_etag, p_schedule_tag, p_time_key,
                p_span_start, p_span_end, p_expanded_from, p_expanded_until, p_tzids, p_recurrence, p_summary,
                p_text, p_neutral_etag, p_neutral_text, p_neutral_busy
            );
        end if;
    end if;
    if p_views then
        if p_viewers is not null then
            perform koyomi_store_views_1(
                p_home_id, p_collection_id, v_id, v_revision, v_now, p_viewers, p_view_etags, p_view_sizes,
                p_view_personal, p_view_texts, p_view_busy, p_view_alarms
            );
        end if;
        -- The home now counts the neutral text and the views of this write.
        perform 1 from home h
        where h.id = p_home_id and h.used_bytes + h.kept_bytes > 2 * v_quota
          and h.used_bytes + h.kept_bytes > v_used - v_delta + v_kept;
        if found then
            raise exception using errcode = 'KY003', message = 'quota';
        end if;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_expected_id is null then 'created' else 'updated' end,
            p_collection_id, v_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_expected_id is null then 'created' else 'updated' end,
            p_collection_id, v_id, p_principal_id, p_origin, p_request_id);
    revision := v_revision;
    object_id := v_id;
    modified_at := v_now;
end $$;

-- As koyomi_put_view_1. Personal copies may take as many kept bytes of the owner's home as its quota, and the owner's
-- home keeps its visible revision.
create function koyomi_put_view_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    p_expected_id bigint, p_expected_revision bigint,
    -- The person, and the revision of the view that is replaced; 0: there is none.
    p_viewer_id bigint, p_view_revision bigint,
    p_etag text, p_size integer, p_personal text, p_text text, p_busy jsonb, p_alarms jsonb, p_quota_bytes bigint,
    p_principal_id bigint, p_origin text, p_request_id text,
    out revision bigint, out object_id bigint, out modified_at timestamptz, out viewer_home_id bigint
) language plpgsql as $$
#variable_conflict use_column
declare
    v_sharee bigint;
    v_revision bigint;
    v_sharee_revision bigint;
    v_now timestamptz;
    v_kept bigint;
    v_quota bigint;
    v_views boolean;
begin
    perform 1 from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    if p_view_revision <> coalesce((
        select v.revision from object_view v
        where v.home_id = p_home_id and v.object_id = p_expected_id and v.principal_id = p_viewer_id
    ), 0) then
        raise exception using errcode = 'KY001', message = 'view changed';
    end if;
    select h.id into v_sharee from home h where h.principal_id = p_viewer_id and h.kind = 'calendar';
    perform 1 from home h where h.id in (p_home_id, v_sharee) order by h.id for no key update;
    perform koyomi_require_collection_2(p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation);
    select c.views into v_views from collection c where c.home_id = p_home_id and c.id = p_collection_id;
    if not v_views then
        raise exception using errcode = 'KY001', message = 'sharing changed';
    end if;
    update home h
    set revision = h.revision + 1,
        -- Nothing that the owner sees has changed.
        hidden_after = case when h.hidden_until = h.revision then h.hidden_after else h.revision end,
        hidden_until = h.revision + 1
    where h.id = p_home_id
    returning h.revision, h.kept_bytes,
              coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes)
    into v_revision, v_kept, v_quota;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = v_sharee
    returning h.revision, h.modified_at into v_sharee_revision, v_now;
    update binding b set view_revision = v_revision, revision = v_sharee_revision
    where b.home_id = v_sharee and b.collection_home_id = p_home_id and b.collection_id = p_collection_id
      and b.deleted_revision is null;
    perform koyomi_store_views_1(
        p_home_id, p_collection_id, p_expected_id, v_revision, v_now, array[p_viewer_id], array[p_etag],
        array[p_size], array[p_personal], array[p_text], jsonb_build_array(p_busy), p_alarms
    );
    -- Sharees leave room for what the owner deletes and keeps.
    perform 1 from home h where h.id = p_home_id and h.kept_bytes > v_quota and h.kept_bytes > v_kept;
    if found then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
    -- Only this person's home changes.
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (v_sharee, v_sharee_revision, 'view', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, subject_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'view', p_collection_id, p_expected_id, p_viewer_id, p_principal_id, p_origin,
            p_request_id);
    revision := v_revision;
    object_id := p_expected_id;
    modified_at := v_now;
    viewer_home_id := v_sharee;
end $$;

-- As koyomi_render_1.
create function koyomi_render_2(
    p_home_id bigint, p_object_id bigint, p_revision bigint, p_neutral_etag text, p_neutral_text text,
    p_neutral_busy smallint[], p_views_known integer, p_views_revision bigint,
    p_viewers bigint[], p_view_etags text[], p_view_sizes integer[], p_view_personal text[], p_view_texts text[],
    p_view_busy jsonb, p_view_alarms jsonb
) returns boolean language plpgsql as $$
declare
    v_collection_id bigint;
begin
    select o.collection_id into v_collection_id from object o
    where o.home_id = p_home_id and o.id = p_object_id and o.revision = p_revision and o.deleted_revision is null
      and o.neutral_etag is null
    for no key update;
    if not found then
        return false;
    end if;
    perform 1 from object_view v where v.home_id = p_home_id and v.object_id = p_object_id
    having count(*) = p_views_known and coalesce(max(v.revision), 0) = p_views_revision;
    if not found then
        return false;
    end if;
    update object o set neutral_etag = p_neutral_etag, neutral_text = p_neutral_text, neutral_busy = p_neutral_busy
    where o.home_id = p_home_id and o.id = p_object_id;
    -- The views keep their revisions: their texts may be other ones, but say the same.
    perform koyomi_store_views_1(
        p_home_id, v_collection_id, p_object_id, v.revision, v.modified_at, array[v.principal_id],
        p_view_etags[i.n:i.n], p_view_sizes[i.n:i.n], p_view_personal[i.n:i.n], p_view_texts[i.n:i.n],
        jsonb_build_array(p_view_busy -> (i.n - 1)),
        (select jsonb_agg(a) from jsonb_array_elements(p_view_alarms) as a
         where (a ->> 'viewer')::bigint = v.principal_id)
    )
    from unnest(p_viewers) with ordinality as n (viewer, at) cross join lateral (select n.at::integer) as i (n)
    join object_view v on v.home_id = p_home_id and v.object_id = p_object_id and v.principal_id = n.viewer;
    return true;
end $$;

-- As koyomi_delete_object_1, which counts what it keeps.
create function koyomi_delete_object_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    p_expected_id bigint, p_expected_revision bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_size bigint;
    v_neutral bigint;
    v_component text;
    v_revision bigint;
    v_now timestamptz;
begin
    select o.size, coalesce(octet_length(o.neutral_text), 0), o.component into v_size, v_neutral, v_component
    from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    if v_component <> 'VCARD' then
        delete from occurrence where home_id = p_home_id and object_id = p_expected_id;
        delete from alarm where home_id = p_home_id and object_id = p_expected_id;
        -- The trigger of personal copies works even where there are none.
        perform 1 from object_view where home_id = p_home_id and object_id = p_expected_id;
        if found then
            delete from object_view where home_id = p_home_id and object_id = p_expected_id;
        end if;
    end if;

    -- The text is kept for restoring; the neutral text is not.
    update home h
    set revision = h.revision + 1, used_bytes = h.used_bytes - v_size, kept_bytes = h.kept_bytes + v_size - v_neutral,
        modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    update collection c
    set revision = v_revision, used_bytes = c.used_bytes - v_size, modified_at = v_now,
        member_count = c.member_count - 1
    where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null
      and exists (
          select from binding b
          where b.home_id = p_binding_home_id and b.name = p_binding and b.collection_home_id = p_home_id
            and b.collection_id = p_collection_id and b.incarnation = p_incarnation and b.deleted_revision is null
      );
    if not found then
        perform koyomi_require_collection_2(
            p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation
        );
    end if;
    if v_neutral = 0 then
        update object o
        set revision = v_revision, deleted_revision = v_revision, deleted_at = v_now, expanded_from = null,
            expanded_until = null
        where o.home_id = p_home_id and o.id = p_expected_id;
    else
        update object o
        set revision = v_revision, deleted_revision = v_revision, deleted_at = v_now, neutral_etag = null,
            neutral_text = null, expanded_from = null, expanded_until = null
        where o.home_id = p_home_id and o.id = p_expected_id;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'deleted', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'deleted', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;

-- For servers of the version before, which do not know the home of the binding.
create or replace function koyomi_delete_object_1(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint, p_name text,
    p_expected_id bigint, p_expected_revision bigint, p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_binding_home_id bigint;
begin
    select b.home_id into v_binding_home_id from binding b
    where b.collection_home_id = p_home_id and b.collection_id = p_collection_id and b.name = p_binding
      and b.incarnation = p_incarnation and b.deleted_revision is null
    limit 1;
    return koyomi_delete_object_2(
        p_home_id, p_collection_id, v_binding_home_id, p_binding, p_incarnation, p_name, p_expected_id,
        p_expected_revision, p_principal_id, p_origin, p_request_id
    );
end $$;

create function koyomi_set_object_properties_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    p_expected_id bigint, p_expected_revision bigint, p_set jsonb, p_removed text[],
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_revision bigint;
    v_now timestamptz;
begin
    perform 1 from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    perform koyomi_require_collection_2(p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation);
    update collection c set revision = v_revision, modified_at = v_now
    where c.home_id = p_home_id and c.id = p_collection_id;
    update object o
    set revision = v_revision,
        properties = nullif((coalesce(o.properties, '{}') || p_set) - p_removed, '{}')
    where o.home_id = p_home_id and o.id = p_expected_id;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'properties', p_collection_id, p_expected_id, p_principal_id, p_origin,
            p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'properties', p_collection_id, p_expected_id, p_principal_id, p_origin,
            p_request_id);
    return v_revision;
end $$;

-- As koyomi_transfer_object_2. Locks the objects and the homes first, in their order. What is copied, or moved into
-- another home, counts against all that the home keeps.
create function koyomi_transfer_object_3(
    p_move boolean,
    p_source_home_id bigint, p_source_collection_id bigint, p_source_binding_home_id bigint, p_source_binding text,
    p_source_incarnation bigint, p_source_name text, p_source_id bigint, p_source_revision bigint,
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text, p_expected_id bigint, p_expected_revision bigint,
    p_quota_bytes bigint, p_max_members integer, p_restore_days integer,
    p_principal_id bigint, p_origin text, p_request_id text,
    out revision bigint, out object_id bigint, out modified_at timestamptz, out source_revision bigint
) language plpgsql as $$
#variable_conflict use_column
begin
    perform 1 from object o
    where (o.home_id = p_source_home_id and o.id = p_source_id) or (o.home_id = p_home_id and o.id = p_expected_id)
    order by o.id for no key update;
    perform 1 from home h where h.id in (p_source_home_id, p_home_id) order by h.id for no key update;
    perform koyomi_require_collection_2(
        p_source_home_id, p_source_collection_id, p_source_binding_home_id, p_source_binding, p_source_incarnation
    );
    perform koyomi_require_collection_2(p_home_id, p_collection_id, p_binding_home_id, p_binding, p_incarnation);
    select t.revision, t.object_id, t.modified_at, t.source_revision
    into revision, object_id, modified_at, source_revision
    from koyomi_transfer_object_2(
        p_move, p_source_home_id, p_source_collection_id, p_source_binding, p_source_incarnation, p_source_name,
        p_source_id, p_source_revision, p_home_id, p_collection_id, p_binding, p_incarnation, p_name, p_expected_id,
        p_expected_revision, p_quota_bytes, p_max_members, p_restore_days, p_principal_id, p_origin, p_request_id
    ) as t;
    if not p_move or p_source_home_id <> p_home_id then
        perform koyomi_require_space_1(p_home_id, p_quota_bytes);
    end if;
end $$;

-- Raises if a home, whose row is held, keeps more than twice its quota.
create function koyomi_require_space_1(p_home_id bigint, p_quota_bytes bigint) returns void language plpgsql as $$
begin
    perform 1 from home h
    where h.id = p_home_id
      and h.used_bytes + h.kept_bytes
          > 2 * coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes);
    if found then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
end $$;

-- As koyomi_set_collection_properties_1, for the binding of this home only.
create function koyomi_set_collection_properties_2(
    p_home_id bigint, p_name text, p_collection_home_id bigint, p_collection_id bigint, p_incarnation bigint,
    p_set jsonb, p_removed text[], p_timezone text, p_source text,
    p_viewer_id bigint, p_view_set jsonb, p_view_removed text[],
    p_principal_id bigint, p_origin text, p_request_id text,
    out revision bigint, out collection_revision bigint
) language plpgsql as $$
#variable_conflict use_column
begin
    select s.revision, s.collection_revision into revision, collection_revision
    from koyomi_set_collection_properties_1(
        p_home_id, p_name, p_collection_home_id, p_collection_id, p_incarnation, p_set, p_removed, p_timezone,
        p_source, p_viewer_id, p_view_set, p_view_removed, p_principal_id, p_origin, p_request_id
    ) as s;
    -- The homes are locked now.
    perform koyomi_require_collection_2(p_collection_home_id, p_collection_id, p_home_id, p_name, p_incarnation);
end $$;

-- As koyomi_set_acl_1, for the binding of this home only.
create function koyomi_set_acl_2(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint,
    p_principals bigint[], p_classes text[], p_grants boolean[], p_privileges jsonb,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_revision bigint;
begin
    v_revision := koyomi_set_acl_1(
        p_home_id, p_collection_id, p_binding, p_incarnation, p_principals, p_classes, p_grants, p_privileges,
        p_principal_id, p_origin, p_request_id
    );
    perform koyomi_require_collection_2(p_home_id, p_collection_id, p_home_id, p_binding, p_incarnation);
    return v_revision;
end $$;

-- Remove personal copies of a principal, at most p_limit, in one home; returns their number.
create function koyomi_remove_copies_1(p_viewer_id bigint, p_limit integer) returns bigint language plpgsql as $$
declare
    v_home_id bigint;
    v_ids bigint[];
begin
    select h.id into v_home_id from home h
    where h.id = (select v.home_id from object_view v where v.principal_id = p_viewer_id limit 1)
    for no key update;
    select array_agg(v.object_id) into v_ids
    from (
        select v.object_id from object_view v
        where v.home_id = v_home_id and v.principal_id = p_viewer_id order by v.object_id limit p_limit
    ) as v;
    delete from alarm where home_id = v_home_id and object_id = any(v_ids) and viewer_id = p_viewer_id;
    delete from object_view where home_id = v_home_id and object_id = any(v_ids) and principal_id = p_viewer_id;
    return coalesce(cardinality(v_ids), 0);
end $$;
