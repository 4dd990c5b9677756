-- How many scheduling messages of a sender arrived by mail in an hour.
create table mail_sender (
    hour timestamptz not null,
    -- A keyed digest of the address.
    sender bytea not null,
    messages integer not null,
    primary key (hour, sender)
);
