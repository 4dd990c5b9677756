-- The journal: rows of the outbox are moved into it, then only read, sealed, and at last detached with their partition.

create or replace function koyomi_refuse_change_1() returns trigger language plpgsql as $$
begin
    raise exception using errcode = '55000', message = 'rows of ' || tg_table_name || ' are never changed';
end $$;

create or replace trigger journal_append_only before update or delete or truncate on journal
    for each statement execute function koyomi_refuse_change_1();
create or replace trigger journal_act_append_only before update or delete or truncate on journal_act
    for each statement execute function koyomi_refuse_change_1();
create or replace trigger journal_echo_append_only before update or delete or truncate on journal_echo
    for each statement execute function koyomi_refuse_change_1();
create or replace trigger journal_seal_append_only before update or delete or truncate on journal_seal
    for each statement execute function koyomi_refuse_change_1();
create or replace trigger journal_detached_append_only before update or delete or truncate on journal_detached
    for each statement execute function koyomi_refuse_change_1();

-- Make the partitions of one month, if they are missing, and the triggers that keep the rows of every partition. Attaching
-- a partition does not wait for a dump, unlike making it as one.
create or replace function koyomi_journal_partition_1(p_month date) returns void language plpgsql as $$
declare
    v_class text;
    v_table text;
begin
    perform koyomi_lock_1('journal-partitions');
    foreach v_class in array array['act', 'echo'] loop
        v_table := format('journal_%s_%s', v_class, to_char(p_month, 'YYYY_MM'));
        -- The first partition has no lower bound, and ends with the month in which it was made.
        if to_regclass(v_table) is null and not exists (
            select from pg_class c
            where c.oid = to_regclass(format('journal_%s_first', v_class))
              and p_month < substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''(.*)''\)')::date
        ) then
            execute format('create table %I (like journal including all)', v_table);
            execute format('alter table journal_%s attach partition %I for values from (%L) to (%L)', v_class, v_table,
                           p_month, p_month + interval '1 month');
        end if;
    end loop;
    for v_table in
        select c.relname from pg_partition_tree('journal') t join pg_class c on c.oid = t.relid
        where t.isleaf and not exists (select from pg_trigger g where g.tgrelid = c.oid and g.tgname = 'append_only')
    loop
        execute format('create trigger append_only before update or delete or truncate on %I '
                       'for each statement execute function koyomi_refuse_change_1()', v_table);
    end loop;
end $$;

-- Move the rows of the outbox that are visible and have ids above p_low into the journal, in the order of their ids, and
-- at most about p_limit. One transaction at a time does so: `led` is false where another one is at it.
--
-- The lock is taken in a statement of its own, and this function is volatile: the statement that moves the rows has a
-- later snapshot, which sees what the holder before has moved. It waits for rows that are locked, and skips none.
create or replace function koyomi_sequence_1(
    p_low bigint, p_limit integer, p_echo_kinds text[], p_echo_origins text[],
    -- The last number of the journal and its month, as the caller knows them; null: it does not.
    p_last_seq bigint, p_last_month date,
    out led boolean,
    out moved bigint,
    -- Whether rows were left for the next call.
    out more boolean,
    -- The number of the last row of the journal, and its month.
    out last_seq bigint, out last_month date,
    -- Ids up to this one had been drawn by transactions below x_max, before rows were moved. All transactions below
    -- x_min had ended.
    out drawn bigint, out x_max text, out x_min text,
    -- The longest time in seconds between writing a row and moving it.
    out longest double precision
) language plpgsql volatile as $$
declare
    v_now date := date_trunc('month', clock_timestamp() at time zone 'UTC');
    v_cut bigint;
    v_xids xid8[];
    v_changes bigint[];
