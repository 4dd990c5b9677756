-- Making, changing, moving and deleting collections.

create or replace function koyomi_create_collection_1(
    p_home_id bigint, p_name text, p_kind text, p_components text[], p_timezone text, p_source text, p_properties jsonb,
    p_max_collections integer, p_principal_id bigint, p_origin text, p_request_id text,
    out collection_id bigint, out revision bigint, out incarnation bigint, out created_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
    v_id bigint;
    v_revision bigint;
    v_now timestamptz;
    v_count integer;
begin
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at, h.collection_count into v_revision, v_now, v_count;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    perform 1 from binding b where b.home_id = p_home_id and b.name = p_name and b.deleted_revision is null;
    if found then
        raise exception using errcode = 'KY006', message = 'name is taken';
    end if;
    if v_count >= p_max_collections then
        raise exception using errcode = 'KY005', message = 'collections';
    end if;
    v_id := koyomi_add_collection_1(
        p_home_id, v_revision, v_now, p_name, p_kind, p_components, p_timezone, p_source, p_properties
    );
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-created', v_id, p_principal_id, p_origin, p_request_id);
    select b.incarnation into incarnation from binding b where b.home_id = p_home_id and b.name = p_name;
    collection_id := v_id;
    revision := v_revision;
    created_at := v_now;
end $$;

create or replace function koyomi_delete_collection_1(
    p_home_id bigint, p_name text, p_collection_home_id bigint, p_collection_id bigint, p_incarnation bigint,
    -- The collection that takes the name at once; a null name: none.
    p_replacement text, p_kind text, p_components text[], p_timezone text, p_source text, p_properties jsonb,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_id bigint;
    v_home_kind text;
    v_revision bigint;
    v_now timestamptz;
begin
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at, h.kind into v_revision, v_now, v_home_kind;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    perform koyomi_remove_binding_1(
        p_home_id, v_revision, v_now, p_name, p_collection_home_id, p_collection_id, p_incarnation, p_principal_id,
        p_origin, p_request_id
    );
    if p_replacement is not null then
        update home h set revision = h.revision + 1 where h.id = p_home_id returning h.revision into v_revision;
        v_id := koyomi_add_collection_1(
            p_home_id, v_revision, v_now, p_replacement, p_kind, p_components, p_timezone, p_source, p_properties
        );
        insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
        values (p_home_id, v_revision, 'collection-created', v_id, p_principal_id, p_origin, p_request_id);
    elsif v_home_kind = 'addressbook' and p_home_id = p_collection_home_id then
        -- Two deletions that each found another address book must not both succeed.
        perform 1 from binding b where b.home_id = p_home_id and b.deleted_revision is null;
        if not found then
            raise exception using errcode = 'KY001', message = 'last address book';
        end if;
    end if;
    return v_revision;
end $$;

create or replace function koyomi_move_collection_1(
    p_home_id bigint, p_name text, p_collection_home_id bigint, p_collection_id bigint, p_incarnation bigint,
    p_new_name text,
    -- The collection that has the new name and is deleted; null: the name is free.
    p_replaced_home_id bigint, p_replaced_id bigint, p_replaced_incarnation bigint,
    p_principal_id bigint, p_origin text, p_request_id text
) returns bigint language plpgsql as $$
declare
    v_binding binding%rowtype;
    v_revision bigint;
    v_now timestamptz;
begin
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    if not found then
        raise exception using errcode = 'KY002', message = 'home is gone';
    end if;
    if p_replaced_id is not null then
        perform koyomi_remove_binding_1(
            p_home_id, v_revision, v_now, p_new_name, p_replaced_home_id, p_replaced_id, p_replaced_incarnation,
            p_principal_id, p_origin, p_request_id
        );
        update home h set revision = h.revision + 1 where h.id = p_home_id returning h.revision into v_revision;
    end if;
    update binding b
    set revision = v_revision, deleted_revision = v_revision, deleted_at = v_now
    where b.home_id = p_home_id and b.name = p_name and b.collection_home_id = p_collection_home_id
      and b.collection_id = p_collection_id and b.incarnation = p_incarnation and b.deleted_revision is null
    returning * into v_binding;
    if not found then
        raise exception using errcode = 'KY001', message = 'binding changed';
    end if;
    perform 1 from binding b where b.home_id = p_home_id and b.name = p_new_name and b.deleted_revision is null;
    if found then
        raise exception using errcode = 'KY001', message = 'name is taken';
    end if;
    -- The members come with revisions that infinite tokens may have seen under the old name.
    update home h set revision = h.revision + 1, infinite_sync_floor = h.revision + 1 where h.id = p_home_id
    returning h.revision into v_revision;
    delete from binding b where b.home_id = p_home_id and b.name = p_new_name;
    insert into binding (
        home_id, name, collection_home_id, collection_id, rights, incarnation, created_revision, revision
    ) values (
        p_home_id, p_new_name, p_collection_home_id, p_collection_id, v_binding.rights, v_binding.incarnation + 1,
        v_revision, v_revision
    );
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'collection-moved', p_collection_id, p_principal_id, p_origin, p_request_id);
    return v_revision;
end $$;

create or replace function koyomi_write_collection_properties_1(
    p_home_id bigint, p_collection_id bigint, p_revision bigint, p_now timestamptz,
    p_set jsonb, p_removed text[], p_timezone text, p_source text,
    p_principal_id bigint, p_origin text, p_request_id text
) returns void language plpgsql as $$
begin
    update collection c
    set revision = p_revision, modified_at = p_now,
        properties = nullif((coalesce(c.properties, '{}') || p_set) - p_removed, '{}'),
        timezone = nullif(coalesce(p_timezone, c.timezone), ''),
        source = nullif(coalesce(p_source, c.source), '')
    where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null;
    insert into outbox (home_id, revision, kind, collection_id, principal_id, origin, request_id)
    values (p_home_id, p_revision, 'collection-properties', p_collection_id, p_principal_id, p_origin, p_request_id);
end $$;

-- Set properties of a collection, or of one person's view of it.
create or replace function koyomi_set_collection_properties_1(
    p_home_id bigint, p_name text, p_collection_home_id bigint, p_collection_id bigint, p_incarnation bigint,
    -- Shared by all who see the collection; a timezone or source of '' is removed, null stays.
    p_set jsonb, p_removed text[], p_timezone text, p_source text,
    -- In the view of this person; null: nobody's.
    p_viewer_id bigint, p_view_set jsonb, p_view_removed text[],
    p_principal_id bigint, p_origin text, p_request_id text,
    -- `collection_revision`: where another home's collection changed.
    out revision bigint, out collection_revision bigint
) language plpgsql as $$
#variable_conflict use_column
declare
    v_shared boolean := p_set <> '{}' or p_removed <> '{}' or p_timezone is not null or p_source is not null;
    v_own boolean := p_home_id = p_collection_home_id;
    v_revision bigint;
    v_now timestamptz;
begin
    if v_shared and not v_own then
        -- What all see is a change in the collection's home, of which the sharee's home hears later.
        perform 1 from home h where h.id in (p_home_id, p_collection_home_id) order by h.id for no key update;
        update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_collection_home_id
        returning h.revision, h.modified_at into v_revision, v_now;
        perform koyomi_write_collection_properties_1(
            p_collection_home_id, p_collection_id, v_revision, v_now, p_set, p_removed, p_timezone, p_source,
            p_principal_id, p_origin, p_request_id
        );
        collection_revision := v_revision;
    end if;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = p_home_id
    returning h.revision, h.modified_at into v_revision, v_now;
    perform koyomi_require_collection_1(p_collection_home_id, p_collection_id, p_name, p_incarnation);
    if v_own and (v_shared or p_viewer_id is null) then
        perform koyomi_write_collection_properties_1(
            p_home_id, p_collection_id, v_revision, v_now, p_set, p_removed, p_timezone, p_source, p_principal_id,
            p_origin, p_request_id
        );
    end if;
    if not v_own then
        update binding b set revision = v_revision where b.home_id = p_home_id and b.name = p_name;
    end if;
    if p_viewer_id is not null then
        insert into collection_view as w (home_id, collection_id, principal_id, revision, properties)
        values (p_collection_home_id, p_collection_id, p_viewer_id, case when v_own then v_revision else 0 end,
                nullif(p_view_set - p_view_removed, '{}'))
        on conflict (home_id, collection_id, principal_id) do update
        set revision = case when v_own then v_revision else w.revision end,
            properties = nullif((coalesce(w.properties, '{}') || p_view_set) - p_view_removed, '{}');
        insert into outbox (home_id, revision, kind, collection_id, subject_id, principal_id, origin, request_id)
        values (p_home_id, v_revision, 'collection-view', p_collection_id, p_viewer_id, p_principal_id, p_origin,
                p_request_id);
    end if;
    revision := v_revision;
end $$;

-- As koyomi_set_collection_properties_1, for the binding of this home only.
create or replace function koyomi_set_collection_properties_2(
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

-- As koyomi_create_collection_1, within the quota.
create or replace function koyomi_create_collection_2(
    p_home_id bigint, p_name text, p_kind text, p_components text[], p_timezone text, p_source text, p_properties jsonb,
    p_max_collections integer, p_quota_bytes bigint, p_principal_id bigint, p_origin text, p_request_id text,
    out collection_id bigint, out revision bigint, out incarnation bigint, out created_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
    v_used bigint;
    v_total bigint;
begin
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    select c.collection_id, c.revision, c.incarnation, c.created_at
    into collection_id, revision, incarnation, created_at
    from koyomi_create_collection_1(
        p_home_id, p_name, p_kind, p_components, p_timezone, p_source, p_properties, p_max_collections,
        p_principal_id, p_origin, p_request_id
    ) as c;
    perform koyomi_require_space_2(p_home_id, p_quota_bytes, v_used, v_total);
end $$;

-- As koyomi_set_collection_properties_2, within the quota of the collection's home. What a person sets for themselves
-- lies in a home that need not be theirs and counts in none: it has a bound of its own.
create or replace function koyomi_set_collection_properties_3(
    p_home_id bigint, p_name text, p_collection_home_id bigint, p_collection_id bigint, p_incarnation bigint,
    p_set jsonb, p_removed text[], p_timezone text, p_source text,
    p_viewer_id bigint, p_view_set jsonb, p_view_removed text[],
    p_quota_bytes bigint, p_max_view_bytes bigint,
    p_principal_id bigint, p_origin text, p_request_id text,
    out revision bigint, out collection_revision bigint
) language plpgsql as $$
#variable_conflict use_column
declare
    v_shared boolean := p_set <> '{}' or p_removed <> '{}' or p_timezone is not null or p_source is not null;
    v_used bigint;
    v_total bigint;
    v_view bigint;
begin
    -- The homes that koyomi_set_collection_properties_1 locks, in their order.
    perform 1 from home h where h.id = p_home_id or (v_shared and h.id = p_collection_home_id)
    order by h.id for no key update;
    if v_shared then
        select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_collection_home_id) as s;
    end if;
    select koyomi_property_bytes_1(w.properties) into v_view from collection_view w
    where w.home_id = p_collection_home_id and w.collection_id = p_collection_id and w.principal_id = p_viewer_id;
    select s.revision, s.collection_revision into revision, collection_revision
    from koyomi_set_collection_properties_2(
        p_home_id, p_name, p_collection_home_id, p_collection_id, p_incarnation, p_set, p_removed, p_timezone,
        p_source, p_viewer_id, p_view_set, p_view_removed, p_principal_id, p_origin, p_request_id
    ) as s;
    if v_shared then
        perform koyomi_require_space_2(p_collection_home_id, p_quota_bytes, v_used, v_total);
    end if;
    perform 1 from collection_view w
    where w.home_id = p_collection_home_id and w.collection_id = p_collection_id and w.principal_id = p_viewer_id
      and koyomi_property_bytes_1(w.properties) > greatest(p_max_view_bytes, v_view);
    if found then
        raise exception using errcode = 'KY003', message = 'personal properties';
    end if;
end $$;
