alter table installation
    -- network.external_url when mails to people elsewhere were last sent or released; null: nothing was looked at yet.
    add column mail_url text collate "C",
    -- When a backup was last restored.
    add column restored_at timestamptz;

create index outgoing_mail_uid on outgoing_mail (home_id, uid, created_at);
