-- For whom a delegate made a change, and the trace context of the request. Both are settings of the transaction that
-- writes the rows, so that no function has more parameters and a change without them costs what it cost.

alter table outbox add column acting_for bigint, add column trace text collate "C";
alter table outbox
    alter column acting_for set default nullif(current_setting('koyomi.acting_for', true), '')::bigint,
    alter column trace set default nullif(current_setting('koyomi.trace', true), '');

alter table audit add column acting_for bigint, add column trace text collate "C";
alter table audit
    alter column acting_for set default nullif(current_setting('koyomi.acting_for', true), '')::bigint,
    alter column trace set default nullif(current_setting('koyomi.trace', true), '');
