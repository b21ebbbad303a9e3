-- Metrics by month, and every version of every embedding.

-- Functions keep the path they are made under: the schemas that exist now, and temporary objects last, never first.
select set_config('search_path', array_to_string(array(
    select quote_ident(s) from unnest(current_schemas(false)) with ordinality as path (s, place)
    where s !~ '^pg_temp' order by place), ', ') || ', pg_temp', true);

create table time_series_metrics (
    organization_id uuid not null,
    id uuid not null,
    entity_type text not null
        constraint time_series_metrics_entity_check
        check (entity_type in ('post', 'user', 'account', 'hashtag', 'campaign')),
    entity_id uuid not null,
    metric_name text not null,
    metric_value numeric not null,
    -- A counter's state, an increment, or a level.
    metric_kind text not null default 'delta'
        constraint time_series_metrics_kind_check check (metric_kind in ('cumulative', 'delta', 'gauge')),
    recorded_at timestamptz not null,
    platform text not null default '',
    -- Who measured: two recorders of one point are both kept.
    source text not null default '',
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    constraint time_series_metrics_pkey primary key (organization_id, id, recorded_at),
    constraint time_series_metrics_point_key
        unique (organization_id, entity_type, entity_id, metric_name, platform, source, recorded_at)
) partition by range (recorded_at);

create index time_series_metrics_entity
    on time_series_metrics (organization_id, entity_type, entity_id, metric_name, recorded_at);

create table time_series_metrics_default partition of time_series_metrics default;

-- Whole months out of the live table. Nothing here can refuse a row: no checks, and a point that is recorded again after
-- its month was archived differs by archived_at.
create table time_series_metrics_archive (
    like time_series_metrics,
    archived_at timestamptz not null default clock_timestamp(),
    constraint time_series_metrics_archive_pkey primary key (organization_id, id, recorded_at, archived_at)
);

create index time_series_metrics_archive_entity
    on time_series_metrics_archive (organization_id, entity_type, entity_id, metric_name, recorded_at);

-- Each file of whole months in an object store: begun before it is written, archived in the transaction that drops the
-- month's partition, restored in the one that brings its rows back, abandoned when its objects are to be removed.
create table archive_parts (
    name text constraint archive_parts_pkey primary key,
    store text not null,
    table_name text not null,
    month date not null constraint archive_parts_month_check check (extract(day from month) = 1),
    state text not null default 'begun'
        constraint archive_parts_state_check check (state in ('begun', 'archived', 'restored', 'abandoned')),
    row_count bigint,
    checksum text,
    file_bytes bigint,
    file_sha256 text,
    begun_at timestamptz not null default now(),
    archived_at timestamptz,
    restored_at timestamptz
);

create index archive_parts_month on archive_parts (table_name, month);

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

select protect_tenant_table('time_series_metrics');
select protect_tenant_table('time_series_metrics_archive', 'nobody');
revoke insert, update, delete on time_series_metrics_archive from kindred_app;
select protect_tenant_table('organization_models', 'admin');
-- Versions are written by the service alone, which keeps their history and the change log in step.
select protect_tenant_table('embedding_versions', 'nobody');
select protect_tenant_table('embeddings', 'nobody');

-- A partition read directly is not covered by its parent's policies: it gets none of the parent's grants, and a lock of
-- its own.
alter table time_series_metrics_default enable row level security;
-- The owner's alone: no policy and no grant.
alter table archive_parts enable row level security;

create trigger organization_models_updated_at before update on organization_models
    for each row execute function set_updated_at();
select grant_select('embedding_models');
grant insert on embedding_models to kindred_app;

-- The column whose month decides, of the tables that are partitioned by month.
create function month_partition_column(parent text) returns name language plpgsql set search_path from current as $$
begin
    return case parent when 'time_series_metrics' then 'recorded_at' when 'ai_context_logs' then 'created_at' end;
end
$$;

