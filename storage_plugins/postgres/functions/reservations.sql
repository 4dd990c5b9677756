-- When rooms and equipment are taken: a reservation for every busy instance of an event in their calendars, whoever
-- writes it. Reservations are derived at the end of the transaction, from the occurrences that it leaves. Whoever writes
-- an object holds its home, so that writers of one room queue; the exclusion constraint of the table is the last
-- defence for rooms that take one booking at a time.

-- End the reservations of objects of a home, whose rows the transaction holds.
create or replace function koyomi_release_1(p_home_ids bigint[], p_object_ids bigint[]) returns void language plpgsql as $$
begin
    delete from reservation r using unnest(p_home_ids, p_object_ids) as w (home_id, object_id)
    where r.home_id = w.home_id and r.object_id = w.object_id;
    update object o set reserved = false from unnest(p_home_ids, p_object_ids) as w (home_id, object_id)
    where o.home_id = w.home_id and o.id = w.object_id and o.reserved;
end $$;

-- The rooms that a booking of a room takes: its parts that have no parts, or itself.
create or replace function koyomi_taken_with_1(p_principal_id bigint) returns bigint[] language sql stable as $$
    with recursive below (id) as (
        select p_principal_id
        union
        select r.principal_id from below b join room r on r.parent_id = b.id
    )
    select array_agg(b.id order by b.id) from below b where not exists (select from room r where r.parent_id = b.id)
$$;

-- How many bookings a room takes at once; null: any number.
create or replace function koyomi_taken_at_once_1(p_principal_id bigint) returns integer language sql stable as $$
    -- The mode counts only for a room without a policy.
    select case when coalesce(r.policy, '{}') <> '{}' and coalesce(r.policy ->> 'allow_conflicts', '') = 'true'
                  or coalesce(r.policy, '{}') = '{}' and p.auto_schedule ->> 'mode' = 'accept-always' then null
                else coalesce(r.pieces + r.allowed_overlaps, 1) end
    from principal p left join room r on r.principal_id = p.id where p.id = p_principal_id
$$;

-- A local time of a calendar in UTC, by its clock: the local times from which on offsets, in seconds, hold. Local times
-- are written as if they were in UTC.
create or replace function koyomi_clock_utc_1(
    p_local timestamptz, p_starts timestamptz[], p_offsets integer[]
) returns timestamptz language sql immutable parallel safe as $$
    select p_local - make_interval(secs => p_offsets[greatest(1, width_bucket(p_local, p_starts))])
$$;

-- The zone of a calendar of a room: the room's own, or else the calendar's.
create or replace function koyomi_clock_zone_1(p_of_room text, p_timezone text) returns text
language sql immutable parallel safe as $$
    select coalesce(nullif(p_of_room, ''), p_timezone, '')
$$;

-- The reservations that objects of a home must have, one for each room that a booking takes. A clock that is not
-- known ends the transaction (KY010): its detail says of which calendar, and its zone.
create or replace function koyomi_wanted_reservations_1(p_home_id bigint, p_object_ids bigint[])
returns reservation[] language plpgsql as $$
declare
    v_room record;
    v_parts bigint[];
    v_limits integer[];
    v_missing record;
    v_found reservation[];
    v_clock_is_missing boolean;
