-- Step 01: posts and what belongs to them, chats, ideas, hashtags, media files.

select kindred_migration.read_source('user_profiles', to_regclass('public.user_profiles'), '[
    {"name": "id", "type": "uuid"}, {"name": "email", "type": "text"}, {"name": "full_name", "type": "text"}]');
select kindred_migration.read_source('posts', kindred_migration.legacy_table('posts'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"}, {"name": "title", "type": "text"},
    {"name": "content", "type": "text"}, {"name": "media_urls", "type": "text[]"}, {"name": "media_type", "type": "text"},
    {"name": "platforms", "type": "text[]"}, {"name": "status", "type": "text"},
    {"name": "scheduled_at", "type": "timestamptz"}, {"name": "published_at", "type": "timestamptz"},
    {"name": "tags", "type": "text[]"}, {"name": "likes", "type": "bigint"}, {"name": "comments", "type": "bigint"},
    {"name": "shares", "type": "bigint"}, {"name": "reach", "type": "bigint"}, {"name": "impressions", "type": "bigint"},
    {"name": "metadata", "type": "jsonb"}, {"name": "embedding", "type": "double precision[]"},
    {"name": "created_at", "type": "timestamptz"}, {"name": "updated_at", "type": "timestamptz"}]');
select kindred_migration.read_source('post_hashtags', kindred_migration.legacy_table('post_hashtags'), '[
    {"name": "post_id", "type": "uuid"}, {"name": "hashtag_id", "type": "uuid"}]');
select kindred_migration.read_source('hashtags', kindred_migration.legacy_table('hashtags'), '[
    {"name": "id", "type": "uuid"}, {"name": "tag", "type": "text"},
    {"name": "normalized_tag", "type": "text"}, {"name": "usage_count", "type": "bigint"},
    {"name": "trending_score", "type": "double precision"}, {"name": "embedding", "type": "double precision[]"},
    {"name": "created_at", "type": "timestamptz"}, {"name": "updated_at", "type": "timestamptz"}]');
select kindred_migration.read_source('hashtag_analytics', kindred_migration.legacy_table('hashtag_analytics'), '[
    {"name": "id", "type": "uuid"}, {"name": "hashtag_id", "type": "uuid"}, {"name": "user_id", "type": "uuid"},
    {"name": "platform", "type": "text"}, {"name": "impressions", "type": "numeric"}, {"name": "reach", "type": "numeric"},
    {"name": "engagement", "type": "numeric"}, {"name": "posts_count", "type": "numeric"},
    {"name": "recorded_at", "type": "timestamptz", "from": ["recorded_at", "created_at"]}]');
select kindred_migration.read_source('media_files', kindred_migration.legacy_table('media_files'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"},
    {"name": "storage_url", "type": "text", "from": ["storage_url", "file_path", "url"]},
    {"name": "filename", "type": "text", "from": ["filename", "file_name", "name"]},
    {"name": "original_filename", "type": "text"}, {"name": "file_size", "type": "bigint"},
    {"name": "mime_type", "type": "text"}, {"name": "file_type", "type": "text"}, {"name": "width", "type": "integer"},
    {"name": "height", "type": "integer"}, {"name": "duration", "type": "numeric"},
    {"name": "thumbnail_url", "type": "text"}, {"name": "alt_text", "type": "text"}, {"name": "metadata", "type": "jsonb"},
    {"name": "created_at", "type": "timestamptz"}, {"name": "updated_at", "type": "timestamptz"}]');
select kindred_migration.read_source('chat_messages', kindred_migration.legacy_table('chat_messages'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"},
    {"name": "conversation_id", "type": "uuid", "from": ["conversation_id", "session_id"]},
    {"name": "role", "type": "text", "from": ["role", "message_type"]},
    {"name": "content", "type": "text", "from": ["content", "message"]},
    {"name": "metadata", "type": "jsonb"}, {"name": "embedding", "type": "double precision[]"},
    {"name": "created_at", "type": "timestamptz"}, {"name": "updated_at", "type": "timestamptz"}]');
select kindred_migration.read_source('content_ideas', kindred_migration.legacy_table('content_ideas'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"}, {"name": "title", "type": "text"},
    {"name": "description", "type": "text"}, {"name": "content_type", "type": "text"},
    {"name": "platforms", "type": "text[]"}, {"name": "tags", "type": "text[]"}, {"name": "category", "type": "text"},
    {"name": "priority", "type": "text"}, {"name": "status", "type": "text"}, {"name": "due_date", "type": "timestamptz"},
    {"name": "notes", "type": "text"}, {"name": "is_saved", "type": "boolean"}, {"name": "metadata", "type": "jsonb"},
    {"name": "embedding", "type": "double precision[]"},
    {"name": "created_at", "type": "timestamptz"}, {"name": "updated_at", "type": "timestamptz"}]');

create or replace function kindred_migration.file_type_of(url text, fallback text) returns text
language sql immutable as $$
    select case
        when extension = any ('{jpg,jpeg,png,gif,webp,avif,heic,svg,bmp}') then 'image'
        when extension = any ('{mp4,mov,webm,avi,mkv,m4v}') then 'video'
        when extension = any ('{mp3,wav,m4a,ogg,flac,aac}') then 'audio'
        when extension = any ('{pdf,doc,docx,txt,csv,ppt,pptx,xls,xlsx}') then 'document'
        when fallback in ('image', 'video', 'audio', 'document') then fallback
        when fallback = 'carousel' then 'image'
        else 'document'
    end
    from lower(substring(split_part(split_part(url, '?', 1), '#', 1) from '\.([A-Za-z0-9]+)$')) as extension
$$;

create or replace function kindred_migration.file_name_of(url text, fallback text) returns text
language sql immutable as $$
    select coalesce(nullif(regexp_replace(split_part(split_part(url, '?', 1), '#', 1), '^.*/', ''), ''), fallback)
$$;

create or replace view kindred_migration.wanted_posts_core_of_posts as
select s.id as source_id, s.organization_id, s.id, s.user_id, s.title,
       s.media_type, coalesce(s.status, 'draft') as status, coalesce(s.platforms, '{}') as platforms,
       s.scheduled_at, s.published_at, coalesce(s.created_at, s.updated_at, 'epoch') as created_at,
       coalesce(s.updated_at, s.created_at, 'epoch') as updated_at, null::timestamptz as carried_at
from kindred_migration.posts_source s
where s.organization_id is not null;

create or replace view kindred_migration.wanted_posts_content_of_posts as
select s.id as source_id, s.organization_id, s.id as post_id, s.content,
       array(select h.tag from kindred_migration.post_hashtags_source l
             join kindred_migration.hashtags_source h on h.id = l.hashtag_id
             where l.post_id = s.id order by h.tag) as hashtags,
       coalesce(s.tags, '{}') as tags,
       kindred_migration.metadata_with(s.metadata, s.extra) as metadata,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at, coalesce(s.updated_at, s.created_at, 'epoch') as updated_at
from kindred_migration.posts_source s
where s.organization_id is not null;

create or replace view kindred_migration.media_of_posts as
select s.id as post_id, s.organization_id, s.user_id, m.url, (m.place - 1)::integer as order_index, s.media_type,
       md5(s.id || ':' || m.place || ':' || m.url)::uuid as id,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at
from kindred_migration.posts_source s
cross join lateral unnest(s.media_urls) with ordinality as m (url, place)
where btrim(m.url) <> '' and s.organization_id is not null;

create or replace view kindred_migration.wanted_media_files_of_posts as
select post_id as source_id, organization_id, id, user_id,
       kindred_migration.file_name_of(url, 'media-' || order_index) as filename, url as storage_url,
       kindred_migration.file_type_of(url, media_type) as file_type,
       jsonb_build_object('source', 'posts.media_urls', 'post_id', post_id) as metadata,
       created_at, created_at as updated_at
from kindred_migration.media_of_posts;

create or replace view kindred_migration.wanted_post_media_links_of_posts as
select post_id as source_id, organization_id, post_id, id as media_file_id, order_index, created_at
from kindred_migration.media_of_posts;

-- The counts that a post carries itself are an aggregate over its platforms: an insight, never a metric of its own.
create or replace view kindred_migration.wanted_post_insights_of_posts as
select s.id as source_id, s.organization_id, md5('aggregate of post ' || s.id)::uuid as id, s.id as post_id, '' as platform,
       coalesce(s.reach, 0) as reach, coalesce(s.impressions, 0) as impressions, coalesce(s.likes, 0) as likes,
       coalesce(s.comments, 0) as comments_count, coalesce(s.shares, 0) as shares,
       coalesce(s.updated_at, s.created_at, 'epoch') as recorded_at, coalesce(s.created_at, s.updated_at, 'epoch') as created_at
from kindred_migration.posts_source s
where coalesce(s.reach, s.impressions, s.likes, s.comments, s.shares) is not null and s.organization_id is not null;

-- A post that changes hands takes its hashtags along.
create or replace function kindred_migration.before_posts(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry('hashtags', array(
        select distinct l.hashtag_id from kindred_migration.post_hashtags_source l
        join kindred_migration.posts_source s on s.id = l.post_id
        left join kindred_migration.carried c on c.source = 'posts' and c.source_id = s.id
        where l.post_id = any ((select ids)::uuid[]) and c.organization_id is distinct from s.organization_id
          -- The backfill comes to the hashtags after the posts.
          and exists (select from kindred_migration.sources f where f.source = 'posts' and f.done_at is not null)
        order by l.hashtag_id))
$$;

create or replace function kindred_migration.after_posts(ids uuid[]) returns void language plpgsql as $$
declare
    gone uuid[];
begin
    insert into kindred_migration.quarantine (source, source_id, part, reason)
    select 'posts', s.id, format('media_urls[%s]', m.place), 'the address is empty'
    from kindred_migration.posts_source s
    cross join lateral unnest(s.media_urls) with ordinality as m (url, place)
    where s.id = any ((select ids)::uuid[]) and coalesce(btrim(m.url), '') = '';
    perform kindred_migration.carry_vectors('posts', ids);
    -- Without its post, what was measured of it cannot stay.
    gone := array(select id from unnest(ids) as id
                  where not exists (select from kindred_migration.posts_source s where s.id = id));
    if gone <> '{}' then
        perform kindred_migration.carry('post_analytics', array(
            select a.id from kindred_migration.post_analytics_source a where a.post_id = any (gone)));
    end if;
end
$$;

-- Hashtags were shared by all; now each organization that used one has its own, under the same id.
create or replace view kindred_migration.hashtag_users as
select l.hashtag_id, p.organization_id
from kindred_migration.post_hashtags_source l join kindred_migration.posts_source p on p.id = l.post_id
union
select a.hashtag_id, a.organization_id from kindred_migration.hashtag_analytics_source a
union
select h.id, s.default_organization from kindred_migration.hashtags_source h, kindred_migration.settings s;

create or replace view kindred_migration.wanted_hashtags_of_hashtags as
select s.id as source_id, u.organization_id, s.id, s.tag,
       coalesce(nullif(s.normalized_tag, ''), lower(ltrim(s.tag, '#'))) as normalized_tag,
       coalesce(s.usage_count, 0) as usage_count, s.trending_score,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at,
       coalesce(s.updated_at, s.created_at, 'epoch') as updated_at, null::timestamptz as carried_at, s.embedding
from kindred_migration.hashtags_source s
cross join lateral (select distinct organization_id from kindred_migration.hashtag_users u
                    where u.hashtag_id = s.id and u.organization_id is not null) u;

create or replace function kindred_migration.before_hashtags(ids uuid[]) returns void language sql as $$
    select kindred_migration.ensure_organizations(array(
        select p.user_id from kindred_migration.post_hashtags_source l
        join kindred_migration.posts_source p on p.id = l.post_id where l.hashtag_id = any ((select ids)::uuid[])
        union select a.user_id from kindred_migration.hashtag_analytics_source a where a.hashtag_id = any ((select ids)::uuid[])))
$$;

create or replace function kindred_migration.after_hashtags(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry_vectors('hashtags', ids);
    -- Posts show the tag's text.
    select kindred_migration.carry('posts', array(
        select distinct l.post_id from kindred_migration.post_hashtags_source l
        join kindred_migration.wanted_posts_content_of_posts w on w.source_id = l.post_id
        join posts_content c on c.organization_id = w.organization_id and c.post_id = w.post_id
        where l.hashtag_id = any ((select ids)::uuid[]) and c.hashtags is distinct from w.hashtags order by l.post_id))
$$;

create or replace view kindred_migration.wanted_media_files_of_media_files as
select s.id as source_id, s.organization_id, s.id, s.user_id,
       coalesce(s.filename, kindred_migration.file_name_of(s.storage_url, 'media')) as filename, s.original_filename,
       s.storage_url, s.file_size, s.mime_type,
       coalesce(case when s.file_type in ('image', 'video', 'audio', 'document') then s.file_type end,
                kindred_migration.file_type_of(s.storage_url, split_part(s.mime_type, '/', 1))) as file_type,
       s.width, s.height, s.duration, s.thumbnail_url, s.alt_text,
       kindred_migration.metadata_with(s.metadata, s.extra) || jsonb_build_object('source', 'media_files') as metadata,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at,
       coalesce(s.updated_at, s.created_at, 'epoch') as updated_at, null::timestamptz as carried_at
from kindred_migration.media_files_source s
where s.organization_id is not null;

create or replace view kindred_migration.wanted_chat_messages_of_chat_messages as
select s.id as source_id, s.organization_id, s.id, s.user_id,
       s.conversation_id, coalesce(s.role, 'user') as role, s.content,
       kindred_migration.metadata_with(s.metadata, s.extra) as metadata,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at,
       coalesce(s.updated_at, s.created_at, 'epoch') as updated_at, null::timestamptz as carried_at, s.embedding
from kindred_migration.chat_messages_source s
where s.organization_id is not null;

create or replace function kindred_migration.after_chat_messages(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry_vectors('chat_messages', ids)
$$;

create or replace view kindred_migration.wanted_content_ideas_of_content_ideas as
select s.id as source_id, s.organization_id, s.id, s.user_id, s.title,
       s.description, s.content_type, coalesce(s.platforms, '{}') as platforms, coalesce(s.tags, '{}') as tags,
       s.category, s.priority, coalesce(s.status, 'idea') as status, s.due_date, s.notes,
       coalesce(s.is_saved, false) as is_saved,
       kindred_migration.metadata_with(s.metadata, s.extra) as metadata,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at,
       coalesce(s.updated_at, s.created_at, 'epoch') as updated_at, null::timestamptz as carried_at, s.embedding
from kindred_migration.content_ideas_source s
where s.organization_id is not null;

create or replace function kindred_migration.after_content_ideas(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry_vectors('content_ideas', ids)
$$;

-- A link between a post and a hashtag belongs to both.
create or replace function kindred_migration.follow_links() returns trigger language plpgsql security definer set search_path from current as $$
declare
    posts uuid[] := '{}';
    tags uuid[] := '{}';
begin
    if current_setting('kindred.restoring', true) = 'on' then return null; end if;
    if tg_op in ('INSERT', 'UPDATE') then
        posts := posts || array(select post_id from new_rows);
        tags := tags || array(select hashtag_id from new_rows);
    end if;
    if tg_op in ('UPDATE', 'DELETE') then
        posts := posts || array(select post_id from old_rows);
        tags := tags || array(select hashtag_id from old_rows);
    end if;
    if tg_op = 'TRUNCATE' then
        posts := array(select source_id from kindred_migration.carried where source = 'posts');
        tags := array(select source_id from kindred_migration.carried where source = 'hashtags');
    end if;
    perform kindred_migration.carry('posts', array(select distinct id from unnest(posts) as id order by id));
    perform kindred_migration.carry('hashtags', array(select distinct id from unnest(tags) as id order by id));
    if kindred_migration.is_replaced('posts') then
        update posts_content c set hashtags = array(
            select h.tag from kindred_migration.post_hashtags_source l
            join kindred_migration.hashtags_source h on h.id = l.hashtag_id where l.post_id = c.post_id order by h.tag)
        from posts_core p
        where p.id = any (posts) and c.organization_id = p.organization_id and c.post_id = p.id;
    end if;
    return null;
end
$$;

select kindred_migration.add_source(1, 1, 'posts', kindred_migration.no_home(), 'kindred_migration.before_posts', 'kindred_migration.after_posts');
select kindred_migration.add_source(1, 2, 'media_files', kindred_migration.no_home());
select kindred_migration.add_source(1, 3, 'chat_messages', kindred_migration.no_home(), null, 'kindred_migration.after_chat_messages');
select kindred_migration.add_source(1, 4, 'content_ideas', kindred_migration.no_home(), null, 'kindred_migration.after_content_ideas');
select kindred_migration.add_source(1, 5, 'hashtags',
    'case when not exists (select from kindred_migration.hashtag_users u where u.hashtag_id = s.id and u.organization_id is not null)
     then ''nobody uses it, and no organization is named for such rows (--default-organization)'' end',
    'kindred_migration.before_hashtags', 'kindred_migration.after_hashtags');

select kindred_migration.write_target('posts', 1, 'posts_core', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id');
select kindred_migration.write_target('posts', 2, 'posts_content', '{organization_id,post_id}',
    't.organization_id = c.organization_id and t.post_id = c.source_id');
select kindred_migration.write_target('posts', 3, 'media_files', '{organization_id,id}',
    't.organization_id = c.organization_id and t.metadata ->> ''source'' = ''posts.media_urls''
     and t.id in (select l.media_file_id from post_media_links l
                  where l.organization_id = c.organization_id and l.post_id = c.source_id)',
    't.metadata ->> ''source'' = ''posts.media_urls''');
-- A link changes only with its file, whose deletion takes it along.
select kindred_migration.write_target('posts', 4, 'post_media_links', '{organization_id,post_id,media_file_id}', 'false',
    'exists (select from media_files m where m.organization_id = t.organization_id and m.id = t.media_file_id
             and m.metadata ->> ''source'' = ''posts.media_urls'')');
select kindred_migration.write_target('posts', 5, 'post_insights', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = md5(''aggregate of post '' || c.source_id)::uuid',
    't.id = md5(''aggregate of post '' || t.post_id)::uuid');
select kindred_migration.write_target('media_files', 1, 'media_files', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id', 't.metadata ->> ''source'' = ''media_files''');
select kindred_migration.write_target('chat_messages', 1, 'chat_messages', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id');
select kindred_migration.write_target('content_ideas', 1, 'content_ideas', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id');
select kindred_migration.write_target('hashtags', 1, 'hashtags', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id');

create or replace function kindred_migration.follow_link_writers() returns void language plpgsql as $$
declare
    legacy regclass := kindred_migration.legacy_table('post_hashtags');
begin
    if legacy is null or exists (select from pg_trigger where tgrelid = legacy and tgname = 'kindred_follow_links_insert') then
        return;
    end if;
    execute format('create trigger kindred_follow_links_insert after insert on %s referencing new table as new_rows
                    for each statement execute function kindred_migration.follow_links()', legacy);
    execute format('create trigger kindred_follow_links_update after update on %s referencing new table as new_rows old table as old_rows
                    for each statement execute function kindred_migration.follow_links()', legacy);
    execute format('create trigger kindred_follow_links_delete after delete on %s referencing old table as old_rows
                    for each statement execute function kindred_migration.follow_links()', legacy);
    execute format('create trigger kindred_follow_links_truncate after truncate on %s
                    for each statement execute function kindred_migration.follow_links()', legacy);
end
$$;
