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
create or replace function koyomi_require_space_1(p_home_id bigint, p_quota_bytes bigint) returns void
language plpgsql as $$
begin
    perform 1 from home h
    where h.id = p_home_id
      and h.used_bytes + h.kept_bytes + h.property_bytes + h.kept_property_bytes
          > 2 * coalesce((select p.quota_bytes from principal p where p.id = h.principal_id), p_quota_bytes);
    if found then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
end $$;

-- What a home, whose row is locked by this, uses and keeps.
create or replace function koyomi_hold_space_1(p_home_id bigint, out used bigint, out total bigint) language sql as $$
    select h.used_bytes + h.property_bytes, h.used_bytes + h.property_bytes + h.kept_bytes + h.kept_property_bytes
    from home h where h.id = p_home_id for no key update
$$;

-- Raises if a home, whose row is held, has grown beyond its quota since it used and kept so much.
create or replace function koyomi_require_space_2(
    p_home_id bigint, p_quota_bytes bigint, p_used bigint, p_total bigint
) returns void language plpgsql as $$
declare
    v_used bigint;
    v_total bigint;
    v_quota bigint;
begin
    select s.used, s.total into v_used, v_total from koyomi_hold_space_1(p_home_id) as s;
    select coalesce(p.quota_bytes, p_quota_bytes) into v_quota
    from home h join principal p on p.id = h.principal_id where h.id = p_home_id;
    if (v_used > v_quota and v_used > p_used) or (v_total > 2 * v_quota and v_total > p_total) then
        raise exception using errcode = 'KY003', message = 'quota';
    end if;
end $$;
