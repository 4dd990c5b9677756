-- Whether scheduling messages to a principal go by mail, since their calendar is not here (yet, or any more).
alter table principal add column calendar text collate "C" not null default 'here'
    check (calendar in ('here', 'elsewhere'));
