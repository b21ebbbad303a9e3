-- Organizations and people first, so that every key below is final; then posts in normal form.

-- Functions keep the path they are made under: the schemas that exist now, and temporary objects last, never first.
select set_config('search_path', array_to_string(array(
    select quote_ident(s) from unnest(current_schemas(false)) with ordinality as path (s, place)
    where s !~ '^pg_temp' order by place), ', ') || ', pg_temp', true);

create function set_updated_at() returns trigger language plpgsql set search_path from current as $$
begin
    -- A row that is carried over keeps the time it came with.
    if current_setting('kindred.carrying', true) is distinct from 'on' then
        new.updated_at = now();
    end if;
    return new;
end
$$;

-- Whether people log in to the database themselves (Supabase): then they get policies and grants of their own.
create function has_member_logins() returns boolean language sql stable set search_path from current as $$
    select exists (select from pg_roles where rolname = 'authenticated')
       and exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                   where n.nspname = 'auth' and p.proname = 'uid' and p.pronargs = 0)
$$;

create function organization_role_rank(role text) returns integer
language plpgsql immutable set search_path from current as $$
declare
    place integer := array_position(array['viewer', 'member', 'editor', 'admin', 'owner'], role);
begin
    if place is null then
        raise exception 'unknown role %; there are viewer, member, editor, admin, owner',
            coalesce(quote_literal(role), 'null') using errcode = 'invalid_parameter_value';
    end if;
    return place;
end
$$;

-- Lets everybody who reads read: a view, or a table that all organizations share.
create function grant_select(target regclass) returns void language plpgsql set search_path from current as $$
begin
    execute format('grant select on %s to kindred_app, kindred_reader', target);
    if has_member_logins() then
        execute format('grant select on %s to authenticated', target);
    end if;
end
$$;

create function grant_execute(target regprocedure) returns void language plpgsql set search_path from current as $$
begin
    execute format('revoke all on function %s from public', target);
    execute format('grant execute on function %s to kindred_app, kindred_reader', target);
    if has_member_logins() then
        execute format('grant execute on function %s to authenticated', target);
    end if;
end
$$;

-- The second lock of a tenant table, with the grants that go with it. The service sees the organization of the setting.
-- People who log in themselves see those of their memberships and write from write_role on; 'nobody' leaves them
-- reading, 'hidden' shows them nothing. Never forced: the owner's backfills and definer functions must see all rows.
create function protect_tenant_table(target regclass, write_role text default 'editor') returns void
language plpgsql set search_path from current as $$
declare
    name text := (select relname from pg_class where oid = target);
    -- An organization is its own tenant.
    tenant text := case when exists (select from pg_attribute
                                     where attrelid = target and attname = 'organization_id' and not attisdropped)
                        then 'organization_id' else 'id' end;
    own text := format('%I = nullif(current_setting(''app.organization_id'', true), '''')::uuid', tenant);
    reads text := format('%I = any (array(select organizations_with_role(''viewer'')))', tenant);
    writes text := format('%I = any (array(select organizations_with_role(%L)))', tenant, write_role);
begin
    if write_role not in ('nobody', 'hidden') then
        perform organization_role_rank(write_role);
    end if;
    execute format('alter table %s enable row level security', target);
    execute format('create policy %I on %s to kindred_app, kindred_reader using (%s) with check (%s)',
                   name || '_tenant', target, own, own);
    execute format('grant select, insert, update, delete on %s to kindred_app', target);
    execute format('grant select on %s to kindred_reader', target);
    if write_role = 'hidden' or not has_member_logins() then
        return;
    end if;
    execute format('create policy %I on %s for select to authenticated using (%s)',
                   name || '_member_select', target, reads);
    execute format('grant select on %s to authenticated', target);
    if write_role = 'nobody' then
        return;
    end if;
    execute format('create policy %I on %s for insert to authenticated with check (%s)',
                   name || '_member_insert', target, writes);
    execute format('create policy %I on %s for update to authenticated using (%s) with check (%s)',
                   name || '_member_update', target, writes, writes);
    execute format('create policy %I on %s for delete to authenticated using (%s)',
                   name || '_member_delete', target, writes);
    execute format('grant insert, update, delete on %s to authenticated', target);
end
$$;

revoke all on function set_updated_at(), has_member_logins(), organization_role_rank(text), grant_select(regclass),
    grant_execute(regprocedure), protect_tenant_table(regclass, text) from public;

create table organizations (
    id uuid constraint organizations_pkey primary key,
    name text not null constraint organizations_name_check check (name <> ''),
    slug text not null,
    description text,
    logo_url text,
    website text,
    subscription_tier text not null default 'free'
        constraint organizations_tier_check check (subscription_tier in ('free', 'pro', 'enterprise')),
    max_users integer not null default 5,
    max_posts integer not null default 1000,
    max_storage_gb integer not null default 5,
    settings jsonb not null default '{}',
    billing_email text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Slugs are unique across tenants, so they have a small table of their own.
create table organization_slugs (
    slug text constraint organization_slugs_pkey primary key
        constraint organization_slugs_slug_check check (slug ~ '^[a-z0-9](-?[a-z0-9])*$' and length(slug) <= 63),
    organization_id uuid not null
);

-- People exist already where the application ran before: that table is adopted, and only what it lacks is added.
do $$
declare
    adopted regclass := to_regclass('user_profiles');
    owned boolean;
    missing record;
begin
    if adopted is null then
        create table user_profiles (
            id uuid constraint user_profiles_pkey primary key,
            email text constraint user_profiles_email_key unique,
            full_name text,
            avatar_url text,
            bio text,
            website text,
            subscription_tier text not null default 'free'
                constraint user_profiles_tier_check check (subscription_tier in ('free', 'pro', 'enterprise')),
            onboarding_completed boolean not null default false,
            preferences jsonb not null default '{}',
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        );
        -- What is undone with the rest; an adopted table is not.
        comment on table user_profiles is 'made by Kindred';
        return;
    end if;
    owned := (select pg_has_role(relowner, 'usage') from pg_class where oid = adopted);
    for missing in
        select c.name, c.definition
        from (values ('email', 'text'), ('full_name', 'text'), ('avatar_url', 'text'), ('bio', 'text'),
                     ('website', 'text'), ('subscription_tier', 'text not null default ''free'''),
                     ('onboarding_completed', 'boolean not null default false'),
                     ('preferences', 'jsonb not null default ''{}'''),
                     ('created_at', 'timestamptz not null default now()'),
                     ('updated_at', 'timestamptz not null default now()')) as c (name, definition)
        where not exists (select from pg_attribute a
                          where a.attrelid = adopted and a.attname = c.name and not a.attisdropped)
    loop
        if not owned then
            raise warning 'user_profiles belongs to another role and stays without %', missing.name;
            continue;
        end if;
        execute format('alter table %s add column if not exists %I %s', adopted, missing.name, missing.definition);
    end loop;
