//! NOTIFY and LISTEN: a bell that wakes, never a truth.

use sqlx::postgres::PgListener;
use uuid::Uuid;

use super::{Database, StoreError};
use crate::domain::OrganizationId;

const CHANNEL: &str = "kindred_changes";

/// Rings in the other replicas. Sent after commit on a connection of its own: inside transactions, NOTIFY would
/// serialise commits.
#[derive(Debug, Clone)]
pub struct Bell {
    database: Database,
}

impl Bell {
    /// A bell in this database.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Tells every listener that these organizations have moved.
    pub async fn ring(&self, organizations: &[OrganizationId]) -> Result<(), StoreError> {
        let payloads: Vec<String> = organizations.iter().map(ToString::to_string).collect();
        sqlx::query!("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", CHANNEL, &payloads)
            .execute(self.database.pool())
            .await?;
        Ok(())
    }
}

/// Hears the bell of any replica.
#[derive(Debug)]
pub struct BellListener {
    listener: PgListener,
}

impl BellListener {
    /// Listens on a connection of its own.
    pub async fn connect(database: &Database) -> Result<Self, StoreError> {
        let mut listener = PgListener::connect_with(database.pool()).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self { listener })
    }

    /// Waits for the next ring: the organization that moved, or `None` where rings may have been lost.
    pub async fn heard(&mut self) -> Result<Option<OrganizationId>, StoreError> {
        let notification = self.listener.try_recv().await?;
        Ok(notification.and_then(|note| note.payload().parse::<Uuid>().ok()).map(OrganizationId))
    }
}
