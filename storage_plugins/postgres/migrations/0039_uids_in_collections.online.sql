-- A scheduling inbox may hold several messages of one UID (RFC 6638 §2.2). Its members have the scheduling role 3. The
-- index of before (object_uid) stays until servers of the version before are gone, which know it by its name.
create unique index concurrently object_uid_2 on object (home_id, collection_id, uid)
where deleted_revision is null and scheduling <> 3;
