-- Whether an object may have reservations: a deletion looks for them only then.
alter table object add column reserved boolean not null default false;
