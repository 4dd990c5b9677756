-- The queue of jobs.

-- Take the next job of some kinds that is due and whose lock key is free, or return no row. The lock key of a job that
-- must wait is remembered, so that ten thousand jobs behind one that runs cost no look each.
create or replace function koyomi_take_job_1(p_kinds text[]) returns table (
    id bigint, kind text, payload jsonb, attempts integer, periodic boolean, run uuid
) language plpgsql
-- The candidates come in the order of their index, of which few are read.
set enable_sort = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    -- Lock keys that are taken: no job of them can run. At most 100, so that each look stays cheap.
    v_taken text[] := '{}';
    -- Lock keys whose jobs wait for the one with the lowest id, and that id.
    v_behind text[] := '{}';
    v_heads bigint[] := '{}';
    v_head bigint;
    v_position integer;
    v_job record;
begin
    for v_job in
        select j.id, j.lock_key, j.every is not null as periodic from job j
        where j.state = 'queued' and j.not_before <= now() and j.kind = any(p_kinds)
          and not exists (select from job_hold h where h.kind = j.kind)
        order by j.priority desc, j.not_before, j.id
    loop
        if v_job.lock_key is not null then
            continue when v_job.lock_key = any(v_taken);
            v_position := case when v_job.periodic then null else array_position(v_behind, v_job.lock_key) end;
            continue when v_position is not null and v_heads[v_position] <> v_job.id;
            perform 1 from job b where b.lock_key = v_job.lock_key and b.state = 'running';
            if found then
                if cardinality(v_taken) < 100 then
                    v_taken := v_taken || v_job.lock_key;
                end if;
                continue;
            end if;
            if not v_job.periodic then
                select b.id into v_head from job b
                where b.lock_key = v_job.lock_key and b.state in ('queued', 'running') and b.every is null
                order by b.id limit 1;
                if v_head < v_job.id then
                    if cardinality(v_behind) < 100 then
                        v_behind := v_behind || v_job.lock_key;
                        v_heads := v_heads || v_head;
                    end if;
                    continue;
                end if;
            end if;
        end if;
        perform 1 from job j where j.id = v_job.id and j.state = 'queued' for update skip locked;
        continue when not found;
        return query
            update job as t set state = 'running', attempts = t.attempts + 1, again = false, run = gen_random_uuid(),
                                heartbeat_at = clock_timestamp()
            where t.id = v_job.id
            returning t.id, t.kind, t.payload, t.attempts, t.every is not null, t.run;
        return;
    end loop;
end $$;
