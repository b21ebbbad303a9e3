-- One engine carries every table: it makes the wanted rows of some source rows true in their targets. Writers' triggers,
-- the backfill and repairs call the same function, so that running it again changes nothing.

-- The legacy table of a source, wherever it lies now.
create or replace function kindred_migration.legacy_table(p_source text) returns regclass language sql stable as $$
    select coalesce((select relation from kindred_migration.sources where source = p_source),
                    (select oid::regclass from pg_class
                     where oid = to_regclass('public.' || p_source) and relkind in ('r', 'p')))
$$;

create or replace function kindred_migration.add_source(
    p_step integer, p_position integer, p_source text, p_refusal text default 'null::text',
    p_before text default null, p_after text default null
) returns void language sql as $$
    insert into kindred_migration.sources (source, step, position, relation, refusal, before_carry, after_carry)
    values (p_source, p_step, p_position, kindred_migration.legacy_table(p_source), p_refusal, p_before::regproc, p_after::regproc)
    on conflict (source) do update set
        step = excluded.step, position = excluded.position, refusal = excluded.refusal,
        before_carry = excluded.before_carry, after_carry = excluded.after_carry
$$;

-- The legacy tables whose place a table, or in the case of posts a view, of the new schema takes at the cut-over.
create or replace function kindred_migration.replaceable() returns text[] language sql immutable as $$
    select '{posts,media_files,chat_messages,content_ideas,hashtags,ai_suggestions}'::text[]
$$;

-- Whether a table of the new schema has taken the legacy one's name and place.
create or replace function kindred_migration.is_replaced(p_source text) returns boolean language sql stable as $$
    select contracted_at is not null and p_source = any (kindred_migration.replaceable()) from kindred_migration.settings
$$;

-- Why a row of a user-owned table cannot be carried.
create or replace function kindred_migration.no_home() returns text language sql immutable as $$
    select 'case when s.organization_id is null then
            ''it names no user, and no organization is named for such rows (--default-organization)'' end'::text
$$;

-- The columns of a target that its view fills, each as the target's type. One that the target does not have is left out:
-- vectors are kept beside their rows only where the legacy table had them.
create or replace function kindred_migration.target_columns(p_wanted text, p_target text)
returns table (name text, value text) language sql stable as $$
    select w.attname::text, case when w.atttypid = t.atttypid then format('w.%I', w.attname)
                            else format('w.%I::%s', w.attname, format_type(t.atttypid, null)) end
    from pg_attribute w join pg_attribute t on t.attrelid = p_target::regclass and t.attname = w.attname
    where w.attrelid = p_wanted::regclass and w.attnum > 0 and not t.attisdropped and w.attname not in ('source_id', 'carried_at')
    order by w.attnum
$$;

-- Registers a target. Its view has `source_id`, `organization_id` where the target has one, and the target's columns.
create or replace function kindred_migration.write_target(
    p_source text, p_position integer, p_target text, p_key text[], p_of_row text, p_of_source text default 'true'
) returns void language plpgsql as $$
declare
    wanted text := format('kindred_migration.%I', 'wanted_' || p_target || '_of_' || p_source);
    names text[];
    given text[];
begin
    select array_agg(name), array_agg(value) into names, given from kindred_migration.target_columns(wanted, p_target);
    insert into kindred_migration.targets values (
        p_source, p_position, p_target, wanted, p_key, p_of_row, p_of_source,
        format('delete from %I t using kindred_migration.carried c
                where c.source = $1 and c.source_id = any ((select $2)::uuid[]) and (%s)
                  and not exists (select from %s w where w.source_id = any ((select $2)::uuid[]) and %s)',
               p_target, p_of_row, wanted, (select string_agg(format('w.%1$I = t.%1$I', k), ' and ') from unnest(p_key) k)),
        format('insert into %I as t (%s) select %s from %s w where w.source_id = any ((select $1)::uuid[])
                on conflict (%s) do update set %s where (%s) is distinct from (%s)',
               p_target,
               (select string_agg(quote_ident(n), ', ') from unnest(names) n),
               array_to_string(given, ', '), wanted,
               (select string_agg(quote_ident(k), ', ') from unnest(p_key) k),
               (select string_agg(format('%1$I = excluded.%1$I', n), ', ') from unnest(names) n where n <> all (p_key)),
               (select string_agg('t.' || quote_ident(n), ', ') from unnest(names) n where n <> all (p_key)),
               (select string_agg('excluded.' || quote_ident(n), ', ') from unnest(names) n where n <> all (p_key)))
    ) on conflict (source, position) do update set
        target = excluded.target, wanted = excluded.wanted, key_columns = excluded.key_columns, of_row = excluded.of_row,
        of_source = excluded.of_source, delete_sql = excluded.delete_sql, upsert_sql = excluded.upsert_sql;
end
$$;

-- Makes the targets of these rows what their views say; `present` is false where the rows are to leave.
create or replace function kindred_migration.merge(p_source text, p_ids uuid[], present boolean) returns void
language plpgsql as $$
declare
    found kindred_migration.targets;
