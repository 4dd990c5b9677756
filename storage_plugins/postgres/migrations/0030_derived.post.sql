-- What only servers of the version before needed, which know the version by the time key.
drop trigger object_derived_by_key on object;
drop function koyomi_derived_by_key_1;
drop index object_derivation;
drop function if exists koyomi_put_object_3;
