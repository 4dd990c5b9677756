-- Bytes that a home keeps beside the texts of its live members (`home.kept_bytes`); most are trigger functions.

create or replace function koyomi_keep_1(p_home_id bigint, p_delta bigint) returns void language plpgsql as $$
begin
    if p_delta <> 0 then
        update home set kept_bytes = kept_bytes + p_delta where id = p_home_id;
    end if;
end $$;

-- What is kept of an object beside its size as a live member.
create or replace function koyomi_kept_of_object_1(
    p_neutral_text text, p_text text, p_size bigint, p_deleted_revision bigint
) returns bigint language sql immutable parallel safe as $$
    select coalesce(octet_length(p_neutral_text), 0)
           + case when p_deleted_revision is not null and p_text is not null then p_size else 0 end
$$;

create or replace function koyomi_object_kept_1() returns trigger language plpgsql as $$
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

-- A text that is kept alone changes together with the dead properties: when it is forgotten, or its name is taken again.
-- The function that makes a live object a tombstone with its text counts itself, together with the revision.
create or replace trigger object_kept_update after update of neutral_text, properties on object for each row
    when (
        (old.neutral_text is not null or new.neutral_text is not null or old.deleted_revision is not null)
        and not (old.deleted_revision is null and new.deleted_revision is not null and new.text is not null)
    )
    execute function koyomi_object_kept_1();

create or replace function koyomi_objects_gone_1() returns trigger language plpgsql as $$
begin
    update home h
    set kept_bytes = h.kept_bytes - k.bytes, property_bytes = h.property_bytes - k.live,
        kept_property_bytes = h.kept_property_bytes - k.kept
    from (
        select o.home_id,
               sum(koyomi_kept_of_object_1(o.neutral_text, o.text, o.size, o.deleted_revision)
                   + case when o.deleted_revision is null and c.deleted_at is not null then o.size else 0 end) as bytes,
               coalesce(sum(koyomi_property_bytes_1(o.properties))
                   filter (where o.deleted_revision is null and c.deleted_at is null), 0) as live,
               coalesce(sum(koyomi_property_bytes_1(o.properties))
                   filter (where o.deleted_revision is not null or c.deleted_at is not null), 0) as kept
        from gone o left join collection c on c.home_id = o.home_id and c.id = o.collection_id
        group by o.home_id
    ) as k
    where h.id = k.home_id and (k.bytes <> 0 or k.live <> 0 or k.kept <> 0);
    return null;
end $$;
create or replace trigger object_kept_delete after delete on object referencing old table as gone for each statement
    execute function koyomi_objects_gone_1();

-- One update of the home for all copies of a statement: a PUT writes those of all sharees.
create or replace function koyomi_views_kept_1() returns trigger language plpgsql as $$
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

create or replace function koyomi_trash_kept_1() returns trigger language plpgsql as $$
begin
    perform koyomi_keep_1(new.home_id, octet_length(new.text));
    perform koyomi_keep_properties_1(new.home_id, 0, koyomi_property_bytes_1(new.properties));
    return null;
end $$;

create or replace function koyomi_trash_gone_1() returns trigger language plpgsql as $$
begin
    update home h
    set kept_bytes = h.kept_bytes - k.bytes, kept_property_bytes = h.kept_property_bytes - k.properties
    from (
        select t.home_id, sum(octet_length(t.text)) as bytes, sum(koyomi_property_bytes_1(t.properties)) as properties
        from gone t group by t.home_id
    ) as k
    where h.id = k.home_id;
    return null;
end $$;

create or replace function koyomi_collection_kept_1() returns trigger language plpgsql as $$
declare
    v_before bigint := 0;
    v_after bigint := 0;
    v_members bigint;
    v_bytes bigint;
begin
    if tg_op <> 'INSERT' then
        v_before := koyomi_collection_property_bytes_1(old.properties, old.timezone, old.source);
    end if;
    if tg_op <> 'DELETE' then
        v_after := koyomi_collection_property_bytes_1(new.properties, new.timezone, new.source);
    end if;
    if tg_op = 'DELETE' then
        perform koyomi_keep_properties_1(
            old.home_id, case when old.deleted_at is null then -v_before else 0 end,
            case when old.deleted_at is null then 0 else -v_before end
        );
        return null;
    elsif tg_op = 'INSERT' or (old.deleted_at is null) = (new.deleted_at is null) then
        perform koyomi_keep_properties_1(
            new.home_id, case when new.deleted_at is null then v_after - v_before else 0 end,
            case when new.deleted_at is null then 0 else v_after - v_before end
        );
        return null;
    end if;
    select coalesce(sum(koyomi_property_bytes_1(o.properties)), 0) into v_members from object o
    where o.home_id = new.home_id and o.collection_id = new.id and o.deleted_revision is null
      and o.properties is not null;
    if new.deleted_at is not null then
        perform koyomi_keep_1(new.home_id, new.used_bytes);
        perform koyomi_keep_properties_1(new.home_id, -v_before - v_members, v_after + v_members);
    else
        -- Members may have been forgotten since it was deleted.
        select coalesce(sum(o.size), 0) into v_bytes from object o
        where o.home_id = new.home_id and o.collection_id = new.id and o.deleted_revision is null;
        perform koyomi_keep_1(new.home_id, -v_bytes);
        perform koyomi_keep_properties_1(new.home_id, v_after + v_members, -v_before - v_members);
    end if;
    return null;
end $$;

create or replace trigger collection_kept_insert after insert on collection for each row
    when (new.properties is not null or new.timezone is not null or new.source is not null)
    execute function koyomi_collection_kept_1();
create or replace trigger collection_kept after update of deleted_at, properties, timezone, source on collection
    for each row execute function koyomi_collection_kept_1();
create or replace trigger collection_kept_delete after delete on collection for each row
    when (old.properties is not null or old.timezone is not null or old.source is not null)
    execute function koyomi_collection_kept_1();
