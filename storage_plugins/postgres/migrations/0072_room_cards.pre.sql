-- Rooms that are there already get their cards, too.
insert into job (kind, lock_key, queueing_key)
select 'room_cards', 'room_cards', 'room_cards' where exists (select from room)
on conflict do nothing;
