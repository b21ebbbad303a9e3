//! What the mirror and cold searches need of the database, looked at from the owner's side.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::findings::Finding;
use crate::domain::ModelId;
use crate::store::{Database, StoreError};

/// Maintenance settles rows within seconds; one that has waited so long waits in vain.
const SETTLED_WITHIN: TimeDelta = TimeDelta::hours(1);
/// Maintenance cuts the change log after a day.
const LOG_KEPT: TimeDelta = TimeDelta::hours(48);
/// Organizations that are named at most.
const NAMED: i64 = 20;

const MAINTENANCE: &str = "see that a replica runs with KINDRED_OWNER_DATABASE_URL, and look in its log for rounds of maintenance that failed";

/// What is wrong with the database, as far as one question or two for each model tell. `used` are the models that have
/// current rows.
///
/// # Errors
/// Where the database fails.
pub async fn database_findings(
    owner: &Database,
    used: &BTreeSet<ModelId>,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>, StoreError> {
    let mut findings = model_indexes(owner, used).await?;
    for unsettled in owner.unsettled().await? {
        let age = now - unsettled.oldest;
        let what = format!(
            "{} rows are outside the HNSW index of the model, the oldest for {} s: cold searches scan them",
            unsettled.rows,
            age.num_seconds().max(0)
        );
        findings.push(if age > SETTLED_WITHIN {
            Finding::wrong(unsettled.model, what, MAINTENANCE)
        } else {
            Finding::note(unsettled.model, what, "maintenance is to settle them within the hour")
        });
    }
    if let Some(oldest) = owner.oldest_change().await?.filter(|oldest| now - *oldest > LOG_KEPT) {
        let what = format!("the oldest row is of {oldest}, and maintenance keeps a day: it has not run since");
        findings.push(Finding::wrong("embedding_changes", what, MAINTENANCE));
    }
    for log in owner.crooked_logs(NAMED).await? {
        let what = format!(
            "organization {} counts revision {}, and its change log ends with {}",
            log.organization, log.revision, log.newest
        );
        let remedy = "the counter went back, as by a restore of one table alone: restore organization_revisions and \
                      embedding_changes from one backup, or set the counter to the end of the log; restart every replica";
        findings.push(Finding::wrong("organization_revisions", what, remedy));
    }
    Ok(findings)
}

async fn model_indexes(owner: &Database, used: &BTreeSet<ModelId>) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for model in owner.models().await? {
        let what = match owner.model_index_state(&model.id).await? {
            Some(true) => continue,
            Some(false) => "its HNSW index is not valid, as a build that was broken off leaves it",
            None => "its HNSW index is missing",
        };
        findings.push(if used.contains(&model.id) {
            Finding::wrong(model.id, format!("{what}: searches that memory does not answer scan"), MAINTENANCE)
        } else {
            Finding::note(model.id, what, "it has no rows yet; maintenance makes the index within seconds")
        });
    }
    Ok(findings)
}
