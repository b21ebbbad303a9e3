drop function user_has_org_permission(uuid, uuid, text);
drop table ai_suggestions, ai_prompts, ai_context_logs;
delete from organizations where id = '00000000-0000-0000-0000-000000000001';
delete from organization_slugs where organization_id = '00000000-0000-0000-0000-000000000001';
