-- Bytes of dead properties: home.property_bytes counts those of visible resources, home.kept_property_bytes those of
-- deleted ones. Triggers count them for all statements. A trigger updates the row of the home: transactions lock the home
-- before they change counted rows, except rows of live objects, which they lock before the home.

-- Bytes of dead properties: their names and XML, as they are stored.
create or replace function koyomi_property_bytes_1(p_properties jsonb) returns bigint language sql immutable parallel safe as $$
    select coalesce(octet_length(p_properties::text), 0)::bigint
$$;

-- Bytes of the properties of a collection, with those that are columns.
create or replace function koyomi_collection_property_bytes_1(
    p_properties jsonb, p_timezone text, p_source text
) returns bigint language sql immutable parallel safe as $$
    select coalesce(octet_length(p_properties::text), 0)::bigint + coalesce(octet_length(p_timezone), 0)
           + coalesce(octet_length(p_source), 0)
$$;

create or replace function koyomi_keep_properties_1(p_home_id bigint, p_live bigint, p_kept bigint) returns void
language plpgsql as $$
begin
    if p_live <> 0 or p_kept <> 0 then
        update home
        set property_bytes = property_bytes + p_live, kept_property_bytes = kept_property_bytes + p_kept
        where id = p_home_id;
    end if;
end $$;

-- Count bytes of an object's properties, or with a negative number no longer count them.
create or replace function koyomi_count_object_properties_1(
    p_home_id bigint, p_collection_id bigint, p_deleted_revision bigint, p_bytes bigint
) returns void language plpgsql as $$
begin
    if p_deleted_revision is null and not exists (
        select from collection c where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is not null
    ) then
        perform koyomi_keep_properties_1(p_home_id, p_bytes, 0);
    else
        perform koyomi_keep_properties_1(p_home_id, 0, p_bytes);
    end if;
end $$;

create or replace function koyomi_object_added_1() returns trigger language plpgsql as $$
begin
    perform koyomi_keep_1(
        new.home_id, koyomi_kept_of_object_1(new.neutral_text, new.text, new.size, new.deleted_revision)
    );
    -- A function that adds many objects at once counts their properties in one sum.
    if new.properties is not null and coalesce(current_setting('koyomi.properties_counted', true), '') <> 'on' then
        perform koyomi_count_object_properties_1(
            new.home_id, new.collection_id, new.deleted_revision, koyomi_property_bytes_1(new.properties)
        );
    end if;
    return null;
end $$;

create or replace trigger object_kept_insert after insert on object for each row
    when (new.neutral_text is not null or new.deleted_revision is not null or new.properties is not null)
    execute function koyomi_object_added_1();

create or replace function koyomi_object_properties_1() returns trigger language plpgsql as $$
begin
    perform koyomi_count_object_properties_1(
        old.home_id, old.collection_id, old.deleted_revision, -koyomi_property_bytes_1(old.properties)
    );
    perform koyomi_count_object_properties_1(
        new.home_id, new.collection_id, new.deleted_revision, koyomi_property_bytes_1(new.properties)
    );
    return null;
end $$;

-- Of its own, so that a PUT does not compare properties, which it leaves alone. Nor does a DELETE name them: its
-- function counts them itself.
create or replace trigger object_properties_update after update of properties on object for each row
    when (old.properties is not null or new.properties is not null)
    execute function koyomi_object_properties_1();