-- Makes the partition of a month (UTC), with the rows that lie in the default partition already; tells whether it made one.
create function ensure_month_partition(parent text, month date) returns boolean
language plpgsql set search_path from current as $$
declare
    moment name := month_partition_column(parent);
    first_day date := date_trunc('month', month::timestamp)::date;
    lower_bound text := to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00';
    upper_bound text := to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00';
    partition_name text := parent || to_char(first_day, '"_y"YYYY"m"MM');
    -- Beside its parent, wherever that was moved to.
    home text := (select relnamespace::regnamespace::text from pg_class where oid = to_regclass(parent));
    partition text := format('%s.%I', home, partition_name);
    found_rows bigint;
    moved_rows bigint;
begin
    if moment is null or first_day is null then
        raise exception 'there are no months of % at %: only time_series_metrics and ai_context_logs have them',
            coalesce(parent, 'null'), coalesce(month::text, 'null') using errcode = 'invalid_parameter_value';
    end if;
    if first_day not between date '1900-01-01' and date '9999-11-01' then
        raise exception 'no partition is made for %', month using errcode = 'invalid_parameter_value';
    end if;
    -- One maker at a time; readers and writers go on.
    execute format('lock table only %I in share update exclusive mode', parent);
    if exists (select from pg_inherits
               where inhparent = to_regclass(parent) and inhrelid = to_regclass(partition)) then
        return false;
    end if;
    -- Filled before it is attached, as no partition may be made for what the default one holds. Writers to the default
    -- partition wait, so that nothing arrives between; one that waited with a row of this very month is refused, and
    -- succeeds when it tries again.
    execute format('lock table only %I in access exclusive mode', parent || '_default');
    execute format('create table %s (like %I including defaults including constraints)', partition, parent);
    execute format('alter table %s enable row level security', partition);
    execute format('select count(*) from only %I where %I >= %L and %I < %L',
                   parent || '_default', moment, lower_bound, moment, upper_bound) into found_rows;
    if found_rows > 0 then
        execute format('with moved as (delete from only %I where %I >= %L and %I < %L returning *)
                        insert into %s select * from moved',
                       parent || '_default', moment, lower_bound, moment, upper_bound, partition);
        get diagnostics moved_rows = row_count;
        if moved_rows <> found_rows then
            raise exception '% of % rows of % were moved', moved_rows, found_rows, partition_name;
        end if;
    end if;
    execute format('alter table %I attach partition %s for values from (%L) to (%L)',
                   parent, partition, lower_bound, upper_bound);
    return true;
end
$$;

-- Makes the partitions of this month and the months ahead, and of the last two years' months that lie in the default
-- partition. Older rows are for the archive; later ones wait there, as made-up times must not make tables without end.
create function ensure_month_partitions(months_ahead integer default 3) returns integer
language plpgsql set search_path from current as $$
declare
    this_month date := date_trunc('month', now() at time zone 'UTC')::date;
    parent text;
    month date;
    made integer := 0;
begin
    if months_ahead is null or months_ahead not between 0 and 120 then
        raise exception 'months_ahead must be 0 to 120, not %', months_ahead using errcode = 'invalid_parameter_value';
    end if;
    foreach parent in array array['time_series_metrics', 'ai_context_logs'] loop
        continue when to_regclass(parent) is null;
        for month in execute format(
            'select distinct m from (
                 select date_trunc(''month'', %1$I at time zone ''UTC'')::date as m from only %2$I
                 where %1$I >= %3$L and %1$I < %4$L
                 union all
                 select (%5$L::date + make_interval(months => n))::date from generate_series(0, %6$L::integer) as n
             ) as months order by m',
            month_partition_column(parent), parent || '_default',
            (this_month - interval '24 months') at time zone 'UTC',
            (this_month + interval '1 month') at time zone 'UTC', this_month, months_ahead)
        loop
            if ensure_month_partition(parent, month) then
                made := made + 1;
            end if;
        end loop;
    end loop;
    return made;
end
$$;

