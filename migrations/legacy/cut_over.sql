-- Cut-over: the new tables take the legacy ones' names, `posts` becomes a view of them, and from then on the legacy tables,
-- kept in schema kindred_legacy, follow what is written here, until `finalize`. `uncontract` takes every step back.

-- SQL that reads one column of a replaced legacy table from the new row `n`.
create or replace function kindred_migration.giving(p_source text, p_column text, p_type text, overrides jsonb)
returns text language sql stable as $$
    select case
        when c.meaning is null or (c.meaning <> 'embedding' and p_type = 'text' and overrides ->> c.meaning is null and m.typed = 'uuid')
            then case when p_type like '%[]'
                 then format('(case when jsonb_typeof(n.metadata -> ''legacy'' -> %1$L) = ''array'' then array(select jsonb_array_elements_text(n.metadata -> ''legacy'' -> %1$L)) end)::%2$s', p_column, p_type)
                 when c.meaning is not null
                 then format('coalesce(n.metadata -> ''legacy'' ->> %1$L, n.%2$I::text)::%3$s', p_column, c.meaning, p_type)
                 else format('(n.metadata -> ''legacy'' ->> %L)::%s', p_column, p_type) end
        else format('(%s)::%s', coalesce(overrides ->> c.meaning, format('n.%I', c.meaning)), p_type)
    end
    from (select 1) one
    left join kindred_migration.columns c on c.source = p_source and c.legacy_column = p_column
    left join lateral (select t.typname::text as typed from pg_attribute a join pg_type t on t.oid = a.atttypid
                       where a.attrelid = to_regclass(p_source) and a.attname = c.meaning) m on true
$$;

-- SQL that reads a legacy row's metadata from the new row `n`: without what was added to them, and without our own keys.
create or replace function kindred_migration.giving_metadata(p_own text[] default '{}') returns text
language sql immutable as $$
    select format('case when n.metadata -> ''legacy'' ? ''metadata'' then n.metadata -> ''legacy'' -> ''metadata''
                   else n.metadata - %L::text[] end', p_own || 'legacy'::text)
$$;

-- Makes a view that shows the new rows in the legacy table's shape, all its columns in their order.
create or replace function kindred_migration.show_as_legacy(p_view text, p_source text, p_from text, overrides jsonb)
returns void language plpgsql as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = p_source);
    parts text;
begin
    if legacy is null then return; end if;
    select string_agg(format('%s as %I', kindred_migration.giving(p_source, a.attname, format_type(a.atttypid, a.atttypmod), overrides), a.attname),
                      ', ' order by a.attnum) into parts
    from pg_attribute a
    left join kindred_migration.columns c on c.source = p_source and c.legacy_column = a.attname
    where a.attrelid = legacy and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      -- Hashtags have no metadata that could keep a column of which nothing here knows: it stays in the legacy table.
      and (p_source <> 'hashtags' or c.meaning is not null);
    execute format('create view %s as select %s from %s', p_view, parts, p_from);
end
$$;

-- The shape of a replaced table's rows, made true in the legacy table, so that a way back stays open.
create or replace function kindred_migration.restore_once(p_source text, p_ids uuid[]) returns void language plpgsql as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = p_source);
    shown text := format('kindred_migration.%I', 'legacy_' || p_source);
    names text[];
begin
    select array_agg(attname::text order by attnum) into names from pg_attribute
    where attrelid = shown::regclass and attnum > 0 and not attisdropped;
    execute format('delete from %s where id = any ((select $1)::uuid[]) and id not in (select id from %s where id = any ((select $1)::uuid[]))', legacy, shown) using p_ids;
    execute format('insert into %s as t (%s) select %s from %s w where w.id = any ((select $1)::uuid[]) on conflict (id) do update set %s
                    where (%s) is distinct from (%s)',
        legacy, (select string_agg(quote_ident(n), ', ') from unnest(names) n),
        (select string_agg('w.' || quote_ident(n), ', ') from unnest(names) n), shown,
        -- A post's vector that could not be carried is not lost by an unrelated write; the other tables keep it themselves.
        (select string_agg(case when p_source = 'posts' and n = 'embedding'
                           then format('%1$I = case when excluded.%1$I is null and kindred_migration.vector_refusal(%2$s, (select dimensions from kindred_migration.settings)) is not null then t.%1$I else excluded.%1$I end',
                                       n, kindred_migration.reading(legacy, n, 'double precision[]'))
                           else format('%1$I = excluded.%1$I', n) end, ', ')
         from unnest(names) n where n <> 'id'),
        (select string_agg('t.' || quote_ident(n), ', ') from unnest(names) n where n <> 'id'),
        (select string_agg('excluded.' || quote_ident(n), ', ') from unnest(names) n where n <> 'id')) using p_ids;
