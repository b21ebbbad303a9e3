drop table hashtags, content_ideas, chat_messages, post_insights, post_media_links, media_files, posts_content, posts_core,
    organization_members, user_profiles, organization_slugs, organizations;
drop function set_updated_at();
