-- What the dashboard's language models read, answered, suggested, and were told.

-- Functions keep the path they are made under: the schemas that exist now, and temporary objects last, never first.
select set_config('search_path', array_to_string(array(
    select quote_ident(s) from unnest(current_schemas(false)) with ordinality as path (s, place)
    where s !~ '^pg_temp' order by place), ', ') || ', pg_temp', true);

create table ai_context_logs (
    organization_id uuid not null,
    id uuid not null,
    user_id uuid,
    conversation_id uuid,
    source_type text not null
        constraint ai_context_logs_source_check check (source_type in
            ('chat', 'post', 'dm', 'comment', 'insight', 'suggestion', 'analysis', 'smart_search', 'chat_memory',
             'feedback_collection', 'system')),
    source_id uuid,
    query text not null,
    recent_turns jsonb not null default '[]',
    context_summary text not null,
    items jsonb not null,
    token_count integer not null,
    token_budget integer not null,
    tokenizer text not null,
    model_version text not null,
    revision bigint not null,
    served_by text not null,
    degraded boolean not null default false,
    ai_response text,
    prompt_template text,
    model_used text,
    responded_at timestamptz,
    feedback_score smallint
        constraint ai_context_logs_score_check check (feedback_score between 1 and 5),
    feedback_type text
        constraint ai_context_logs_feedback_check check (feedback_type in
            ('helpful', 'too_generic', 'not_relevant', 'incorrect', 'excellent')),
    feedback_comment text,
    feedback_at timestamptz,
    metadata jsonb not null default '{}',
    -- The id's own time, so that an id alone names the month.
    created_at timestamptz not null,
    updated_at timestamptz not null default now(),
    constraint ai_context_logs_pkey primary key (organization_id, id, created_at)
) partition by range (created_at);

create table ai_context_logs_default partition of ai_context_logs default;

create index ai_context_logs_conversation on ai_context_logs (organization_id, conversation_id, created_at)
    where conversation_id is not null;
create index ai_context_logs_user on ai_context_logs (organization_id, user_id, created_at) where user_id is not null;

create table ai_prompts (
    organization_id uuid not null
        constraint ai_prompts_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    name text not null,
    prompt_type text not null
        constraint ai_prompts_type_check check (prompt_type in
            ('content_generation', 'chat_response', 'analysis', 'suggestion', 'trend_analysis')),
    template text not null,
    parameters jsonb not null default '{}',
    is_active boolean not null default false,
    version integer not null default 1,
    created_by uuid,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ai_prompts_pkey primary key (organization_id, id),
    constraint ai_prompts_name_key unique (organization_id, name, version)
);

create table ai_suggestions (
    organization_id uuid not null
        constraint ai_suggestions_org_fkey references organizations (id) on delete cascade,
    id uuid not null,
    user_id uuid,
    suggestion_type text not null
        constraint ai_suggestions_type_check check (suggestion_type in
            ('content_idea', 'hashtag', 'caption', 'response', 'optimization')),
    source_entity_type text,
    source_entity_id uuid,
    suggestion_text text not null,
    confidence_score real
        constraint ai_suggestions_confidence_check check (confidence_score between 0 and 1),
    reasoning text,
    is_accepted boolean,
    is_dismissed boolean not null default false,
    feedback_rating smallint
        constraint ai_suggestions_rating_check check (feedback_rating between 1 and 5),
    feedback_text text,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ai_suggestions_pkey primary key (organization_id, id)
);

create index ai_suggestions_type on ai_suggestions (organization_id, suggestion_type, created_at);

do $$
declare
    t text;
begin
    foreach t in array array['ai_context_logs', 'ai_prompts', 'ai_suggestions'] loop
        execute format('create trigger %I before update on %I for each row execute function set_updated_at()',
                       t || '_updated_at', t);
    end loop;
    -- Members, too, say what they think of answers and suggestions.
    perform protect_tenant_table('ai_context_logs', 'member');
    perform protect_tenant_table('ai_suggestions', 'member');
    perform protect_tenant_table('ai_prompts');
end
$$;

alter table ai_context_logs_default enable row level security;
select ensure_month_partitions();

-- The organization of shared prompt templates: every tenant reads them, none writes them. It has no members, no models
-- and no revisions, so nothing else can be written for it.
insert into organization_slugs (slug, organization_id) values ('kindred-system', '00000000-0000-0000-0000-000000000001');
insert into organizations (id, name, slug)
values ('00000000-0000-0000-0000-000000000001', 'Kindred', 'kindred-system');
create policy ai_prompts_shared on ai_prompts for select to kindred_app, kindred_reader
    using (organization_id = '00000000-0000-0000-0000-000000000001'
           and nullif(current_setting('app.organization_id', true), '') is not null);
do $$
begin
    if has_member_logins() then
        create policy ai_prompts_member_shared on ai_prompts for select to authenticated
            using (organization_id = '00000000-0000-0000-0000-000000000001'
                   and exists (select from organizations_with_role('viewer')));
    end if;
end
$$;

-- viewer < member < editor < admin < owner, active members only. A definer's, so that it answers the same to everybody;
-- a session that is set to one organization is told nothing of another.
create function user_has_org_permission(check_user_id uuid, check_org_id uuid, required_role text default 'member')
returns boolean language sql stable security definer set search_path from current as $$
    select organization_role_rank(required_role) <= coalesce(max(organization_role_rank(m.role)), 0)
    from organization_members m
    where m.organization_id = check_org_id and m.user_id = check_user_id and m.status = 'active'
      and m.organization_id = coalesce(nullif(current_setting('app.organization_id', true), '')::uuid, m.organization_id)
$$;
select grant_execute('user_has_org_permission(uuid, uuid, text)');
