-- What an object is in scheduling (RFC 6638 §3.1), derived from its text and the addresses of the home's owner. Objects of
-- before are derived again.
alter table object
    -- 0: no scheduling object, 1: an organizer's, 2: an attendee's.
    add column scheduling smallint not null default 0,
    -- The ORGANIZER, as addresses are compared.
    add column organizer text collate "C",
    -- The greatest SEQUENCE of the components; 0 without ORGANIZER.
    add column sequence integer not null default 0;

alter type member_write
    add attribute scheduling smallint,
    add attribute organizer text collate "C",
    add attribute sequence integer;
