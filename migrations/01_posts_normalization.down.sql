-- An adopted user_profiles stays; one that was made here goes.
do $$
begin
    if obj_description(to_regclass('user_profiles'), 'pg_class') is not distinct from 'made by Kindred' then
        drop table user_profiles;
    end if;
end
$$;

drop table hashtags, content_ideas, chat_messages, post_insights, post_media_links, media_files, posts_content, posts_core,
    organization_members, organization_slugs, organizations;
drop function if exists organizations_with_role(text);
drop function protect_tenant_table(regclass, text), grant_execute(regprocedure), grant_select(regclass),
    organization_role_rank(text), has_member_logins(), set_updated_at();
