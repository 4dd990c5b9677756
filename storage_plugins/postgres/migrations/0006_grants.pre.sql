-- What others than its owner were granted in a home, as it concerns one viewer.

-- The groups that a principal belongs to, directly and through other groups.
create function koyomi_groups_of_1(p_principal_id bigint) returns bigint[] language sql stable as $$
    with recursive belongs (id) as (
        select m.group_id from membership m where m.member_id = p_principal_id
        union
        select m.group_id from belongs b join membership m on m.member_id = b.id
    )
    select coalesce(array_agg(b.id order by b.id), '{}') from belongs b
$$;

-- {"groups": [id], "delegates": [[id, rights]], "shares": [[collection, id, rights]],
--  "aces": [[collection, id or class, grants, [privilege]]]}; null where there is none. Of one collection, or of all
-- that lie in the home where it is null.
create function koyomi_grants_1(
    p_viewer_id bigint, p_owner_id bigint, p_home_id bigint, p_collection_id bigint
) returns jsonb language plpgsql stable as $$
declare
    v_groups bigint[] := koyomi_groups_of_1(p_viewer_id);
    v_concerned bigint[] := v_groups || p_viewer_id;
begin
    return jsonb_build_object(
        'groups', v_groups,
        'delegates', (
            select jsonb_agg(jsonb_build_array(d.delegate_id, d.rights)) from delegate d
            where d.principal_id = p_owner_id and d.delegate_id = any(v_concerned)
        ),
        'shares', (
            select jsonb_agg(jsonb_build_array(s.collection_id, s.principal_id, s.rights)) from share s
            where s.home_id = p_home_id and (p_collection_id is null or s.collection_id = p_collection_id)
              and s.principal_id = any(v_concerned)
        ),
        'aces', (
            select jsonb_agg(
                jsonb_build_array(
                    a.collection_id, coalesce(to_jsonb(a.principal_id), to_jsonb(a.principal_class)), a.grants,
                    a.privileges
                ) order by a.collection_id, a.position
            ) from ace a
            where a.home_id = p_home_id and (p_collection_id is null or a.collection_id = p_collection_id)
              and (a.principal_id is null or a.principal_id = any(v_concerned))
        )
    );
end $$;
