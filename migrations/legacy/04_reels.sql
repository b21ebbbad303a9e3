-- Step 04: two tables of scraped reels, neither with a key, become one, by the reel that an address means.

select kindred_migration.read_source(source, kindred_migration.legacy_table(source), '[
    {"name": "id", "type": "uuid"}, {"name": "reel_url", "type": "text"}, {"name": "thumbnail_url", "type": "text"},
    {"name": "creator_username", "type": "text"}, {"name": "creator_display_name", "type": "text"},
    {"name": "title", "type": "text"}, {"name": "caption", "type": "text"}, {"name": "description", "type": "text"},
    {"name": "script", "type": "text"}, {"name": "engagement_count", "type": "bigint"},
    {"name": "comments_count", "type": "bigint"}, {"name": "likes_count", "type": "bigint"},
    {"name": "shares_count", "type": "bigint"}, {"name": "views_count", "type": "bigint"},
    {"name": "hashtags", "type": "text[]"}, {"name": "music_info", "type": "jsonb"},
    {"name": "scraped_at", "type": "timestamptz"}, {"name": "created_at", "type": "timestamptz"}]')
from unnest('{instagramreelsscraper,instagramreelscraper}'::text[]) source;

-- The same for every way to write one reel's address: its code where there is one, else host and path.
create or replace function kindred_migration.reel_id(url text) returns text language sql immutable as $$
    select coalesce(
        (regexp_match(url, '/(?:reel|reels|p|tv)/([A-Za-z0-9_-]+)'))[1],
        nullif(regexp_replace(
            lower(substring(bare from '^[^/]*')) || substring(bare from '/.*$'), '^www\.|/+$', '', 'g'), ''),
        nullif(bare, ''))
    from regexp_replace(split_part(split_part(btrim(url), '#', 1), '?', 1), '^[a-zA-Z]+://', '') as bare
$$;

create or replace view kindred_migration.reels as
select 'instagramreelsscraper' as source, s.*, kindred_migration.reel_id(s.reel_url) as external_reel_id
from kindred_migration.instagramreelsscraper_source s
union all
select 'instagramreelscraper', s.*, kindred_migration.reel_id(s.reel_url)
from kindred_migration.instagramreelscraper_source s;

-- Of several scrapes of one reel the newest that says something counts, field by field.
create or replace view kindred_migration.wanted_reels as
select md5('reel ' || external_reel_id)::uuid as id, external_reel_id,
       newest.reel_url[1] as reel_url, newest.thumbnail_url[1] as thumbnail_url,
       newest.creator_username[1] as creator_username, newest.creator_display_name[1] as creator_display_name,
       newest.caption[1] as caption, newest.description[1] as description, newest.script[1] as script,
       newest.likes_count[1] as likes_count, newest.comments_count[1] as comments_count,
       newest.shares_count[1] as shares_count, newest.views_count[1] as views_count,
       newest.engagement_count[1] as engagement_count, coalesce(newest.hashtags[1], '[]') as hashtags,
       newest.music_info[1] as music_info, newest.scraped_at, newest.created_at
from (
    select k.external_reel_id,
           array_agg(r.reel_url order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.reel_url is not null) as reel_url,
           array_agg(r.thumbnail_url order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.thumbnail_url is not null) as thumbnail_url,
           array_agg(r.creator_username order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.creator_username is not null) as creator_username,
           array_agg(r.creator_display_name order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.creator_display_name is not null) as creator_display_name,
           array_agg(coalesce(r.caption, r.title) order by r.scraped_at desc nulls last, r.source, r.id) filter (where coalesce(r.caption, r.title) is not null) as caption,
           array_agg(r.description order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.description is not null) as description,
           array_agg(r.script order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.script is not null) as script,
           array_agg(r.likes_count order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.likes_count is not null) as likes_count,
           array_agg(r.comments_count order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.comments_count is not null) as comments_count,
           array_agg(r.shares_count order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.shares_count is not null) as shares_count,
           array_agg(r.views_count order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.views_count is not null) as views_count,
           array_agg(r.engagement_count order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.engagement_count is not null) as engagement_count,
           array_agg(to_jsonb(r.hashtags) order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.hashtags is not null) as hashtags,
           array_agg(r.music_info order by r.scraped_at desc nulls last, r.source, r.id) filter (where r.music_info is not null) as music_info,
           max(r.scraped_at) as scraped_at, coalesce(min(r.created_at), 'epoch') as created_at
    from kindred_migration.reel_keys k
    join kindred_migration.reels r on r.source = k.source and r.id = k.source_id
    group by k.external_reel_id
) newest;

create or replace function kindred_migration.carry_reels(p_source text, ids uuid[]) returns void language plpgsql as $$
declare
    touched text[];
begin
    touched := array(select external_reel_id from kindred_migration.reel_keys where source = p_source and source_id = any ((select ids)::uuid[]));
    delete from kindred_migration.reel_keys where source = p_source and source_id = any ((select ids)::uuid[]);
    insert into kindred_migration.reel_keys
    select r.source, r.id, r.external_reel_id from kindred_migration.reels r
    where r.source = p_source and r.id = any ((select ids)::uuid[]) and r.external_reel_id is not null;
    touched := touched || array(select external_reel_id from kindred_migration.reel_keys where source = p_source and source_id = any ((select ids)::uuid[]));
    delete from instagram_reels i where i.external_reel_id = any (touched)
       and not exists (select from kindred_migration.reel_keys k where k.external_reel_id = i.external_reel_id);
    insert into instagram_reels (id, external_reel_id, reel_url, thumbnail_url, creator_username, creator_display_name,
        caption, description, script, likes_count, comments_count, shares_count, views_count, engagement_count, hashtags,
        music_info, scraped_at, created_at, updated_at)
    select w.id, w.external_reel_id, w.reel_url, w.thumbnail_url, w.creator_username, w.creator_display_name, w.caption,
           w.description, w.script, w.likes_count, w.comments_count, w.shares_count, w.views_count, w.engagement_count,
           array(select jsonb_array_elements_text(w.hashtags)), w.music_info, w.scraped_at, w.created_at, w.created_at
    from kindred_migration.wanted_reels w where w.external_reel_id = any (touched)
    on conflict (external_reel_id) do update set
        reel_url = excluded.reel_url, thumbnail_url = excluded.thumbnail_url, creator_username = excluded.creator_username,
        creator_display_name = excluded.creator_display_name, caption = excluded.caption, description = excluded.description,
        script = excluded.script, likes_count = excluded.likes_count, comments_count = excluded.comments_count,
        shares_count = excluded.shares_count, views_count = excluded.views_count,
        engagement_count = excluded.engagement_count, hashtags = excluded.hashtags, music_info = excluded.music_info,
        scraped_at = excluded.scraped_at, created_at = excluded.created_at, updated_at = excluded.updated_at;
end
$$;

create or replace function kindred_migration.after_instagramreelsscraper(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry_reels('instagramreelsscraper', ids)
$$;
create or replace function kindred_migration.after_instagramreelscraper(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry_reels('instagramreelscraper', ids)
$$;
select kindred_migration.add_source(4, 1, 'instagramreelsscraper',
    'case when kindred_migration.reel_id(s.reel_url) is null then ''its address is empty'' end', null,
    'kindred_migration.after_instagramreelsscraper');
select kindred_migration.add_source(4, 2, 'instagramreelscraper',
    'case when kindred_migration.reel_id(s.reel_url) is null then ''its address is empty'' end', null,
    'kindred_migration.after_instagramreelscraper');
