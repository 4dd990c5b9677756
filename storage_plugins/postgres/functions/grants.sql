-- Rights: groups, delegates, shares, access control lists.

-- The groups that a principal belongs to, directly and through other groups.
create or replace function koyomi_groups_of_1(p_principal_id bigint) returns bigint[] language sql stable as $$
    with recursive belongs (id) as (
        select m.group_id from membership m where m.member_id = p_principal_id
        union
        select m.group_id from belongs b join membership m on m.member_id = b.id
    )
    select coalesce(array_agg(b.id order by b.id), '{}') from belongs b
$$;

-- {"groups": [id], "delegates": [[id, rights]], "shares": [[collection, id, rights]],
--  "inviting": [[collection, id]], "aces": [[collection, id or class, grants, [privilege]]]}; null where there is none.
-- Of one collection, or of all that lie in the home where it is null; "inviting" are the shares of all, by which a sharee
-- may send messages in the owner's name.
create or replace function koyomi_grants_2(
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
        'inviting', (
            select jsonb_agg(jsonb_build_array(s.collection_id, s.principal_id)) from share s
            where s.home_id = p_home_id and s.may_invite and s.principal_id = any(v_concerned)
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

create or replace function koyomi_set_acl_1(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint,
    -- In their order; of the first two of each one is null.
    p_principals bigint[], p_classes text[], p_grants boolean[], p_privileges jsonb,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_revision bigint;
    v_now timestamptz;
begin
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    perform koyomi_require_collection_1(p_home_id, p_collection_id, p_binding, p_incarnation);
    delete from ace where home_id = p_home_id and collection_id = p_collection_id;
    insert into ace (home_id, collection_id, position, principal_id, principal_class, grants, privileges)
    select p_home_id, p_collection_id, n - 1, a.principal_id, a.class, a.grants,
           array(select jsonb_array_elements_text(p_privileges -> (n - 1)::integer))
    from unnest(p_principals, p_classes, p_grants) with ordinality as a (principal_id, class, grants, n);
    update collection c set revision = v_revision, modified_at = v_now
    where c.home_id = p_home_id and c.id = p_collection_id;
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id, details)
    values (p_home_id, v_revision, 'collection-acl', p_collection_id, p_principal_id, p_origin, p_request_id,
            jsonb_build_object('principals', p_principals, 'classes', p_classes, 'grants', p_grants,
                               'privileges', p_privileges));
    return v_revision;
end $$;

-- As koyomi_set_acl_1, for the binding of this home only.
create or replace function koyomi_set_acl_2(
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
