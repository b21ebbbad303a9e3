-- What the service needs beside the dashboard's tables: keys, the revision of each organization, the change log.

create table api_keys (
    organization_id uuid not null
        constraint api_keys_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    name text not null,
    role text not null
        constraint api_keys_role_check check (role in ('owner', 'admin', 'editor', 'member', 'viewer')),
    user_id uuid,
    -- BLAKE3 of the 256-bit secret; the secret itself is nowhere.
    digest bytea not null constraint api_keys_digest_check check (length(digest) = 32),
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz not null default now(),
    constraint api_keys_pkey primary key (organization_id, id)
);

create table organization_revisions (
    organization_id uuid constraint organization_revisions_pkey primary key
        constraint organization_revisions_org_fkey references organizations (id) on delete cascade,
    revision bigint not null default 0,
    -- Changes after this revision are still in the log.
    oldest_kept bigint not null default 0,
    constraint organization_revisions_order_check check (0 <= oldest_kept and oldest_kept <= revision)
);

create table embedding_changes (
    organization_id uuid not null,
    revision bigint not null,
    entity_type text not null,
    entity_id uuid not null,
    source_field text not null,
    model_version text not null,
    version integer not null,
    kind text not null constraint embedding_changes_kind_check check (kind in ('put', 'removed')),
    created_at timestamptz not null default now(),
    constraint embedding_changes_pkey
        primary key (organization_id, revision, model_version, entity_type, entity_id, source_field)
);

create index embedding_changes_age on embedding_changes (created_at);

-- Background duties that one replica does at a time.
create table duty_leases (
    duty text constraint duty_leases_pkey primary key,
    holder uuid not null,
    expires_at timestamptz not null
);

-- Digests are for the service alone.
select protect_tenant_table('api_keys', 'hidden');
revoke insert, update, delete on api_keys from kindred_app;
revoke select on api_keys from kindred_reader;

select protect_tenant_table('embedding_changes', 'hidden');
revoke update, delete on embedding_changes from kindred_app;

-- Leases are the owner's: no policy and no grant.
alter table duty_leases enable row level security;

-- The feed asks of many organizations at once whether they moved: ids and numbers only, so reading is free.
alter table organization_revisions enable row level security;
create policy organization_revisions_read on organization_revisions for select to kindred_app using (true);
create policy organization_revisions_write on organization_revisions for update to kindred_app
    using (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid)
    with check (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
grant select, update on organization_revisions to kindred_app;

grant select on _sqlx_migrations to kindred_app;
