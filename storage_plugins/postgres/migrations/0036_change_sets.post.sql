-- What servers of the version before called.
drop function if exists koyomi_transfer_object_3;
