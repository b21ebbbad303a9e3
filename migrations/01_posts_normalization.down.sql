-- An adopted user_profiles stays, without what was added to it; one that was made here goes.
do $$
declare
    profiles regclass := to_regclass('user_profiles');
    policy_name text;
begin
    if (select relnamespace = current_schema()::regnamespace and obj_description(oid, 'pg_class') = 'made by Kindred'
        from pg_class where oid = profiles) then
        execute format('drop table %s', profiles);
        return;
    end if;
    if exists (select from pg_trigger where tgrelid = profiles and tgname = 'user_profiles_updated_at'
               and tgfoid = to_regproc('set_updated_at')) then
        execute format('drop trigger user_profiles_updated_at on %s', profiles);
    end if;
    if exists (select from pg_policy where polrelid = profiles and polname = 'user_profiles_own_select'
               and obj_description(oid, 'pg_policy') = 'enabled row level security') then
        execute format('alter table %s disable row level security', profiles);
    end if;
    for policy_name in select polname from pg_policy where polrelid = profiles and polname ~ '^user_profiles_own_' loop
        execute format('drop policy %I on %s', policy_name, profiles);
    end loop;
end
$$;

drop table hashtags, content_ideas, chat_messages, post_insights, post_media_links, media_files, posts_content, posts_core,
    organization_members, organization_slugs, organizations;
drop function if exists organizations_with_role(text);
drop function protect_tenant_table(regclass, text), grant_execute(regprocedure), grant_select(regclass),
    organization_role_rank(text), has_member_logins(), set_updated_at();
