revoke select on _sqlx_migrations from kindred_app;
drop table duty_leases, embedding_changes, organization_revisions, api_keys;