-- Moves the whole months (UTC) before cutoff's month into the archive; tells how many rows. Safe to run again.
-- Months that were restored from an object store stay.
create function archive_metrics_before(cutoff date) returns integer language plpgsql set search_path from current as $$
declare
    archived_at timestamptz := clock_timestamp();
    before timestamptz := date_trunc('month', cutoff::timestamp) at time zone 'UTC';
    columns text := (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
                     where attrelid = 'time_series_metrics'::regclass and attnum > 0 and not attisdropped);
    month record;
    found_rows bigint;
    moved_rows bigint;
    total bigint := 0;
begin
    if cutoff is null then
        raise exception 'cutoff must be a date' using errcode = 'invalid_parameter_value';
    end if;
    lock table only time_series_metrics in share update exclusive mode;
    for month in
        select c.oid::regclass as partition from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'time_series_metrics'::regclass and c.relname ~ '_y\d{4}m\d{2}$'
          and (to_date(right(c.relname, 7), 'YYYY"m"MM') + interval '1 month') at time zone 'UTC' <= before
          and not exists (select from archive_parts p
                          where p.table_name = 'time_series_metrics' and p.state = 'restored'
                            and p.month = to_date(right(c.relname, 7), 'YYYY"m"MM'))
        order by c.relname
    loop
        -- Readers go on until the month is detached; a late writer of it waits, and then finds it gone.
        execute format('lock table only %s in exclusive mode', month.partition);
        execute format('select count(*) from only %s', month.partition) into found_rows;
        execute format('insert into time_series_metrics_archive (%s, archived_at) select %s, $1 from only %s',
                       columns, columns, month.partition) using archived_at;
        get diagnostics moved_rows = row_count;
        if moved_rows <> found_rows then
            raise exception '% of % rows of % were archived', moved_rows, found_rows, month.partition;
        end if;
        execute format('alter table time_series_metrics detach partition %s', month.partition);
        execute format('drop table %s', month.partition);
        total := total + moved_rows;
    end loop;
    -- What came so late, or was imported so old, that it has no month of its own.
    lock table only time_series_metrics_default in exclusive mode;
    select count(*) into found_rows from only time_series_metrics_default where recorded_at < before;
    execute format('with moved as (delete from only time_series_metrics_default where recorded_at < $2 returning *)
                    insert into time_series_metrics_archive (%s, archived_at) select %s, $1 from moved',
                   columns, columns) using archived_at, before;
    get diagnostics moved_rows = row_count;
    if moved_rows <> found_rows then
        raise exception '% of % rows of the default partition were archived', moved_rows, found_rows;
    end if;
    return total + moved_rows;
end
$$;

-- Months that ended more than 24 months ago.
create function archive_old_metrics() returns integer language sql set search_path from current as $$
    select archive_metrics_before(((now() at time zone 'UTC') - interval '24 months')::date)
$$;

revoke all on function month_partition_column(text), ensure_month_partition(text, date),
    ensure_month_partitions(integer), archive_metrics_before(date), archive_old_metrics() from public;

select ensure_month_partitions();

-- A metric by period (UTC), of live and archived points. A series is what one source measured on one platform.
-- total_value: of counters' states the last one of the period, summed over series; of increments their sum; of levels
-- their average. The other values are over single points. A point recorded again after archiving replaces the old one.
create function get_metrics_aggregated(
    input_entity_type text, input_entity_id uuid, input_metric_name text, time_period text default 'day'
) returns table (period_start timestamptz, total_value numeric, avg_value numeric, max_value numeric, min_value numeric)
language plpgsql stable set search_path from current as $$
declare
    organization uuid := nullif(current_setting('app.organization_id', true), '')::uuid;
    -- A tenant's statement names the tenant; members are held by their policies.
    tenant text := case when organization is null then '' else ' and organization_id = $5' end;