begin
    select h.principal_id as id, coalesce(r.buffer_before, interval '0') as before,
           coalesce(r.buffer_after, interval '0') as after, coalesce(r.time_zone, '') as zone,
           koyomi_taken_at_once_1(h.principal_id) as at_once,
           exists (select from room s where s.parent_id = h.principal_id) as has_parts
    into v_room
    from home h left join room r on r.principal_id = h.principal_id
    where h.id = p_home_id;
    if not v_room.has_parts then
        v_parts := array[v_room.id];
        v_limits := array[v_room.at_once];
    else
        v_parts := koyomi_taken_with_1(v_room.id);
        v_limits := array(
            select koyomi_taken_at_once_1(p.id) from unnest(v_parts) with ordinality as p (id, n) order by p.n
        );
        if v_room.at_once is null then
            v_limits := array_fill(null::integer, array[cardinality(v_parts)]);
        end if;
    end if;
    select array_agg(
        row(p_home_id, null, p.id, e.collection_id, e.object_id, e.recurrence_id,
            tstzrange(e.starts_at - v_room.before, e.ends_at + v_room.after), e.starts_at, e.ends_at,
            case when p.at_once = 1 then 1 end, now())::reservation
        order by e.created_at, e.object_id, e.starts_at
    ), bool_or(e.starts_at is null)
    into v_found, v_clock_is_missing
    from (
        select o.created_at, e.collection_id, e.object_id, e.recurrence_id,
               case when e.kind = 0 then e.start_at else koyomi_clock_utc_1(e.start_at, k.starts, k.offsets) end
                   as starts_at,
               case when e.kind = 0 then e.end_at else koyomi_clock_utc_1(e.end_at, k.starts, k.offsets) end as ends_at
        from unnest(p_object_ids) as w (id)
        join object o
            on o.home_id = p_home_id and o.id = w.id and o.deleted_revision is null and o.component = 'VEVENT'
        join collection c
            on c.home_id = p_home_id and c.id = o.collection_id and c.kind = 'calendar' and c.deleted_at is null
        join occurrence e
            on e.home_id = p_home_id and e.object_id = o.id and e.busy > 0 and e.component >= 0
        left join calendar_clock k
            on e.kind <> 0 and k.home_id = p_home_id and k.collection_id = c.id
            and k.zone = koyomi_clock_zone_1(v_room.zone, c.timezone)
        -- What is copied or handed over takes the room when its calendar appears.
        where exists (
            select from binding b
            where b.home_id = p_home_id and b.collection_home_id = p_home_id and b.collection_id = c.id
              and b.rights = 'owner' and b.deleted_revision is null
        )
    ) as e
    cross join unnest(v_parts, v_limits) as p (id, at_once)
    where e.starts_at < e.ends_at or e.starts_at is null;
    if v_clock_is_missing then
        select c.id, koyomi_clock_zone_1(v_room.zone, c.timezone) as zone into v_missing
        from unnest(p_object_ids) as w (id)
        join object o on o.home_id = p_home_id and o.id = w.id
        join collection c on c.home_id = p_home_id and c.id = o.collection_id
        where exists (
            select from occurrence e where e.home_id = p_home_id and e.object_id = o.id and e.kind <> 0 and e.busy > 0
        ) and not exists (
            select from calendar_clock k
            where k.home_id = p_home_id and k.collection_id = c.id
              and k.zone = koyomi_clock_zone_1(v_room.zone, c.timezone)
        )
        limit 1;
        raise exception using errcode = 'KY010', message = 'no clock',
            detail = json_build_object('home', p_home_id, 'collection', v_missing.id, 'zone', v_missing.zone);
    end if;
    return v_found;
end $$;

-- Whoever reserves a room that has parts, or is one, holds each room that the booking takes. The homes are held before
-- all of these; nobody waits for long while holding one, so that no circle of waits lasts.
create or replace function koyomi_lock_taken_1(p_resource_ids bigint[]) returns void language plpgsql as $$
begin
    for n in 1 .. cardinality(p_resource_ids) loop
        for try in 1 .. 40 loop
            exit when koyomi_lock_1('room-parts', p_resource_ids[n], false);
            if try = 40 then
                raise exception using errcode = 'KY001', message = 'a part of the room is being booked';
            end if;
            perform pg_sleep(0.01);
        end loop;
    end loop;
end $$;

-- A wanted reservation overlaps others, of a room that takes one booking at a time. Returns the homes
-- and ids of those that lose their time, in pairs, or fails with the first of the others.
create or replace function koyomi_contest_1(p_row reservation, p_late boolean) returns bigint[] language plpgsql as $$
declare
    v_other record;
    v_losers bigint[];
begin
    select min(r.starts_at) as starts_at, min(r.ends_at) as ends_at,
           bool_and((o.created_at, o.id) > (m.created_at, m.id)) as younger, array_agg(r.object_id) as ids
    into v_other
    from object m
    join reservation r
        on r.resource_id = p_row.resource_id and r.during && p_row.during and r.object_id <> p_row.object_id
    join object o on o.home_id = r.home_id and o.id = r.object_id
    where m.home_id = p_row.home_id and m.id = p_row.object_id;
    if not p_late then
        perform koyomi_refuse_taken_1(p_row.home_id, v_other.starts_at, v_other.ends_at);
    end if;
    if not coalesce(v_other.younger, true) then
        return array[p_row.home_id, p_row.object_id];
    end if;
    with lost as (
        delete from reservation r
        where r.resource_id = p_row.resource_id and r.during && p_row.during and r.object_id <> p_row.object_id
        returning r.home_id, r.object_id
    )
    select array_agg(v.id order by l.object_id, v.n) into v_losers
    from lost l cross join lateral (values (1, l.home_id), (2, l.object_id)) as v (n, id);
    insert into reservation (
        home_id, resource_id, collection_id, object_id, recurrence_id, during, starts_at, ends_at, sole
    ) values (
        p_row.home_id, p_row.resource_id, p_row.collection_id, p_row.object_id, p_row.recurrence_id, p_row.during,
        p_row.starts_at, p_row.ends_at, p_row.sole
    );
    return coalesce(v_losers, '{}');
