-- Nothing reads the local start of an occurrence and the key of its zone, a twelfth of the row. Servers of the version
-- before still write them.
alter table occurrence alter column local_start drop not null;
