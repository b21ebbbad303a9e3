-- What is shared by all, and the shape in which the application reads posts.

create table instagram_reels (
    id uuid constraint instagram_reels_pkey primary key,
    external_reel_id text not null constraint instagram_reels_external_key unique,
    reel_url text not null,
    thumbnail_url text,
    creator_username text,
    creator_display_name text,
    caption text,
    description text,
    script text,
    likes_count bigint,
    comments_count bigint,
    shares_count bigint,
    views_count bigint,
    engagement_count bigint,
    hashtags text[] not null default '{}',
    music_info jsonb,
    content_category text,
    trending_score double precision,
    scraped_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create trigger instagram_reels_updated_at before update on instagram_reels
    for each row execute function set_updated_at();
grant select on instagram_reels to kindred_app;

create view posts_unified with (security_invoker = true) as
select p.organization_id, p.id, p.user_id, p.title, p.status, p.platforms, p.scheduled_at, p.published_at,
       c.content, c.caption, c.alt_text, c.hashtags, c.tags, c.metadata, p.created_at, p.updated_at
from posts_core p
left join posts_content c on c.organization_id = p.organization_id and c.post_id = p.id;
grant select on posts_unified to kindred_app;