end $$;

-- The same of a room that takes several bookings at once: they are counted wherever one begins.
create or replace function koyomi_count_taken_1(p_row reservation, p_late boolean) returns bigint[] language plpgsql as $$
declare
    v_limit integer := koyomi_taken_at_once_1(p_row.resource_id);
    v_full record;
    v_losers bigint[] := '{}';
    v_lost record;
begin
    if v_limit is null then
        return v_losers;
    end if;
    loop
        select t.at, r.starts_at, r.ends_at into v_full
        from (
            select distinct greatest(lower(a.during), lower(p_row.during)) as at from reservation a
            where a.resource_id = p_row.resource_id and a.during && p_row.during
        ) as t
        join lateral (
            select min(c.starts_at) as starts_at, min(c.ends_at) as ends_at, count(distinct c.object_id) as bookings
            from reservation c where c.resource_id = p_row.resource_id and c.during && tstzrange(t.at, t.at, '[]')
        ) as r on r.bookings > v_limit
        order by t.at limit 1;
        if not found then
            return v_losers;
        end if;
        if not p_late then
            perform koyomi_refuse_taken_1(p_row.home_id, v_full.starts_at, v_full.ends_at);
        end if;
        -- The youngest of those that meet there.
        delete from reservation d where (d.home_id, d.id) = (
            select c.home_id, c.id from reservation c join object o on o.home_id = c.home_id and o.id = c.object_id
            where c.resource_id = p_row.resource_id and c.during && tstzrange(v_full.at, v_full.at, '[]')
            order by o.created_at desc, o.id desc limit 1
        )
        returning d.home_id, d.object_id into v_lost;
        v_losers := v_losers || array[v_lost.home_id, v_lost.object_id];
    end loop;
end $$;

-- Refuse a booking: the detail says in which home, and when somebody else has the room.
create or replace function koyomi_refuse_taken_1(
    p_home_id bigint, p_starts_at timestamptz, p_ends_at timestamptz
) returns void language plpgsql as $$
begin
    raise exception using errcode = '23P01', message = 'the room is taken', detail = json_build_object(
        'home', p_home_id, 'start', extract(epoch from p_starts_at), 'end', extract(epoch from p_ends_at)
    );
end $$;

-- Ask for jobs that decline instances whose time others have, of objects given by home and id in turn.
create or replace function koyomi_tell_of_clash_1(p_losers bigint[]) returns void language plpgsql as $$
begin
    insert into job (kind, payload, lock_key, queueing_key)
    select 'rooms.clash', jsonb_build_object('home', l.home_id, 'object', l.id), 'room-clash-' || l.id, l.id::text
    from (
        select distinct p_losers[2 * n - 1] as home_id, p_losers[2 * n] as id
        from generate_series(1, cardinality(p_losers) / 2) as n order by 2
    ) as l
    on conflict (kind, queueing_key) where state = 'queued' and attempts = 0 do nothing;
end $$;

-- Reserve what is not reserved yet, as far as it is free, of a room that is no part, has none, and takes one booking at a
-- time. Returns whether that is all there is to do: so it is for most bookings, in one statement.
create or replace function koyomi_reserve_free_1(
    p_home_id bigint, p_principal_id bigint, p_object_ids bigint[]
) returns boolean language plpgsql as $$
declare
    v_is_all boolean;
