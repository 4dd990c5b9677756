-- Addresses that people have given up and that meetings name which are not over: nobody else gets them before, unless an
-- administrator says so. They outlive the principal.
create table held_address (
    address_key text collate "C" primary key check (address_key <> ''),
    principal_id bigint not null,
    until timestamptz not null
);
