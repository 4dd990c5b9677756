-- What servers of the version before called to copy a collection.
drop function if exists koyomi_copy_collection_2;
drop function if exists koyomi_prepare_copy_1;
drop function if exists koyomi_add_collection_2;
