-- Scheduling messages to people elsewhere. A batch is what one change sends about one meeting.
create table outgoing_mail_batch (
    -- The sender's home.
    home_id bigint not null references home (id) on delete cascade,
    id bigint not null generated always as identity,
    -- iCalendar texts: messages, and the meeting as it was before.
    texts text[] collate "C" not null,
    -- The principal, origin and request of the change.
    cause jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (home_id, id)
);

create index outgoing_mail_batch_created on outgoing_mail_batch (created_at);

create table outgoing_mail (
    home_id bigint not null references home (id) on delete cascade,
    -- That of its job, of the kind mail. Message-ID derives from it.
    id bigint not null,
    batch_id bigint not null,
    uid text collate "C" not null,
    -- A number for the meeting, as scheduling_dispatch has it.
    meeting bigint not null,
    method text collate "C" not null,
    -- The calendar user address as it is compared, and the mail address.
    recipient text collate "C" not null,
    address text collate "C" not null,
    -- Identifiers of the instances that it is about: a JSON array; the master is an empty text.
    instances jsonb not null,
    -- The place of its text in the batch, from 1.
    message integer not null,
    -- The batch and place of the meeting as the recipient knows it; null where they do not know it.
    before_batch_id bigint,
    before integer,
    -- It waits, since it is dropped if the UID comes back.
    withdrawable boolean not null default false,
    status text collate "C" not null default 'waiting'
        check (status in ('waiting', 'sending', 'sent', 'failed', 'replaced', 'dropped')),
    -- SCHEDULE-STATUS of what has ended, until the sender's object says so.
    unstated text collate "C",
    -- What the mail server or the limit said last.
    error text collate "C",
    tries integer not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    first_tried_at timestamptz,
    sent_at timestamptz,
    primary key (home_id, id),
    foreign key (home_id, batch_id) references outgoing_mail_batch (home_id, id) on delete cascade
);

create index outgoing_mail_waiting on outgoing_mail (home_id, uid, recipient) where status = 'waiting';
create index outgoing_mail_unstated on outgoing_mail (home_id, meeting, id) where unstated is not null;
create index outgoing_mail_sent on outgoing_mail (home_id, sent_at) where sent_at is not null;
create index outgoing_mail_batch_id on outgoing_mail (home_id, batch_id);
create index outgoing_mail_left on outgoing_mail (id) where status in ('waiting', 'sending');