end
$$;

create or replace function kindred_migration.restore(p_source text, p_ids uuid[]) returns void
language plpgsql security definer set search_path from current set enable_seqscan = off as $$
declare
    half integer := cardinality(p_ids) / 2;
    was text := coalesce(current_setting('kindred.restoring', true), '');
begin
    if p_ids is null or cardinality(p_ids) = 0 or not kindred_migration.is_replaced(p_source)
       or (select relation is null from kindred_migration.sources where source = p_source) then return; end if;
    perform set_config('kindred.restoring', 'on', true);
    begin
        delete from kindred_migration.quarantine where source = p_source and part = 'restore' and source_id = any ((select p_ids)::uuid[]);
        perform kindred_migration.restore_once(p_source, p_ids);
    exception when others then
        if left(sqlstate, 2) in ('40', '53', '54', '55', '57', '58', 'XX') then raise; end if;
        if cardinality(p_ids) = 1 then
            insert into kindred_migration.quarantine (source, source_id, part, reason)
            values (p_source, p_ids[1], 'restore', sqlerrm)
            on conflict (source, source_id, part) do update set reason = excluded.reason;
        else
            perform kindred_migration.restore(p_source, p_ids[:half]);
            perform kindred_migration.restore(p_source, p_ids[half + 1:]);
        end if;
    end;
    perform set_config('kindred.restoring', was, true);
end
$$;

-- What of rows was written to the legacy table becomes versions: vectors as new ones, and what is gone leaves a tombstone.
create or replace function kindred_migration.follow_vectors(p_source text, p_ids uuid[]) returns void language plpgsql as $$
declare
    was text := coalesce(current_setting('kindred.carrying', true), '');
begin
    if p_ids is null or p_ids = '{}' then return; end if;
    delete from kindred_migration.quarantine where source = p_source and part = 'embedding' and source_id = any (p_ids);
    perform set_config('kindred.carrying', 'on', true);
    perform kindred_migration.carry_vectors(p_source, p_ids);
    perform set_config('kindred.carrying', was, true);
end
$$;

-- Lets the legacy table follow writers of a new one: `tg_argv` is the source and the column that holds its id.
create or replace function kindred_migration.retrace() returns trigger language plpgsql security definer set search_path from current as $$
declare
    ids uuid[] := '{}';
    part uuid[];
    with_vectors boolean := tg_argv[1] = 'id' and kindred_migration.type_of(tg_relid, 'embedding') is not null;
begin
    if current_setting('kindred.carrying', true) = 'on' then return null; end if;
    if tg_op in ('INSERT', 'UPDATE') then
        execute format('select array_agg(distinct %I) from new_rows', tg_argv[1]) into part;
        ids := ids || part;
    end if;
    if tg_op in ('UPDATE', 'DELETE') then
        execute format('select array_agg(distinct %I) from old_rows', tg_argv[1]) into part;
        ids := ids || part;
    end if;
    ids := array(select distinct id from unnest(ids) as id where id is not null);
    perform kindred_migration.restore(tg_argv[0], ids);
    if tg_op = 'DELETE' and tg_argv[1] = 'id' then
        perform kindred_migration.follow_vectors(tg_argv[0], ids);
    elsif tg_op = 'INSERT' and with_vectors then
        perform kindred_migration.follow_vectors(tg_argv[0], array(select distinct id from new_rows where embedding is not null));
    elsif tg_op = 'UPDATE' and with_vectors then
        perform kindred_migration.follow_vectors(tg_argv[0], array(
            select distinct n.id from new_rows n join old_rows o using (organization_id, id)
            where n.embedding is distinct from o.embedding));
    end if;
    return null;
