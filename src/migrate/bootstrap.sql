-- What needs a superuser, once per database: roles, ownership, the extension. Safe to run again.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['kindred_owner', 'kindred_app', 'kindred_reader'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I login', role_name);
        end if;
        -- The second lock (row level security) holds only for roles that cannot bypass it.
        -- One that is so already is left alone: two bootstraps of one server do not meet.
        if exists (select from pg_roles where rolname = role_name and (rolsuper or rolbypassrls or rolcreatedb or rolcreaterole)) then
            execute format('alter role %I nosuperuser nobypassrls nocreatedb nocreaterole', role_name);
        end if;
    end loop;
    execute format('alter database %I owner to kindred_owner', current_database());
end
$$;

create extension if not exists vector;

do $$
begin
    -- On Citus, SET LOCAL of the tenant must reach the workers; elsewhere the setting is a mere placeholder.
    execute 'alter role kindred_app set citus.propagate_set_commands = ''local''';
exception when others then
    raise warning 'citus.propagate_set_commands could not be set for kindred_app: %', sqlerrm;
end
$$;

-- On Supabase, members' policies ask auth.uid() who calls, through a function of the owner's.
do $$
begin
    if exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0) then
        grant usage on schema auth to kindred_owner;
        grant execute on function auth.uid() to kindred_owner;
    end if;
end
$$;

-- A legacy application's tables: the owner gets the rights of those who own them, and the tables of superusers themselves.
do $$
declare
    legacy record;
begin
    for legacy in
        select c.oid::regclass as relation, r.rolname as owner, r.rolsuper as of_superuser
        from pg_class c join pg_roles r on r.oid = c.relowner
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and r.rolname <> 'kindred_owner'
          and to_regclass('public.posts_core') is null
          and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    loop
        if legacy.of_superuser then
            execute format('alter table %s owner to kindred_owner', legacy.relation);
        else
            execute format('grant %I to kindred_owner', legacy.owner);
        end if;
    end loop;
    grant usage, create on schema public to kindred_owner;
end
$$;
