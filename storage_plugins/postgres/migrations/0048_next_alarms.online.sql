-- Alarms of all homes in the order in which they ring.
create index concurrently alarm_next on alarm (floating, next_at) where next_at is not null;
