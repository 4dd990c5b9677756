-- Alarms that ring farther than a day, and farther than 31 days, from their occurrence: few. How they are found:
-- storage_plugins/postgres/alarm_reads.py.
create index alarm_wide on alarm (home_id, object_id)
    where at is null
    and (abs(days::bigint) * 86400 + abs(seconds) + repeat::bigint * interval_seconds) > 86400;
create index alarm_far on alarm (home_id, collection_id)
    where at is null
    and (abs(days::bigint) * 86400 + abs(seconds) + repeat::bigint * interval_seconds) > 2678400;
