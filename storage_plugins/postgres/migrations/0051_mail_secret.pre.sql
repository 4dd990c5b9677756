alter table installation
    -- The key of the signatures in tagged mail addresses: 244 random bits.
    add column mail_secret bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