end
$$;

-- What becomes a current vector under the legacy model, whoever writes it, is what old code reads.
create or replace function kindred_migration.retrace_vector() returns trigger language plpgsql security definer set search_path from current as $$
declare
    place text;
    typed text;
    was text := coalesce(current_setting('kindred.carrying', true), '');
begin
    if was = 'on' then return null; end if;
    select l.source into place from kindred_migration.lines_of_vectors l
    join kindred_migration.sources s on s.source = l.source and s.relation is not null
    where l.entity_type = new.entity_type and l.source_field = new.source_field;
    if place is null then return null; end if;
    typed := case when place <> 'posts' then kindred_migration.type_of(to_regclass(place), 'embedding') end;
    if typed is not null then
        perform set_config('kindred.carrying', 'on', true);
        execute format('update %I t set embedding = c.embedding
                        from (select (select e.vector_data from embeddings e
                                      where e.organization_id = $1 and e.entity_type = $3 and e.entity_id = $2 and e.source_field = $4
                                        and e.model_version = $5 and e.chunk_index = 0 and e.superseded_revision is null)%s) c (embedding)
                        where t.organization_id = $1 and t.id = $2 and t.embedding is distinct from c.embedding', place,
                       case when typed = '_float8' then '::real[]::double precision[]' else '' end)
            using new.organization_id, new.entity_id, new.entity_type, new.source_field, new.model_version;
        perform set_config('kindred.carrying', was, true);
    end if;
    perform kindred_migration.restore(place, array[new.entity_id]);
    return null;
end
$$;

