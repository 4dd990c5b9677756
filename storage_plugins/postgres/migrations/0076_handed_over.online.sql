-- Meetings that were handed over: who organizes them now is found by the UID of an answer to who did before.
create index concurrently scheduling_memory_former on scheduling_memory (uid) where state ? 'former';
