-- Items of inboxes that came by mail and have no effect until somebody accepts them.
create index concurrently object_held on object (home_id, id)
where scheduling = 3 and properties ? '{urn:koyomi:mail}held' and deleted_revision is null;
