-- What servers of the version before called to read grants and to share a collection.
drop function if exists koyomi_grants_1;
drop function if exists koyomi_share_3;