create or replace function kindred_migration.retrace_writers(p_table text, p_source text, p_column text) returns void
language plpgsql as $$
begin
    if (select relation is null from kindred_migration.sources where source = p_source) then return; end if;
    execute format('create trigger kindred_retrace_%s_insert after insert on %I referencing new table as new_rows
                    for each statement execute function kindred_migration.retrace(%L, %L)', p_source, p_table, p_source, p_column);
    execute format('create trigger kindred_retrace_%s_update after update on %I referencing new table as new_rows old table as old_rows
                    for each statement execute function kindred_migration.retrace(%L, %L)', p_source, p_table, p_source, p_column);
    execute format('create trigger kindred_retrace_%s_delete after delete on %I referencing old table as old_rows
                    for each statement execute function kindred_migration.retrace(%L, %L)', p_source, p_table, p_source, p_column);
end
$$;

-- Gives old code that writes a replaced table what it leaves out: an organization, a role.
create or replace function kindred_migration.fill_legacy() returns trigger language plpgsql security definer set search_path from current as $$
begin
    if current_setting('kindred.carrying', true) = 'on' then return new; end if;
    if tg_table_name = 'hashtags' then
        -- A hashtag was everybody's; now it is one organization's.
        new.organization_id := coalesce(new.organization_id, (select default_organization from kindred_migration.settings));
        new.normalized_tag := coalesce(new.normalized_tag, lower(ltrim(new.tag, '#')));
        return new;
    end if;
    if new.organization_id is null then
        perform kindred_migration.ensure_organizations(array[new.user_id]);
        new.organization_id := kindred_migration.organization_of(new.user_id);
    end if;
    if tg_table_name = 'chat_messages' then
        new.role := coalesce(new.role, 'user');
        new.metadata := coalesce(new.metadata, '{}');
    end if;
    return new;
end
$$;

-- A role that could read all of a legacy table can read what replaces it, until `finalize`; nobody sees more than before.
create or replace function kindred_migration.admit_legacy_roles(p_source text, p_tables text[]) returns void
language plpgsql as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = p_source);
    grantee record;
    one text;
begin
    if legacy is null then return; end if;
    for grantee in
        select r.rolname, string_agg(distinct acl.privilege_type, ', ') as privileges,
               not c.relrowsecurity or c.relowner = r.oid as sees_all
        from pg_class c
        cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl
        join pg_roles r on r.oid = acl.grantee
        where c.oid = legacy and acl.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
          and r.rolname not in ('kindred_owner', 'kindred_app', 'kindred_reader') and not r.rolsuper
        group by r.rolname, sees_all
    loop
        foreach one in array p_tables loop
            execute format('grant %s on %I to %I', grantee.privileges, one, grantee.rolname);
            if grantee.sees_all and (select relkind in ('r', 'p') from pg_class where oid = to_regclass(one))
               and not exists (select from pg_policy where polrelid = to_regclass(one) and polname = 'legacy_' || grantee.rolname) then
                execute format('create policy %I on %I to %I using (true) with check (true)',
                               left('legacy_' || grantee.rolname, 63), one, grantee.rolname);
            end if;
        end loop;
    end loop;
end
$$;

-- Moves every table, view and function of schema `origin` that is Kindred's to `destination`.
create or replace function kindred_migration.move_objects(origin text, destination text) returns void language plpgsql as $$
declare
    found record;
begin
    for found in
        select c.relname as name, case c.relkind when 'v' then 'view' else 'table' end as kind
        from pg_class c where c.relnamespace = origin::regnamespace and c.relkind in ('r', 'p', 'v')
          and (origin = 'kindred' or exists (
              select from kindred_migration.rewired m where m.kind = 'moved' and m.name in (
                  c.relname, (select i.inhparent::regclass::text from pg_inherits i where i.inhrelid = c.oid))))
    loop
        execute format('alter %s %I.%I set schema %I', found.kind, origin, found.name, destination);
        insert into kindred_migration.rewired values ('moved', found.kind, found.name, '') on conflict do nothing;
    end loop;
    for found in
        select p.proname as name, pg_get_function_identity_arguments(p.oid) as arguments, p.oid::regprocedure as signature
        from pg_proc p where p.pronamespace = origin::regnamespace
          and not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
          and (origin = 'kindred' or exists (
              select from kindred_migration.rewired m where m.kind = 'moved function' and m.name = p.proname
                and m.definition = pg_get_function_identity_arguments(p.oid)))
    loop
        execute format('alter function %s set schema %I', found.signature, destination);
        insert into kindred_migration.rewired values ('moved function', found.arguments, found.name, found.arguments) on conflict do nothing;
    end loop;
end
$$;

-- Foreign keys are followed with the rights of who owns the tables.
create or replace function kindred_migration.admit_legacy_owners() returns void language plpgsql as $$
declare
    one name;
begin
    for one in select distinct c.relowner::regrole from pg_class c
               where c.relnamespace = 'kindred_legacy'::regnamespace and c.relkind in ('r', 'p') loop
        execute format('grant usage on schema kindred_legacy to %s', one);
    end loop;
end
$$;

create or replace function kindred_migration.contract() returns void language plpgsql as $$
declare
    replaced text[] := array(select source from kindred_migration.sources
                             where source = any (kindred_migration.replaceable())
                               and relation is not null order by source);
    one text;
begin
    if (select contracted_at is not null from kindred_migration.settings) then return; end if;
    create schema if not exists kindred_legacy;
    foreach one in array replaced loop
        execute format('lock table %s in access exclusive mode', (select relation from kindred_migration.sources where source = one));
    end loop;
    if exists (select from kindred_migration.sources where done_at is null) or exists (select from kindred_migration.pending) then
        raise exception 'the backfill is not done' using hint = 'run kindred migrate up';
    end if;
    if exists (select from kindred_migration.organization_flags where not reads_new) then
        raise exception '% organizations still read the legacy side',
            (select count(*) from kindred_migration.organization_flags where not reads_new)
            using hint = 'run kindred migrate switch --all, then kindred migrate up';
    end if;
    drop view if exists public.posts_unified;
    foreach one in array replaced loop
        perform kindred_migration.unfollow_writers(one);
        execute format('alter table %s set schema kindred_legacy', (select relation from kindred_migration.sources where source = one));
    end loop;
    perform kindred_migration.admit_legacy_owners();
    perform kindred_migration.move_objects('kindred', 'public');
    -- An empty schema that comes first in the path would take the next run's migrations.
    drop schema kindred;
    update kindred_migration.settings set contracted_at = now();
    perform kindred_migration.rewire_keys();
    foreach one in array replaced loop
        perform kindred_migration.follow_cascades(one);
    end loop;

    if 'posts' = any (replaced) then
        perform kindred_migration.make_posts_view();
        execute 'create view kindred_migration.legacy_posts as select * from public.posts';
        perform kindred_migration.retrace_writers('posts_core', 'posts', 'id');
        perform kindred_migration.retrace_writers('posts_content', 'posts', 'post_id');
        perform kindred_migration.retrace_writers('post_media_links', 'posts', 'post_id');
        perform kindred_migration.retrace_writers('post_insights', 'posts', 'post_id');
        perform kindred_migration.admit_legacy_roles('posts',
            '{posts,posts_core,posts_content,media_files,post_media_links,post_insights,embeddings,embedding_versions}');
        for one in
            select distinct r.rolname from pg_class c
            cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl
            join pg_roles r on r.oid = acl.grantee
            where c.oid = 'kindred_legacy.posts'::regclass and acl.privilege_type in ('INSERT', 'UPDATE', 'DELETE')
        loop
            execute format('grant execute on function public.organization_of_user(uuid),
                            public.posts_view_vector(uuid, uuid, jsonb, text, jsonb) to %I', one);
        end loop;
    end if;
    execute format('create trigger kindred_retrace_vectors after insert on embedding_changes for each row when (new.model_version = %L)
                    execute function kindred_migration.retrace_vector()', (select model_version from kindred_migration.settings));
    perform kindred_migration.show_as_legacy('kindred_migration.legacy_chat_messages', 'chat_messages', 'chat_messages n',
        jsonb_build_object('metadata', kindred_migration.giving_metadata()));
    perform kindred_migration.show_as_legacy('kindred_migration.legacy_content_ideas', 'content_ideas', 'content_ideas n',
        jsonb_build_object('metadata', kindred_migration.giving_metadata()));
    perform kindred_migration.show_as_legacy('kindred_migration.legacy_hashtags', 'hashtags',
        '(select distinct on (id) *, ''{}''::jsonb as metadata from hashtags order by id, updated_at desc, organization_id) n', '{}');
    perform kindred_migration.show_as_legacy('kindred_migration.legacy_media_files', 'media_files',
        '(select * from media_files where metadata ->> ''source'' is distinct from ''posts.media_urls'') n',
        jsonb_build_object('metadata', kindred_migration.giving_metadata('{source}')));
    perform kindred_migration.show_as_legacy('kindred_migration.legacy_ai_suggestions', 'ai_suggestions',
        '(select * from ai_suggestions where metadata ->> ''source'' is distinct from ''content_generations'') n',
        jsonb_build_object('metadata', kindred_migration.giving_metadata('{source,legacy_type,legacy_status}')) || '{
        "suggestion_type": "case when kindred_migration.suggestion_type_of(n.metadata ->> ''legacy_type'') = n.suggestion_type then n.metadata ->> ''legacy_type'' when n.suggestion_type = ''content_idea'' then ''content'' when n.suggestion_type = ''optimization'' then ''timing'' else n.suggestion_type end",
        "context_type": "n.source_entity_type", "context_id": "n.source_entity_id", "user_feedback": "n.feedback_text",
        "status": "kindred_migration.suggestion_status_of(n.is_accepted, n.is_dismissed, n.metadata)"}');
    foreach one in array replaced loop
        continue when one = 'posts';
        perform kindred_migration.retrace_writers(one, one, 'id');
        perform kindred_migration.admit_legacy_roles(one, array[one]);
        execute format('alter table %I alter id set default gen_random_uuid()', one);
        execute format('create trigger kindred_fill_legacy before insert on %I for each row
                        execute function kindred_migration.fill_legacy()', one);
    end loop;
    insert into kindred_migration.phases select step, 'contracted' from generate_series(1, 4) step on conflict do nothing;
end
$$;

-- Without a source, of all of them.
create or replace function kindred_migration.unfollow_writers(p_source text default null) returns void language plpgsql as $$
declare
    found record;
begin
    for found in select tgname, tgrelid::regclass as relation from pg_trigger
                 where tgname like 'kindred\_follow%'
                   and (p_source is null or tgrelid = (select relation from kindred_migration.sources where source = p_source)) loop
        execute format('drop trigger %I on %s', found.tgname, found.relation);
    end loop;
end
$$;

-- Every step of `contract` back: the legacy tables, which have followed all writes, serve again.
create or replace function kindred_migration.uncontract() returns void language plpgsql as $$
declare
    found record;
    one text;
begin
    if (select contracted_at is null from kindred_migration.settings) then return; end if;
    if (select finalized_at is not null from kindred_migration.settings) then
        raise exception 'the migration was finalized: the legacy tables are gone' using hint = 'restore a backup';
    end if;
    perform kindred_migration.unwire_keys();
    for found in select tgname, tgrelid::regclass as relation from pg_trigger
                 where tgname like any ('{kindred\\_retrace\\_%,kindred\\_cascade\\_%,kindred\\_fill\\_legacy}') loop
        execute format('drop trigger %I on %s', found.tgname, found.relation);
    end loop;
    for found in select polname, polrelid::regclass as relation from pg_policy p join pg_class c on c.oid = p.polrelid
                 where polname like 'legacy\_%' and c.relowner = 'kindred_owner'::regrole loop
        execute format('drop policy %I on %s', found.polname, found.relation);
    end loop;
    drop view if exists kindred_migration.legacy_posts, kindred_migration.legacy_chat_messages,
        kindred_migration.legacy_content_ideas, kindred_migration.legacy_hashtags, kindred_migration.legacy_media_files,
        kindred_migration.legacy_ai_suggestions;
    drop view if exists public.posts;
    drop function if exists public.posts_view_write();
    foreach one in array array_remove(kindred_migration.replaceable(), 'posts') loop
        execute format('alter table %I alter id drop default', one);
    end loop;
    create schema if not exists kindred;
    grant usage on schema kindred to kindred_app, kindred_reader;
    perform kindred_migration.move_objects('public', 'kindred');
    update kindred_migration.settings set contracted_at = null;
    for found in select source, relation from kindred_migration.sources
                 where source = any (kindred_migration.replaceable())
                   and relation is not null loop
        execute format('alter table %s set schema public', found.relation);
        perform kindred_migration.follow_writers(found.source);
    end loop;
    perform kindred_migration.restore_keys();
    delete from kindred_migration.rewired;
    delete from kindred_migration.phases where phase = 'contracted';
    -- Whoever takes the cut-over back reads the legacy side again, and chooses anew.
    update kindred_migration.organization_flags set reads_new = false, switched_at = now() where reads_new;
    -- What the new side wrote since is read once more, so that both sides agree on it; it leaves with its legacy row.
    delete from kindred_migration.carried
    where source = any (kindred_migration.replaceable());
    insert into kindred_migration.carried (source, source_id, organization_id)
    select 'posts', id, organization_id from posts_core
    union all select 'media_files', id, organization_id from media_files where metadata ->> 'source' is distinct from 'posts.media_urls'
    union all select 'chat_messages', id, organization_id from chat_messages
    union all select 'content_ideas', id, organization_id from content_ideas
    union all select 'hashtags', id, organization_id from hashtags
    union all select 'ai_suggestions', id, organization_id from ai_suggestions
              where metadata ->> 'source' is distinct from 'content_generations';
    update kindred_migration.sources set after_id = null, rows_done = 0, done_at = null
    where source = any (kindred_migration.replaceable());
    perform kindred_migration.make_switching_view();
end
$$;
