-- Advisory locks, of one namespace with those of storage_plugins/postgres/advisory_locks.py.

-- Hold a lock until the end of the transaction: p_class says what it is for (`Lock` in advisory_locks.py, in the same
-- order), p_key which row. Without p_wait returns false where another transaction holds it. Keys that have one hash wait
-- for one another.
create or replace function koyomi_lock_1(
    p_class text, p_key bigint default 0, p_wait boolean default true
) returns boolean language plpgsql as $$
declare
    v_class integer := array_position(
        array['migrations', 'online-steps', 'principals', 'sharing', 'plan-fan-out', 'touch-bindings', 'room-parts',
              'sequencer', 'sequencer-turn', 'journal-partitions'], p_class
    );
begin
    if v_class is null then
        raise exception using errcode = '22023', message = 'no class of advisory locks: ' || p_class;
    end if;
    if not p_wait then
        return pg_try_advisory_xact_lock(1802436608 + v_class, hashint8(p_key));
    end if;
    perform pg_advisory_xact_lock(1802436608 + v_class, hashint8(p_key));
    return true;
end $$;
