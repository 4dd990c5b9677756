-- Occurrences of an object.

-- Store the occurrences and alarms of an object that has none. An element of the arrays is an occurrence.
create or replace function koyomi_store_occurrences_1(
    p_home_id bigint, p_collection_id bigint, p_object_id bigint,
    p_components integer[], p_kinds smallint[], p_busy smallint[], p_matches boolean[],
    p_starts timestamptz[], p_ends timestamptz[], p_matches_from timestamptz[], p_matches_until timestamptz[],
    p_recurrence_ids text[], p_alarms jsonb
) returns void language plpgsql as $$
declare
    v_start timestamptz;
    v_end timestamptz;
begin
    if cardinality(p_starts) = 1 then
        -- Most objects have one occurrence, whose row costs half as much without unnest.
        v_start := case when p_matches[1] then least(p_starts[1], coalesce(p_matches_from[1], '-infinity'))
                   else p_starts[1] end;
        v_end := case when p_matches[1] then greatest(p_ends[1], coalesce(p_matches_until[1], 'infinity'))
                 else p_ends[1] end;
        insert into occurrence (
            home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
            range_end, start_at, end_at, matches_from, matches_until, recurrence_id
        ) values (
            p_home_id, p_collection_id, p_object_id, 1, p_components[1],
            case when v_end <= v_start + interval '24 hours' then 0
                 when v_end <= v_start + interval '744 hours' then 1
                 else 2 end,
            p_kinds[1], p_busy[1], p_matches[1], v_start, v_end, p_starts[1], p_ends[1], p_matches_from[1],
            p_matches_until[1], p_recurrence_ids[1]
        );
    else
        insert into occurrence (
            home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start,
            range_end, start_at, end_at, matches_from, matches_until, recurrence_id
        )
        select p_home_id, p_collection_id, p_object_id, n, c,
               case when re <= rs + interval '24 hours' then 0 when re <= rs + interval '744 hours' then 1 else 2 end,
               k, b, m, rs, re, s, e, mf, mu, r
        from (
            select o.*,
                   case when m then least(s, coalesce(mf, '-infinity')) else s end as rs,
                   case when m then greatest(e, coalesce(mu, 'infinity')) else e end as re
            from unnest(p_components, p_kinds, p_busy, p_matches, p_starts, p_ends, p_matches_from, p_matches_until,
                        p_recurrence_ids)
                 with ordinality as o (c, k, b, m, s, e, mf, mu, r, n)
        ) as o;
    end if;
    if p_alarms is not null then
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat,
            interval_seconds, next_at, floating
        )
        select p_home_id, p_collection_id, p_object_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end,
               a.repeat, a.interval_seconds, a.next_at, a.floating
        from jsonb_to_recordset(p_alarms) as a (
            component integer, alarm integer, at timestamptz, days integer, seconds bigint, from_end boolean,
            repeat integer, interval_seconds bigint, next_at timestamptz, floating boolean
        );
    end if;
end $$;
