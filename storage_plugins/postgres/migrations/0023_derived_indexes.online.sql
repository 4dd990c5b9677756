-- Indexes that find what is to be derived again.

-- Time keys begin with the version of the code that derived the columns (server.calendar.derivation): those of older
-- versions are computed again. Nearly all keys begin alike, so that this index is small.
create index concurrently object_derivation on object (left(time_key, 4))
where component <> 'VCARD' and deleted_revision is null;

-- Personal copies whose alarms are not stored yet.
create index concurrently object_view_alarms on object_view (home_id, principal_id)
where alarms_etag is distinct from etag;
