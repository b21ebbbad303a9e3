//! Metrics, read by Prometheus at `/metrics`.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// Serves `/metrics` until it is dropped.
pub type MetricsExport = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Seconds: from a search in memory to a long batch.
const LATENCY_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Starts recording, and gives the task that serves `/metrics` at `listen`.
///
/// # Errors
/// Where the address cannot be bound. A process records once: a second start serves nothing and is no error.
pub fn start_metrics(listen: SocketAddr) -> Result<Option<MetricsExport>, String> {
    let builder = PrometheusBuilder::new()
        .with_http_listener(listen)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)
        .map_err(|error| error.to_string())?;
    let (recorder, exporter) = match builder.build() {
        Ok(built) => built,
        Err(BuildError::FailedToCreateHTTPListener(reason)) => {
            return Err(format!(
                "metrics cannot be served at {listen}: {reason}; choose another with KINDRED_METRICS_LISTEN"
            ));
        }
        Err(error) => return Err(error.to_string()),
    };
    if metrics::set_global_recorder(recorder).is_err() {
        return Ok(None);
    }
    describe();
    Ok(Some(Box::pin(async move {
        if exporter.await.is_err() {
            tracing::warn!("the metrics listener ended");
        }
    })))
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_histogram!("kindred_rpc_seconds", "Time from a call's arrival to its answer, by method and status code");
    describe_counter!("kindred_rpc_shed_total", "Calls refused because too many were running");
    describe_histogram!("kindred_transaction_seconds", "Time of committed transactions, by name");
    describe_counter!("kindred_searches_total", "Searches, by who answered");
    describe_counter!("kindred_contexts_total", "Contexts retrieved");
    describe_counter!("kindred_revisions_total", "Revisions committed by this replica");
    describe_counter!("kindred_ingest_items_total", "Drafts acknowledged, by outcome");
    describe_histogram!("kindred_ingest_batch_items", "Drafts in a batch");
    describe_gauge!("kindred_ingest_queues", "Organizations with a queue of drafts");
    describe_counter!("kindred_embedded_texts_total", "Texts embedded for keeping, by model");
    describe_gauge!("kindred_mirror_partitions", "Partitions in memory");
    describe_gauge!("kindred_mirror_rows", "Rows in memory");
    describe_gauge!("kindred_mirror_bytes", "Bytes of partitions in memory");
    describe_gauge!("kindred_mirror_lag_seconds", "Time since the stalest partition's feed was confirmed");
    describe_counter!("kindred_mirror_loads_total", "Partitions loaded");
    describe_counter!("kindred_mirror_reloads_total", "Partitions that had to be loaded again");
    describe_counter!("kindred_mirror_rebuilds_total", "Graphs rebuilt");
    describe_counter!("kindred_mirror_evictions_total", "Partitions that left memory to keep to the budget");
    describe_counter!("kindred_mirror_failures_total", "Loads, rebuilds and reads of the feed that failed");
    describe_counter!("kindred_mirror_announce_timeouts_total", "Writes acknowledged before the mirror had them");
    describe_gauge!("kindred_unsettled_rows", "Current rows outside their model's HNSW index");
    describe_counter!("kindred_settled_rows_total", "Rows brought into their model's HNSW index");
    describe_counter!("kindred_maintenance_failures_total", "Rounds of maintenance that failed");
    describe_counter!("kindred_postgres_restarts_total", "Restarts of the private Postgres");
    describe_gauge!("kindred_pool_connections", "Database connections, by state");
    describe_gauge!(
        "kindred_write_threads_busy",
        "Share of the last seconds in which the threads of writing were busy"
    );
}