begin
    if time_period is null or time_period not in ('hour', 'day', 'week', 'month', 'quarter', 'year') then
        raise exception 'time_period must be hour, day, week, month, quarter or year, not %',
            coalesce(quote_literal(time_period), 'null') using errcode = 'invalid_parameter_value';
    end if;
    return query execute
        'with kept as (
             select organization_id, platform, source, recorded_at, metric_kind, metric_value,
                    ''infinity''::timestamptz as kept_at
             from time_series_metrics
             where entity_type = $1 and entity_id = $2 and metric_name = $3' || tenant || '
             union all
             select organization_id, platform, source, recorded_at, metric_kind, metric_value, archived_at
             from time_series_metrics_archive
             where entity_type = $1 and entity_id = $2 and metric_name = $3' || tenant || '
         ), points as (
             select distinct on (organization_id, platform, source, recorded_at)
                    organization_id, platform, source, recorded_at, metric_kind, metric_value,
                    date_trunc($4, recorded_at, ''UTC'') as period
             from kept order by organization_id, platform, source, recorded_at, kept_at desc
         ), series as (
             select period, metric_kind, count(*) as points, sum(metric_value) as added,
                    max(metric_value) as highest, min(metric_value) as lowest,
                    (array_agg(metric_value order by recorded_at desc))[1] as latest
             from points group by period, organization_id, platform, source, metric_kind
         )
         select period,
                coalesce(sum(case metric_kind when ''cumulative'' then latest when ''delta'' then added end),
                         sum(added) / sum(points)),
                sum(added) / sum(points), max(highest), min(lowest)
         from series group by period order by period'
        using input_entity_type, input_entity_id, input_metric_name, time_period, organization;
end
$$;
select grant_execute('get_metrics_aggregated(text, uuid, text, text)');

-- The nearest settled rows of one model. Model and width are literals: only then is the model's partial index used.
-- $1 organization, $2 vector, $3 and $4 the entity that is left out, $5 how many.
create function nearest_settled_statement(model text, dimensions integer) returns text
language sql immutable set search_path from current as $$
    select format(
        'select id, entity_type, entity_id, 1 - (vector_data::%1$s <=> $2::%1$s) as score from embeddings
         where organization_id = $1 and model_version = %2$L and superseded_revision is null and settled
           and not (entity_type = $3 and entity_id = $4)
         order by vector_data::%1$s <=> $2::%1$s limit $5',
        format(case when dimensions <= 2000 then 'vector(%s)' else 'halfvec(%s)' end, dimensions), model)
$$;

-- What is most like an entity: its best chunk of each other entity, current versions only, within one model. That is
-- the organization's active model if the entity has vectors of it, else the one it was last embedded with.
-- The entity is represented by the mean direction of its current chunks; without any, nothing is found.
-- The organization is the setting's, else the entity's. Settled rows are found by the model's index, unsettled ones
-- exactly; where the index came back with less than there is, everything once more exactly.
create function find_similar_content(
    input_entity_type text, input_entity_id uuid, similarity_threshold float default 0.8, max_results integer default 10
) returns table (entity_type text, entity_id uuid, source_field text, similarity_score float, metadata jsonb)
language plpgsql volatile set search_path from current set jit = off as $$
#variable_conflict use_column
declare
    organization uuid := nullif(current_setting('app.organization_id', true), '')::uuid;
    organizations uuid[];
    model text;
    width integer;
    subject vector;
    -- Several chunks may be of one entity.
    depth bigint := least(greatest(max_results * 4, 100), 4000);
    admitted bigint;
    settings text[];
    near record;
    entities bigint;
    among text;
