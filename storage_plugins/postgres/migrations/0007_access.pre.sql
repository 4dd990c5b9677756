-- Access control lists are replaced as a whole, and principals are looked up by parts of their names.

-- The folded display name.
alter table principal add column display_key text collate "C" not null default '';

update principal set display_key = lower(display_name);

create function koyomi_set_acl_1(
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
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-acl', p_collection_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, principal_id, origin, request_id, details)
    values (p_home_id, v_revision, 'collection-acl', p_collection_id, p_principal_id, p_origin, p_request_id,
            jsonb_build_object('principals', p_principals, 'classes', p_classes, 'grants', p_grants,
                               'privileges', p_privileges));
    return v_revision;
end $$;
