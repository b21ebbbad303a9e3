-- What carrying a legacy database over needs to remember. Owner only; gone after `finalize` or `down`.
create schema if not exists kindred_migration;

create table if not exists kindred_migration.settings (
    only_row boolean constraint settings_pkey primary key default true check (only_row),
    model_version text not null default 'legacy-1536',
    dimensions integer not null default 1536,
    -- Takes the rows that name no user; without it they are quarantined.
    default_organization uuid,
    contracted_at timestamptz,
    finalized_at timestamptz
);

-- What is read, in the order in which it is carried over.
create table if not exists kindred_migration.sources (
    source text constraint sources_pkey primary key,
    step integer not null,
    position integer not null,
    -- The legacy table, wherever it lies now; null where it is absent.
    relation regclass,
    -- Why a row cannot be carried: SQL over the source's view `s`, null where it can.
    refusal text not null default 'null::text',
    -- Carries rows that others hang on, and what hangs on these: functions of (ids uuid[]).
    before_carry regproc,
    after_carry regproc,
    after_id uuid,
    rows_total bigint not null default 0,
    rows_done bigint not null default 0,
    done_at timestamptz
);

-- What a legacy column means.
create table if not exists kindred_migration.columns (
    source text not null,
    legacy_column text not null,
    meaning text not null,
    constraint columns_pkey primary key (source, legacy_column)
);

-- What is written: one view of wanted rows a target, merged by its key.
create table if not exists kindred_migration.targets (
    source text not null,
    position integer not null,
    target text not null,
    wanted text not null,
    key_columns text[] not null,
    -- Which rows of the target `t` came from the carried row `c`, and which came from this source at all.
    of_row text not null,
    of_source text not null,
    delete_sql text not null,
    upsert_sql text not null,
    constraint targets_pkey primary key (source, position)
);

create table if not exists kindred_migration.carried (
    source text not null,
    source_id uuid not null,
    organization_id uuid not null,
    recorded_at timestamptz,
    constraint carried_pkey primary key (source, source_id, organization_id)
);

create table if not exists kindred_migration.quarantine (
    source text not null,
    source_id uuid not null,
    -- 'row', or the part of it that stayed behind.
    part text not null,
    reason text not null,
    quarantined_at timestamptz not null default now(),
    constraint quarantine_pkey primary key (source, source_id, part)
);

-- Rows that another transaction held while their batch ran.
create table if not exists kindred_migration.pending (
    source text not null,
    source_id uuid not null,
    constraint pending_pkey primary key (source, source_id)
);

create table if not exists kindred_migration.user_organizations (
    user_id uuid constraint user_organizations_pkey primary key,
    organization_id uuid not null
);

-- Which side an organization reads.
create table if not exists kindred_migration.organization_flags (
    organization_id uuid constraint organization_flags_pkey primary key,
    reads_new boolean not null default false,
    switched_at timestamptz
);

create table if not exists kindred_migration.reel_keys (
    source text not null,
    source_id uuid not null,
    external_reel_id text not null,
    constraint reel_keys_pkey primary key (source, source_id)
);
create index if not exists reel_keys_external on kindred_migration.reel_keys (external_reel_id);

-- Foreign keys as they were and objects that were moved, so that they can be put back.
create table if not exists kindred_migration.rewired (
    kind text not null,
    relation text not null,
    name text not null,
    definition text not null,
    constraint rewired_pkey primary key (kind, relation, name)
);

create table if not exists kindred_migration.phases (
    step integer not null,
    phase text not null check (phase in ('expanded', 'backfilled', 'contracted')),
    done_at timestamptz not null default now(),
    constraint phases_pkey primary key (step, phase)
);

-- What the new tables have by themselves, beside the columns that they keep for old code.
create table if not exists kindred_migration.new_columns (
    source text not null,
    name text not null,
    constraint new_columns_pkey primary key (source, name)
);

insert into kindred_migration.settings default values on conflict do nothing;