begin
    led := koyomi_lock_1('sequencer', p_wait => false);
    if not led then
        return;
    end if;
    drawn := coalesce(pg_sequence_last_value('outbox_id_seq'), 0);
    select pg_snapshot_xmax(s)::text, pg_snapshot_xmin(s)::text into x_max, x_min from pg_current_snapshot() as s;
    last_seq := p_last_seq;
    last_month := p_last_month;
    -- The sequence journal_seq says what the last run has set, even if that was rolled back: if it is what the caller
    -- knows, nobody has moved rows since.
    if last_seq is distinct from pg_sequence_last_value('journal_seq') or last_month is null then
        -- With a literal the partitions of other months are not opened.
        execute format('select seq, month from journal where month >= %L order by seq desc limit 1', v_now)
        into last_seq, last_month;
        if last_seq is null then
            select j.seq, j.month into last_seq, last_month from journal j order by j.seq desc limit 1;
        end if;
        -- Rows that were carried over have numbers up to 0.
        last_seq := greatest(last_seq, 0);
    end if;
    -- A clock that goes back must not lead to an earlier month.
    last_month := greatest(last_month, v_now);
    if drawn - p_low > p_limit then
        select o.id into v_cut from outbox o where o.id > p_low order by o.id offset p_limit limit 1;
    end if;
    with moved as (
        delete from outbox o where o.id > p_low and (v_cut is null or o.id < v_cut) returning *
    ), numbered as (
        select m.*, row_number() over (order by m.id) as number,
               coalesce(m.change, min(m.id) over (partition by m.xid)) as of_change
        from moved m
    ), written as (
        insert into journal (
            seq, act, month, at, home_id, revision, collection_id, object_id, subject_id, principal_id, acting_for,
            change, text_id, kind, action, origin, request_id, trace, details, text_digest
        )
        select last_seq + n.number, not (n.kind = any(p_echo_kinds) or n.origin = any(p_echo_origins)), last_month, n.at,
               n.home_id, n.revision, n.collection_id, n.object_id, n.subject_id, n.principal_id, n.acting_for,
               n.of_change, n.text_id, n.kind, n.action, n.origin, n.request_id, n.trace, n.details, n.text_digest
        from numbered n order by n.number
    )
    select count(*), extract(epoch from clock_timestamp() - min(n.at)),
           case when v_cut is not null then array_agg(n.xid) end,
           case when v_cut is not null then array_agg(n.of_change) end
    into moved, longest, v_xids, v_changes
    from numbered n;
    more := v_cut is not null;
    if moved = 0 and last_seq = p_last_seq then
        return;
    end if;
    last_seq := last_seq + moved;
    perform setval('journal_seq', last_seq);
    if more then
        -- The rest of a transaction that was moved in part keeps its `change`.
        update outbox o set change = m.change
        from (select distinct x.xid, x.change from unnest(v_xids, v_changes) as x (xid, change)) as m
        where o.xid = m.xid and o.change is null;
    end if;
end $$;

-- A row of the journal as it is sealed and written to files.
create or replace function koyomi_journal_line_1(j journal) returns text language sql immutable as $$
    select jsonb_build_array(
        j.seq, (extract(epoch from j.at) * 1000000)::bigint, coalesce(j.action, j.kind), j.home_id, j.revision,
        j.collection_id, j.object_id, j.subject_id, j.principal_id, j.acting_for, j.origin, j.request_id, j.change,
        j.trace, j.details, j.carried, encode(j.text_digest, 'hex'), j.kind
    )::text
$$;

-- The number and the digest of the acts of [p_first, p_last]: SHA-256 of the digests of their lines, in order.
create or replace function koyomi_journal_digest_1(
    p_first bigint, p_last bigint, out row_count bigint, out digest bytea
) language sql stable as $$
    select count(*), sha256(coalesce(string_agg(sha256(convert_to(koyomi_journal_line_1(j), 'UTF8')), '' order by j.seq), ''))
    from journal j where j.act and j.seq between p_first and p_last
$$;

-- As versions before sealed their rows: the digest of those that were carried over and had ids in (p_after, p_until].
create or replace function koyomi_carried_digest_1(
    p_after bigint, p_until bigint, out row_count bigint, out digest bytea
) language sql stable as $$
    select count(*), sha256(coalesce(string_agg(sha256(convert_to((jsonb_build_array(
        j.home_id, j.carried, (extract(epoch from j.at) * 1000000)::bigint, j.kind, nullif(j.revision, 0),
        j.collection_id, j.object_id, j.subject_id, j.principal_id, j.origin, j.request_id, j.details
    ) || case when j.acting_for is null and j.trace is null then '[]'
              else jsonb_build_array(j.acting_for, j.trace) end)::text, 'UTF8')), '' order by j.carried), ''))
    from journal j where j.act and j.carried > p_after and j.carried <= p_until
$$;

-- Digest of a seal of the version before: of the seal before it, and of the rows that it covers.
create or replace function koyomi_seal_digest_1(
    p_previous bytea, p_last_id bigint, p_row_count bigint, p_rows bytea
) returns bytea language sql immutable as $$
    select sha256(p_previous || int8send(p_last_id) || int8send(p_row_count) || p_rows)
$$;
