-- PostgreSQL prepares the condition of a trigger anew in each statement, which a DELETE need not pay: its UPDATE names
-- none of the columns that the trigger is for.

drop trigger object_kept_insert on object;
create trigger object_kept_insert after insert on object for each row
    when (new.neutral_text is not null or new.deleted_revision is not null)
    execute function koyomi_object_kept_1();

drop trigger object_kept_update on object;
-- The function that makes a live object a tombstone with its text counts itself, together with the revision.
create trigger object_kept_update after update of neutral_text, text on object for each row
    when (
        (old.neutral_text is not null or new.neutral_text is not null or old.deleted_revision is not null)
        and not (old.deleted_revision is null and new.deleted_revision is not null and new.text is not null)
    )
    execute function koyomi_object_kept_1();

create or replace function koyomi_delete_object_2(
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
        delete from object_view where home_id = p_home_id and object_id = p_expected_id;
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
