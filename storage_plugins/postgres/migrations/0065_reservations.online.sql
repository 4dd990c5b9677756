-- What rooms and equipment have in their calendars is reserved; where times overlap, the older event has them. Its
-- instances at local times or whole days, and those that were not answered, follow when the events are derived anew.
with rooms as (
    select h.id, h.principal_id from home h join principal p on p.id = h.principal_id
    where h.kind = 'calendar' and p.kind in ('room', 'resource') and not h.reserves
    order by h.id limit 20 for no key update of h
), events as (
    select o.home_id, o.id, o.collection_id, o.created_at, r.principal_id,
           case when coalesce(p.auto_schedule ->> 'mode', '') <> 'accept-always' then 1 end as sole
    from rooms r
    join principal p on p.id = r.principal_id
    join binding b
        on b.home_id = r.id and b.collection_home_id = r.id and b.rights = 'owner' and b.deleted_revision is null
    join collection c on c.home_id = r.id and c.id = b.collection_id and c.kind = 'calendar' and c.deleted_at is null
    join object o
        on o.home_id = r.id and o.collection_id = c.id and o.component = 'VEVENT' and o.deleted_revision is null
), reserved as (
    insert into reservation (
        home_id, resource_id, collection_id, object_id, recurrence_id, during, starts_at, ends_at, sole
    )
    select e.home_id, e.principal_id, e.collection_id, e.id, o.recurrence_id, tstzrange(o.start_at, o.end_at),
           o.start_at, o.end_at, e.sole
    from events e
    join occurrence o
        on o.home_id = e.home_id and o.object_id = e.id and o.kind = 0 and o.busy > 0 and o.component >= 0
        and o.start_at < o.end_at
    order by e.created_at, e.id, o.start_at
    on conflict do nothing
    returning home_id, object_id
), marked as (
    update object o set time_key = '', derived = 0, reserved = true from events e
    where o.home_id = e.home_id and o.id = e.id
)
update home h set reserves = true from rooms r where h.id = r.id;
