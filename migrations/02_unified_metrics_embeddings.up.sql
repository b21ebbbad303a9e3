-- Metrics by month, and every version of every embedding.

create table time_series_metrics (
    organization_id uuid not null,
    id uuid not null,
    entity_type text not null
        constraint time_series_metrics_entity_check check (entity_type in ('post', 'user', 'account', 'hashtag', 'campaign')),
    entity_id uuid not null,
    metric_name text not null,
    metric_value numeric not null,
    recorded_at timestamptz not null,
    platform text not null default '',
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    constraint time_series_metrics_pkey primary key (organization_id, id, recorded_at),
    constraint time_series_metrics_point_key
        unique (organization_id, entity_type, entity_id, metric_name, platform, recorded_at)
) partition by range (recorded_at);

create table time_series_metrics_default partition of time_series_metrics default;

-- Models are shared by all organizations; ids and names only.
create table embedding_models (
    id text constraint embedding_models_pkey primary key
        constraint embedding_models_id_check check (id ~ '^[a-z0-9._-]{1,40}$'),
    provider text not null,
    name text not null,
    dimensions integer not null constraint embedding_models_dimensions_check check (dimensions between 1 and 4000),
    metric text not null default 'cosine' constraint embedding_models_metric_check check (metric = 'cosine'),
    normalized boolean not null,
    document_prefix text not null default '',
    query_prefix text not null default '',
    max_input_tokens integer not null constraint embedding_models_tokens_check check (max_input_tokens > 0),
    created_at timestamptz not null default now()
);

create table organization_models (
    organization_id uuid not null
        constraint organization_models_org_fkey references organizations (id) on delete cascade,
    model_version text not null
        constraint organization_models_model_fkey references embedding_models (id),
    status text not null constraint organization_models_status_check check (status in ('active', 'shadow', 'retired')),
    calibrated_threshold real,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint organization_models_pkey primary key (organization_id, model_version)
);

create unique index organization_models_active on organization_models (organization_id) where status = 'active';

create table embedding_versions (
    organization_id uuid not null
        constraint embedding_versions_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    entity_type text not null
        constraint embedding_versions_entity_check check (entity_type ~ '^[a-z][a-z0-9_]{0,39}$'),
    entity_id uuid not null,
    source_field text not null
        constraint embedding_versions_field_check check (source_field ~ '^[a-z][a-z0-9_]{0,39}$'),
    model_version text not null
        constraint embedding_versions_model_fkey references embedding_models (id),
    version integer not null constraint embedding_versions_version_check check (version > 0),
    revision bigint not null,
    superseded_revision bigint
        constraint embedding_versions_closed_check check (superseded_revision > revision),
    activated_from integer,
    content_hash bytea not null,
    attributes_hash bytea not null,
    idempotency_key text,
    chunk_count integer not null,
    deleted boolean not null default false,
    created_at timestamptz not null default now(),
    constraint embedding_versions_pkey primary key (organization_id, id),
    constraint embedding_versions_line_key
        unique (organization_id, entity_type, entity_id, source_field, model_version, version)
);

-- Exactly one version of a line is current.
create unique index embedding_versions_current
    on embedding_versions (organization_id, entity_type, entity_id, source_field, model_version)
    where superseded_revision is null;

create unique index embedding_versions_idempotency
    on embedding_versions (organization_id, idempotency_key, entity_type, entity_id, source_field, model_version)
    where idempotency_key is not null;

create table embeddings (
    organization_id uuid not null
        constraint embeddings_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    entity_type text not null,
    entity_id uuid not null,
    source_field text not null,
    chunk_index integer not null constraint embeddings_chunk_check check (chunk_index >= 0),
    model_version text not null
        constraint embeddings_model_fkey references embedding_models (id),
    version integer not null,
    vector_data vector not null,
    content text not null default '',
    token_count integer not null default 0,
    language text not null default '',
    tags text[] not null default '{}',
    platform text not null default '',
    status text not null default '',
    occurred_at timestamptz,
    similarity_method text not null default 'cosine'
        constraint embeddings_method_check check (similarity_method = 'cosine'),
    confidence_score real,
    metadata jsonb not null default '{}',
    revision bigint not null,
    superseded_revision bigint,
    settled boolean not null default false,
    created_at timestamptz not null default now(),
    constraint embeddings_pkey primary key (organization_id, id),
    constraint embeddings_chunk_key
        unique (organization_id, entity_type, entity_id, source_field, model_version, version, chunk_index)
);

-- What a partition is loaded from, what an exact plan walks, and what settling looks for.
create index embeddings_current on embeddings (organization_id, model_version, entity_type)
    where superseded_revision is null;
create index embeddings_unsettled on embeddings (model_version, organization_id)
    where superseded_revision is null and not settled;

do $$
declare
    t text;
begin
    foreach t in array array['time_series_metrics', 'organization_models', 'embedding_versions', 'embeddings'] loop
        execute format('alter table %I enable row level security', t);
        execute format(
            'create policy %I on %I
             using (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)
             with check (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)',
            t || '_tenant', t);
        execute format('grant select, insert, update, delete on %I to kindred_app', t);
    end loop;
end
$$;

-- A partition read directly is not covered by its parent's policies: it gets none of the parent's grants, and a lock of its own.
alter table time_series_metrics_default enable row level security;

create trigger organization_models_updated_at before update on organization_models
    for each row execute function set_updated_at();
grant select, insert on embedding_models to kindred_app;
