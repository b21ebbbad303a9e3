-- Step 02: what was measured. Snapshots stay snapshots, zeros stay zeros, and nothing is read from an aggregate.

select kindred_migration.read_source('post_analytics', kindred_migration.legacy_table('post_analytics'), '[
    {"name": "id", "type": "uuid"}, {"name": "post_id", "type": "uuid"}, {"name": "user_id", "type": "uuid"},
    {"name": "platform", "type": "text"}, {"name": "external_post_id", "type": "text"},
    {"name": "impressions", "type": "numeric"}, {"name": "reach", "type": "numeric"},
    {"name": "engagement", "type": "numeric"}, {"name": "likes", "type": "numeric"},
    {"name": "comments", "type": "numeric"}, {"name": "shares", "type": "numeric"},
    {"name": "saves", "type": "numeric"}, {"name": "clicks", "type": "numeric"},
    {"name": "video_views", "type": "numeric"}, {"name": "profile_visits", "type": "numeric"},
    {"name": "website_clicks", "type": "numeric"}, {"name": "engagement_rate", "type": "numeric"},
    {"name": "recorded_at", "type": "timestamptz", "from": ["recorded_at", "created_at"]},
    {"name": "created_at", "type": "timestamptz", "from": ["created_at", "recorded_at"]}]');

create or replace view kindred_migration.wanted_post_insights_of_post_analytics as
select s.id as source_id, p.organization_id, s.id, s.post_id,
       coalesce(s.platform, '') as platform, coalesce(s.reach, 0)::bigint as reach,
       coalesce(s.impressions, 0)::bigint as impressions, coalesce(s.likes, 0)::bigint as likes,
       coalesce(s.comments, 0)::bigint as comments_count, coalesce(s.shares, 0)::bigint as shares, s.engagement_rate,
       s.recorded_at, s.created_at, s.recorded_at as carried_at
from kindred_migration.post_analytics_source s
join kindred_migration.posts_source p on p.id = s.post_id
where s.recorded_at is not null and p.organization_id is not null;

create or replace view kindred_migration.wanted_time_series_metrics_of_post_analytics as
select s.id as source_id, p.organization_id, kindred_migration.uuid_at(s.recorded_at, s.id || m.name) as id,
       'post' as entity_type, s.post_id as entity_id, m.name as metric_name, m.value as metric_value, s.recorded_at,
       coalesce(s.platform, '') as platform, m.kind as metric_kind, 'post_analytics' as source,
       jsonb_strip_nulls(jsonb_build_object('source_id', s.id, 'external_post_id', s.external_post_id)) as metadata,
       s.created_at
from kindred_migration.post_analytics_source s
join kindred_migration.posts_source p on p.id = s.post_id
cross join lateral (values
    ('impressions', s.impressions, 'cumulative'), ('reach', s.reach, 'cumulative'),
    ('engagement', s.engagement, 'cumulative'), ('likes', s.likes, 'cumulative'), ('comments', s.comments, 'cumulative'),
    ('shares', s.shares, 'cumulative'), ('saves', s.saves, 'cumulative'), ('clicks', s.clicks, 'cumulative'),
    ('video_views', s.video_views, 'cumulative'), ('profile_visits', s.profile_visits, 'cumulative'),
    ('website_clicks', s.website_clicks, 'cumulative'), ('engagement_rate', s.engagement_rate, 'gauge')
) as m (name, value, kind)
where m.value is not null and s.recorded_at is not null and p.organization_id is not null;