end
$$;

-- An adopted table keeps its own triggers and policies: the application goes on relying on them.
do $$
begin
    if obj_description(to_regclass('user_profiles'), 'pg_class') is distinct from 'made by Kindred' then
        return;
    end if;
    create trigger user_profiles_updated_at before update on user_profiles for each row execute function set_updated_at();
    alter table user_profiles enable row level security;
    if has_member_logins() then
        create policy user_profiles_own_select on user_profiles for select to authenticated
            using (id = (select auth.uid()));
        create policy user_profiles_own_insert on user_profiles for insert to authenticated
            with check (id = (select auth.uid()));
        create policy user_profiles_own_update on user_profiles for update to authenticated
            using (id = (select auth.uid())) with check (id = (select auth.uid()));
        -- All but the tier.
        grant select,
            insert (id, email, full_name, avatar_url, bio, website, onboarding_completed, preferences),
            update (email, full_name, avatar_url, bio, website, onboarding_completed, preferences)
            on user_profiles to authenticated;
    end if;
end
$$;

create table organization_members (
    organization_id uuid not null
        constraint organization_members_org_fkey references organizations (id) on delete cascade,
    user_id uuid not null,
    role text not null default 'member'
        constraint organization_members_role_check check (role in ('owner', 'admin', 'editor', 'member', 'viewer')),
    permissions jsonb not null default '{}',
    invited_by uuid,
    invited_at timestamptz,
    joined_at timestamptz,
    status text not null default 'active'
        constraint organization_members_status_check check (status in ('active', 'inactive', 'pending', 'suspended')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint organization_members_pkey primary key (organization_id, user_id)
);

create index organization_members_user on organization_members (user_id);

-- The one look-up behind all members' policies. A definer's, so that the policy of the table it reads does not recurse.
do $$
begin
    if has_member_logins() then
        create function organizations_with_role(required_role text) returns setof uuid
        language sql stable security definer set search_path from current as $body$
            select m.organization_id from organization_members m
            where m.user_id = auth.uid() and m.status = 'active'
              and organization_role_rank(m.role) >= organization_role_rank(required_role)
        $body$;
        revoke all on function organizations_with_role(text) from public;
        grant execute on function organizations_with_role(text) to authenticated;
    end if;
end
$$;

create table posts_core (
    organization_id uuid not null
        constraint posts_core_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    user_id uuid,
    title text,
    status text not null default 'draft'
        constraint posts_core_status_check check (status in ('draft', 'scheduled', 'published', 'failed')),
    platforms text[] not null default '{}',
    scheduled_at timestamptz,
    published_at timestamptz,
    media_type text
        constraint posts_core_media_check check (media_type in ('image', 'video', 'text', 'carousel')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint posts_core_pkey primary key (organization_id, id)
);

create index posts_core_user on posts_core (organization_id, user_id);
create index posts_core_status on posts_core (organization_id, status, published_at);

create table posts_content (
    organization_id uuid not null,
    post_id uuid not null,
    content text not null,
    caption text,
    alt_text text,
    hashtags text[] not null default '{}',
    tags text[] not null default '{}',
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint posts_content_pkey primary key (organization_id, post_id),
    constraint posts_content_post_fkey foreign key (organization_id, post_id)
        references posts_core (organization_id, id) on delete cascade
);

create table media_files (
    organization_id uuid not null
        constraint media_files_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    user_id uuid,
    filename text not null,
    original_filename text,
    storage_url text not null,
    file_size bigint,
    mime_type text,
    file_type text not null
        constraint media_files_type_check check (file_type in ('image', 'video', 'audio', 'document')),
    width integer,
    height integer,
    duration numeric,
    thumbnail_url text,
    alt_text text,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint media_files_pkey primary key (organization_id, id)
);

create table post_media_links (
    organization_id uuid not null,
    post_id uuid not null,
    media_file_id uuid not null,
    order_index integer not null default 0,
    created_at timestamptz not null default now(),
    constraint post_media_links_pkey primary key (organization_id, post_id, media_file_id),
    constraint post_media_links_post_fkey foreign key (organization_id, post_id)
        references posts_core (organization_id, id) on delete cascade,
    constraint post_media_links_media_fkey foreign key (organization_id, media_file_id)
        references media_files (organization_id, id) on delete cascade
);

create index post_media_links_media on post_media_links (organization_id, media_file_id);

create table post_insights (
    organization_id uuid not null,
    id uuid not null,
    post_id uuid not null,
    platform text not null default '',
    reach bigint not null default 0,
    impressions bigint not null default 0,
    likes bigint not null default 0,
    comments_count bigint not null default 0,
    shares bigint not null default 0,
    engagement_rate numeric,
    recorded_at timestamptz not null,
    created_at timestamptz not null default now(),
    constraint post_insights_pkey primary key (organization_id, id),
    constraint post_insights_snapshot_key unique (organization_id, post_id, platform, recorded_at),
    constraint post_insights_post_fkey foreign key (organization_id, post_id)
        references posts_core (organization_id, id) on delete cascade
);

create index post_insights_time on post_insights (organization_id, post_id, recorded_at);

-- Sources of embeddings that the dashboard writes.
create table chat_messages (
    organization_id uuid not null
        constraint chat_messages_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    user_id uuid,
    conversation_id uuid,
    role text not null constraint chat_messages_role_check check (role in ('user', 'assistant', 'system')),
    content text not null,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint chat_messages_pkey primary key (organization_id, id)
);

create index chat_messages_conversation on chat_messages (organization_id, conversation_id, created_at);

create table content_ideas (
    organization_id uuid not null
        constraint content_ideas_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    user_id uuid,
    title text not null,
    description text not null,
    content_type text,
    platforms text[] not null default '{}',
    tags text[] not null default '{}',
    category text,
    priority text,
    status text not null default 'idea'
        constraint content_ideas_status_check check (status in ('idea', 'in_progress', 'completed', 'archived')),
    due_date timestamptz,
    notes text,
    is_saved boolean not null default false,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint content_ideas_pkey primary key (organization_id, id)
);

create table hashtags (
    organization_id uuid not null
        constraint hashtags_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    tag text not null,
    normalized_tag text not null,
    usage_count bigint not null default 0,
    trending_score double precision,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint hashtags_pkey primary key (organization_id, id),
    constraint hashtags_tag_key unique (organization_id, normalized_tag)
);

do $$
declare
    t text;
begin
    foreach t in array array['organizations', 'organization_members', 'posts_core', 'posts_content', 'media_files',
                             'chat_messages', 'content_ideas', 'hashtags'] loop
        execute format('create trigger %I before update on %I for each row execute function set_updated_at()',
                       t || '_updated_at', t);
    end loop;
    foreach t in array array['posts_core', 'posts_content', 'media_files', 'post_media_links', 'post_insights',
                             'content_ideas', 'hashtags'] loop
        perform protect_tenant_table(t::regclass);
    end loop;
    perform protect_tenant_table('chat_messages', 'member');
    perform protect_tenant_table('organizations', 'admin');
    perform protect_tenant_table('organization_members', 'admin');
    perform grant_select('organization_slugs');
    -- Organizations are made and removed by the owner.
    revoke insert, delete on organizations from kindred_app;
    if has_member_logins() then
        -- An admin does not raise the organization's own limits, and its slug stands in another table, too.
        revoke insert, update, delete on organizations from authenticated;
        grant update (name, description, logo_url, website, settings, billing_email) on organizations to authenticated;
        -- An admin neither makes owners nor unmakes them.
        create policy organization_members_owner_insert on organization_members as restrictive
            for insert to authenticated
            with check (role <> 'owner' or organization_id = any (array(select organizations_with_role('owner'))));
        create policy organization_members_owner_update on organization_members as restrictive
            for update to authenticated
            using (role <> 'owner' or organization_id = any (array(select organizations_with_role('owner'))))
            with check (role <> 'owner' or organization_id = any (array(select organizations_with_role('owner'))));
        create policy organization_members_owner_delete on organization_members as restrictive
            for delete to authenticated
            using (role <> 'owner' or organization_id = any (array(select organizations_with_role('owner'))));
    end if;
end
$$;
