-- What is shared by all, and the shape in which the application reads posts.

-- Functions keep the path they are made under: the schemas that exist now, and temporary objects last, never first.
select set_config('search_path', array_to_string(array(
    select quote_ident(s) from unnest(current_schemas(false)) with ordinality as path (s, place)
    where s !~ '^pg_temp' order by place), ', ') || ', pg_temp', true);

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
select grant_select('instagram_reels');

-- Insights are snapshots of counters: only the latest one of a post and platform counts. One without a platform is over all
-- of them, so it counts only where no platform tells of its own.
create view latest_post_insights with (security_invoker = true) as
select distinct on (organization_id, post_id, platform)
       organization_id, post_id, platform, reach, impressions, likes, comments_count, shares, engagement_rate, recorded_at
from post_insights i
where platform <> '' or not exists (
    select from post_insights p where p.organization_id = i.organization_id and p.post_id = i.post_id and p.platform <> '')
order by organization_id, post_id, platform, recorded_at desc;

create view posts_unified with (security_invoker = true) as
select p.organization_id, p.id, p.user_id, p.title, p.status, p.platforms, p.scheduled_at, p.published_at,
       c.content, c.caption, c.alt_text, c.hashtags, c.tags, c.metadata, p.created_at, p.updated_at,
       p.media_type, m.media, m.media_urls,
       i.reach, i.impressions, i.likes, i.comments_count, i.shares, i.insights_recorded_at
from posts_core p
left join posts_content c on c.organization_id = p.organization_id and c.post_id = p.id
left join lateral (
    select coalesce(jsonb_agg(jsonb_build_object('id', f.id, 'storage_url', f.storage_url, 'file_type', f.file_type,
                                                 'mime_type', f.mime_type, 'thumbnail_url', f.thumbnail_url,
                                                 'alt_text', f.alt_text, 'order_index', l.order_index)
                              order by l.order_index, f.id), '[]') as media,
           coalesce(array_agg(f.storage_url order by l.order_index, f.id), '{}') as media_urls
    from post_media_links l
    join media_files f on f.organization_id = l.organization_id and f.id = l.media_file_id
    where l.organization_id = p.organization_id and l.post_id = p.id
) as m on true
left join lateral (
    select coalesce(sum(s.reach), 0)::bigint as reach, coalesce(sum(s.impressions), 0)::bigint as impressions,
           coalesce(sum(s.likes), 0)::bigint as likes, coalesce(sum(s.comments_count), 0)::bigint as comments_count,
           coalesce(sum(s.shares), 0)::bigint as shares, max(s.recorded_at) as insights_recorded_at
    from latest_post_insights s
    where s.organization_id = p.organization_id and s.post_id = p.id
) as i on true;

-- By the day (UTC) a post came out and by platform. Every post's latest snapshot is in exactly one row, so that sums over
-- days and platforms are right; how one post grew is get_metrics_aggregated's to tell.
create view analytics_dashboard with (security_invoker = true) as
select s.organization_id, (coalesce(p.published_at, p.created_at) at time zone 'UTC')::date as day, s.platform,
       count(*) as posts, sum(s.reach)::bigint as reach, sum(s.impressions)::bigint as impressions,
       sum(s.likes)::bigint as likes, sum(s.comments_count)::bigint as comments_count, sum(s.shares)::bigint as shares,
       sum(s.likes + s.comments_count + s.shares)::bigint as engagement,
       sum(s.likes + s.comments_count + s.shares) * 100 / nullif(sum(s.reach), 0) as engagement_rate,
       max(s.recorded_at) as recorded_at
from latest_post_insights s
join posts_core p on p.organization_id = s.organization_id and p.id = s.post_id
group by s.organization_id, day, s.platform;

-- Posts by their latest engagement over all platforms.
create view top_performing_posts with (security_invoker = true) as
select t.organization_id, t.post_id, p.user_id, p.title, p.status, p.platforms, p.media_type, p.published_at,
       t.reach, t.impressions, t.likes, t.comments_count, t.shares, t.engagement,
       t.engagement * 100.0 / nullif(t.reach, 0) as engagement_rate, t.recorded_at,
       rank() over (partition by t.organization_id order by t.engagement desc) as place
