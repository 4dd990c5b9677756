-- How many partitions each topic of another bus has, as the relay has taken it up last.
create table bus_topic (
    topic text collate "C" primary key,
    partitions integer not null
);

-- On another bus: up to here the consumer reads the journal, as the bus gave it these messages once.
alter table journal_position add column reread_to bigint;

-- Whether it is on the bus, as a dead letter.
alter table dead_message add column sent boolean not null default false;

create index dead_message_unsent on dead_message (id) where not sent;
