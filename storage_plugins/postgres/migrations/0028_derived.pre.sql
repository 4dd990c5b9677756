-- Which version of the code (server.calendar.derivation) derived an object's columns; 0: to be derived again. What an
-- older server inserts has the default.
alter table object add column derived integer not null default 0;

-- Servers of the version before set only the time key, which begins with their version. The trigger goes with them.
create function koyomi_derived_by_key_1() returns trigger language plpgsql as $$
begin
    new.derived := case when new.time_key ~ '^v[0-9]{3}:' then substr(new.time_key, 2, 3)::integer else 0 end;
    return new;
end $$;
create trigger object_derived_by_key before insert or update of time_key on object for each row
    when (new.component <> 'VCARD' and new.derived <>
          case when new.time_key ~ '^v[0-9]{3}:' then substr(new.time_key, 2, 3)::integer else 0 end)
    execute function koyomi_derived_by_key_1();
