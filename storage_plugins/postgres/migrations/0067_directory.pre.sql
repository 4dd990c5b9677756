-- The owner of the address book of rooms and equipment is a principal of another kind.
alter table principal drop constraint principal_kind_check;
alter table principal add constraint principal_kind_check
    check (kind in ('individual', 'group', 'room', 'resource', 'directory')) not valid;
