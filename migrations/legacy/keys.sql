-- Foreign keys around the tables that are replaced: those that lead to one follow its successor, and what a cascade takes
-- from a retired table leaves the new ones, too.

-- The new table that holds a replaced table's rows, each once, under the same id. A hashtag became one of each organization.
create or replace function kindred_migration.successor(p_source text) returns text language sql immutable as $$
    select case p_source when 'posts' then 'posts_core' when 'hashtags' then null else p_source end
$$;

-- What a foreign key does on delete and update, and when, as its definition ends.
create or replace function kindred_migration.rules_of_key(p_key oid) returns text language sql stable as $$
    select regexp_replace(regexp_replace(pg_get_constraintdef(p_key), ' NOT VALID$', ''),
                          '^FOREIGN KEY .* REFERENCES [^(]*\([^)]*\)', '')
$$;

-- The keys of one column that lead to a replaced table from elsewhere.
create or replace view kindred_migration.keys_to_replaced as
select s.source, kindred_migration.successor(s.source) as successor, k.conname as name,
       k.conrelid::regclass as relation, a.attname as column_name,
       kindred_migration.rules_of_key(k.oid) as rest
from kindred_migration.sources s
join pg_constraint k on k.confrelid = s.relation and k.contype = 'f' and cardinality(k.conkey) = 1
join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
join pg_attribute f on f.attrelid = k.confrelid and f.attnum = k.confkey[1] and f.attname = 'id'
where s.source = any (kindred_migration.replaceable())
  -- Keys among retired tables stay among them.
  and not exists (select from kindred_migration.sources r
                  where r.relation = k.conrelid and r.source = any (kindred_migration.replaceable()));

-- A key needs the ids alone to be unique; the index is made while the new table is empty.
create or replace function kindred_migration.make_keys_possible() returns void language plpgsql as $$
declare
    one text;
begin
    for one in select 'posts_core' union select successor from kindred_migration.keys_to_replaced where successor is not null loop
        if to_regclass(one || '_legacy_id') is null then
            execute format('create unique index %I on %I (id)', one || '_legacy_id', one);
        end if;
    end loop;
end
$$;

-- Lets the keys lead to the new tables; `rewired` knows how they were.
create or replace function kindred_migration.rewire_keys() returns void language plpgsql as $$
declare
    found record;
begin
    for found in select * from kindred_migration.keys_to_replaced where successor is not null loop
        insert into kindred_migration.rewired values ('foreign key', found.relation::text, found.name,
            format('foreign key (%I) references public.%I (id)%s', found.column_name, found.source, found.rest));
        execute format('alter table %s drop constraint %I', found.relation, found.name);
        execute format('alter table %s add constraint %I foreign key (%I) references public.%I (id)%s not valid',
                       found.relation, found.name, found.column_name, found.successor, found.rest);
    end loop;
end
$$;

-- Lets them lead to the legacy tables again, in two steps: this one before the names change, `restore_keys` after.
create or replace function kindred_migration.unwire_keys() returns void language plpgsql as $$
declare
    found record;
begin
    for found in select * from kindred_migration.rewired where kind = 'foreign key' loop
        execute format('alter table %s drop constraint if exists %I', found.relation, found.name);
    end loop;
end
$$;

create or replace function kindred_migration.restore_keys() returns void language plpgsql as $$
declare
    found record;
begin
    for found in select * from kindred_migration.rewired where kind = 'foreign key' loop
        execute format('alter table %s add constraint %I %s not valid', found.relation, found.name, found.definition);
    end loop;
end
$$;

-- A retired table is written by nobody but cascades, as of a user who is deleted: the new tables follow these, too.
create or replace function kindred_migration.follow_cascade() returns trigger language plpgsql security definer set search_path from current as $$
declare
    ids uuid[];
    successor text := coalesce(kindred_migration.successor(tg_argv[0]), tg_argv[0]);
    was text := coalesce(current_setting('kindred.carrying', true), '');
begin
    if current_setting('kindred.restoring', true) = 'on' then return null; end if;
    ids := array(select distinct id from old_rows);
    if ids = '{}' then return null; end if;
    if tg_op = 'UPDATE' and kindred_migration.type_of(tg_relid, 'user_id') is not null then
        -- A row that lost its user stays in the organization that it is in.
        perform set_config('kindred.carrying', 'on', true);
        execute format('update %I t set user_id = null from %s l where l.id = any ((select $1)::uuid[]) and l.user_id is null and t.id = l.id',
                       successor, tg_relid::regclass) using ids;
        perform set_config('kindred.carrying', was, true);
        execute format('select coalesce(array_agg(id), ''{}'') from %s where id = any ((select $1)::uuid[]) and user_id is not null',
                       tg_relid::regclass) into ids using ids;
    end if;
    execute format('insert into kindred_migration.carried (source, source_id, organization_id)
                    select %L, id, organization_id from %I where id = any ((select $1)::uuid[]) on conflict do nothing',
                   tg_argv[0], successor) using ids;
    perform kindred_migration.carry_rows(tg_argv[0], ids);
    return null;
end
$$;

create or replace function kindred_migration.follow_cascades(p_source text) returns void language plpgsql as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = p_source);
    event text;
begin
    foreach event in array '{update,delete}'::text[] loop
        execute format('create trigger kindred_cascade_%s after %s on %s referencing old table as old_rows
                        for each statement execute function kindred_migration.follow_cascade(%L)', event, event, legacy, p_source);
    end loop;
end
$$;

-- At the end: the new tables take over the keys to users, the backup neither follows nor refuses what is deleted elsewhere,
-- and nothing leads into it any more.
create or replace function kindred_migration.settle_keys() returns void language plpgsql as $$
declare
    found record;
begin
    for found in
        select s.source, k.conname as name, k.conrelid::regclass as relation, k.confrelid::regclass as target, f.attname as target_column,
               kindred_migration.rules_of_key(k.oid) as rest
        from kindred_migration.sources s
        join pg_constraint k on k.conrelid = s.relation and k.contype = 'f' and cardinality(k.conkey) = 1
        join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1] and a.attname = 'user_id'
        join pg_attribute f on f.attrelid = k.confrelid and f.attnum = k.confkey[1]
        where s.source = any (kindred_migration.replaceable()) and kindred_migration.successor(s.source) is not null
    loop
        begin
            execute format('alter table %I add constraint %I foreign key (user_id) references %s (%I)%s not valid',
                           kindred_migration.successor(found.source), found.name, found.target, found.target_column, found.rest);
        exception when insufficient_privilege then
            raise warning 'the key % to % could not be given to the new table: kindred_owner may not reference it', found.name, found.target;
        end;
    end loop;
    for found in
        select k.conname as name, k.conrelid::regclass as relation from pg_constraint k
        join pg_class c on c.oid = k.conrelid join pg_class t on t.oid = k.confrelid
        where k.contype = 'f'
          and (c.relnamespace = 'kindred_legacy'::regnamespace) <> (t.relnamespace = 'kindred_legacy'::regnamespace)
    loop
        execute format('alter table %s drop constraint %I', found.relation, found.name);
    end loop;
end
$$;
