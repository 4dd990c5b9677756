-- What homes know of scheduling messages, beside the texts of objects.

-- Set what homes know of some UIDs; null forgets it. Each is based on the version that was read, 0 where there was none.
-- The caller holds the homes. The detail of an error is the number of the UID, from 0.
create or replace function koyomi_remember_1(
    p_home_ids bigint[], p_uids text[], p_versions bigint[], p_states jsonb[]
) returns void language plpgsql as $$
begin
    for n in 1 .. cardinality(p_home_ids) loop
        if p_states[n] is null then
            delete from scheduling_memory m
            where m.home_id = p_home_ids[n] and m.uid = p_uids[n] and m.version = p_versions[n];
        elsif p_versions[n] = 0 then
            insert into scheduling_memory (home_id, uid, state) values (p_home_ids[n], p_uids[n], p_states[n])
            on conflict do nothing;
        else
            update scheduling_memory m set state = p_states[n], version = m.version + 1, modified_at = now()
            where m.home_id = p_home_ids[n] and m.uid = p_uids[n] and m.version = p_versions[n];
        end if;
        if not found and (p_states[n] is not null or p_versions[n] <> 0) then
            raise exception using errcode = 'KY001', message = 'scheduling memory changed';
        end if;
    end loop;
end $$;
