//! The tables of a legacy application, in the shapes that were found.

use super::fixtures::{Legacy, Vectors};

/// SQL that makes the tables of one shape, parents before children.
pub fn sql(shape: &Legacy) -> String {
    let mut sql = String::new();
    for (name, columns) in TABLES {
        if !shape.has(name) {
            continue;
        }
        let columns = columns
            .replace("$posts_vector", &vector(shape.posts))
            .replace("$chat_vector", &vector(shape.chat.vectors))
            .replace("$text", shape.chat.text)
            .replace("$speaker", shape.chat.speaker)
            .replace("$thread", &thread(shape.chat.thread))
            .replace("$generations_user", if shape.generations_name_users { "user_id uuid," } else { "" })
            .replace(
                "$references_posts_cascade",
                if shape.has("posts") { "REFERENCES posts (id) ON DELETE CASCADE" } else { "" },
            )
            .replace("$references_posts", if shape.has("posts") { "REFERENCES posts (id)" } else { "" })
            .replace("$interactions_key", if shape.has("posts") { INTERACTIONS_KEY } else { "" })
            .replace("$references_hashtags", if shape.has("hashtags") { "REFERENCES hashtags (id)" } else { "" });
        sql.push_str(&format!("CREATE TABLE {name} ({columns});\n"));
    }
    if shape.has("posts") {
        sql.push_str("CREATE INDEX posts_user_idx ON posts (user_id);\n");
    }
    sql
}

/// What Supabase adds: logins that see their own rows.
pub const SUPABASE_POLICIES: &str = "
    ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own_posts ON posts TO authenticated USING (auth.uid() = user_id) WITH CHECK (auth.uid() = user_id);
    GRANT SELECT, INSERT, UPDATE, DELETE ON posts TO authenticated;";

const INTERACTIONS_KEY: &str = "CONSTRAINT interactions_post_key REFERENCES posts (id)
    ON UPDATE CASCADE ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED";

fn vector(kind: Vectors) -> String {
    match kind {
        Vectors::Floats => "embedding float8[],".to_owned(),
        Vectors::Pgvector => "embedding vector(3),".to_owned(),
        Vectors::Absent => String::new(),
    }
}

fn thread(name: &str) -> String {
    format!("{name} {}", if name == "session_id" { "text" } else { "uuid" })
}

const TABLES: [(&str, &str); 19] = [
    (
        "user_profiles",
        "id uuid PRIMARY KEY, email text UNIQUE, full_name text, avatar_url text, bio text, website text,
         subscription_tier text DEFAULT 'free', onboarding_completed boolean DEFAULT false, preferences jsonb DEFAULT '{}',
         created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()",
    ),
    (
        "posts",
        r#"id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, title varchar(500), content text NOT NULL,
         media_urls text[], media_type text, platforms text[], status text DEFAULT 'draft', scheduled_at timestamptz,
         published_at timestamptz, tags text[], likes int DEFAULT 0, comments int DEFAULT 0, shares int DEFAULT 0,
         reach int DEFAULT 0, impressions int DEFAULT 0, metadata jsonb, $posts_vector campaign text,
         weight numeric(10,4), labels int[], "Zusatz-Feld" text,
         words int GENERATED ALWAYS AS (length(content)) STORED,
         created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()"#,
    ),
    (
        "post_analytics",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), post_id uuid $references_posts_cascade, user_id uuid,
         platform text, external_post_id text, impressions int, reach int, engagement int, likes int, comments int,
         shares int, saves int, clicks int, video_views int, profile_visits int, website_clicks int,
         engagement_rate numeric(5,2), recorded_at timestamptz DEFAULT now(), created_at timestamptz DEFAULT now(),
         UNIQUE (post_id, platform, recorded_at)",
    ),
    (
        "chat_messages",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, $thread, $speaker text, $text text NOT NULL,
         $chat_vector metadata jsonb, reactions text[], created_at timestamptz DEFAULT now()",
    ),
    (
        "content_ideas",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, title text NOT NULL, description text NOT NULL,
         content_type text, platforms text[], tags text[], category text, priority text, status text DEFAULT 'idea',
         due_date date, notes text, is_saved boolean, metadata jsonb, embedding float8[], mood text,
         created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now()",
    ),
    (
        "hashtags",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tag text, normalized_tag text, usage_count int,
         trending_score numeric, embedding vector(3), created_at timestamptz DEFAULT now(),
         updated_at timestamptz DEFAULT now()",
    ),
    (
        "post_hashtags",
        "post_id uuid $references_posts_cascade, hashtag_id uuid $references_hashtags, PRIMARY KEY (post_id, hashtag_id)",
    ),
    (
        "hashtag_analytics",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), hashtag_id uuid $references_hashtags, user_id uuid, platform text,
         impressions int, reach int, engagement int, posts_count int, recorded_at timestamptz DEFAULT now(),
         UNIQUE (hashtag_id, user_id, platform, recorded_at)",
    ),
    (
        "user_embeddings",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, organization_id uuid, embedding_type text,
         content_sample text, embedding float8[], version int, is_active boolean, confidence_score numeric,
         created_at timestamptz DEFAULT now()",
    ),
    (
        "media_files",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, file_path text, processing_status text,
         created_at timestamptz DEFAULT now()",
    ),
    (
        "ai_suggestions",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, suggestion_type text, context_id uuid,
         context_type text, suggestion_text text, confidence_score numeric, status text, user_feedback text,
         created_at timestamptz DEFAULT now()",
    ),
    (
        "content_generations",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), $generations_user user_input text NOT NULL,
         generated_content jsonb NOT NULL, content_type text, platforms text[], language text DEFAULT 'german',
         created_at timestamptz DEFAULT now()",
    ),
    (
        "interactions",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, post_id uuid $interactions_key, platform text,
         interaction_type text, sender_name text, message text NOT NULL, embedding float8[], metadata jsonb,
         created_at timestamptz DEFAULT now()",
    ),
    ("instagramreelsscraper", REELS),
    ("instagramreelscraper", REELS),
    (
        "ai_feedback",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, action_type text, action_id uuid, feedback_type text,
         rating int, helpful boolean, suggestion_data jsonb",
    ),
    (
        "social_accounts",
        "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, platform text, username text, access_token text,
         refresh_token text",
    ),
    ("calendar_events", "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, title text, description text"),
    ("unrelated", "id int PRIMARY KEY, post_id uuid $references_posts, note text"),
];

const REELS: &str = "id uuid PRIMARY KEY DEFAULT gen_random_uuid(), reel_url text NOT NULL, thumbnail_url text,
    creator_username text, creator_display_name text, title text, caption text, description text, script text,
    engagement_count int, comments_count int, likes_count int, shares_count int, views_count int, hashtags text[],
    music_info jsonb, scraped_at timestamptz";

/// Every table there may be.
pub fn names() -> Vec<&'static str> {
    TABLES.iter().map(|(name, _)| *name).collect()
}
