drop function if exists koyomi_replace_occurrences_1;

alter table occurrence drop column local_start, drop column tzid;