begin
    with rule as materialized (
        select coalesce(r.buffer_before, interval '0') as before, coalesce(r.buffer_after, interval '0') as after
        from (select) as one left join room r on r.principal_id = p_principal_id
        where koyomi_taken_at_once_1(p_principal_id) = 1 and not exists (
            select from reservation v where v.home_id = p_home_id and v.object_id = any(p_object_ids)
        )
    ), wanted as materialized (
        select o.created_at, o.collection_id, o.id as object_id, e.recurrence_id, e.start_at, e.end_at,
               e.kind = 0 as is_placed, r.before, r.after
        from rule r
        cross join unnest(p_object_ids) as w (id)
        join object o
            on o.home_id = p_home_id and o.id = w.id and o.deleted_revision is null and o.component = 'VEVENT'
        join collection c
            on c.home_id = p_home_id and c.id = o.collection_id and c.kind = 'calendar' and c.deleted_at is null
        join occurrence e
            on e.home_id = p_home_id and e.object_id = o.id and e.busy > 0 and e.component >= 0
        where (e.start_at < e.end_at or e.kind <> 0) and exists (
            select from binding b
            where b.home_id = p_home_id and b.collection_home_id = p_home_id and b.collection_id = c.id
              and b.rights = 'owner' and b.deleted_revision is null
        )
    ), made as (
        insert into reservation (
            home_id, resource_id, collection_id, object_id, recurrence_id, during, starts_at, ends_at, sole
        )
        select p_home_id, p_principal_id, w.collection_id, w.object_id, w.recurrence_id,
               tstzrange(w.start_at - w.before, w.end_at + w.after), w.start_at, w.end_at, 1
        from wanted w where w.is_placed
        order by w.created_at, w.object_id, w.start_at
        on conflict do nothing
        returning object_id
    ), marked as (
        update object o set reserved = true from (
            select o.id from object o
            where o.home_id = p_home_id and o.id in (select m.object_id from made m) and not o.reserved
            for no key update skip locked
        ) as k
        where o.home_id = p_home_id and o.id = k.id
    )
    select exists (select from rule) and (select count(*) from made) = (select count(*) from wanted) into v_is_all;
    return v_is_all;
end $$;

-- Derive the reservations of objects of a home, which the transaction holds.
--
-- What overlaps another object's time is refused (23P01; the detail is the home and the other's time). With p_late the
-- object that is older keeps the time, and the others get jobs that tell their organizers.
create or replace function koyomi_reserve_1(p_home_id bigint, p_object_ids bigint[], p_late boolean default false)
returns void language plpgsql as $$
#variable_conflict use_column
declare
    v_principal_id bigint;
    v_is_alone boolean;
    v_wanted reservation[];
    v_new reservation[];
    v_inserted integer;
    v_row reservation;
    v_losers bigint[] := '{}';
begin
    select h.principal_id, not exists (
        select from room r
        where r.parent_id = h.principal_id or (r.principal_id = h.principal_id and r.parent_id is not null)
    ) into v_principal_id, v_is_alone
    from home h
    where h.id = p_home_id;
    if not v_is_alone then
        perform koyomi_lock_taken_1(koyomi_taken_with_1(v_principal_id));
    elsif koyomi_reserve_free_1(p_home_id, v_principal_id, p_object_ids) then
        return;
    end if;
    v_wanted := koyomi_wanted_reservations_1(p_home_id, p_object_ids);

    perform 1 from reservation r where r.home_id = p_home_id and r.object_id = any(p_object_ids) limit 1;
    if not found then
        v_new := v_wanted;
    else
        -- What lies before the occurrences that are stored is over and stays, as long as its object lives.
        delete from reservation r using object o
        where r.home_id = p_home_id and r.object_id = any(p_object_ids)
          and o.home_id = p_home_id and o.id = r.object_id
          and not exists (
              select from unnest(v_wanted) as w
              where w.object_id = r.object_id and w.resource_id = r.resource_id and w.recurrence_id = r.recurrence_id
                and w.during = r.during and w.starts_at = r.starts_at and w.sole is not distinct from r.sole
                and w.collection_id = r.collection_id
          )
          and (o.deleted_revision is not null or o.collection_id <> r.collection_id or o.expanded_from is null
               or upper(r.during) > o.expanded_from);
        v_new := array(
            select w from unnest(v_wanted) as w
            where not exists (
                select from reservation r
                where r.home_id = p_home_id and r.object_id = w.object_id and r.resource_id = w.resource_id
                  and r.recurrence_id = w.recurrence_id and r.during = w.during
            )
        );
    end if;
    if cardinality(v_new) > 0 then
        insert into reservation (
            home_id, resource_id, collection_id, object_id, recurrence_id, during, starts_at, ends_at, sole
        )
        select w.home_id, w.resource_id, w.collection_id, w.object_id, w.recurrence_id, w.during, w.starts_at,
               w.ends_at, w.sole
        from unnest(v_new) as w
        on conflict do nothing;
        get diagnostics v_inserted = row_count;
        if v_inserted < cardinality(v_new) then
            for v_row in
                select w.* from unnest(v_new) as w
                where not exists (
                    select from reservation r
                    where r.home_id = p_home_id and r.object_id = w.object_id and r.resource_id = w.resource_id
                      and r.recurrence_id = w.recurrence_id and r.during = w.during
                )
            loop
                v_losers := v_losers || koyomi_contest_1(v_row, p_late);
            end loop;
        end if;
        foreach v_row in array v_new loop
            if v_row.sole is null then
                v_losers := v_losers || koyomi_count_taken_1(v_row, p_late);
            end if;
        end loop;
    end if;
    -- Whoever holds one of these objects may wait for the home, and then derives its reservations, too.
    update object o set reserved = true from (
        select o.id from object o
        where o.home_id = p_home_id and o.id = any(p_object_ids) and not o.reserved and o.deleted_revision is null
          and exists (select from reservation r where r.home_id = p_home_id and r.object_id = o.id)
        for no key update skip locked
    ) as k
    where o.home_id = p_home_id and o.id = k.id;
    if cardinality(v_losers) > 0 then
        perform koyomi_tell_of_clash_1(v_losers);
    end if;
