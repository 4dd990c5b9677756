-- The journal has what these held. The seals of `audit` stay: they prove what was carried over.

drop table outbox_before;
drop table audit;
drop function koyomi_without_audit_1();
drop function if exists koyomi_audit_digest_1;
drop table consumer_position;
drop function if exists koyomi_plan_fan_out_1;
delete from job where kind = 'sharees';
