//! A database under examination: what `doctor` looks at.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use tokio_util::task::TaskTracker;

use super::{Config, Databases, StartError};
use crate::admin::{AdminError, Administrator};
use crate::domain::ModelId;
use crate::mirror::{Examiner, Finding, Snapshots, database_findings};
use crate::store::{CurrentPartition, Database, StoreError};

/// Which partitions to examine; all of them where nothing is named.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only of the organization with this slug.
    pub organization: Option<String>,
    /// Only of this model.
    pub model: Option<ModelId>,
}

/// Why nothing could be examined.
#[derive(Debug, thiserror::Error)]
pub enum CheckupError {
    /// The database cannot be reached as both roles.
    #[error(transparent)]
    Start(#[from] StartError),
    /// There is no such organization.
    #[error(transparent)]
    Organization(#[from] AdminError),
    /// There is no such model.
    #[error("model: {given} is not known to this database; known are: {known}")]
    UnknownModel {
        /// What was given.
        given: ModelId,
        /// What there is.
        known: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A database under examination. Nothing of it is changed, and a service may run beside it.
pub struct Checkup {
    databases: Databases,
    /// What speaks against role and schema; nothing else is looked at then.
    objections: Vec<Finding>,
}

impl Checkup {
    /// Opens the database that the configuration tells.
    ///
    /// # Errors
    /// Where it cannot be reached as both roles.
    pub async fn open(config: &Config) -> Result<Self, CheckupError> {
        let (databases, objections) = Databases::examine(config, &TaskTracker::new()).await?;
        let remedy = "nothing else was looked at, since Kindred does not serve from it as it is";
        let objections = objections.into_iter().map(|error| Finding::wrong("database", error.to_string(), remedy));
        let checkup = Self { objections: objections.collect(), databases };
        if checkup.databases.owner.is_none() {
            checkup.close().await;
            return Err(StartError::NoOwner.into());
        }
        Ok(checkup)
    }

    /// What is wrong with the database as a whole, and the partitions to be examined: none, where role or schema are not
    /// those that Kindred serves with.
    ///
    /// # Errors
    /// Where the database fails, or has no such organization or model.
    pub async fn database(
        &self,
        which: &Which,
        now: DateTime<Utc>,
    ) -> Result<(Vec<Finding>, Vec<CurrentPartition>), CheckupError> {
        if !self.objections.is_empty() {
            return Ok((self.objections.clone(), Vec::new()));
        }
        let owner = self.databases.owner.as_ref().ok_or(StartError::NoOwner)?;
        require_known(owner, which).await?;
        let mut partitions = owner.current_partitions().await?;
        let used: BTreeSet<ModelId> = partitions.iter().map(|partition| partition.model.clone()).collect();
        let findings = database_findings(owner, &used, now).await?;
        partitions.retain(|partition| {
            which.organization.as_ref().is_none_or(|slug| *slug == partition.slug)
                && which.model.as_ref().is_none_or(|model| *model == partition.model)
        });
        Ok((findings, partitions))
    }

    /// An examiner of partitions, as a service of this configuration would load them.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn examiner(&self, config: &Config) -> Result<Examiner, CheckupError> {
        let app = &self.databases.app;
        let snapshots = match config.snapshot_bytes {
            0 => None,
            _ => Some(Snapshots::at(config.snapshots_folder(), app.identity().await?)),
        };
        Ok(Examiner::new(app.clone(), config.index, snapshots, TaskTracker::new()))
    }

    /// Closes every connection.
    pub async fn close(self) {
        self.databases.close().await;
    }
}

async fn require_known(owner: &Database, which: &Which) -> Result<(), CheckupError> {
    if let Some(slug) = &which.organization {
        Administrator::new(owner.clone()).organization(slug).await?;
    }
    if let Some(given) = &which.model {
        let known: Vec<ModelId> = owner.models().await?.into_iter().map(|model| model.id).collect();
        if !known.contains(given) {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            return Err(CheckupError::UnknownModel { given: given.clone(), known: known.join(", ") });
        }
    }
    Ok(())
}