begin
    if input_entity_type is null or input_entity_id is null then
        raise exception 'input_entity_type and input_entity_id must be given' using errcode = 'invalid_parameter_value';
    end if;
    if max_results is null or max_results not between 1 and 1000 then
        raise exception 'max_results must be 1 to 1000, not %', coalesce(max_results::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if similarity_threshold is null or similarity_threshold not between -1 and 1 then
        raise exception 'similarity_threshold must be -1 to 1, not %', coalesce(similarity_threshold::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;

    if organization is null then
        organizations := array(
            select distinct e.organization_id from embeddings e
            where e.entity_type = input_entity_type and e.entity_id = input_entity_id and e.superseded_revision is null);
        if cardinality(organizations) > 1 then
            raise exception '% % is in several organizations; set app.organization_id to one',
                input_entity_type, input_entity_id using errcode = 'ambiguous_parameter';
        end if;
        organization := organizations[1];
    end if;

    select m.id, m.dimensions into model, width
    from (select e.model_version, max(e.revision) as newest from embeddings e
          where e.organization_id = organization and e.entity_type = input_entity_type
            and e.entity_id = input_entity_id and e.superseded_revision is null
          group by e.model_version) as own
    join embedding_models m on m.id = own.model_version
    left join organization_models o
        on o.organization_id = organization and o.model_version = m.id and o.status = 'active'
    order by o.status is not null desc, own.newest desc, m.id limit 1;
    if model is null then
        return;
    end if;
    select avg(l2_normalize(e.vector_data)) into subject from embeddings e
    where e.organization_id = organization and e.entity_type = input_entity_type and e.entity_id = input_entity_id
      and e.model_version = model and e.superseded_revision is null and vector_dims(e.vector_data) = width;
    if subject is null then
        return;
    end if;

    select count(*) into admitted from (
        select from embeddings e
        where e.organization_id = organization and e.model_version = model and e.superseded_revision is null
          and e.settled and not (e.entity_type = input_entity_type and e.entity_id = input_entity_id)
        limit 5000) as counted;
    settings := array[current_setting('hnsw.ef_search'), current_setting('hnsw.iterative_scan'),
                      current_setting('hnsw.max_scan_tuples'), current_setting('enable_sort')];
    perform set_config('hnsw.ef_search', least(depth, 1000)::text, true),
            set_config('hnsw.iterative_scan', 'strict_order', true),
            -- A small organization is soon read exactly: no long walk among other organizations' rows.
            set_config('hnsw.max_scan_tuples', case when admitted < 5000 then '5000' else settings[3] end, true),
            -- The index gives the order.
            set_config('enable_sort', 'off', true);
    execute format('select array_agg(id) as ids, count(*) as found, min(score) as worst,
                           array_agg(entity_type || entity_id) as entities from (%s) as nearest',
                   nearest_settled_statement(model, width))
        into near using organization, subject, input_entity_type, input_entity_id, depth;
    perform set_config('hnsw.ef_search', settings[1], true), set_config('hnsw.iterative_scan', settings[2], true),
            set_config('hnsw.max_scan_tuples', settings[3], true), set_config('enable_sort', settings[4], true);

    select count(distinct e) into entities from unnest(near.entities) as e;
    among := format('organization_id = $1 and model_version = %L and superseded_revision is null
                     and not (entity_type = $3 and entity_id = $4) and vector_dims(vector_data) = %s', model, width);
    -- The index fell short of the rows there are, or they were chunks of too few entities.
    if near.found >= least(depth, admitted)
       and (near.found < depth or entities >= max_results or near.worst < similarity_threshold) then
        among := format('%s and not settled union all select * from embeddings where %s and id = any ($5)', among, among);
    end if;
    return query execute format(
        'select entity_type, entity_id, source_field, score, metadata from (
             select distinct on (entity_type, entity_id) entity_type, entity_id, source_field, score, metadata from (
                 select *, 1 - (vector_data::vector(%1$s) <=> $2::vector(%1$s)) as score
                 from (select * from embeddings where %2$s) as rows
             ) as scored
             where score >= $6 and score < ''NaN''
             order by entity_type, entity_id, score desc, source_field, chunk_index
         ) as best
         order by score desc, entity_type, entity_id limit $7', width, among)
        using organization, subject, input_entity_type, input_entity_id, near.ids, similarity_threshold, max_results;
end
$$;
select grant_execute('nearest_settled_statement(text, integer)');
select grant_execute('find_similar_content(text, uuid, float, integer)');
