// Written by `kindred migrate types` from the schema; change the schema, not this file.

export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  public: {
    Tables: {
      ai_context_logs: {
        Row: {
          ai_response: string | null
          context_summary: string
          conversation_id: string | null
          created_at: string
          degraded: boolean
          feedback_at: string | null
          feedback_comment: string | null
          feedback_score: number | null
          feedback_type:
            | "helpful"
            | "too_generic"
            | "not_relevant"
            | "incorrect"
            | "excellent"
            | null
          id: string
          items: Json
          metadata: Json
          model_used: string | null
          model_version: string
          organization_id: string
          prompt_template: string | null
          query: string
          recent_turns: Json
          responded_at: string | null
          revision: number
          served_by: string
          source_id: string | null
          source_type:
            | "chat"
            | "post"
            | "dm"
            | "comment"
            | "insight"
            | "suggestion"
            | "analysis"
            | "smart_search"
            | "chat_memory"
            | "feedback_collection"
            | "system"
          token_budget: number
          token_count: number
          tokenizer: string
          updated_at: string
          user_id: string | null
        }
        Insert: {
          ai_response?: string | null
          context_summary: string
          conversation_id?: string | null
          created_at: string
          degraded?: boolean
          feedback_at?: string | null
          feedback_comment?: string | null
          feedback_score?: number | null
          feedback_type?:
            | "helpful"
            | "too_generic"
            | "not_relevant"
            | "incorrect"
            | "excellent"
            | null
          id: string
          items: Json
          metadata?: Json
          model_used?: string | null
          model_version: string
          organization_id: string
          prompt_template?: string | null
          query: string
          recent_turns?: Json
          responded_at?: string | null
          revision: number
          served_by: string
          source_id?: string | null
          source_type:
            | "chat"
            | "post"
            | "dm"
            | "comment"
            | "insight"
            | "suggestion"
            | "analysis"
            | "smart_search"
            | "chat_memory"
            | "feedback_collection"
            | "system"
          token_budget: number
          token_count: number
          tokenizer: string
          updated_at?: string
          user_id?: string | null
        }
        Update: {
          ai_response?: string | null
          context_summary?: string
          conversation_id?: string | null
          created_at?: string
          degraded?: boolean
          feedback_at?: string | null
          feedback_comment?: string | null
          feedback_score?: number | null
          feedback_type?:
            | "helpful"
            | "too_generic"
            | "not_relevant"
            | "incorrect"
            | "excellent"
            | null
          id?: string
          items?: Json
          metadata?: Json
          model_used?: string | null
          model_version?: string
          organization_id?: string
          prompt_template?: string | null
          query?: string
          recent_turns?: Json
          responded_at?: string | null
          revision?: number
          served_by?: string
          source_id?: string | null
          source_type?:
            | "chat"
            | "post"
            | "dm"
            | "comment"
            | "insight"
            | "suggestion"
            | "analysis"
            | "smart_search"
            | "chat_memory"
            | "feedback_collection"
            | "system"
          token_budget?: number
          token_count?: number
          tokenizer?: string
          updated_at?: string
          user_id?: string | null
        }
        Relationships: []
      }
      ai_prompts: {
        Row: {
          created_at: string
          created_by: string | null
          id: string
          is_active: boolean
          name: string
          organization_id: string
          parameters: Json
          prompt_type:
            | "content_generation"
            | "chat_response"
            | "analysis"
            | "suggestion"
            | "trend_analysis"
          template: string
          updated_at: string
          version: number
        }
        Insert: {
          created_at?: string
          created_by?: string | null
          id: string
          is_active?: boolean
          name: string
          organization_id: string
          parameters?: Json
          prompt_type:
            | "content_generation"
            | "chat_response"
            | "analysis"
            | "suggestion"
            | "trend_analysis"
          template: string
          updated_at?: string
          version?: number
        }
        Update: {
          created_at?: string
          created_by?: string | null
          id?: string
          is_active?: boolean
          name?: string
          organization_id?: string
          parameters?: Json
          prompt_type?:
            | "content_generation"
            | "chat_response"
            | "analysis"
            | "suggestion"
            | "trend_analysis"
          template?: string
          updated_at?: string
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: "ai_prompts_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      ai_suggestions: {
        Row: {
          confidence_score: number | null
          created_at: string
          feedback_rating: number | null
          feedback_text: string | null
          id: string
          is_accepted: boolean | null
          is_dismissed: boolean
          metadata: Json
          organization_id: string
          reasoning: string | null
          source_entity_id: string | null
          source_entity_type: string | null
          suggestion_text: string
          suggestion_type:
            | "content_idea"
            | "hashtag"
            | "caption"
            | "response"
            | "optimization"
          updated_at: string
          user_id: string | null
        }
        Insert: {
          confidence_score?: number | null
          created_at?: string
          feedback_rating?: number | null
          feedback_text?: string | null
          id: string
          is_accepted?: boolean | null
          is_dismissed?: boolean
          metadata?: Json
          organization_id: string
          reasoning?: string | null
          source_entity_id?: string | null
          source_entity_type?: string | null
          suggestion_text: string
          suggestion_type:
            | "content_idea"
            | "hashtag"
            | "caption"
            | "response"
            | "optimization"
          updated_at?: string
          user_id?: string | null
        }
        Update: {
          confidence_score?: number | null
          created_at?: string
          feedback_rating?: number | null
          feedback_text?: string | null
          id?: string
          is_accepted?: boolean | null
          is_dismissed?: boolean
          metadata?: Json
          organization_id?: string
          reasoning?: string | null
          source_entity_id?: string | null
          source_entity_type?: string | null
          suggestion_text?: string
          suggestion_type?:
            | "content_idea"
            | "hashtag"
            | "caption"
            | "response"
            | "optimization"
          updated_at?: string
          user_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "ai_suggestions_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      api_keys: {
        Row: {
          created_at: string
          digest: string
          expires_at: string | null
          id: string
          name: string
          organization_id: string
          revoked_at: string | null
          role: "owner" | "admin" | "editor" | "member" | "viewer"
          user_id: string | null
        }
        Insert: {
          created_at?: string
          digest: string
          expires_at?: string | null
          id: string
          name: string
          organization_id: string
          revoked_at?: string | null
          role: "owner" | "admin" | "editor" | "member" | "viewer"
          user_id?: string | null
        }
        Update: {
          created_at?: string
          digest?: string
          expires_at?: string | null
          id?: string
          name?: string
          organization_id?: string
          revoked_at?: string | null
          role?: "owner" | "admin" | "editor" | "member" | "viewer"
          user_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "api_keys_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      archive_parts: {
        Row: {
          archived_at: string | null
          begun_at: string
          checksum: string | null
          file_bytes: number | null
          file_sha256: string | null
          month: string
          name: string
          restored_at: string | null
          row_count: number | null
          state: "begun" | "archived" | "restored" | "abandoned"
          store: string
          table_name: string
        }
        Insert: {
          archived_at?: string | null
          begun_at?: string
          checksum?: string | null
          file_bytes?: number | null
          file_sha256?: string | null
          month: string
          name: string
          restored_at?: string | null
          row_count?: number | null
          state?: "begun" | "archived" | "restored" | "abandoned"
          store: string
          table_name: string
        }
        Update: {
          archived_at?: string | null
          begun_at?: string
          checksum?: string | null
          file_bytes?: number | null
          file_sha256?: string | null
          month?: string
          name?: string
          restored_at?: string | null
          row_count?: number | null
          state?: "begun" | "archived" | "restored" | "abandoned"
          store?: string
          table_name?: string
        }
        Relationships: []
      }
      chat_messages: {
        Row: {
          content: string
          conversation_id: string | null
          created_at: string
          id: string
          metadata: Json
          organization_id: string
          role: "user" | "assistant" | "system"
          updated_at: string
          user_id: string | null
        }
        Insert: {
          content: string
          conversation_id?: string | null
          created_at?: string
          id: string
          metadata?: Json
          organization_id: string
          role: "user" | "assistant" | "system"
          updated_at?: string
          user_id?: string | null
        }
        Update: {
          content?: string
          conversation_id?: string | null
          created_at?: string
          id?: string
          metadata?: Json
          organization_id?: string
          role?: "user" | "assistant" | "system"
          updated_at?: string
          user_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "chat_messages_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      content_ideas: {
        Row: {
          category: string | null
          content_type: string | null
          created_at: string
          description: string
          due_date: string | null
          id: string
          is_saved: boolean
          metadata: Json
          notes: string | null
          organization_id: string
          platforms: string[]
          priority: string | null
          status: "idea" | "in_progress" | "completed" | "archived"
          tags: string[]
          title: string
          updated_at: string
          user_id: string | null
        }
        Insert: {
          category?: string | null
          content_type?: string | null
          created_at?: string
          description: string
          due_date?: string | null
          id: string
          is_saved?: boolean
          metadata?: Json
          notes?: string | null
          organization_id: string
          platforms?: string[]
          priority?: string | null
          status?: "idea" | "in_progress" | "completed" | "archived"
          tags?: string[]
          title: string
          updated_at?: string
          user_id?: string | null
        }
        Update: {
          category?: string | null
          content_type?: string | null
          created_at?: string
          description?: string
          due_date?: string | null
          id?: string
          is_saved?: boolean
          metadata?: Json
          notes?: string | null
          organization_id?: string
          platforms?: string[]
          priority?: string | null
          status?: "idea" | "in_progress" | "completed" | "archived"
          tags?: string[]
          title?: string
          updated_at?: string
          user_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "content_ideas_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      duty_leases: {
        Row: {
          duty: string
          expires_at: string
          holder: string
        }
        Insert: {
          duty: string
          expires_at: string
          holder: string
        }
        Update: {
          duty?: string
          expires_at?: string
          holder?: string
        }
        Relationships: []
      }
      embedding_changes: {
        Row: {
          created_at: string
          entity_id: string
          entity_type: string
          kind: "put" | "removed"
          model_version: string
          organization_id: string
          revision: number
          source_field: string
          version: number
        }
        Insert: {
          created_at?: string
          entity_id: string
          entity_type: string
          kind: "put" | "removed"
          model_version: string
          organization_id: string
          revision: number
          source_field: string
          version: number
        }
        Update: {
          created_at?: string
          entity_id?: string
          entity_type?: string
          kind?: "put" | "removed"
          model_version?: string
          organization_id?: string
          revision?: number
          source_field?: string
          version?: number
        }
        Relationships: []
      }
      embedding_models: {
        Row: {
          created_at: string
          dimensions: number
          document_prefix: string
          id: string
          max_input_tokens: number
          metric: "cosine"
          name: string
          normalized: boolean
          provider: string
          query_prefix: string
        }
        Insert: {
          created_at?: string
          dimensions: number
          document_prefix?: string
          id: string
          max_input_tokens: number
          metric?: "cosine"
          name: string
          normalized: boolean
          provider: string
          query_prefix?: string
        }
        Update: {
          created_at?: string
          dimensions?: number
          document_prefix?: string
          id?: string
          max_input_tokens?: number
          metric?: "cosine"
          name?: string
          normalized?: boolean
          provider?: string
          query_prefix?: string
        }
        Relationships: []
      }
      embedding_versions: {
        Row: {
          activated_from: number | null
          attributes_hash: string
          chunk_count: number
          content_hash: string
          created_at: string
          deleted: boolean
          entity_id: string
          entity_type: string
          id: string
          idempotency_key: string | null
          model_version: string
          organization_id: string
          revision: number
          source_field: string
          superseded_revision: number | null
          version: number
        }
        Insert: {
          activated_from?: number | null
          attributes_hash: string
          chunk_count: number
          content_hash: string
          created_at?: string
          deleted?: boolean
          entity_id: string
          entity_type: string
          id: string
          idempotency_key?: string | null
          model_version: string
          organization_id: string
          revision: number
          source_field: string
          superseded_revision?: number | null
          version: number
        }
        Update: {
          activated_from?: number | null
          attributes_hash?: string
          chunk_count?: number
          content_hash?: string
          created_at?: string
          deleted?: boolean
          entity_id?: string
          entity_type?: string
          id?: string
          idempotency_key?: string | null
          model_version?: string
          organization_id?: string
          revision?: number
          source_field?: string
          superseded_revision?: number | null
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: "embedding_versions_model_fkey"
            columns: ["model_version"]
            isOneToOne: false
            referencedRelation: "embedding_models"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "embedding_versions_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      embeddings: {
        Row: {
          chunk_index: number
          confidence_score: number | null
          content: string
          created_at: string
          entity_id: string
          entity_type: string
          id: string
          language: string
          metadata: Json
          model_version: string
          occurred_at: string | null
          organization_id: string
          platform: string
          revision: number
          settled: boolean
          similarity_method: "cosine"
          source_field: string
          status: string
          superseded_revision: number | null
          tags: string[]
          token_count: number
          vector_data: string
          version: number
        }
        Insert: {
          chunk_index: number
          confidence_score?: number | null
          content?: string
          created_at?: string
          entity_id: string
          entity_type: string
          id: string
          language?: string
          metadata?: Json
          model_version: string
          occurred_at?: string | null
          organization_id: string
          platform?: string
          revision: number
          settled?: boolean
          similarity_method?: "cosine"
          source_field: string
          status?: string
          superseded_revision?: number | null
          tags?: string[]
          token_count?: number
          vector_data: string
          version: number
        }
        Update: {
          chunk_index?: number
          confidence_score?: number | null
          content?: string
          created_at?: string
          entity_id?: string
          entity_type?: string
          id?: string
          language?: string
          metadata?: Json
          model_version?: string
          occurred_at?: string | null
          organization_id?: string
          platform?: string
          revision?: number
          settled?: boolean
          similarity_method?: "cosine"
          source_field?: string
          status?: string
          superseded_revision?: number | null
          tags?: string[]
          token_count?: number
          vector_data?: string
          version?: number
        }
        Relationships: [
          {
            foreignKeyName: "embeddings_model_fkey"
            columns: ["model_version"]
            isOneToOne: false
            referencedRelation: "embedding_models"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "embeddings_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      hashtags: {
        Row: {
          created_at: string
          id: string
          normalized_tag: string
          organization_id: string
          tag: string
          trending_score: number | null
          updated_at: string
          usage_count: number
        }
        Insert: {
          created_at?: string
          id: string
          normalized_tag: string
          organization_id: string
          tag: string
          trending_score?: number | null
          updated_at?: string
          usage_count?: number
        }
        Update: {
          created_at?: string
          id?: string
          normalized_tag?: string
          organization_id?: string
          tag?: string
          trending_score?: number | null
          updated_at?: string
          usage_count?: number
        }
        Relationships: [
          {
            foreignKeyName: "hashtags_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      instagram_reels: {
        Row: {
          caption: string | null
          comments_count: number | null
          content_category: string | null
          created_at: string
          creator_display_name: string | null
          creator_username: string | null
          description: string | null
          engagement_count: number | null
          external_reel_id: string
          hashtags: string[]
          id: string
          likes_count: number | null
          music_info: Json | null
          reel_url: string
          scraped_at: string | null
          script: string | null
          shares_count: number | null
          thumbnail_url: string | null
          trending_score: number | null
          updated_at: string
          views_count: number | null
        }
        Insert: {
          caption?: string | null
          comments_count?: number | null
          content_category?: string | null
          created_at?: string
          creator_display_name?: string | null
          creator_username?: string | null
          description?: string | null
          engagement_count?: number | null
          external_reel_id: string
          hashtags?: string[]
          id: string
          likes_count?: number | null
          music_info?: Json | null
          reel_url: string
          scraped_at?: string | null
          script?: string | null
          shares_count?: number | null
          thumbnail_url?: string | null
          trending_score?: number | null
          updated_at?: string
          views_count?: number | null
        }
        Update: {
          caption?: string | null
          comments_count?: number | null
          content_category?: string | null
          created_at?: string
          creator_display_name?: string | null
          creator_username?: string | null
          description?: string | null
          engagement_count?: number | null
          external_reel_id?: string
          hashtags?: string[]
          id?: string
          likes_count?: number | null
          music_info?: Json | null
          reel_url?: string
          scraped_at?: string | null
          script?: string | null
          shares_count?: number | null
          thumbnail_url?: string | null
          trending_score?: number | null
          updated_at?: string
          views_count?: number | null
        }
        Relationships: []
      }
      media_files: {
        Row: {
          alt_text: string | null
          created_at: string
          duration: number | null
          file_size: number | null
          file_type: "image" | "video" | "audio" | "document"
          filename: string
          height: number | null
          id: string
          metadata: Json
          mime_type: string | null
          organization_id: string
          original_filename: string | null
          storage_url: string
          thumbnail_url: string | null
          updated_at: string
          user_id: string | null
          width: number | null
        }
        Insert: {
          alt_text?: string | null
          created_at?: string
          duration?: number | null
          file_size?: number | null
          file_type: "image" | "video" | "audio" | "document"
          filename: string
          height?: number | null
          id: string
          metadata?: Json
          mime_type?: string | null
          organization_id: string
          original_filename?: string | null
          storage_url: string
          thumbnail_url?: string | null
          updated_at?: string
          user_id?: string | null
          width?: number | null
        }
        Update: {
          alt_text?: string | null
          created_at?: string
          duration?: number | null
          file_size?: number | null
          file_type?: "image" | "video" | "audio" | "document"
          filename?: string
          height?: number | null
          id?: string
          metadata?: Json
          mime_type?: string | null
          organization_id?: string
          original_filename?: string | null
          storage_url?: string
          thumbnail_url?: string | null
          updated_at?: string
          user_id?: string | null
          width?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "media_files_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      organization_members: {
        Row: {
          created_at: string
          invited_at: string | null
          invited_by: string | null
          joined_at: string | null
          organization_id: string
          permissions: Json
          role: "owner" | "admin" | "editor" | "member" | "viewer"
          status: "active" | "inactive" | "pending" | "suspended"
          updated_at: string
          user_id: string
        }
        Insert: {
          created_at?: string
          invited_at?: string | null
          invited_by?: string | null
          joined_at?: string | null
          organization_id: string
          permissions?: Json
          role?: "owner" | "admin" | "editor" | "member" | "viewer"
          status?: "active" | "inactive" | "pending" | "suspended"
          updated_at?: string
          user_id: string
        }
        Update: {
          created_at?: string
          invited_at?: string | null
          invited_by?: string | null
          joined_at?: string | null
          organization_id?: string
          permissions?: Json
          role?: "owner" | "admin" | "editor" | "member" | "viewer"
          status?: "active" | "inactive" | "pending" | "suspended"
          updated_at?: string
          user_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "organization_members_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      organization_models: {
        Row: {
          calibrated_threshold: number | null
          created_at: string
          model_version: string
          organization_id: string
          status: "active" | "shadow" | "retired"
          updated_at: string
        }
        Insert: {
          calibrated_threshold?: number | null
          created_at?: string
          model_version: string
          organization_id: string
          status: "active" | "shadow" | "retired"
          updated_at?: string
        }
        Update: {
          calibrated_threshold?: number | null
          created_at?: string
          model_version?: string
          organization_id?: string
          status?: "active" | "shadow" | "retired"
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: "organization_models_model_fkey"
            columns: ["model_version"]
            isOneToOne: false
            referencedRelation: "embedding_models"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "organization_models_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      organization_revisions: {
        Row: {
          oldest_kept: number
          organization_id: string
          revision: number
        }
        Insert: {
          oldest_kept?: number
          organization_id: string
          revision?: number
        }
        Update: {
          oldest_kept?: number
          organization_id?: string
          revision?: number
        }
        Relationships: [
          {
            foreignKeyName: "organization_revisions_org_fkey"
            columns: ["organization_id"]
            isOneToOne: true
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      organization_slugs: {
        Row: {
          organization_id: string
          slug: string
        }
        Insert: {
          organization_id: string
          slug: string
        }
        Update: {
          organization_id?: string
          slug?: string
        }
        Relationships: []
      }
      organizations: {
        Row: {
          billing_email: string | null
          created_at: string
          description: string | null
          id: string
          logo_url: string | null
          max_posts: number
          max_storage_gb: number
          max_users: number
          name: string
          settings: Json
          slug: string
          subscription_tier: "free" | "pro" | "enterprise"
          updated_at: string
          website: string | null
        }
        Insert: {
          billing_email?: string | null
          created_at?: string
          description?: string | null
          id: string
          logo_url?: string | null
          max_posts?: number
          max_storage_gb?: number
          max_users?: number
          name: string
          settings?: Json
          slug: string
          subscription_tier?: "free" | "pro" | "enterprise"
          updated_at?: string
          website?: string | null
        }
        Update: {
          billing_email?: string | null
          created_at?: string
          description?: string | null
          id?: string
          logo_url?: string | null
          max_posts?: number
          max_storage_gb?: number
          max_users?: number
          name?: string
          settings?: Json
          slug?: string
          subscription_tier?: "free" | "pro" | "enterprise"
          updated_at?: string
          website?: string | null
        }
        Relationships: []
      }
      post_insights: {
        Row: {
          comments_count: number
          created_at: string
          engagement_rate: number | null
          id: string
          impressions: number
          likes: number
          organization_id: string
          platform: string
          post_id: string
          reach: number
          recorded_at: string
          shares: number
        }
        Insert: {
          comments_count?: number
          created_at?: string
          engagement_rate?: number | null
          id: string
          impressions?: number
          likes?: number
          organization_id: string
          platform?: string
          post_id: string
          reach?: number
          recorded_at: string
          shares?: number
        }
        Update: {
          comments_count?: number
          created_at?: string
          engagement_rate?: number | null
          id?: string
          impressions?: number
          likes?: number
          organization_id?: string
          platform?: string
          post_id?: string
          reach?: number
          recorded_at?: string
          shares?: number
        }
        Relationships: [
          {
            foreignKeyName: "post_insights_post_fkey"
            columns: ["organization_id", "post_id"]
            isOneToOne: false
            referencedRelation: "posts_core"
            referencedColumns: ["organization_id", "id"]
          },
        ]
      }
      post_media_links: {
        Row: {
          created_at: string
          media_file_id: string
          order_index: number
          organization_id: string
          post_id: string
        }
        Insert: {
          created_at?: string
          media_file_id: string
          order_index?: number
          organization_id: string
          post_id: string
        }
        Update: {
          created_at?: string
          media_file_id?: string
          order_index?: number
          organization_id?: string
          post_id?: string
        }
        Relationships: [
          {
            foreignKeyName: "post_media_links_media_fkey"
            columns: ["organization_id", "media_file_id"]
            isOneToOne: false
            referencedRelation: "media_files"
            referencedColumns: ["organization_id", "id"]
          },
          {
            foreignKeyName: "post_media_links_post_fkey"
            columns: ["organization_id", "post_id"]
            isOneToOne: false
            referencedRelation: "posts_core"
            referencedColumns: ["organization_id", "id"]
          },
        ]
      }
      posts_content: {
        Row: {
          alt_text: string | null
          caption: string | null
          content: string
          created_at: string
          hashtags: string[]
          metadata: Json
          organization_id: string
          post_id: string
          tags: string[]
          updated_at: string
        }
        Insert: {
          alt_text?: string | null
          caption?: string | null
          content: string
          created_at?: string
          hashtags?: string[]
          metadata?: Json
          organization_id: string
          post_id: string
          tags?: string[]
          updated_at?: string
        }
        Update: {
          alt_text?: string | null
          caption?: string | null
          content?: string
          created_at?: string
          hashtags?: string[]
          metadata?: Json
          organization_id?: string
          post_id?: string
          tags?: string[]
          updated_at?: string
        }
        Relationships: [
          {
            foreignKeyName: "posts_content_post_fkey"
            columns: ["organization_id", "post_id"]
            isOneToOne: true
            referencedRelation: "posts_core"
            referencedColumns: ["organization_id", "id"]
          },
        ]
      }
      posts_core: {
        Row: {
          created_at: string
          id: string
          media_type: "image" | "video" | "text" | "carousel" | null
          organization_id: string
          platforms: string[]
          published_at: string | null
          scheduled_at: string | null
          status: "draft" | "scheduled" | "published" | "failed"
          title: string | null
          updated_at: string
          user_id: string | null
        }
        Insert: {
          created_at?: string
          id: string
          media_type?: "image" | "video" | "text" | "carousel" | null
          organization_id: string
          platforms?: string[]
          published_at?: string | null
          scheduled_at?: string | null
          status?: "draft" | "scheduled" | "published" | "failed"
          title?: string | null
          updated_at?: string
          user_id?: string | null
        }
        Update: {
          created_at?: string
          id?: string
          media_type?: "image" | "video" | "text" | "carousel" | null
          organization_id?: string
          platforms?: string[]
          published_at?: string | null
          scheduled_at?: string | null
          status?: "draft" | "scheduled" | "published" | "failed"
          title?: string | null
          updated_at?: string
          user_id?: string | null
        }
        Relationships: [
          {
            foreignKeyName: "posts_core_org_fkey"
            columns: ["organization_id"]
            isOneToOne: false
            referencedRelation: "organizations"
            referencedColumns: ["id"]
          },
        ]
      }
      time_series_metrics: {
        Row: {
          created_at: string
          entity_id: string
          entity_type: "post" | "user" | "account" | "hashtag" | "campaign"
          id: string
          metadata: Json
          metric_kind: "cumulative" | "delta" | "gauge"
          metric_name: string
          metric_value: number
          organization_id: string
          platform: string
          recorded_at: string
          source: string
        }
        Insert: {
          created_at?: string
          entity_id: string
          entity_type: "post" | "user" | "account" | "hashtag" | "campaign"
          id: string
          metadata?: Json
          metric_kind?: "cumulative" | "delta" | "gauge"
          metric_name: string
          metric_value: number
          organization_id: string
          platform?: string
          recorded_at: string
          source?: string
        }
        Update: {
          created_at?: string
          entity_id?: string
          entity_type?: "post" | "user" | "account" | "hashtag" | "campaign"
          id?: string
          metadata?: Json
          metric_kind?: "cumulative" | "delta" | "gauge"
          metric_name?: string
          metric_value?: number
          organization_id?: string
          platform?: string
          recorded_at?: string
          source?: string
        }
        Relationships: []
      }
      time_series_metrics_archive: {
        Row: {
          archived_at: string
          created_at: string
          entity_id: string
          entity_type: string
          id: string
          metadata: Json
          metric_kind: string
          metric_name: string
          metric_value: number
          organization_id: string
          platform: string
          recorded_at: string
          source: string
        }
        Insert: {
          archived_at?: string
          created_at: string
          entity_id: string
          entity_type: string
          id: string
          metadata: Json
          metric_kind: string
          metric_name: string
          metric_value: number
          organization_id: string
          platform: string
          recorded_at: string
          source: string
        }
        Update: {
          archived_at?: string
          created_at?: string
          entity_id?: string
          entity_type?: string
          id?: string
          metadata?: Json
          metric_kind?: string
          metric_name?: string
          metric_value?: number
          organization_id?: string
          platform?: string
          recorded_at?: string
          source?: string
        }
        Relationships: []
      }
      user_profiles: {
        Row: {
          avatar_url: string | null
          bio: string | null
          created_at: string
          email: string | null
          full_name: string | null
          id: string
          onboarding_completed: boolean
          preferences: Json
          subscription_tier: "free" | "pro" | "enterprise"
          updated_at: string
          website: string | null
        }
        Insert: {
          avatar_url?: string | null
          bio?: string | null
          created_at?: string
          email?: string | null
          full_name?: string | null
          id: string
          onboarding_completed?: boolean
          preferences?: Json
          subscription_tier?: "free" | "pro" | "enterprise"
          updated_at?: string
          website?: string | null
        }
        Update: {
          avatar_url?: string | null
          bio?: string | null
          created_at?: string
          email?: string | null
          full_name?: string | null
          id?: string
          onboarding_completed?: boolean
          preferences?: Json
          subscription_tier?: "free" | "pro" | "enterprise"
          updated_at?: string
          website?: string | null
        }
        Relationships: []
      }
    }
    Views: {
      analytics_dashboard: {
        Row: {
          comments_count: number | null
          day: string | null
          engagement: number | null
          engagement_rate: number | null
          impressions: number | null
          likes: number | null
          organization_id: string | null
          platform: string | null
          posts: number | null
          reach: number | null
          recorded_at: string | null
          shares: number | null
        }
        Relationships: []
      }
      kpi_answer_time: {
        Row: {
          answers: number | null
          median_s: number | null
          model_version: string | null
          month: string | null
          organization_id: string | null
          p95_s: number | null
        }
        Relationships: []
      }
      kpi_index_hits: {
        Row: {
          hit_ratio: number | null
          idx_blks_hit: number | null
          idx_blks_read: number | null
          idx_scan: number | null
          idx_tup_read: number | null
          index_name: string | null
          method: string | null
          table_name: string | null
        }
        Relationships: []
      }
      kpi_similarity_accuracy: {
        Row: {
          helpful_share: number | null
          judged: number | null
          mean_score: number | null
          model_version: string | null
          month: string | null
          organization_id: string | null
          retrievals: number | null
        }
        Relationships: []
      }
      kpi_suggestion_acceptance: {
        Row: {
          acceptance_rate: number | null
          accepted: number | null
          dismissed: number | null
          mean_rating: number | null
          organization_id: string | null
          suggested: number | null
          suggestion_type: string | null
          undecided: number | null
        }
        Relationships: []
      }
      kpi_table_reads: {
        Row: {
          idx_scan: number | null
          idx_tup_fetch: number | null
          index_scan_share: number | null
          n_dead_tup: number | null
          n_live_tup: number | null
          seq_scan: number | null
          seq_tup_read: number | null
          table_name: string | null
        }
        Relationships: []
      }
      kpi_table_sizes: {
        Row: {
          estimated_rows: number | null
          index_bytes: number | null
          measured_at: string | null
          table_name: string | null
          total_bytes: number | null
        }
        Relationships: []
      }
      latest_post_insights: {
        Row: {
          comments_count: number | null
          engagement_rate: number | null
          impressions: number | null
          likes: number | null
          organization_id: string | null
          platform: string | null
          post_id: string | null
          reach: number | null
          recorded_at: string | null
          shares: number | null
        }
        Relationships: []
      }
      posts_unified: {
        Row: {
          alt_text: string | null
          caption: string | null
          comments_count: number | null
          content: string | null
          created_at: string | null
          hashtags: string[] | null
          id: string | null
          impressions: number | null
          insights_recorded_at: string | null
          likes: number | null
          media: Json | null
          media_type: string | null
          media_urls: string[] | null
          metadata: Json | null
          organization_id: string | null
          platforms: string[] | null
          published_at: string | null
          reach: number | null
          scheduled_at: string | null
          shares: number | null
          status: string | null
          tags: string[] | null
          title: string | null
          updated_at: string | null
          user_id: string | null
        }
        Relationships: []
      }
      top_performing_posts: {
        Row: {
          comments_count: number | null
          engagement: number | null
          engagement_rate: number | null
          impressions: number | null
          likes: number | null
          media_type: string | null
          organization_id: string | null
          place: number | null
          platforms: string[] | null
          post_id: string | null
          published_at: string | null
          reach: number | null
          recorded_at: string | null
          shares: number | null
          status: string | null
          title: string | null
          user_id: string | null
        }
        Relationships: []
      }
    }
    Functions: {
      archive_old_metrics: {
        Args: never
        Returns: number
      }
      finalize_migration_cleanup: {
        Args: never
        Returns: string
      }
      find_similar_content: {
        Args: {
          input_entity_type: string
          input_entity_id: string
          similarity_threshold?: number
          max_results?: number
        }
        Returns: {
          entity_type: string
          entity_id: string
          source_field: string
          similarity_score: number
          metadata: Json
        }[]
      }
      get_metrics_aggregated: {
        Args: {
          input_entity_type: string
          input_entity_id: string
          input_metric_name: string
          time_period?: string
        }
        Returns: {
          period_start: string
          total_value: number
          avg_value: number
          max_value: number
          min_value: number
        }[]
      }
      user_has_org_permission: {
        Args: {
          check_user_id: string
          check_org_id: string
          required_role?: string
        }
        Returns: boolean
      }
      verify_migration_integrity: {
        Args: never
        Returns: {
          check_name: string
          status: string
          old_count: number
          new_count: number
          data_loss: number
        }[]
      }
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}

type Schema = Database["public"]
type Relations = Schema["Tables"] & Schema["Views"]

/** A row of a table or view, as it is read. */
export type Tables<Name extends keyof Relations> = Relations[Name]["Row"]

/** A row of a table, as it is inserted. */
export type TablesInsert<Name extends keyof Schema["Tables"]> =
  Schema["Tables"][Name]["Insert"]

/** A change to a row of a table. */
export type TablesUpdate<Name extends keyof Schema["Tables"]> =
  Schema["Tables"][Name]["Update"]
