-- Organizations and people first, so that every key below is final; then posts in normal form.

create function set_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at = now();
    return new;
end
$$;

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
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint posts_core_pkey primary key (organization_id, id)
);

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
    foreach t in array array['organizations', 'user_profiles', 'organization_members', 'posts_core', 'posts_content',
                             'media_files', 'chat_messages', 'content_ideas', 'hashtags'] loop
        execute format('create trigger %I before update on %I for each row execute function set_updated_at()',
                       t || '_updated_at', t);
    end loop;
    foreach t in array array['organization_members', 'posts_core', 'posts_content', 'media_files', 'post_media_links',
                             'post_insights', 'chat_messages', 'content_ideas', 'hashtags'] loop
        execute format('alter table %I enable row level security', t);
        execute format(
            'create policy %I on %I
             using (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)
             with check (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)',
            t || '_tenant', t);
        execute format('grant select, insert, update, delete on %I to kindred_app', t);
    end loop;
end
$$;

alter table organizations enable row level security;
create policy organizations_tenant on organizations
    using (id = nullif(current_setting('app.organization_id', true), '')::uuid)
    with check (id = nullif(current_setting('app.organization_id', true), '')::uuid);
grant select, update on organizations to kindred_app;
grant select on organization_slugs to kindred_app;
