-- Storing a member.

-- Store a member, in calendars with and without personal copies. Zone keys belong to the occurrences, and stay with
-- them where the time key stays. Bytes that are kept count against the quota: used_bytes may reach the quota, and
-- together with kept_bytes twice as much. Texts of personal copies come as arrays: jsonb holds 256 MB at most.
create or replace function koyomi_put_object_4(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint,
    p_name text,
    -- The state that the write is based on; null: the name is free.
    p_expected_id bigint, p_expected_revision bigint,
    p_uid text, p_component text, p_etag text, p_schedule_tag text, p_size integer, p_time_key text,
    -- The version of the code that derived what is stored beside the text.
    p_derived integer,
    p_text text, p_summary jsonb, p_scheduling smallint, p_organizer text, p_sequence integer,
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
    p_recurrence_ids text[], p_alarms jsonb,
    -- Whether it was decided for a calendar that has views; if not, the rest is null, except the neutral text of a private
    -- object.
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
    v_neutral boolean;
begin
    if v_id is null then
        v_id := nextval('object_id_seq');
    else
        select p_size - o.size, o.neutral_etag is not null into v_delta, v_neutral from object o
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
        perform koyomi_store_occurrences_1(
            p_home_id, p_collection_id, v_id, p_components, p_kinds, p_busy, p_matches, p_starts, p_ends,
            p_matches_from, p_matches_until, p_recurrence_ids, p_alarms
        );
    end if;

    update home h set revision = h.revision + 1, used_bytes = h.used_bytes + v_delta, modified_at = clock_timestamp()
    where h.id = p_home_id
    returning h.revision, h.used_bytes + h.property_bytes, h.kept_bytes + h.kept_property_bytes, h.modified_at,
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
        -- PostgreSQL prepares the condition of a trigger anew in each statement that names its columns: where there is
        -- no neutral text, none is named.
        if p_views or v_neutral or p_neutral_etag is not null then
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, derived = p_derived,
                summary = p_summary, scheduling = p_scheduling, organizer = p_organizer, sequence = p_sequence,
                text = p_text, neutral_etag = p_neutral_etag, neutral_text = p_neutral_text,
                neutral_busy = p_neutral_busy,
                tzids = case when p_materialised then p_tzids else o.tzids end,
                recurrence = case when p_materialised then p_recurrence else o.recurrence end,
                endless = case when p_materialised then p_endless else o.endless end,
                span_start = case when p_materialised then p_span_start else o.span_start end,
                span_end = case when p_materialised then p_span_end else o.span_end end,
                expanded_from = case when p_materialised then p_expanded_from else o.expanded_from end,
                expanded_until = case when p_materialised then p_expanded_until else o.expanded_until end
            where o.home_id = p_home_id and o.id = v_id;
        elsif p_materialised then
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, derived = p_derived,
                summary = p_summary, scheduling = p_scheduling, organizer = p_organizer, sequence = p_sequence,
                text = p_text, tzids = p_tzids, recurrence = p_recurrence, endless = p_endless,
                span_start = p_span_start, span_end = p_span_end, expanded_from = p_expanded_from,
                expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.id = v_id;
        else
            update object o
            set revision = v_revision, modified_at = v_now, size = p_size, uid = p_uid, component = p_component,
                etag = p_etag, schedule_tag = p_schedule_tag, time_key = p_time_key, derived = p_derived,
                summary = p_summary, scheduling = p_scheduling, organizer = p_organizer, sequence = p_sequence,
                text = p_text
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
                derived = p_derived, tzids = p_tzids, recurrence = p_recurrence, summary = p_summary,
                scheduling = p_scheduling, organizer = p_organizer, sequence = p_sequence, properties = null, text = p_text,
                neutral_etag = p_neutral_etag, neutral_text = p_neutral_text,
                neutral_busy = p_neutral_busy, endless = coalesce(p_endless, false), span_start = p_span_start,
                span_end = p_span_end, expanded_from = p_expanded_from, expanded_until = p_expanded_until
            where o.home_id = p_home_id and o.collection_id = p_collection_id and o.name = p_name
              and o.deleted_revision is not null;
        else
            insert into object (
                home_id, collection_id, id, created_revision, revision, created_at, modified_at, size, endless, name,
                uid, component, etag, schedule_tag, time_key, derived, span_start, span_end, expanded_from,
                expanded_until, tzids, recurrence, summary, scheduling, organizer, sequence, text,
                neutral_etag, neutral_text, neutral_busy
            ) values (
                p_home_id, p_collection_id, v_id, v_revision, v_revision, v_now, v_now, p_size,
                coalesce(p_endless, false), p_name, p_uid, p_component, p_etag, p_schedule_tag, p_time_key,
                p_derived, p_span_start, p_span_end, p_expanded_from, p_expanded_until, p_tzids, p_recurrence, p_summary,
                p_scheduling, p_organizer, p_sequence, p_text, p_neutral_etag, p_neutral_text, p_neutral_busy
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
        where h.id = p_home_id
          and h.used_bytes + h.property_bytes + h.kept_bytes + h.kept_property_bytes
              > greatest(2 * v_quota, v_used - v_delta + v_kept);
        if found then
            raise exception using errcode = 'KY003', message = 'quota';
        end if;
    end if;
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, case when p_expected_id is null then 'created' else 'updated' end,
            p_collection_id, v_id, p_principal_id, p_origin, p_request_id);
    revision := v_revision;
    object_id := v_id;
    modified_at := v_now;
end $$;
