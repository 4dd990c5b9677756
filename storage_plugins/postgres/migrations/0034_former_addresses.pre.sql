-- Addresses that people had: what was written to them still means these people. An address belongs to one principal, now
-- or formerly; whoever gets it takes it over.
create table former_address (
    address_key text collate "C" primary key check (address_key <> ''),
    principal_id bigint not null references principal (id) on delete cascade,
    address text collate "C" not null check (address <> ''),
    until timestamptz not null default now()
);

create index former_address_principal on former_address (principal_id, address_key);
