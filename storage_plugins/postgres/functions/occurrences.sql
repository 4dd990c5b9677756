-- Occurrences of an object.

create or replace function koyomi_replace_occurrences_1(
    p_home_id bigint, p_collection_id bigint, p_object_id bigint,
    p_components integer[], p_kinds smallint[], p_busy smallint[], p_matches boolean[],
    p_starts timestamptz[], p_ends timestamptz[], p_matches_from timestamptz[], p_matches_until timestamptz[],
    p_local_starts timestamp[], p_tzids text[], p_recurrence_ids text[], p_alarms jsonb
) returns void language plpgsql as $$
begin
    insert into occurrence (
        home_id, collection_id, object_id, ordinal, component, length_class, kind, busy, matches, range_start, range_end,
        start_at, end_at, matches_from, matches_until, local_start, tzid, recurrence_id
    )
    select p_home_id, p_collection_id, p_object_id, n, c,
           case when re <= rs + interval '24 hours' then 0 when re <= rs + interval '744 hours' then 1 else 2 end,
           k, b, m, rs, re, s, e, mf, mu, l, z, r
    from (
        select o.*,
               case when m then least(s, coalesce(mf, '-infinity')) else s end as rs,
               case when m then greatest(e, coalesce(mu, 'infinity')) else e end as re
        from unnest(p_components, p_kinds, p_busy, p_matches, p_starts, p_ends, p_matches_from, p_matches_until,
                    p_local_starts, p_tzids, p_recurrence_ids)
             with ordinality as o (c, k, b, m, s, e, mf, mu, l, z, r, n)
    ) as o;
    if p_alarms is not null then
        insert into alarm (
            home_id, collection_id, object_id, component, alarm, at, days, seconds, from_end, repeat, interval_seconds
        )
        select p_home_id, p_collection_id, p_object_id, a.component, a.alarm, a.at, a.days, a.seconds, a.from_end,
               a.repeat, a.interval_seconds
        from jsonb_to_recordset(p_alarms) as a (
            component integer, alarm integer, at timestamptz, days integer, seconds bigint, from_end boolean,
            repeat integer, interval_seconds bigint
        );
    end if;
end $$;
