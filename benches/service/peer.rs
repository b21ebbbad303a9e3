//! pgvector on the same Postgres, by prepared SQL, and the true answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kindred::domain::Model;
use kindred::store::Database;
use pgvector::Vector;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::client::Load;
use crate::data::Data;
use crate::machine::{SLICE, quietest};
use crate::{CLIENTS, EFS, K, RECALLS};

/// The best ten rows of each query, by brute force.
pub(crate) fn truth(data: &Data) -> Vec<Vec<usize>> {
    let best = |query: &Vec<f32>| {
        let score = |row: &Vec<f32>| row.iter().zip(query).map(|(left, right)| left * right).sum::<f32>();
        let mut scored: Vec<(usize, f32)> = data.rows.iter().map(score).enumerate().collect();
        scored.sort_unstable_by(|left, right| right.1.total_cmp(&left.1));
        scored.iter().take(K).map(|(row, _)| *row).collect()
    };
    data.queries.iter().map(best).collect()
}

/// Brings every row into pgvector's index at once, as a bulk load does, so that what is measured is measured at rest:
/// settled row by row, they would take a core of the machine for minutes.
pub(crate) async fn settle(url: &str, owner: &Database, model: &Model) {
    let begun = Instant::now();
    let mut connection = PgConnection::connect(url).await.unwrap();
    // What the service was making when it was stopped, the server makes still.
    let building = "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index)";
    while sqlx::query_scalar(building).fetch_one(&mut connection).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    owner.drop_model_index(&model.id).await.unwrap();
    let settle = "UPDATE embeddings SET settled = true WHERE NOT settled AND superseded_revision IS NULL";
    sqlx::raw_sql(settle).execute(&mut connection).await.unwrap();
    owner.build_model_index(model).await.unwrap();
    sqlx::raw_sql("VACUUM ANALYZE embeddings").execute(&mut connection).await.unwrap();
    println!("in pgvector's index after {:.1} s", begun.elapsed().as_secs_f64());
}

/// Searches at the least ef_search that reaches each recall; tells which was wanted, and how each load went.
pub(crate) async fn pgvector(url: &str, data: &Data, truth: &[Vec<usize>], seconds: u64) -> Vec<(f64, Load)> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let begun = Instant::now();
    let make = format!(
        "CREATE TABLE bench_peer AS SELECT right(replace(entity_id::text, '-', ''), 12) AS row, vector_data::vector({0}) AS vector
             FROM embeddings WHERE superseded_revision IS NULL AND entity_id < '00000000-0000-0000-0000-0000000f4240';
         SET maintenance_work_mem = '{1}MB';
         CREATE INDEX ON bench_peer USING hnsw (vector vector_cosine_ops) WITH (m = 16, ef_construction = 200);
         ANALYZE bench_peer",
        data.dimensions,
        // The whole graph, which takes many times as long where it does not fit.
        64 + data.rows.len() * (4 * data.dimensions + 1_200) / 1_000_000
    );
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
    println!("pgvector: the rows copied and indexed in {:.1} s", begun.elapsed().as_secs_f64());
    let mut measured = Vec::new();
    let mut efs = EFS.into_iter();
    for wanted in RECALLS {
        let (mut recalled, mut ef) = (0.0, 0);
        while recalled < wanted {
            let Some(next) = efs.next() else { return measured };
            ef = next;
            set_ef(&mut connection, ef).await;
            recalled = recall(&mut connection, data, truth).await;
        }
        for clients in CLIENTS {
            let load = load(url, data, ef, clients, seconds).await;
            load.print(&format!("pgvector, ef {ef}, {clients} at once"), Some(recalled));
            measured.push((wanted, load));
        }
    }
    measured
}

async fn set_ef(connection: &mut PgConnection, ef: usize) {
    let set = format!("SET hnsw.ef_search = {ef}; SET enable_seqscan = off");
    sqlx::raw_sql(AssertSqlSafe(set)).execute(connection).await.unwrap();
}

async fn search(connection: &mut PgConnection, query: &[f32]) -> Vec<String> {
    sqlx::query_scalar("SELECT row FROM bench_peer ORDER BY vector <=> $1 LIMIT 10")
        .bind(Vector::from(query.to_vec()))
        .fetch_all(connection)
        .await
        .unwrap()
}

async fn recall(connection: &mut PgConnection, data: &Data, truth: &[Vec<usize>]) -> f64 {
    let mut found = 0;
    for (query, truth) in data.queries.iter().zip(truth) {
        let rows = search(connection, query).await;
        found += rows.iter().filter(|row| truth.contains(&usize::from_str_radix(row, 16).unwrap())).count();
    }
    found as f64 / (data.queries.len() * K) as f64
}

async fn load(url: &str, data: &Data, ef: usize, clients: usize, seconds: u64) -> Load {
    let queries = Arc::new(data.queries.clone());
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..clients {
        let mut connection = PgConnection::connect(url).await.unwrap();
        set_ef(&mut connection, ef).await;
        search(&mut connection, &queries[0]).await;
        connections.push(connection);
    }
    let connections = Mutex::new(connections);
    let run = async || {
        let until = Instant::now() + SLICE;
        let mut callers = JoinSet::new();
        for mut connection in std::mem::take(&mut *connections.lock().await) {
            let (queries, next) = (queries.clone(), next.clone());
            callers.spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < until {
                    let query = &queries[next.fetch_add(1, Ordering::Relaxed) % queries.len()];
                    let begun = Instant::now();
                    search(&mut connection, query).await;
                    took.push(begun.elapsed().as_secs_f64());
                }
                (connection, took)
            });
        }
        let (back, took): (Vec<_>, Vec<_>) = callers.join_all().await.into_iter().unzip();
        *connections.lock().await = back;
        took.concat()
    };
    Load::of(clients, quietest(seconds, run, || 0.0).await)
}
