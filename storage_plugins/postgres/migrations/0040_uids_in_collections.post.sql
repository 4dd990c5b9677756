drop index object_uid;
alter index object_uid_2 rename to object_uid;