begin
    -- Children leave before their parents, and come after them.
    for found in select * from kindred_migration.targets where source = p_source order by position desc loop
        if present then
            execute found.delete_sql using p_source, p_ids;
        else
            execute format('delete from %I t using kindred_migration.carried c
                            where c.source = $1 and c.source_id = any ((select $2)::uuid[]) and (%s)', found.target, found.of_row)
                using p_source, p_ids;
        end if;
    end loop;
    if present then
        for found in select * from kindred_migration.targets where source = p_source order by position loop
            execute found.upsert_sql using p_ids;
        end loop;
    end if;
    delete from kindred_migration.carried where source = p_source and source_id = any ((select p_ids)::uuid[]);
    if not present then return; end if;
    for found in select * from kindred_migration.targets where source = p_source order by position limit 1 loop
        execute format('insert into kindred_migration.carried
                        select distinct $1, w.source_id, w.organization_id, w.carried_at from %s w where w.source_id = any ((select $2)::uuid[])',
                       found.wanted) using p_source, p_ids;
    end loop;
end
$$;

create or replace function kindred_migration.carry_once(p_source text, p_ids uuid[]) returns void language plpgsql as $$
declare
    known kindred_migration.sources;
    view_name text := format('kindred_migration.%I', p_source || '_source');
    users uuid[];
begin
    select * into known from kindred_migration.sources where source = p_source;
    -- No writer may change these rows between our reading and our writing.
    if known.relation is not null then
        execute format('select from %s where id = any ((select $1)::uuid[]) order by id for share', known.relation) using p_ids;
    end if;
    if known.before_carry is not null then
        execute format('select %s($1)', known.before_carry) using p_ids;
    end if;
    if exists (select from pg_attribute where attrelid = view_name::regclass and attname = 'user_id') then
        execute format('select array_agg(distinct user_id) from %s where id = any ((select $1)::uuid[])', view_name) into users using p_ids;
        perform kindred_migration.ensure_organizations(users);
    end if;
    delete from kindred_migration.quarantine where source = p_source and source_id = any ((select p_ids)::uuid[]);
    execute format('insert into kindred_migration.quarantine (source, source_id, part, reason)
                    select %L, id, ''row'', reason from (select s.id, (%s) as reason from %s s where s.id = any ((select $1)::uuid[])) r
                    where reason is not null', p_source, known.refusal, view_name) using p_ids;
    perform kindred_migration.merge(p_source, p_ids, true);
    if known.after_carry is not null then
        execute format('select %s($1)', known.after_carry) using p_ids;
    end if;
end
$$;

-- Carries rows; one that cannot be carried goes to the quarantine alone, and its neighbours land. Rows are found by indexes
-- always: a plan that was made while the tables were empty is kept as they grow, and of a long list of ids the planner
-- thinks that reading all is cheaper (hence the sub-selects around them).
create or replace function kindred_migration.carry_rows(p_source text, p_ids uuid[]) returns void
language plpgsql security definer set search_path from current set enable_seqscan = off as $$
declare
    half integer := cardinality(p_ids) / 2;
    was text := coalesce(current_setting('kindred.carrying', true), '');
begin
    if p_ids is null or cardinality(p_ids) = 0 then return; end if;
    perform set_config('kindred.carrying', 'on', true);
    begin
        perform kindred_migration.carry_once(p_source, p_ids);
    exception when others then
        -- A lock, a deadlock, a full disk or a shutdown is nobody's bad row.
        if left(sqlstate, 2) in ('40', '53', '54', '55', '57', '58', 'XX') then raise; end if;
        if cardinality(p_ids) = 1 then
            perform kindred_migration.merge(p_source, p_ids, false);
            insert into kindred_migration.quarantine (source, source_id, part, reason)
            values (p_source, p_ids[1], 'row', sqlerrm)
            on conflict (source, source_id, part) do update set reason = excluded.reason;
        else
            perform kindred_migration.carry_rows(p_source, p_ids[:half]);
            perform kindred_migration.carry_rows(p_source, p_ids[half + 1:]);
        end if;
    end;
    perform set_config('kindred.carrying', was, true);
end
$$;

-- Once its table has been replaced, the new side is what counts.
create or replace function kindred_migration.carry(p_source text, p_ids uuid[]) returns void language plpgsql as $$
begin
    if not kindred_migration.is_replaced(p_source) then
        perform kindred_migration.carry_rows(p_source, p_ids);
    end if;
end
$$;

-- Keeps the new side in step with a legacy table's writers: one call a statement, whatever its rows.
create or replace function kindred_migration.follow() returns trigger language plpgsql security definer set search_path from current as $$
begin
    if current_setting('kindred.restoring', true) = 'on' then return null; end if;
    if tg_op = 'INSERT' then
        perform kindred_migration.carry(tg_argv[0], array(select distinct id from new_rows));
    elsif tg_op = 'UPDATE' then
        perform kindred_migration.carry(tg_argv[0], array(select id from new_rows union select id from old_rows));
    elsif tg_op = 'DELETE' then
        perform kindred_migration.carry(tg_argv[0], array(select distinct id from old_rows));
    else
        perform kindred_migration.carry(tg_argv[0],
            array(select source_id from kindred_migration.carried where source = tg_argv[0]
                  union select source_id from kindred_migration.current_vectors where source = tg_argv[0]
                  union select source_id from kindred_migration.reel_keys where source = tg_argv[0]
                  union select source_id from kindred_migration.quarantine where source = tg_argv[0]));
    end if;
    return null;
end
$$;

create or replace function kindred_migration.follow_writers(p_source text, p_function text default 'follow') returns void
language plpgsql as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = p_source);
begin
    if legacy is null or exists (select from pg_trigger where tgrelid = legacy and tgname = 'kindred_' || p_function || '_insert') then
        return;
    end if;
    execute format('create trigger kindred_%2$s_insert after insert on %1$s referencing new table as new_rows
                    for each statement execute function kindred_migration.%2$I(%3$L)', legacy, p_function, p_source);
    execute format('create trigger kindred_%2$s_update after update on %1$s referencing new table as new_rows old table as old_rows
                    for each statement execute function kindred_migration.%2$I(%3$L)', legacy, p_function, p_source);
    execute format('create trigger kindred_%2$s_delete after delete on %1$s referencing old table as old_rows
                    for each statement execute function kindred_migration.%2$I(%3$L)', legacy, p_function, p_source);
    execute format('create trigger kindred_%2$s_truncate after truncate on %1$s
                    for each statement execute function kindred_migration.%2$I(%3$L)', legacy, p_function, p_source);
end
$$;

-- Carries the next rows of a source and moves its cursor with them; tells how many. Rows that a writer holds wait in
-- `pending`, so that a batch never waits for a writer while writers wait for it.
create or replace function kindred_migration.backfill_batch(p_source text, p_rows integer) returns integer
language plpgsql as $$
declare
    known kindred_migration.sources;
    batch uuid[];
    free uuid[];
begin
    select * into strict known from kindred_migration.sources where source = p_source for update;
    if known.relation is null then
        update kindred_migration.sources set done_at = coalesce(done_at, now()) where source = p_source;
        return 0;
    end if;
    execute format('select array_agg(id order by id) from (select id from %s where $1 is null or id > $1 order by id limit $2) b',
                   known.relation) into batch using known.after_id, p_rows;
    if batch is null then
        select array_agg(source_id) into batch
        from (select source_id from kindred_migration.pending where source = p_source order by source_id limit p_rows) b;
        if batch is null then
            update kindred_migration.sources set done_at = coalesce(done_at, now()) where source = p_source;
            return 0;
        end if;
        perform kindred_migration.carry(p_source, batch);
        delete from kindred_migration.pending where source = p_source and source_id = any (batch);
        return cardinality(batch);
    end if;
    execute format('select coalesce(array_agg(id order by id), ''{}'') from
                    (select id from %s where id = any ((select $1)::uuid[]) order by id for share skip locked) f',
                   known.relation) into free using batch;
    insert into kindred_migration.pending
    select p_source, id from unnest(batch) as id where id <> all (free) on conflict do nothing;
    perform kindred_migration.carry(p_source, free);
    update kindred_migration.sources
    set after_id = batch[cardinality(batch)], rows_done = rows_done + cardinality(batch) where source = p_source;
    return cardinality(batch);
end
$$;

-- The rows of one target that differ from what its source says, in both directions.
create or replace function kindred_migration.differences(p_source text, p_target text, p_limit bigint default null)
returns table (problem text, key jsonb) language plpgsql stable as $$
declare
    found kindred_migration.targets;
    names text[];
    given text[];
    keys text;
    key_object text;
begin
    select * into strict found from kindred_migration.targets where source = p_source and target = p_target;
    select array_agg(name), array_agg(value) into names, given from kindred_migration.target_columns(found.wanted, p_target);
    select string_agg(format('w.%1$I = t.%1$I', k), ' and '),
           string_agg(format('%1$L, coalesce(w.%1$I, t.%1$I)', k), ', ')
    into keys, key_object from unnest(found.key_columns) k;
    return query execute format(
        'select case when t.checksum is null then ''missing'' when w.checksum is null then ''surplus'' else ''different'' end,
                jsonb_build_object(%s)
         from (select %s, md5(row(%s)::text) as checksum from %s w
               where not exists (select from kindred_migration.quarantine q
                                 where q.source = %L and q.source_id = w.source_id and q.part = ''row'')) w
         full join (select %s, md5(row(%s)::text) as checksum from %I t where %s) t on %s
         where t.checksum is distinct from w.checksum limit $1',
        key_object,
        (select string_agg('w.' || quote_ident(k), ', ') from unnest(found.key_columns) k),
        array_to_string(given, ', '), found.wanted, p_source,
        (select string_agg('t.' || quote_ident(k), ', ') from unnest(found.key_columns) k),
        (select string_agg('t.' || quote_ident(n), ', ') from unnest(names) n), found.target, found.of_source,
        keys) using p_limit;
end
$$;
