-- The dead properties that were stored before they counted.

-- Also finds those of the members of a collection that is deleted or restored.
create index concurrently object_properties on object (home_id, collection_id) where properties is not null;

-- What a snapshot holds, less what the triggers have counted of it: that is right whatever is written meanwhile.
with batch as materialized (
    select h.id, h.property_bytes, h.kept_property_bytes, h.properties from home h
    where not h.properties_counted order by h.id limit 100
), held as materialized (
    select h.id from home h where h.id in (select b.id from batch b) order by h.id for no key update
), stored as materialized (
    select s.home_id, coalesce(sum(s.bytes) filter (where s.live), 0) as live,
           coalesce(sum(s.bytes) filter (where not s.live), 0) as kept
    from (
        select b.id as home_id, true as live, coalesce(octet_length(b.properties::text), 0) as bytes from batch b
        union all
        select c.home_id, c.deleted_at is null, coalesce(octet_length(c.properties::text), 0) + coalesce(octet_length(c.timezone), 0)
               + coalesce(octet_length(c.source), 0)
        from collection c where c.home_id in (select b.id from batch b)
        union all
        select o.home_id, o.deleted_revision is null and c.deleted_at is null, coalesce(octet_length(o.properties::text), 0)
        from object o left join collection c on c.home_id = o.home_id and c.id = o.collection_id
        where o.home_id in (select b.id from batch b) and o.properties is not null
        union all
        select t.home_id, false, coalesce(octet_length(t.properties::text), 0)
        from trash t where t.home_id in (select b.id from batch b) and t.properties is not null
    ) as s
    group by s.home_id
), missing as materialized (
    select b.id, s.live - b.property_bytes as live, s.kept - b.kept_property_bytes as kept
    from batch b join held l on l.id = b.id join stored s on s.home_id = b.id
)
update home h
set property_bytes = h.property_bytes + m.live, kept_property_bytes = h.kept_property_bytes + m.kept,
    properties_counted = true
from missing m
where h.id = m.id and not h.properties_counted;
