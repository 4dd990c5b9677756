-- Whose invitations of a group invite its members.
alter table principal
    add column expandable_by text collate "C" not null default 'everyone'
    constraint principal_expandable_by check (expandable_by in ('everyone', 'members', 'nobody'));