from (
    select organization_id, post_id, sum(reach)::bigint as reach, sum(impressions)::bigint as impressions,
           sum(likes)::bigint as likes, sum(comments_count)::bigint as comments_count, sum(shares)::bigint as shares,
           sum(likes + comments_count + shares)::bigint as engagement, max(recorded_at) as recorded_at
    from latest_post_insights group by organization_id, post_id
) as t
join posts_core p on p.organization_id = t.organization_id and p.id = t.post_id;

-- What the refactoring is measured by. Two read tenants' tables:
create view kpi_suggestion_acceptance with (security_invoker = true) as
select organization_id, suggestion_type, count(*) as suggested,
       count(*) filter (where is_accepted) as accepted,
       count(*) filter (where is_accepted is not true and (is_dismissed or is_accepted is false)) as dismissed,
       count(*) filter (where is_accepted is null and not is_dismissed) as undecided,
       count(*) filter (where is_accepted)::numeric
           / nullif(count(*) filter (where is_accepted is not null or is_dismissed), 0) as acceptance_rate,
       avg(feedback_rating) as mean_rating
from ai_suggestions group by organization_id, suggestion_type;

create view kpi_similarity_accuracy with (security_invoker = true) as
select organization_id, model_version, date_trunc('month', created_at, 'UTC') as month, count(*) as retrievals,
       count(*) filter (where feedback_score is not null or feedback_type is not null) as judged,
       count(*) filter (where feedback_type in ('helpful', 'excellent'))::numeric
           / nullif(count(feedback_type), 0) as helpful_share,
       avg(feedback_score) as mean_score
from ai_context_logs group by organization_id, model_version, date_trunc('month', created_at, 'UTC');

