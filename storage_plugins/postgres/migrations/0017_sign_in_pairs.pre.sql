-- Failed sign-ins are also counted per account and client address together: key is the account's, a space, the address's.

alter table signin_failure
    drop constraint signin_failure_scope_check,
    add constraint signin_failure_scope_check check (scope in ('address', 'account', 'pair'));
