-- Every write of an event in a time zone paid for this index, which a job used that runs when zone data change, twice a
-- year; it reads all objects then.
drop index concurrently if exists object_zones;
