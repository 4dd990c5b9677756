-- Whether somebody with whom a calendar is shared for writing may send scheduling messages in its owner's name.
alter table share add column may_invite boolean not null default false;

create index share_may_invite on share (home_id) where may_invite;
