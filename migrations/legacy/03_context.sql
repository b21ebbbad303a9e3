-- Step 03: suggestions of the older shape, generated contents, and feedback.

select kindred_migration.read_source('ai_suggestions', kindred_migration.legacy_table('ai_suggestions'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"}, {"name": "suggestion_type", "type": "text"},
    {"name": "context_id", "type": "uuid"}, {"name": "context_type", "type": "text"},
    {"name": "suggestion_text", "type": "text"}, {"name": "confidence_score", "type": "real"},
    {"name": "status", "type": "text"}, {"name": "user_feedback", "type": "text"}, {"name": "metadata", "type": "jsonb"},
    {"name": "created_at", "type": "timestamptz"}, {"name": "updated_at", "type": "timestamptz"}]');
select kindred_migration.read_source('content_generations', kindred_migration.legacy_table('content_generations'), '[
    {"name": "id", "type": "uuid"}, {"name": "user_id", "type": "uuid"}, {"name": "user_input", "type": "text"},
    {"name": "generated_content", "type": "jsonb"}, {"name": "content_type", "type": "text"},
    {"name": "platforms", "type": "text[]"}, {"name": "language", "type": "text"},
    {"name": "created_at", "type": "timestamptz"}, {"name": "updated_at", "type": "timestamptz"}]');

-- What a suggestion's type is called now, and the word that told how it was received.
create or replace function kindred_migration.suggestion_type_of(legacy text) returns text language sql immutable as $$
    select case legacy when 'content' then 'content_idea' when 'timing' then 'optimization' when 'engagement' then 'optimization' else legacy end
$$;

create or replace function kindred_migration.suggestion_status_of(is_accepted boolean, is_dismissed boolean, metadata jsonb) returns text
language sql immutable as $$
    select case when is_accepted and metadata ->> 'legacy_status' = 'modified' then 'modified' when is_accepted then 'accepted'
           when is_dismissed then 'rejected' else 'pending' end
$$;

create or replace view kindred_migration.wanted_ai_suggestions_of_ai_suggestions as
select s.id as source_id, s.organization_id, s.id, s.user_id,
       kindred_migration.suggestion_type_of(s.suggestion_type) as suggestion_type,
       s.context_type as source_entity_type, s.context_id as source_entity_id, s.suggestion_text, s.confidence_score,
       case when s.status in ('accepted', 'modified') then true when s.status = 'rejected' then false end as is_accepted,
       coalesce(s.status = 'rejected', false) as is_dismissed, s.user_feedback as feedback_text,
       kindred_migration.metadata_with(s.metadata, s.extra)
           || jsonb_build_object('source', 'ai_suggestions', 'legacy_type', s.suggestion_type, 'legacy_status', s.status) as metadata,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at,
       coalesce(s.updated_at, s.created_at, 'epoch') as updated_at, null::timestamptz as carried_at
from kindred_migration.ai_suggestions_source s
where s.organization_id is not null;

create or replace view kindred_migration.wanted_ai_suggestions_of_content_generations as
select s.id as source_id, s.organization_id, s.id, s.user_id,
       'content_idea' as suggestion_type,
       coalesce(case when jsonb_typeof(s.generated_content) = 'string' then s.generated_content #>> '{}' end,
                s.generated_content ->> 'content', s.generated_content ->> 'text', s.generated_content ->> 'caption',
                s.generated_content::text) as suggestion_text,
       s.user_input as reasoning,
       jsonb_build_object('source', 'content_generations', 'user_input', s.user_input, 'language', s.language,
                          'generated_content', s.generated_content, 'content_type', s.content_type,
                          'platforms', s.platforms)
           || case when s.extra is null then '{}' else jsonb_build_object('legacy', s.extra) end as metadata,
       coalesce(s.created_at, s.updated_at, 'epoch') as created_at,
       coalesce(s.updated_at, s.created_at, 'epoch') as updated_at, null::timestamptz as carried_at
from kindred_migration.content_generations_source s
where s.organization_id is not null;

select kindred_migration.add_source(3, 1, 'ai_suggestions', kindred_migration.no_home());
select kindred_migration.add_source(3, 2, 'content_generations', kindred_migration.no_home());
select kindred_migration.write_target('ai_suggestions', 1, 'ai_suggestions', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id', 't.metadata ->> ''source'' = ''ai_suggestions''');
select kindred_migration.write_target('content_generations', 1, 'ai_suggestions', '{organization_id,id}',
    't.organization_id = c.organization_id and t.id = c.source_id', 't.metadata ->> ''source'' = ''content_generations''');
