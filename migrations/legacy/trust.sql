-- What an operator asks before trusting: is everything here, and is it the same?

-- The rows of a replaced table that differ between the legacy table and the new tables' view of it. What the legacy row
-- leaves open and the new side fills with its default is no difference.
create or replace function kindred_migration.differences_since(p_source text, p_limit bigint default null)
returns table (problem text, key jsonb) language plpgsql stable as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = p_source);
    shown text := format('kindred_migration.%I', 'legacy_' || p_source);
    same text;
begin
    -- Addresses that were left behind are missed in media_urls, and nowhere else.
    select string_agg(case when c.meaning = 'media_urls'
                      then format('(t.%1$I is null or t.%1$I is not distinct from w.%1$I or exists (
                                    select from kindred_migration.quarantine q
                                    where q.source = %2$L and q.source_id = t.id and q.part like ''media_urls%%''))', a.attname, p_source)
                      when a.attname = any ('{platforms,tags,metadata,status,role,message_type,usage_count,is_saved,
                                                   normalized_tag,likes,comments,shares,reach,impressions,created_at,updated_at,
                                                   title,filename,file_type}')
                      then format('(t.%1$I is null or t.%1$I is not distinct from w.%1$I)', a.attname)
                      else format('t.%1$I is not distinct from w.%1$I', a.attname) end, ' and ')
    into same from pg_attribute a
    left join kindred_migration.columns c on c.source = p_source and c.legacy_column = a.attname
    where a.attrelid = shown::regclass and a.attnum > 0 and a.attname <> 'id'
      -- A post's vector that could not be carried is shown by none; other tables show what they had.
      and (p_source <> 'posts' or a.attname <> 'embedding');
    return query execute format(
        'select case when w.id is null then ''only in the legacy table'' when t.id is null then ''only in the new tables'' else ''different'' end,
                jsonb_build_object(''id'', coalesce(t.id, w.id))
         from (select * from %s t where not exists (select from kindred_migration.quarantine q
                    where q.source = %L and q.source_id = t.id and q.part in (''row'', ''restore''))) t
         full join (select * from %s w where not exists (select from kindred_migration.quarantine q
                    where q.source = %L and q.source_id = w.id and q.part in (''row'', ''restore''))) w on w.id = t.id
         where t.id is null or w.id is null or not (%s) limit $1', legacy, p_source, shown, p_source, same) using p_limit;
end
$$;

create or replace function kindred_migration.reel_differences(p_limit bigint default null)
returns table (problem text, key jsonb) language sql stable as $$
    select case when i.id is null then 'missing' when w.id is null then 'surplus' else 'different' end,
           jsonb_build_object('external_reel_id', coalesce(i.external_reel_id, w.external_reel_id))
    from kindred_migration.wanted_reels w full join instagram_reels i on i.external_reel_id = w.external_reel_id
    where i.id is null or (w.id is null and i.id = md5('reel ' || i.external_reel_id)::uuid)
       or (i.reel_url, i.caption, i.likes_count, i.views_count, i.scraped_at) is distinct from
          (w.reel_url, w.caption, w.likes_count, w.views_count, w.scraped_at) and w.id is not null
    limit p_limit
$$;

-- Vectors that should be current and are not, or are and should not.
create or replace function kindred_migration.vector_differences(p_source text, p_limit bigint default null)
returns table (problem text, key jsonb) language sql stable as $$
    select case when c.entity_id is null then 'missing' when w.source_id is null then 'surplus' else 'different' end,
           jsonb_build_object('entity_type', coalesce(w.entity_type, c.entity_type), 'entity_id', coalesce(w.source_id, c.entity_id))
    from (select v.* from kindred_migration.vectors v, kindred_migration.settings s
          where v.source = p_source and cardinality(v.embedding) > 0
            and kindred_migration.vector_refusal(v.embedding, s.dimensions) is null
            and not exists (select from kindred_migration.quarantine q
                            where q.source = p_source and q.source_id = v.source_id and q.part = 'row')) w
    full join (select * from kindred_migration.current_vectors where source = p_source) c
      on c.organization_id = w.organization_id and c.entity_type = w.entity_type and c.entity_id = w.source_id
     and c.source_field = w.source_field
    where c.entity_id is null or w.source_id is null or c.vector_data is distinct from w.embedding::real[]::vector
    limit p_limit
$$;

-- Each check: how many rows the legacy side has, how many the new side, and how many are lost or differ. Stable, so that all
-- of it sees one moment: writers go on meanwhile.
create or replace function kindred_migration.verify()
returns table (check_name text, status text, old_count bigint, new_count bigint, data_loss bigint) language plpgsql stable as $$
declare
    found record;
    held bigint;
    old_rows bigint;
    new_rows bigint;
    wrong bigint;
begin
    -- Nothing follows anything any more, so nothing is to be compared.
    if (select finalized_at is not null from kindred_migration.settings) then return; end if;
    for found in select * from kindred_migration.sources s where s.relation is not null order by s.step, s.position loop
        select count(*) into held from kindred_migration.quarantine q where q.source = found.source and q.part = 'row';
        execute format('select count(*) from %s', found.relation) into old_rows;
        if kindred_migration.is_replaced(found.source) then
            execute format('select count(*) from kindred_migration.%I', 'legacy_' || found.source) into new_rows;
            select count(*) into wrong from kindred_migration.differences_since(found.source);
        else
            select count(distinct c.source_id) into new_rows from kindred_migration.carried c where c.source = found.source;
            -- Sources without a target of their own are vectors and reels, compared below.
            if not exists (select from kindred_migration.targets t where t.source = found.source) then
                new_rows := old_rows - held;
            end if;
            wrong := greatest(0, old_rows - held - new_rows);
        end if;
        check_name := found.source; old_count := old_rows; new_count := new_rows; data_loss := wrong;
        status := case when wrong = 0 then 'ok' else 'failed' end;
        return next;
    end loop;
    for found in select t.* from kindred_migration.targets t join kindred_migration.sources s using (source)
                 where s.relation is not null and not kindred_migration.is_replaced(t.source)
                 order by s.step, s.position, t.position loop
        select count(*) into wrong from kindred_migration.differences(found.source, found.target);
        execute format('select count(*) from %s', found.wanted) into old_rows;
        execute format('select count(*) from %I t where %s', found.target, found.of_source) into new_rows;
        check_name := found.source || ' → ' || found.target; old_count := old_rows; new_count := new_rows; data_loss := wrong;
        status := case when wrong = 0 then 'ok' else 'failed' end;
        return next;
    end loop;
    for found in select v.source, count(*) as wanted from kindred_migration.vectors v, kindred_migration.settings s
                 where cardinality(v.embedding) > 0 and kindred_migration.vector_refusal(v.embedding, s.dimensions) is null
                   and not kindred_migration.is_replaced(v.source)
                 group by v.source loop
        select count(*) into wrong from kindred_migration.vector_differences(found.source);
        select count(*) into new_rows from kindred_migration.current_vectors c where c.source = found.source;
        check_name := found.source || ' → embeddings'; old_count := found.wanted; new_count := new_rows; data_loss := wrong;
        status := case when wrong = 0 then 'ok' else 'failed' end;
        return next;
    end loop;
    select count(*) into wrong from kindred_migration.reel_differences();
    select count(*) into old_rows from kindred_migration.wanted_reels;
    select count(*) into new_rows from instagram_reels;
    check_name := 'reels → instagram_reels'; old_count := old_rows; new_count := new_rows; data_loss := wrong;
    status := case when wrong = 0 then 'ok' else 'failed' end;
    return next;
end
$$;

-- The rows behind a failed check.
create or replace function kindred_migration.name_differences(p_limit bigint)
returns table (check_name text, problem text, key jsonb) language plpgsql stable as $$
declare
    found record;
begin
    if (select finalized_at is not null from kindred_migration.settings) then return; end if;
    for found in select t.source, t.target, kindred_migration.is_replaced(t.source) as replaced
                 from kindred_migration.targets t join kindred_migration.sources s using (source)
                 where s.relation is not null order by s.step, s.position, t.position loop
        if not found.replaced then
            return query select found.source || ' → ' || found.target, d.* from kindred_migration.differences(found.source, found.target, p_limit) d;
        end if;
    end loop;
    for found in select s.source from kindred_migration.sources s
                 where s.relation is not null and kindred_migration.is_replaced(s.source) loop
        return query select found.source, d.* from kindred_migration.differences_since(found.source, p_limit) d;
    end loop;
    for found in select s.source from kindred_migration.sources s
                 where s.relation is not null and not kindred_migration.is_replaced(s.source)
                   and s.source in ('posts', 'chat_messages', 'content_ideas', 'hashtags', 'interactions') loop
        return query select found.source || ' → embeddings', d.* from kindred_migration.vector_differences(found.source, p_limit) d;
    end loop;
    return query select 'reels → instagram_reels', d.* from kindred_migration.reel_differences(p_limit) d;
end
$$;

-- Ends the migration: what old code still needs stays (the `posts` view); the legacy tables stay in schema kindred_legacy as a
-- backup until told otherwise, and nothing follows anything any more.
create or replace function kindred_migration.finalize() returns text language plpgsql as $$
declare
    found record;
    failed text;
begin
    if (select finalized_at is not null from kindred_migration.settings) then return 'finalized before'; end if;
    if (select contracted_at is null from kindred_migration.settings) then
        raise exception 'the cut-over has not happened' using hint = 'run kindred migrate up';
    end if;
    perform ensure_month_partitions();
    select string_agg(v.check_name, ', ') into failed from verify_migration_integrity() v where v.status <> 'ok';
    if failed is not null then
        raise exception 'the verification failed: %', failed using hint = 'kindred migrate verify names the rows';
    end if;
    for found in select tgname, tgrelid::regclass as relation from pg_trigger
                 where tgname like any ('{kindred\\_retrace\\_%,kindred\\_cascade\\_%,kindred\\_fill\\_legacy,kindred\\_follow%}') loop
        execute format('drop trigger %I on %s', found.tgname, found.relation);
    end loop;
    for found in select s.relation, s.source from kindred_migration.sources s
                 where s.relation is not null and not kindred_migration.is_replaced(s.source) and s.source <> 'interactions' loop
        execute format('alter table %s set schema kindred_legacy', found.relation);
    end loop;
    if to_regclass('public.post_hashtags') is not null then
        alter table public.post_hashtags set schema kindred_legacy;
    end if;
    perform kindred_migration.admit_legacy_owners();
    drop view if exists kindred_migration.legacy_posts, kindred_migration.legacy_chat_messages,
        kindred_migration.legacy_content_ideas, kindred_migration.legacy_hashtags, kindred_migration.legacy_media_files,
        kindred_migration.legacy_ai_suggestions;
    perform kindred_migration.settle_keys();
    perform kindred_migration.drop_old_columns();
    for found in select polname, polrelid::regclass as relation from pg_policy p join pg_class c on c.oid = p.polrelid
                 where polname like 'legacy\_%' and c.relnamespace = 'public'::regnamespace and c.relowner = 'kindred_owner'::regrole
                   and to_regclass('public.posts') is null loop
        execute format('drop policy %I on %s', found.polname, found.relation);
    end loop;
    update kindred_migration.settings set finalized_at = now();
    -- The rest of the bookkeeping, with the quarantine, goes with the backup: kindred_legacy is dropped by `kindred migrate finalize --drop-backup`.
    return 'finalized: the legacy tables are kept in schema kindred_legacy, the quarantine in kindred_migration.quarantine';
end
$$;
