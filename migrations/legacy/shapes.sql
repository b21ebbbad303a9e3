-- The shapes that legacy tables have in the wild, read as one: a view a table, with the columns that are expected.

create or replace function kindred_migration.as_uuid(given text) returns uuid language sql immutable as $$
    select case
        when given is null or given = '' then null
        when given ~* '^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$' then given::uuid
        else md5(given)::uuid
    end
$$;

-- A UUID of version 7's form whose time is `at`, the same for the same seed.
create or replace function kindred_migration.uuid_at(at timestamptz, seed text) returns uuid
language plpgsql immutable parallel safe as $$
declare
    digest text := md5(seed);
begin
    return lpad(to_hex(greatest(0, extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(digest, 1, 3)
           || '8' || substr(digest, 4, 15);
end
$$;

-- The type of a legacy table's column; null where the table or the column is absent.
create or replace function kindred_migration.type_of(relation regclass, name text) returns text
language sql stable as $$
    select t.typname::text from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = relation and a.attname = name and a.attnum > 0 and not a.attisdropped
$$;

-- SQL that reads one column of a legacy row `t` as `wanted`.
create or replace function kindred_migration.reading(relation regclass, name text, wanted text) returns text
language sql stable as $$
    select case
        when wanted = 'uuid' and found <> 'uuid' then format('kindred_migration.as_uuid(t.%I::text)', name)
        when wanted = 'double precision[]' and found = 'vector' then format('t.%I::real[]::double precision[]', name)
        when wanted = 'timestamptz' and found in ('timestamp', 'date')
            then format('(t.%I::timestamp at time zone ''UTC'')', name)
        when wanted = 'jsonb' and found = 'text' then format('to_jsonb(t.%I)', name)
        when wanted = 'text[]' and found in ('text', 'varchar')
            then format('(case when t.%1$I is null then null else array[t.%1$I::text] end)', name)
        when wanted = 'text[]' and found = 'jsonb'
            then format('(case when jsonb_typeof(t.%1$I) = ''array'' then array(select jsonb_array_elements_text(t.%1$I)) end)', name)
        else format('t.%I::%s', name, wanted)
    end
    from kindred_migration.type_of(relation, name) as found
$$;

-- Makes the view kindred_migration.<source>_source. `columns` is a list of {"name", "type", "from": [names]}; of several
-- names that exist, the first that is not null counts. `extra` holds every column that nothing here knows.
create or replace function kindred_migration.read_source(source text, relation regclass, columns jsonb) returns void
language plpgsql as $$
declare
    spec jsonb;
    parts text[] := '{}';
    known text[] := '{}';
    found text[];
    expression text;
    user_expression text;
begin
    for spec in select * from jsonb_array_elements(columns) loop
        select coalesce(array_agg(name order by place), '{}') into found
        from jsonb_array_elements_text(coalesce(spec -> 'from', jsonb_build_array(spec ->> 'name'))) with ordinality as n (name, place)
        where kindred_migration.type_of(relation, name) is not null;
        insert into kindred_migration.columns select source, name, spec ->> 'name' from unnest(found) as name
        on conflict do nothing;
        select string_agg(kindred_migration.reading(relation, name, spec ->> 'type'), ', ') into expression
        from unnest(found) as name;
        -- A text that is read as a UUID may say more than the UUID does: it stays among the extra ones, too.
        known := known || array(select name from unnest(found) as name
                                where spec ->> 'type' <> 'uuid' or kindred_migration.type_of(relation, name) = 'uuid');
        -- One column stands alone, so that its index can be used.
        expression := case cardinality(found) when 0 then 'null::' || (spec ->> 'type') when 1 then expression
                      else format('coalesce(%s)', expression) end;
        parts := parts || format('%s as %I', expression, spec ->> 'name');
    end loop;
    -- A row belongs to its user's organization, or to the one that the operator named for rows without a user.
    if columns @> '[{"name": "user_id"}]' then
        user_expression := case when kindred_migration.type_of(relation, 'user_id') is null then 'null::uuid'
                           else kindred_migration.reading(relation, 'user_id', 'uuid') end;
        parts := parts || format('case when %s is null then of_row.default_organization else of_user.organization_id end as organization_id', user_expression);
    end if;
    if relation is null then
        execute format('create or replace view kindred_migration.%I as select %s, null::jsonb as extra
                        from (select) t
                        left join kindred_migration.user_organizations of_user on false
                        cross join kindred_migration.settings of_row where false',
                       source || '_source', array_to_string(parts, ', '));
        return;
    end if;
    select string_agg(format('%L, t.%I', attname, attname), ', ' order by attnum) into expression
    from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped and attname <> all (known);
    execute format('create or replace view kindred_migration.%I as select %s, %s as extra from %s t %s',
        source || '_source', array_to_string(parts, ', '),
        coalesce(format('jsonb_build_object(%s)', expression), 'null::jsonb'), relation,
        case when columns @> '[{"name": "user_id"}]' then format(
            'left join kindred_migration.user_organizations of_user on of_user.user_id = %s
             cross join kindred_migration.settings of_row',
            user_expression) else '' end);
end
$$;

-- A row's metadata with what nothing else holds under `legacy`; there also the metadata themselves, where they are no object
-- or have a key of that name.
create or replace function kindred_migration.metadata_with(given jsonb, extra jsonb) returns jsonb language sql immutable as $$
    select case when jsonb_typeof(given) = 'object' then given - 'legacy' else '{}' end
           || case when legacy = '{}' then '{}' else jsonb_build_object('legacy', legacy) end
    from (select coalesce(extra, '{}')
                 || case when jsonb_typeof(given) <> 'object' or given ? 'legacy'
                         then jsonb_build_object('metadata', given) else '{}' end) l (legacy)
$$;
