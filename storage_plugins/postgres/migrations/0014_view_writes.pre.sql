-- As before; a sharee may have come by the owner's URL, and so by the owner's binding: it is their own that shows the
-- change.
create or replace function koyomi_put_view_1(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint, p_name text,
    p_expected_id bigint, p_expected_revision bigint,
    -- The person, and the revision of the view that is replaced; 0: there is none.
    p_viewer_id bigint, p_view_revision bigint,
    p_etag text, p_size integer, p_personal text, p_text text, p_busy smallint[],
    p_principal_id bigint, p_origin text, p_request_id text,
    out revision bigint, out object_id bigint, out modified_at timestamptz, out viewer_home_id bigint
) language plpgsql as $$
#variable_conflict use_column
declare
    v_sharee bigint;
    v_revision bigint;
    v_sharee_revision bigint;
    v_now timestamptz;
    v_views boolean;
begin
    perform 1 from object o
    where o.home_id = p_home_id and o.id = p_expected_id and o.revision = p_expected_revision
      and o.deleted_revision is null and o.collection_id = p_collection_id and o.name = p_name
    for no key update;
    if not found then
        raise exception using errcode = 'KY001', message = 'object changed';
    end if;
    if p_view_revision <> coalesce((
        select v.revision from object_view v
        where v.home_id = p_home_id and v.object_id = p_expected_id and v.principal_id = p_viewer_id
    ), 0) then
        raise exception using errcode = 'KY001', message = 'view changed';
    end if;
    select h.id into v_sharee from home h where h.principal_id = p_viewer_id and h.kind = 'calendar';
    perform 1 from home h where h.id in (p_home_id, v_sharee) order by h.id for no key update;
    perform koyomi_require_collection_1(p_home_id, p_collection_id, p_binding, p_incarnation);
    select c.views into v_views from collection c where c.home_id = p_home_id and c.id = p_collection_id;
    if not v_views then
        raise exception using errcode = 'KY001', message = 'sharing changed';
    end if;
    update home h set revision = h.revision + 1 where h.id = p_home_id returning h.revision into v_revision;
    update home h set revision = h.revision + 1, modified_at = clock_timestamp() where h.id = v_sharee
    returning h.revision, h.modified_at into v_sharee_revision, v_now;
    update binding b set view_revision = v_revision, revision = v_sharee_revision
    where b.home_id = v_sharee and b.collection_home_id = p_home_id and b.collection_id = p_collection_id
      and b.deleted_revision is null;
    insert into object_view as v (
        home_id, object_id, principal_id, revision, modified_at, etag, size, personal, text, busy
    ) values (
        p_home_id, p_expected_id, p_viewer_id, v_revision, v_now, p_etag, p_size, p_personal, p_text, p_busy
    )
    on conflict (home_id, object_id, principal_id) do update
    set revision = excluded.revision, modified_at = excluded.modified_at, etag = excluded.etag, size = excluded.size,
        personal = excluded.personal, text = excluded.text, busy = excluded.busy;
    -- It happened in this person's home: nobody else's needs to hear of it.
    insert into outbox (home_id, revision, kind, collection_id, object_id, principal_id, origin, request_id)
    values (v_sharee, v_sharee_revision, 'view', p_collection_id, p_expected_id, p_principal_id, p_origin, p_request_id);
    insert into audit (home_id, revision, action, collection_id, object_id, subject_id, principal_id, origin, request_id)
    values (p_home_id, v_revision, 'view', p_collection_id, p_expected_id, p_viewer_id, p_principal_id, p_origin,
            p_request_id);
    revision := v_revision;
    object_id := p_expected_id;
    modified_at := v_now;
    viewer_home_id := v_sharee;
end $$;

-- Whether all objects of a calendar with views have been rendered. Nobody sees a calendar that is shared before it is;
-- those that were shared before there were views are rendered by a job.
alter table collection add column views_rendered boolean not null default false;

-- As before; what is rendered from then on is not all yet.
create or replace function koyomi_begin_views_1(p_home_id bigint, p_collection_id bigint) returns boolean
language plpgsql as $$
begin
    perform pg_advisory_xact_lock(p_collection_id);
    update collection c set views = true, views_rendered = false
    where c.home_id = p_home_id and c.id = p_collection_id and c.kind = 'calendar' and not c.views;
    return found;
end $$;
