//! `ai_context_logs`: every retrieval, what was answered, and what people thought of it.
//!
//! The table is partitioned by `created_at`, which is the id's own time: so an id alone names its month.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{StoreError, TenantTransaction};
use crate::domain::{ContextLogId, ModelId, Revision, UserId};

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextLog {
    /// Its id.
    pub id: ContextLogId,
    /// The id's own time.
    pub created_at: DateTime<Utc>,
    /// Who asked.
    pub user: Option<UserId>,
    /// In which conversation.
    pub conversation_id: Option<Uuid>,
    /// What asked.
    pub source_type: String,
    /// The question.
    pub query: String,
    /// The turns embedded with it.
    pub recent_turns: Vec<String>,
    /// What the model was given to read.
    pub packed_text: String,
    /// The candidates, packed and dropped, as `context` writes them.
    pub items: Value,
    /// Tokens of the packed text.
    pub token_count: i32,
    /// The most it could have.
    pub token_budget: i32,
    /// How tokens were counted.
    pub tokenizer: String,
    /// The embedding model.
    pub model: ModelId,
    /// As of which revision.
    pub revision: Revision,
    /// Who found the candidates.
    pub served_by: String,
    /// The answer, once recorded.
    pub response: Option<String>,
    /// The language model that gave it.
    pub model_used: Option<String>,
    /// The verdict, once recorded.
    pub feedback: Feedback,
    /// As the caller gave it.
    pub metadata: Value,
}

/// What a person thought of an answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Feedback {
    /// 1 to 5.
    pub score: Option<i16>,
    /// helpful, too_generic, not_relevant, incorrect, excellent.
    pub kind: Option<String>,
    /// In their words.
    pub comment: Option<String>,
}

impl TenantTransaction {
    /// Writes a retrieval.
    pub async fn insert_context_log(&mut self, log: &ContextLog) -> Result<(), StoreError> {
        let organization = self.organization().0;
        sqlx::query!(
            "INSERT INTO ai_context_logs
                 (organization_id, id, created_at, user_id, conversation_id, source_type, query, recent_turns,
                  context_summary, items, token_count, token_budget, tokenizer, model_version, revision, served_by, metadata)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            organization,
            log.id.0,
            log.created_at,
            log.user.map(|user| user.0),
            log.conversation_id,
            log.source_type,
            log.query,
            Value::from(log.recent_turns.clone()),
            log.packed_text,
            log.items,
            log.token_count,
            log.token_budget,
            log.tokenizer,
            log.model.as_str(),
            log.revision.0,
            log.served_by,
            log.metadata
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// One retrieval; `None` where the organization has none of this id.
    pub async fn context_log(&mut self, id: ContextLogId) -> Result<Option<ContextLog>, StoreError> {
        let Some(created_at) = id.created_at() else { return Ok(None) };
        let organization = self.organization().0;
        let row = sqlx::query!(
            "SELECT user_id, conversation_id, source_type, query, recent_turns, context_summary, items, token_count,
                    token_budget, tokenizer, model_version, revision, served_by, ai_response, model_used,
                    feedback_score, feedback_type, feedback_comment, metadata
             FROM ai_context_logs WHERE organization_id = $1 AND id = $2 AND created_at = $3",
            organization,
            id.0,
            created_at
        )
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let bad = |column, reason: String| StoreError::BadRow {
            table: "ai_context_logs",
            column,
            row: id.to_string(),
            reason,
        };
        Ok(Some(ContextLog {
            id,
            created_at,
            user: row.user_id.map(UserId),
            conversation_id: row.conversation_id,
            source_type: row.source_type,
            query: row.query,
            recent_turns: serde_json::from_value(row.recent_turns)
                .map_err(|error| bad("recent_turns", error.to_string()))?,
            packed_text: row.context_summary,
            items: row.items,
            token_count: row.token_count,
            token_budget: row.token_budget,
            tokenizer: row.tokenizer,
            model: row.model_version.parse().map_err(|error| bad("model_version", format!("{error}")))?,
            revision: Revision(row.revision),
            served_by: row.served_by,
            response: row.ai_response,
            model_used: row.model_used,
            feedback: Feedback { score: row.feedback_score, kind: row.feedback_type, comment: row.feedback_comment },
            metadata: row.metadata,
        }))
    }

    /// Adds the model's answer; tells whether there is such a retrieval.
    pub async fn record_response(
        &mut self,
        id: ContextLogId,
        response: &str,
        model_used: Option<&str>,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let Some(created_at) = id.created_at() else { return Ok(false) };
        let organization = self.organization().0;
        let done = sqlx::query!(
            "UPDATE ai_context_logs SET ai_response = $4, model_used = $5, responded_at = $6
             WHERE organization_id = $1 AND id = $2 AND created_at = $3",
            organization,
            id.0,
            created_at,
            response,
            model_used,
            at
        )
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Adds a person's verdict; tells whether there is such a retrieval.
    pub async fn record_feedback(
        &mut self,
        id: ContextLogId,
        feedback: &Feedback,
        at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let Some(created_at) = id.created_at() else { return Ok(false) };
        let organization = self.organization().0;
        let done = sqlx::query!(
            "UPDATE ai_context_logs
             SET feedback_score = $4, feedback_type = $5, feedback_comment = $6, feedback_at = $7
             WHERE organization_id = $1 AND id = $2 AND created_at = $3",
            organization,
            id.0,
            created_at,
            feedback.score,
            feedback.kind,
            feedback.comment,
            at
        )
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
