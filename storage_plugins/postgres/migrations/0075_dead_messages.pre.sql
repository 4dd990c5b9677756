-- Messages that a consumer could not take in. They lie here until it starts anew.
create table dead_message (
    id bigint generated always as identity primary key,
    consumer text collate "C" not null,
    seq bigint not null,
    month date not null,
    home_id bigint not null,
    kind text collate "C" not null,
    -- The class of the error.
    error text collate "C" not null,
    at timestamptz not null default clock_timestamp()
);

create index dead_message_consumer on dead_message (consumer);
