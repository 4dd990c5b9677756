-- Which zone data the stored occurrences come from, and which data the servers have begun to use.

alter table installation
    -- The newest version that any server has started with: older ones refuse to start.
    add column tz_newest text collate "C",
    -- A digest of each zone's data of `tz_version`, by name: what differs is computed anew.
    add column tz_digests jsonb check (jsonb_typeof(tz_digests) = 'object');

-- Objects by the zones that they depend on.
create index object_zones on object using gin (tzids) where tzids is not null and deleted_revision is null;
