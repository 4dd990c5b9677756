-- Objects that are derived again are found by it. Nearly all rows have the same value, so that it is small.
create index concurrently object_derived on object (derived) where component <> 'VCARD' and deleted_revision is null;

-- The version has stood at the beginning of the time key. Objects are locked in the order of their ids, as by writes.
with batch as (
    select home_id, id from object
    where derived = 0 and component <> 'VCARD' and deleted_revision is null and time_key ~ '^v[0-9]{3}:' limit 5000
), locked as (
    select o.home_id, o.id from object o join batch b on b.home_id = o.home_id and b.id = o.id
    where o.derived = 0 order by o.id for no key update of o
)
update object o set derived = substr(o.time_key, 2, 3)::integer from locked l
where o.home_id = l.home_id and o.id = l.id and o.derived = 0;
