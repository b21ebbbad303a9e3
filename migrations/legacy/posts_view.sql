-- `posts` after the cut-over: the legacy table's columns, read from and written to the new tables. What it cannot do is
-- INSERT … ON CONFLICT, which no view with INSTEAD OF triggers can: insert, and on a unique violation update.

create or replace function kindred_migration.make_posts_view() returns void language plpgsql as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = 'posts');
    model text := (select model_version from kindred_migration.settings);
    vector_type text := kindred_migration.type_of(legacy, 'embedding');
    found record;
begin
    perform kindred_migration.show_as_legacy('public.posts', 'posts', format($from$(
        select p.organization_id, p.id, p.user_id, p.title, c.content, p.media_type, p.status, p.platforms, p.scheduled_at,
               p.published_at, c.tags, c.metadata, p.created_at, greatest(p.updated_at, c.updated_at) as updated_at,
               array(select m.storage_url from post_media_links l
                     join media_files m on m.organization_id = l.organization_id and m.id = l.media_file_id
                     where l.organization_id = p.organization_id and l.post_id = p.id order by l.order_index, m.id) as media_urls,
               i.likes, i.comments_count as comments, i.shares, i.reach, i.impressions,
               (select e.vector_data from embeddings e
                where e.organization_id = p.organization_id and e.entity_type = 'post' and e.entity_id = p.id
                  and e.source_field = 'content' and e.chunk_index = 0 and e.model_version = %L
                  and e.superseded_revision is null) as embedding
        from posts_core p
        left join posts_content c on c.organization_id = p.organization_id and c.post_id = p.id
        left join post_insights i on i.organization_id = p.organization_id
             and i.id = md5('aggregate of post ' || p.id)::uuid) n$from$, model),
        jsonb_build_object(
            'metadata', kindred_migration.giving_metadata(),
            'embedding', case when vector_type = '_float8' then 'n.embedding::real[]' else 'n.embedding' end));
    execute 'alter view public.posts set (security_invoker = true)';
    -- What an INSERT leaves out gets what the legacy table gave it.
    for found in
        select a.attname, pg_get_expr(d.adbin, d.adrelid) as expression from pg_attribute a
        join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = legacy and not a.attisdropped and a.attgenerated = ''
    loop
        execute format('alter view public.posts alter column %I set default %s', found.attname, found.expression);
    end loop;
    create or replace function public.posts_view_write() returns trigger language plpgsql set search_path from current as $body$
    declare
        given jsonb := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
        before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) else '{}' end;
        tenant uuid;
        post uuid := (given ->> 'id')::uuid;
        known text[] := '{id,user_id,title,content,media_urls,media_type,platforms,status,scheduled_at,published_at,tags,likes,comments,shares,reach,impressions,metadata,embedding,created_at,updated_at}';
        -- Metadata that are no object, or have our key, lie beside the other columns that nothing here knows.
        plain jsonb := case when jsonb_typeof(given -> 'metadata') = 'object' then (given -> 'metadata') - 'legacy' else '{}' end;
        extra jsonb := nullif((given - known) || case when jsonb_typeof(given -> 'metadata') in ('object', 'null')
                                                       and not coalesce(given -> 'metadata' ? 'legacy', false) then '{}'
                                                 else jsonb_build_object('metadata', given -> 'metadata') end, '{}');
        urls text[];
        vector jsonb;
        changed boolean := tg_op = 'INSERT' or given -> 'updated_at' is distinct from before -> 'updated_at';
        at timestamptz := case when changed then coalesce((given ->> 'updated_at')::timestamptz, now()) else now() end;
    begin
        if tg_op = 'INSERT' then
            tenant := public.organization_of_user((given ->> 'user_id')::uuid);
            if tenant is null then
                raise exception 'the post names no user' using errcode = 'not_null_violation', column = 'user_id', table = 'posts';
            end if;
        else
            select p.organization_id into tenant from posts_core p where p.id = (to_jsonb(old) ->> 'id')::uuid;
            if tg_op = 'UPDATE' and given -> 'id' is distinct from before -> 'id' then
                raise exception 'the id of a post cannot change' using errcode = 'feature_not_supported';
            end if;
        end if;
        if tg_op = 'DELETE' or (tg_op = 'UPDATE' and given -> 'media_urls' is distinct from before -> 'media_urls') then
            delete from media_files m using post_media_links l
            where l.organization_id = tenant and l.post_id = post and m.organization_id = tenant and m.id = l.media_file_id
              and m.metadata ->> 'source' = 'posts.media_urls';
            delete from post_media_links l where l.organization_id = tenant and l.post_id = post;
        end if;
        if tg_op = 'DELETE' then
            delete from posts_core p where p.organization_id = tenant and p.id = post;
            perform public.posts_view_vector(tenant, post, null, null, null);
            return old;
        end if;
        if tg_op = 'INSERT' then
            insert into posts_core (organization_id, id, user_id, title, media_type, status, platforms, scheduled_at,
                                    published_at, created_at, updated_at)
            values (tenant, post, (given ->> 'user_id')::uuid, given ->> 'title', given ->> 'media_type',
                    coalesce(given ->> 'status', 'draft'), public.texts_of(given -> 'platforms'),
                    (given ->> 'scheduled_at')::timestamptz, (given ->> 'published_at')::timestamptz,
                    coalesce((given ->> 'created_at')::timestamptz, now()), at);
            insert into posts_content (organization_id, post_id, content, tags, metadata, created_at, updated_at)
            values (tenant, post, given ->> 'content', public.texts_of(given -> 'tags'),
                    plain || case when extra is null then '{}' else jsonb_build_object('legacy', extra) end,
                    coalesce((given ->> 'created_at')::timestamptz, now()), at);
        else
            update posts_core p set user_id = (given ->> 'user_id')::uuid, title = given ->> 'title',
                   media_type = given ->> 'media_type', status = coalesce(given ->> 'status', 'draft'),
                   platforms = public.texts_of(given -> 'platforms'),
                   scheduled_at = (given ->> 'scheduled_at')::timestamptz,
                   published_at = (given ->> 'published_at')::timestamptz, updated_at = at
            where p.organization_id = tenant and p.id = post;
            update posts_content c set content = given ->> 'content', tags = public.texts_of(given -> 'tags'),
                   metadata = plain ||
                       case when extra is null and c.metadata -> 'legacy' is null then '{}'
                            else jsonb_build_object('legacy', (coalesce(c.metadata -> 'legacy', '{}')
                                - case when given -> 'metadata' is distinct from before -> 'metadata' then '{metadata}' else '{}' end::text[])
                                || coalesce(extra, '{}')) end,
                   updated_at = at
            where c.organization_id = tenant and c.post_id = post;
        end if;
        if given -> 'media_urls' is distinct from before -> 'media_urls' then
            urls := public.texts_of(given -> 'media_urls');
            insert into media_files (organization_id, id, user_id, filename, storage_url, file_type, metadata, created_at, updated_at)
            select tenant, md5(post || ':' || m.place || ':' || m.url)::uuid, (given ->> 'user_id')::uuid,
                   coalesce(nullif(regexp_replace(split_part(m.url, '?', 1), '^.*/', ''), ''), 'media-' || m.place - 1), m.url,
                   case when given ->> 'media_type' = 'video' then 'video' else 'image' end,
                   jsonb_build_object('source', 'posts.media_urls', 'post_id', post), at, at
            from unnest(urls) with ordinality as m (url, place) where btrim(m.url) <> '';
            insert into post_media_links (organization_id, post_id, media_file_id, order_index)
            select tenant, post, md5(post || ':' || m.place || ':' || m.url)::uuid, m.place - 1
            from unnest(urls) with ordinality as m (url, place) where btrim(m.url) <> '';
        end if;
        if coalesce(given ->> 'likes', given ->> 'comments', given ->> 'shares', given ->> 'reach', given ->> 'impressions') is not null
           and (tg_op = 'INSERT' or (given -> 'likes', given -> 'comments', given -> 'shares', given -> 'reach', given -> 'impressions')
                is distinct from (before -> 'likes', before -> 'comments', before -> 'shares', before -> 'reach', before -> 'impressions')) then
            insert into post_insights (organization_id, id, post_id, platform, reach, impressions, likes, comments_count, shares, recorded_at)
            values (tenant, md5('aggregate of post ' || post)::uuid, post, '', coalesce((given ->> 'reach')::bigint, 0),
                    coalesce((given ->> 'impressions')::bigint, 0), coalesce((given ->> 'likes')::bigint, 0),
                    coalesce((given ->> 'comments')::bigint, 0), coalesce((given ->> 'shares')::bigint, 0), at)
            on conflict (organization_id, id) do update set reach = excluded.reach, impressions = excluded.impressions,
                likes = excluded.likes, comments_count = excluded.comments_count, shares = excluded.shares,
                recorded_at = excluded.recorded_at;
        end if;
        -- No vector, be it null or empty, leaves a tombstone where there was one.
        vector := nullif(nullif(given -> 'embedding', 'null'), '[]');
        if given -> 'embedding' is distinct from before -> 'embedding' and (tg_op = 'UPDATE' or vector is not null) then
            perform public.posts_view_vector(tenant, post, vector, given ->> 'content', given);
        end if;
        return new;
    end
    $body$;
    create trigger kindred_write instead of insert or update or delete on public.posts
        for each row execute function public.posts_view_write();