create or replace function kindred_migration.before_post_analytics(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry('posts', array(
        select distinct s.post_id from kindred_migration.post_analytics_source s
        join kindred_migration.posts_source p on p.id = s.post_id
        where s.id = any ((select ids)::uuid[]) and not exists (
            select from kindred_migration.carried c where c.source = 'posts' and c.source_id = s.post_id)
        order by s.post_id))
$$;

select kindred_migration.add_source(2, 1, 'post_analytics',
    'case when not exists (select from kindred_migration.posts_source p where p.id = s.post_id)
              then format(''orphan: there is no post %s'', s.post_id)
          when exists (select from kindred_migration.quarantine q where q.source = ''posts'' and q.source_id = s.post_id and q.part = ''row'')
              then format(''its post %s is in quarantine'', s.post_id)
          when s.recorded_at is null then ''it has no time'' end',
    'kindred_migration.before_post_analytics');
select kindred_migration.write_target('post_analytics', 1, 'post_insights', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id',
    't.id <> md5(''aggregate of post '' || t.post_id)::uuid');
select kindred_migration.write_target('post_analytics', 2, 'time_series_metrics', '{organization_id,id,recorded_at}',
    't.organization_id = c.organization_id and t.recorded_at = c.recorded_at and t.id in (
         select kindred_migration.uuid_at(c.recorded_at, c.source_id || name)
         from unnest(''{impressions,reach,engagement,likes,comments,shares,saves,clicks,video_views,profile_visits,website_clicks,engagement_rate}''::text[]) name)',
    't.source = ''post_analytics''');

create or replace view kindred_migration.wanted_time_series_metrics_of_hashtag_analytics as
select s.id as source_id, s.organization_id,
       kindred_migration.uuid_at(s.recorded_at, s.id || m.name) as id, 'hashtag' as entity_type, s.hashtag_id as entity_id,
       m.name as metric_name, m.value as metric_value, s.recorded_at, coalesce(s.platform, '') as platform,
       'cumulative' as metric_kind, 'hashtag_analytics/' || coalesce(s.user_id::text, '') as source,
       jsonb_build_object('source_id', s.id) as metadata, s.recorded_at as created_at, s.recorded_at as carried_at
from kindred_migration.hashtag_analytics_source s
join kindred_migration.hashtags_source h on h.id = s.hashtag_id
cross join lateral (values ('impressions', s.impressions), ('reach', s.reach), ('engagement', s.engagement),
                           ('posts_count', s.posts_count)) as m (name, value)
where m.value is not null and s.recorded_at is not null and s.organization_id is not null;

-- Who measured a hashtag before and no longer does may not use it any more.
create or replace function kindred_migration.before_hashtag_analytics(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry('hashtags', array(
        select distinct t.entity_id from kindred_migration.carried c
        cross join unnest('{impressions,reach,engagement,posts_count}'::text[]) as name
        join time_series_metrics t on t.organization_id = c.organization_id and t.recorded_at = c.recorded_at
         and t.id = kindred_migration.uuid_at(c.recorded_at, c.source_id || name)
        left join kindred_migration.hashtag_analytics_source s on s.id = c.source_id
        where c.source = 'hashtag_analytics' and c.source_id = any ((select ids)::uuid[])
          and (s.hashtag_id is distinct from t.entity_id
               or s.organization_id is distinct from c.organization_id)
        order by t.entity_id))
$$;

create or replace function kindred_migration.after_hashtag_analytics(ids uuid[]) returns void language sql as $$
    select kindred_migration.carry('hashtags', array(
        select distinct s.hashtag_id from kindred_migration.hashtag_analytics_source s
        where s.id = any ((select ids)::uuid[]) and not exists (
            select from kindred_migration.carried c where c.source = 'hashtags' and c.source_id = s.hashtag_id
            and c.organization_id = s.organization_id)
        order by s.hashtag_id))
$$;

select kindred_migration.add_source(2, 2, 'hashtag_analytics',
    'case when not exists (select from kindred_migration.hashtags_source h where h.id = s.hashtag_id)
              then format(''orphan: there is no hashtag %s'', s.hashtag_id)
          when s.recorded_at is null then ''it has no time''
          when s.organization_id is null
              then ''it names no user, and no organization is named for such rows (--default-organization)'' end',
    'kindred_migration.before_hashtag_analytics', 'kindred_migration.after_hashtag_analytics');
select kindred_migration.write_target('hashtag_analytics', 1, 'time_series_metrics', '{organization_id,id,recorded_at}',
    't.organization_id = c.organization_id and t.recorded_at = c.recorded_at and t.id in (
         select kindred_migration.uuid_at(c.recorded_at, c.source_id || name)
         from unnest(''{impressions,reach,engagement,posts_count}''::text[]) name)',
    't.source like ''hashtag\_analytics/%''');
