//! The models of this process, and the cache of query vectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::{EmbedError, Embedder};
use crate::domain::{Model, ModelId, Purpose, Vector};

/// What an entry costs beside its components: key, bookkeeping, allocation.
const ENTRY_OVERHEAD_BYTES: usize = 256;
/// Vectors of what people asked are not kept longer.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);

/// A query's place in the cache: its model and the digest of its text.
type QueryKey = (ModelId, [u8; 32]);

/// The models this process can compute, by id. Clones share models and cache.
#[derive(Clone)]
pub struct Embedders {
    models: Arc<BTreeMap<ModelId, Arc<dyn Embedder>>>,
    queries: Cache<QueryKey, Arc<Vector>>,
}

impl Embedders {
    /// The models of `list` (of two with one id the later counts), with room for `cache_bytes` of query vectors.
    ///
    /// A vector of 384 dimensions takes about 1.8 KiB; 0 caches nothing.
    pub fn new(list: Vec<Arc<dyn Embedder>>, cache_bytes: u64) -> Self {
        let models = list.into_iter().map(|embedder| (embedder.model().id.clone(), embedder)).collect();
        let weigh = |_: &QueryKey, vector: &Arc<Vector>| {
            let bytes = vector.dimensions() * size_of::<f32>() + ENTRY_OVERHEAD_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let queries = Cache::builder().max_capacity(cache_bytes).weigher(weigh).time_to_live(KEPT_FOR).build();
        Self { models: Arc::new(models), queries }
    }

    /// The model of that id, where this process computes it.
    pub fn get(&self, id: &ModelId) -> Option<Arc<dyn Embedder>> {
        self.models.get(id).cloned()
    }

    /// The vector of a query, from the cache or the model; equal queries at the same time are computed once.
    ///
    /// # Errors
    /// [`EmbedError::UnknownModel`], or what the model says. Errors are not cached.
    pub async fn query(&self, id: &ModelId, text: &str) -> Result<Vector, EmbedError> {
        let Some(embedder) = self.models.get(id) else {
            return Err(EmbedError::UnknownModel { id: id.clone(), known: self.known() });
        };
        let key = (id.clone(), *blake3::hash(text.as_bytes()).as_bytes());
        let compute = async {
            let mut vectors = embedder.embed(vec![text.to_owned()], Purpose::Query).await?;
            vectors.pop().map(Arc::new).ok_or_else(|| EmbedError::Misbehaved { reason: "no vector for a query".into() })
        };
        match self.queries.try_get_with(key, compute).await {
            Ok(vector) => Ok(Vector::clone(&vector)),
            Err(error) => Err(EmbedError::clone(&error)),
        }
    }

    /// Forgets every cached query, as when a person is erased: digests do not tell whose question they were.
    pub fn forget_queries(&self) {
        self.queries.invalidate_all();
    }

    /// The models, by id.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values().map(|embedder| embedder.model())
    }

    fn known(&self) -> String {
        if self.models.is_empty() {
            return "no model".to_owned();
        }
        self.models.keys().map(ModelId::as_str).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::domain::{Classify, Kind};
    use crate::embed::EmbedFuture;

    /// Counts its calls; fails the first `failures` of them.
    struct Counting {
        model: Model,
        calls: AtomicUsize,
        failures: usize,
    }

    impl Embedder for Counting {
        fn model(&self) -> &Model {
            &self.model
        }

        fn embed(&self, texts: Vec<String>, purpose: Purpose) -> EmbedFuture<'_> {
            Box::pin(async move {
                assert_eq!(purpose, Purpose::Query);
                let call = self.calls.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                if call < self.failures {
                    return Err(EmbedError::Overloaded { retry_after: Some(Duration::from_secs(3)) });
                }
                Ok(texts.iter().map(|text| Vector::new(vec![text.len() as f32 + 1.0, 1.0]).expect("finite")).collect())
            })
        }

        fn count_tokens(&self, text: &str) -> usize {
            text.len()
        }
    }

    fn counting(id: &str, failures: usize) -> Arc<Counting> {
        let model = Model {
            id: id.parse().expect("id"),
            provider: "local".into(),
            name: id.into(),
            dimensions: 2,
            normalized: false,
            document_prefix: String::new(),
            query_prefix: String::new(),
            max_input_tokens: 8,
        };
        Arc::new(Counting { model, calls: AtomicUsize::new(0), failures })
    }

    #[tokio::test]
    async fn equal_queries_are_computed_once_and_models_kept_apart() {
        let (one, two) = (counting("one", 0), counting("two", 0));
        let embedders = Embedders::new(vec![one.clone(), two.clone()], 1 << 20);
        let (first, second) = (&one.model.id, &two.model.id);
        let queries = (0..20).map(|_| embedders.query(first, "hello"));
        for vector in futures::future::try_join_all(queries).await.expect("all") {
            assert_eq!(vector.as_slice(), [6.0, 1.0]);
        }
        assert_eq!(one.calls.load(Ordering::SeqCst), 1);
        embedders.query(second, "hello").await.expect("the other model");
        assert_eq!(two.calls.load(Ordering::SeqCst), 1);
        embedders.query(first, "hello!").await.expect("another text");
        assert_eq!(one.calls.load(Ordering::SeqCst), 2);
        embedders.forget_queries();
        embedders.clone().query(first, "hello").await.expect("again");
        assert_eq!(one.calls.load(Ordering::SeqCst), 3);
        assert_eq!(embedders.models().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[tokio::test]
    async fn errors_reach_the_caller_and_are_not_cached() {
        let flaky = counting("flaky", 1);
        let embedders = Embedders::new(vec![flaky.clone()], 1 << 20);
        let error = embedders.query(&flaky.model.id, "hello").await.expect_err("the first fails");
        assert_eq!((error.kind(), error.retry_after()), (Kind::Exhausted, Some(Duration::from_secs(3))));
        embedders.query(&flaky.model.id, "hello").await.expect("the second does not");

        let error = embedders.query(&"other".parse().expect("id"), "hello").await.expect_err("unknown");
        assert_eq!(error.kind(), Kind::FailedPrecondition);
        assert!(error.to_string().contains("it computes flaky"), "{error}");
    }

    #[tokio::test]
    async fn the_cache_is_bounded_in_bytes() {
        let one = counting("one", 0);
        let embedders = Embedders::new(vec![one.clone()], 10 * 264);
        for at in 0..100 {
            embedders.query(&one.model.id, &at.to_string()).await.expect("a vector");
        }
        embedders.queries.run_pending_tasks().await;
        assert!(embedders.queries.entry_count() <= 10, "{}", embedders.queries.entry_count());
    }
}
