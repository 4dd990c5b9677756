alter table principal validate constraint principal_kind_check;
