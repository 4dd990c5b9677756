-- What servers of the version before called to copy or move a member.
drop function if exists koyomi_transfer_object_1;
drop function if exists koyomi_transfer_object_2;
drop function if exists koyomi_transfer_object_4;