end
$$;

create or replace function kindred_migration.make_posts_view_helpers() returns void language plpgsql as $$
begin
    create or replace function public.texts_of(given jsonb) returns text[] language sql immutable as $body$
        select case when jsonb_typeof(given) = 'array' then array(select jsonb_array_elements_text(given)) else '{}' end
    $body$;
    -- The organization of one who writes through the legacy shape: the one that was made for them, or their first membership.
    create or replace function public.organization_of_user(person uuid) returns uuid
    language plpgsql security definer set search_path from current as $body$
    declare
        found uuid;
        caller name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
        another boolean := false;
    begin
        -- A person who logs in gets an organization, and makes none for others.
        if has_member_logins() and pg_has_role(caller, 'authenticated', 'MEMBER')
           and not (select rolsuper from pg_roles where rolname = caller) then
            another := person is distinct from auth.uid();
        end if;
        if to_regclass('kindred_migration.user_organizations') is not null then
            if not another then
                perform kindred_migration.ensure_organizations(array[person]);
            end if;
            return kindred_migration.organization_of(person);
        end if;
        select m.organization_id into found from organization_members m where m.user_id = person and m.status = 'active'
        order by m.role = 'owner' desc, m.created_at, m.organization_id limit 1;
        return found;
    end
    $body$;
    -- A vector written through the legacy shape becomes a version; null leaves a tombstone.
    create or replace function public.posts_view_vector(tenant uuid, post uuid, vector jsonb, content text, given jsonb) returns void
    language plpgsql security definer set search_path from current as $body$
    declare
        components double precision[];
        width integer;
        reason text;
        caller name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
        allowed boolean;
    begin
        -- Whoever may write all posts, and people who log in in their organizations; the view alone cannot tell.
        select r.rolbypassrls or pg_has_role(caller, 'kindred_owner', 'MEMBER') or exists (
                   select from pg_policy where polrelid = 'posts_core'::regclass and polname = left('legacy_' || caller, 63))
        into allowed from pg_roles r where r.rolname = caller;
        if not allowed and has_member_logins() then
            allowed := tenant = any (array(select organizations_with_role('editor')));
        end if;
        if not coalesce(allowed, false) then
            raise exception '% may not write vectors of this organization', caller using errcode = 'insufficient_privilege';
        end if;
        if to_regclass('kindred_migration.settings') is null then
            if vector is not null then
                raise exception 'vectors are written through the service, not through posts'
                    using errcode = 'feature_not_supported';
            end if;
            return;
        end if;
        if vector is null then
            if exists (select from embeddings e join kindred_migration.settings s on s.model_version = e.model_version
                       where e.organization_id = tenant and e.entity_type = 'post' and e.entity_id = post
                         and e.source_field = 'content' and e.superseded_revision is null) then
                perform kindred_migration.write_version(tenant, 'post', post, 'content',
                    null, null, null, null, null, null, now(), null, null, '{"source": "posts"}');
            end if;
            return;
        end if;
        components := case jsonb_typeof(vector) when 'string' then (vector #>> '{}')::vector::real[]::double precision[]
                      else array(select x::double precision from jsonb_array_elements_text(vector) x) end;
        select dimensions into width from kindred_migration.settings;
        reason := kindred_migration.vector_refusal(components, width);
        if reason is not null then
            raise exception '%', reason using errcode = 'invalid_parameter_value', column = 'embedding', table = 'posts';
        end if;
        perform kindred_migration.write_version(tenant, 'post', post, 'content',
            components, content, given -> 'platforms' ->> 0, public.texts_of(given -> 'tags'), given ->> 'status',
            coalesce((given ->> 'created_at')::timestamptz, now()), now(), null, null,
            jsonb_build_object('source', 'posts', 'source_id', post));
    end
    $body$;
    revoke execute on function public.organization_of_user(uuid), public.posts_view_vector(uuid, uuid, jsonb, text, jsonb) from public;
end
$$;

-- Before the cut-over: each organization reads the side that its flag names. The view looks with its owner's rights into what
-- only the owner sees, so it asks itself who looks: the service and dashboards within their organization, people who log in
-- in theirs, and whoever is the owner.
create or replace function kindred_migration.make_switching_view() returns void language plpgsql as $$
declare
    legacy regclass := (select relation from kindred_migration.sources where source = 'posts');
begin
    if legacy is null then return; end if;
    execute format('create or replace view public.posts_unified with (security_invoker = false, security_barrier = true) as
        select * from (
            select u.organization_id, u.id, u.user_id, u.title, u.status, u.platforms, u.scheduled_at, u.published_at, u.content,
                   u.hashtags, u.tags, u.metadata, u.created_at, u.updated_at
            from kindred.posts_unified u
            where exists (select from kindred_migration.organization_flags f where f.organization_id = u.organization_id and f.reads_new)
            union all
            select p.organization_id, p.id, p.user_id, p.title, p.status, p.platforms, p.scheduled_at, p.published_at, c.content,
                   c.hashtags, c.tags, c.metadata, p.created_at, p.updated_at
            from kindred_migration.wanted_posts_core_of_posts p
            join kindred_migration.wanted_posts_content_of_posts c on c.source_id = p.source_id
            where not exists (select from kindred_migration.organization_flags f where f.organization_id = p.organization_id and f.reads_new)
        ) u
        where u.organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid
           or pg_has_role(current_user, ''kindred_owner'', ''USAGE'') %s',
        case when has_member_logins() then 'or (pg_has_role(current_user, ''authenticated'', ''USAGE'')
            and u.organization_id = any (array(select organizations_with_role(''viewer''))))' else '' end);
    grant select on public.posts_unified to kindred_app, kindred_reader;
    if has_member_logins() then
        grant select on public.posts_unified to authenticated;
    end if;
end
$$;
