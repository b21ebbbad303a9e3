-- The new tables keep the columns that the legacy tables had under other names or for themselves, until `finalize`: old code
-- reads and writes them after the cut-over as before. A vector is kept as it was; what old code writes there becomes a
-- version in `embeddings`, and what becomes current there is shown.

-- The columns that a new table lacks; `meaning` is the new name, `embedding` or `status` of what has another form now, and
-- null where there is none.
create or replace function kindred_migration.old_columns_of(p_source text)
returns table (name text, type text, meaning text, expression text) language sql stable as $$
    select a.attname::text, format_type(a.atttypid, a.atttypmod), n.meaning,
           case when n.meaning is null then pg_get_expr(d.adbin, d.adrelid) end
    from kindred_migration.sources s
    join pg_attribute a on a.attrelid = s.relation and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    left join kindred_migration.columns c on c.source = p_source and c.legacy_column = a.attname
    cross join lateral (select case when p_source <> 'ai_suggestions' then c.meaning
                               else coalesce('{"context_type": "source_entity_type", "context_id": "source_entity_id",
                                               "user_feedback": "feedback_text"}'::jsonb ->> c.meaning, c.meaning) end) n (meaning)
    where s.source = p_source and (p_source <> 'hashtags' or c.meaning is not null)
      and not exists (select from kindred_migration.new_columns n where n.source = p_source and n.name = a.attname)
    order by a.attnum
$$;

-- Before the first row is carried.
create or replace function kindred_migration.keep_old_columns_of(p_source text) returns void language plpgsql as $$
declare
    found record;
    renamed jsonb := '{}';
    own text[] := '{}';
begin
    if not exists (select from kindred_migration.sources where source = p_source and relation is not null)
       or exists (select from kindred_migration.new_columns where source = p_source) then return; end if;
    insert into kindred_migration.new_columns
    select p_source, attname from pg_attribute where attrelid = to_regclass(p_source) and attnum > 0 and not attisdropped;
    for found in select * from kindred_migration.old_columns_of(p_source) loop
        execute format('alter table %I add column %I %s', p_source, found.name, found.type);
        if found.expression is not null then
            execute format('alter table %I alter %I set default %s', p_source, found.name, found.expression);
        end if;
        if found.meaning = 'status' then
            execute format('create trigger kindred_old_status before insert or update on %I for each row
                            execute function kindred_migration.fill_old_suggestion()', p_source);
        elsif found.meaning = 'embedding' then
            perform kindred_migration.write_target(t.source, t.position, t.target, t.key_columns, t.of_row, t.of_source)
            from kindred_migration.targets t where t.source = p_source;
        elsif found.meaning is null then own := own || found.name;
        else renamed := renamed || jsonb_build_object(found.name, found.meaning); end if;
    end loop;
    if renamed = '{}' and own = '{}' then return; end if;
    execute format('create trigger kindred_old_columns before insert or update on %I for each row
                    execute function kindred_migration.fill_old_columns(%L, %L)', p_source, renamed, own);
end
$$;

-- Both names of a column hold what was written to either; what only old code knows is kept in the metadata, from where the
-- legacy table gets it.
create or replace function kindred_migration.fill_old_columns() returns trigger language plpgsql security definer set search_path from current as $$
declare
    renamed jsonb := tg_argv[0];
    own text[] := tg_argv[1];
    carrying boolean := coalesce(current_setting('kindred.carrying', true) = 'on', false);
    given jsonb := to_jsonb(new);
    before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) else '{}' end;
    kept jsonb := coalesce(given -> 'metadata' -> 'legacy', '{}');
    filled jsonb := '{}';
    old_name text;
    new_name text;
begin
    for old_name, new_name in select * from jsonb_each_text(renamed) loop
        if not carrying and coalesce(given -> old_name, 'null') is distinct from coalesce(before -> old_name, 'null') then
            if new_name = 'conversation_id' then
                kept := kept || jsonb_build_object(old_name, given -> old_name);
                filled := filled || jsonb_build_object(new_name, kindred_migration.as_uuid(given ->> old_name));
            else
                filled := filled || jsonb_build_object(new_name, given -> old_name);
            end if;
        else
            if not carrying and tg_op = 'UPDATE' and given -> new_name is distinct from before -> new_name then
                kept := kept - old_name;
            end if;
            filled := filled || jsonb_build_object(old_name, coalesce(kept -> old_name, given -> new_name));
        end if;
    end loop;
    foreach old_name in array own loop
        if not carrying and coalesce(given -> old_name, 'null') is distinct from coalesce(before -> old_name, 'null') then
            kept := kept || jsonb_build_object(old_name, given -> old_name);
        else
            filled := filled || jsonb_build_object(old_name, kept -> old_name);
        end if;
    end loop;
    if kept is distinct from coalesce(given -> 'metadata' -> 'legacy', '{}') then
        filled := filled || jsonb_build_object('metadata', coalesce(nullif(given -> 'metadata', 'null'), '{}') - 'legacy'
            || case when kept = '{}' then '{}' else jsonb_build_object('legacy', kept) end);
    end if;
    return jsonb_populate_record(new, filled);
end
$$;

-- A suggestion of the older shape told by one word how it was received, and had types that are called otherwise now.
create or replace function kindred_migration.fill_old_suggestion() returns trigger language plpgsql security definer set search_path from current as $$
declare
    carrying boolean := coalesce(current_setting('kindred.carrying', true) = 'on', false);
begin
    new.metadata := coalesce(new.metadata, '{}');
    if not carrying and new.suggestion_type <> kindred_migration.suggestion_type_of(new.suggestion_type) then
        new.metadata := new.metadata || jsonb_build_object('legacy_type', new.suggestion_type);
        new.suggestion_type := kindred_migration.suggestion_type_of(new.suggestion_type);
    end if;
    if not carrying and new.status is not null and (tg_op = 'INSERT' or new.status is distinct from old.status) then
        if new.status <> all ('{pending,accepted,rejected,modified}') then
            raise exception 'a suggestion is pending, accepted, rejected or modified, not %', new.status
                using errcode = 'check_violation', column = 'status', table = 'ai_suggestions';
        end if;
        new.is_accepted := case when new.status in ('accepted', 'modified') then true when new.status = 'rejected' then false end;
        new.is_dismissed := new.status = 'rejected';
        new.metadata := new.metadata || jsonb_build_object('legacy_status', new.status);
    end if;
    new.status := kindred_migration.suggestion_status_of(new.is_accepted, new.is_dismissed, new.metadata);
    return new;
end
$$;

create or replace function kindred_migration.drop_old_columns() returns void language plpgsql as $$
declare
    found record;
begin
    for found in select tgname, tgrelid::regclass as relation from pg_trigger where tgname in ('kindred_old_columns', 'kindred_old_status') loop
        execute format('drop trigger %I on %s', found.tgname, found.relation);
    end loop;
    for found in select s.source, a.attname as name from (select distinct source from kindred_migration.new_columns) s
                 join pg_attribute a on a.attrelid = to_regclass(s.source) and a.attnum > 0 and not a.attisdropped
                 where not exists (select from kindred_migration.new_columns n where n.source = s.source and n.name = a.attname) loop
        execute format('alter table %I drop column %I', found.source, found.name);
    end loop;
end
$$;
