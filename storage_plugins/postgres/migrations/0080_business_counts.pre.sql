-- What people have done, counted, and when each did something last: for metrics.
create table business_count (
    what text collate "C" primary key,
    number bigint not null
);

create table active_person (
    principal_id bigint primary key references principal (id) on delete cascade,
    last_at timestamptz not null
);

create index active_person_last_at on active_person (last_at);
