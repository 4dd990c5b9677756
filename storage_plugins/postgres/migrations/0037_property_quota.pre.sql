-- Dead properties count against the quota, as texts do: those of what a person sees beside used_bytes, those of what is
-- deleted and kept beside kept_bytes. Counters of their own, so that the step that counts what is stored already
-- (0038) may run while servers write.

alter table home
    -- Bytes of the dead properties of live objects in live collections, of live collections and of the home itself.
    add column property_bytes bigint not null default 0,
    -- Bytes of those that are kept of deleted objects and collections.
    add column kept_property_bytes bigint not null default 0,
    -- Whether both hold what was stored before they were there.
    add column properties_counted boolean not null default false;