end $$;

-- Whether a wanted reservation takes no time that others have, however old their bookings are.
create or replace function koyomi_fits_1(p_row reservation) returns boolean language sql stable as $$
    select not exists (
        select from (
            select distinct greatest(lower(a.during), lower(p_row.during)) as at from reservation a
            where a.resource_id = p_row.resource_id and a.during && p_row.during and a.object_id <> p_row.object_id
        ) as t
        where (
            select count(distinct c.object_id) from reservation c
            where c.resource_id = p_row.resource_id and c.object_id <> p_row.object_id
              and c.during && tstzrange(t.at, t.at, '[]')
        ) >= koyomi_taken_at_once_1(p_row.resource_id)
    )
$$;

-- Derive the reservations of an object whose stored occurrences reach further now, as koyomi_reserve_1. Its new
-- instances take no time from others, who have booked it meanwhile: a job declines those instances.
create or replace function koyomi_reserve_on_1(p_home_id bigint, p_object_id bigint) returns void language plpgsql as $$
declare
    v_new reservation[];
    v_left_out text[];
begin
    perform koyomi_lock_taken_1(koyomi_taken_with_1(h.principal_id)) from home h
    where h.id = p_home_id and exists (
        select from room r
        where r.parent_id = h.principal_id or (r.principal_id = h.principal_id and r.parent_id is not null)
    );
    v_new := array(
        select w from unnest(koyomi_wanted_reservations_1(p_home_id, array[p_object_id])) as w
        where not exists (
            select from reservation r
            where r.home_id = p_home_id and r.object_id = p_object_id and r.resource_id = w.resource_id
              and r.recurrence_id = w.recurrence_id and r.during = w.during
        )
    );
    v_left_out := array(
        select distinct w.recurrence_id from unnest(v_new) as w where w.ends_at > now() and not koyomi_fits_1(w)
    );
    if cardinality(v_left_out) = 0 then
        perform koyomi_reserve_1(p_home_id, array[p_object_id], true);
        return;
    end if;
    insert into reservation (
        home_id, resource_id, collection_id, object_id, recurrence_id, during, starts_at, ends_at, sole
    )
    select w.home_id, w.resource_id, w.collection_id, w.object_id, w.recurrence_id, w.during, w.starts_at, w.ends_at,
           w.sole
    from unnest(v_new) as w where w.recurrence_id <> all(v_left_out)
    on conflict do nothing;
    perform koyomi_tell_of_clash_1(array[p_home_id, p_object_id]);
end $$;

-- What follows from a change of the home of a room: its revision covers all members that the transaction has written,
-- and the bindings of calendars that appeared.
create or replace function koyomi_reserve_changed_1() returns trigger language plpgsql as $$
declare
    v_ids bigint[];
