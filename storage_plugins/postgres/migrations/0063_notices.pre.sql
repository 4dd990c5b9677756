-- Notices by mail of what lies in a person's inbox, to those who act for the person. They count as mails in the person's
-- name.
create table notice (
    -- The calendar home of the person.
    home_id bigint not null references home (id) on delete cascade,
    -- The item in the inbox.
    object_id bigint not null,
    -- Who gets it: the id of a principal.
    recipient_id bigint not null,
    status text collate "C" not null default 'sending' check (status in ('sending', 'sent', 'failed')),
    created_at timestamptz not null default clock_timestamp(),
    sent_at timestamptz,
    primary key (home_id, object_id, recipient_id)
);

create index notice_sent on notice (home_id, sent_at) where sent_at is not null;
create index notice_created on notice (created_at);
