-- When somebody's meeting was last mailed about since the last restore, once the mails themselves are removed: only the
-- first message after a restore has a higher SEQUENCE.
create table mailed_meeting (
    home_id bigint not null references home (id) on delete cascade,
    uid text collate "C" not null,
    mailed_at timestamptz not null,
    primary key (home_id, uid)
);

create index mailed_meeting_at on mailed_meeting (mailed_at);
