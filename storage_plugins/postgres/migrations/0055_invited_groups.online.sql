-- The meetings that invite a group, whose members follow its membership.
create index concurrently scheduling_memory_groups on scheduling_memory using gin ((state -> 'groups') jsonb_path_ops)
where state ? 'groups';
