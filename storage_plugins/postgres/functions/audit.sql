-- The audit is only appended to, and sealed.

-- Digest of the audit rows of (p_after, p_until]: SHA-256 of the digests of the rows in order of their ids. The columns of
-- migration 0041 are part of it only if they are set, so that earlier rows keep the digest that they were sealed with.
create or replace function koyomi_audit_digest_1(
    p_after bigint, p_until bigint, out row_count bigint, out digest bytea
) language sql stable as $$
    select count(*), sha256(coalesce(string_agg(sha256(convert_to((jsonb_build_array(
        a.home_id, a.id, (extract(epoch from a.at) * 1000000)::bigint, a.action, a.revision, a.collection_id, a.object_id,
        a.subject_id, a.principal_id, a.origin, a.request_id, a.details
    ) || case when a.acting_for is null and a.trace is null then '[]'
              else jsonb_build_array(a.acting_for, a.trace) end)::text, 'UTF8')), '' order by a.id), ''))
    from audit a where a.id > p_after and a.id <= p_until
$$;

-- Digest of a seal: of the seal before it, and of the rows that it covers.
create or replace function koyomi_seal_digest_1(
    p_previous bytea, p_last_id bigint, p_row_count bigint, p_rows bytea
) returns bytea language sql immutable as $$
    select sha256(p_previous || int8send(p_last_id) || int8send(p_row_count) || p_rows)
$$;

create or replace function koyomi_refuse_change_1() returns trigger language plpgsql as $$
begin
    raise exception using errcode = '55000', message = 'rows of ' || tg_table_name || ' are never changed';
end $$;