-- No table keeps how long a search took (the service's metrics do): this is from retrieval to recorded answer.
create view kpi_answer_time with (security_invoker = true) as
select organization_id, model_version, date_trunc('month', created_at, 'UTC') as month, count(*) as answers,
       percentile_cont(0.5) within group (order by extract(epoch from responded_at - created_at)) as median_s,
       percentile_cont(0.95) within group (order by extract(epoch from responded_at - created_at)) as p95_s
from ai_context_logs where responded_at is not null
group by organization_id, model_version, date_trunc('month', created_at, 'UTC');

-- And three the server's own statistics: of the schema that embeddings is in, all organizations together.
create view kpi_index_hits with (security_invoker = true) as
select s.relname as table_name, s.indexrelname as index_name, m.amname as method, s.idx_scan, s.idx_tup_read,
       io.idx_blks_hit, io.idx_blks_read,
       io.idx_blks_hit::numeric / nullif(io.idx_blks_hit + io.idx_blks_read, 0) as hit_ratio
from pg_stat_user_indexes s
join pg_statio_user_indexes io on io.indexrelid = s.indexrelid
join pg_class c on c.oid = s.indexrelid
join pg_am m on m.oid = c.relam
where c.relnamespace = (select relnamespace from pg_class where oid = 'embeddings'::regclass);

create view kpi_table_sizes with (security_invoker = true) as
select coalesce(parent.relname, c.relname) as table_name, sum(pg_total_relation_size(c.oid))::bigint as total_bytes,
       sum(pg_indexes_size(c.oid))::bigint as index_bytes, sum(greatest(c.reltuples, 0))::bigint as estimated_rows,
       now() as measured_at
from pg_class c
left join pg_inherits i on i.inhrelid = c.oid
left join pg_class parent on parent.oid = i.inhparent
where c.relkind = 'r' and c.relnamespace = (select relnamespace from pg_class where oid = 'embeddings'::regclass)
group by coalesce(parent.relname, c.relname);

create view kpi_table_reads with (security_invoker = true) as
select relname as table_name, seq_scan, seq_tup_read, idx_scan, idx_tup_fetch,
       idx_scan::numeric / nullif(idx_scan + seq_scan, 0) as index_scan_share, n_live_tup, n_dead_tup
from pg_stat_user_tables
where schemaname = (select relnamespace::regnamespace::text from pg_class where oid = 'embeddings'::regclass);

do $$
declare
    v text;
begin
    foreach v in array array['latest_post_insights', 'posts_unified', 'analytics_dashboard', 'top_performing_posts',
                             'kpi_suggestion_acceptance', 'kpi_similarity_accuracy', 'kpi_answer_time'] loop
        perform grant_select(v::regclass);
    end loop;
end
$$;
grant select on kpi_index_hits, kpi_table_sizes, kpi_table_reads to kindred_app, kindred_reader;

-- What the migration counted, where there was one, and what holds in any database: of old_count things new_count are as
-- they must be, and data_loss are not.
create function verify_migration_integrity()
returns table (check_name text, status text, old_count bigint, new_count bigint, data_loss bigint)
language plpgsql stable set search_path from current as $$
#variable_conflict use_column
begin
    if to_regprocedure('kindred_migration.verify()') is not null then
        return query execute
            'select check_name, status, old_count, new_count, data_loss from kindred_migration.verify()';
    end if;
    return query
    with checks (check_name, old_count, data_loss) as (
        select 'posts_have_content', count(*), count(*) filter (where c.post_id is null)
        from posts_core p
        left join posts_content c on c.organization_id = p.organization_id and c.post_id = p.id
        union all
        select 'media_links_have_both_ends', count(*), count(*) filter (where p.id is null or f.id is null)
        from post_media_links l
        left join posts_core p on p.organization_id = l.organization_id and p.id = l.post_id
        left join media_files f on f.organization_id = l.organization_id and f.id = l.media_file_id
        union all
        -- Older rows wait for the archive, later ones for their month.
        select 'metrics_lie_in_their_month', count(*),
               count(*) filter (where tableoid = 'time_series_metrics_default'::regclass)
        from time_series_metrics
        where recorded_at >= (date_trunc('month', now() at time zone 'UTC') - interval '24 months') at time zone 'UTC'
          and recorded_at < (date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC'
        union all
        select 'context_logs_lie_in_their_month', count(*),
               count(*) filter (where tableoid = 'ai_context_logs_default'::regclass)
        from ai_context_logs
        where created_at >= (date_trunc('month', now() at time zone 'UTC') - interval '24 months') at time zone 'UTC'
          and created_at < (date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC'
        union all
        select 'lines_have_one_current_version', count(*), count(*) filter (where current_versions <> 1)
        from (select count(*) filter (where superseded_revision is null) as current_versions from embedding_versions
              group by organization_id, entity_type, entity_id, source_field, model_version) as lines
        union all
        select 'current_chunks_have_a_current_version', count(*), count(*) filter (where v.id is null)
        from embeddings e
        left join embedding_versions v
            on v.organization_id = e.organization_id and v.entity_type = e.entity_type and v.entity_id = e.entity_id
           and v.source_field = e.source_field and v.model_version = e.model_version and v.version = e.version
           and v.superseded_revision is null and not v.deleted
        where e.superseded_revision is null
        union all
        select 'versions_have_all_their_chunks', count(*), count(*) filter (where v.chunk_count <> coalesce(e.chunks, 0))
        from embedding_versions v
        left join (select organization_id, entity_type, entity_id, source_field, model_version, version, count(*) as chunks
                   from embeddings group by 1, 2, 3, 4, 5, 6) as e
            on e.organization_id = v.organization_id and e.entity_type = v.entity_type and e.entity_id = v.entity_id
           and e.source_field = v.source_field and e.model_version = v.model_version and e.version = v.version
        where not v.deleted
    )
    select c.check_name, case when c.data_loss = 0 then 'ok' else 'failed' end, c.old_count, c.old_count - c.data_loss,
           c.data_loss
    from checks c;
end
$$;

create function finalize_migration_cleanup() returns text language plpgsql set search_path from current as $$
declare
    told text;
begin
    if to_regprocedure('kindred_migration.finalize()') is not null then
        execute 'select kindred_migration.finalize()' into told;
        return told;
    end if;
    return 'nothing to finalize: this database holds no migration from the former schema';
end
$$;

revoke all on function verify_migration_integrity(), finalize_migration_cleanup() from public;