begin
    select array_agg(o.id order by o.id) into v_ids
    from collection c
    join object o on o.home_id = c.home_id and o.collection_id = c.id
    where c.home_id = new.id and c.kind = 'calendar' and c.revision > old.revision and o.component = 'VEVENT'
      and (o.revision > old.revision or exists (
          select from binding b
          where b.home_id = c.home_id and b.collection_home_id = c.home_id and b.collection_id = c.id
            and b.rights = 'owner' and b.created_revision > old.revision and b.deleted_revision is null
      ));
    if v_ids is not null then
        perform koyomi_reserve_1(new.id, v_ids);
    end if;
    return null;
end $$;
drop trigger if exists home_reserves_changed on home;
create constraint trigger home_reserves_changed after update of revision on home deferrable initially deferred
    for each row when (new.reserves and new.revision > old.revision) execute function koyomi_reserve_changed_1();

-- Derive the reservations of all that a home of a room holds and that is not over: its rooms, buffers, pieces or clocks
-- have changed.
create or replace function koyomi_reserve_anew_1(p_home_id bigint) returns void language plpgsql as $$
declare
    v_ids bigint[];
begin
    perform 1 from home h where h.id = p_home_id for no key update;
    v_ids := array(
        select distinct e.object_id
        from binding b
        join occurrence e on e.home_id = b.home_id and e.collection_id = b.collection_id
        where b.home_id = p_home_id and b.collection_home_id = p_home_id and b.rights = 'owner'
          and b.deleted_revision is null and e.range_end > now() - interval '26 hours'
    );
    delete from reservation r where r.home_id = p_home_id and r.object_id = any(v_ids) and upper(r.during) > now();
    perform koyomi_reserve_1(p_home_id, v_ids, true);
end $$;

-- A new time zone of a calendar moves what is floating or whole days.
create or replace function koyomi_reserve_in_zone_1() returns trigger language plpgsql as $$
begin
    if exists (select from home h where h.id = new.home_id and h.reserves) then
        perform koyomi_reserve_anew_1(new.home_id);
    end if;
    return null;
end $$;
drop trigger if exists collection_reserves_in_zone on collection;
create constraint trigger collection_reserves_in_zone after update of timezone on collection
    deferrable initially deferred for each row
    when (old.timezone is distinct from new.timezone and new.kind = 'calendar')
    execute function koyomi_reserve_in_zone_1();

-- A home of a room or of equipment has reservations.
create or replace function koyomi_home_reserves_1() returns trigger language plpgsql as $$
begin
    new.reserves := new.kind = 'calendar' and exists (
        select from principal p where p.id = new.principal_id and p.kind in ('room', 'resource')
    );
    return new;
end $$;
create or replace trigger home_reserves before insert on home for each row execute function koyomi_home_reserves_1();

-- What a room is has changed: how much time bookings take, how many at once, its zone, or what it is a part of. Its
-- bookings are derived anew, and those of the wholes that it is, or was, a part of.
create or replace function koyomi_room_changed_1() returns trigger language plpgsql as $$
declare
    v_room_ids bigint[];
    v_home_id bigint;
begin
    if tg_table_name = 'principal' then
        v_room_ids := array[new.id];
    else
        v_room_ids := array[new.principal_id, old.parent_id, new.parent_id];
    end if;
    for v_home_id in
        with recursive related (id) as (
            select r.id from unnest(v_room_ids) as r (id) where r.id is not null
            union
            select r.parent_id from related e join room r on r.principal_id = e.id where r.parent_id is not null
        )
        select h.id from related e join home h on h.principal_id = e.id
        where h.reserves order by h.id
    loop
        perform koyomi_reserve_anew_1(v_home_id);
    end loop;
    return null;
end $$;
drop trigger if exists room_changed on room;
create constraint trigger room_changed after update on room deferrable initially deferred for each row
    when (
        (old.buffer_before, old.buffer_after, old.pieces, old.allowed_overlaps, old.parent_id, old.time_zone,
         old.policy -> 'allow_conflicts')
        is distinct from
        (new.buffer_before, new.buffer_after, new.pieces, new.allowed_overlaps, new.parent_id, new.time_zone,
         new.policy -> 'allow_conflicts')
    )
    execute function koyomi_room_changed_1();
drop trigger if exists room_mode_changed on principal;
create constraint trigger room_mode_changed after update of auto_schedule on principal
    deferrable initially deferred for each row
    when (new.kind in ('room', 'resource') and old.auto_schedule is distinct from new.auto_schedule)
    execute function koyomi_room_changed_1();
