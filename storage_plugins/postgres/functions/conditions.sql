-- What must hold in the transaction of a write.

-- Raises unless a collection is alive and still shown under the name and with the rights that a write was decided by.
create or replace function koyomi_require_collection_1(
    p_home_id bigint, p_collection_id bigint, p_binding text, p_incarnation bigint
) returns void language plpgsql as $$
begin
    perform 1 from collection c where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    perform 1 from binding b
    where b.collection_home_id = p_home_id and b.collection_id = p_collection_id and b.name = p_binding
      and b.incarnation = p_incarnation and b.deleted_revision is null;
    if not found then
        raise exception using errcode = 'KY001', message = 'binding changed';
    end if;
end $$;

-- Raises unless a collection is alive and the binding that a write was decided by still shows it: its home, its name
-- and its incarnation.
create or replace function koyomi_require_collection_2(
    p_home_id bigint, p_collection_id bigint, p_binding_home_id bigint, p_binding text, p_incarnation bigint
) returns void language plpgsql as $$
begin
    perform 1 from collection c where c.home_id = p_home_id and c.id = p_collection_id and c.deleted_at is null;
    if not found then
        raise exception using errcode = 'KY002', message = 'collection is gone';
    end if;
    perform 1 from binding b
    where b.home_id = p_binding_home_id and b.name = p_binding and b.collection_home_id = p_home_id
      and b.collection_id = p_collection_id and b.incarnation = p_incarnation and b.deleted_revision is null;
    if not found then
        raise exception using errcode = 'KY001', message = 'binding changed';
    end if;
end $$;

-- Raises if a home, whose row is held, keeps more than twice its quota.
create or replace function koyomi_require_space_1(p_home_id bigint, p_quota_bytes bigint) returns void language plpgsql as $$
begin
    perform 1 from home h
    where h.id = p_home_id
      and h.used_bytes + h.kept_bytes
          > 2 * coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes);
    if found then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
end $$;
