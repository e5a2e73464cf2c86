//! Limits how many searches run at once, and how many wait.
//!
//! A search takes a few hundred microseconds of one core, so as many searches run at once as there are cores. Searches
//! in a remote search engine only wait for the engine, so up to 64 of them run at once. The other searches wait, and
//! run in the order of their arrival. When the limit of searches is reached, further searches are refused. A search
//! whose client disconnects while the search waits is not run.
//!
//! Quick searches run on the thread of their request: waking another thread and waiting for it costs as much as the
//! search (measured: 3,100 responses per second with threads, 5,200 without, on two cores). Searches that can take
//! longer run on a blocking thread: searches that compare terms (lexical and hybrid mode), use a remote search engine,
//! combine examples other than by their mean, or have a filter, many hits, many papers, or another option that takes
//! time.

use super::problem::Problem;
use super::stages::{Stage, record};
use crate::search::{Aggregation, Answer, Library, Mode, Query};
use crate::store::catalog::Filter;
use likewise_encoder::Embedding;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits the searches of a server.
pub struct Searches {
    /// Permits for running searches. Their number is the maximum number of searches that run at once.
    running: Arc<Semaphore>,
    /// Number of searches that run or wait.
    in_flight: Arc<AtomicUsize>,
    /// Maximum value of `in_flight`.
    limit: usize,
    /// Permits for queries that are being reranked or wait for reranking.
    reranking: Arc<Semaphore>,
}

/// Maximum number of queries that wait for reranking. Further queries are refused, because they would wait for too
/// long: reranking a query takes about 0.4 s on two cores.
const MAX_WAITING_RERANKS: usize = 4;

/// Maximum number of concurrent searches in a remote search engine.
const MAX_REMOTE_SEARCHES: usize = 64;

/// The place where searches are computed. It determines how many searches run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchLocation {
    /// In this process: one search per core.
    Local,
    /// In a remote search engine; a search in this process only waits for the engine.
    Remote,
}

/// A search counts as in flight until its guard is dropped.
struct InFlightGuard(Arc<AtomicUsize>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Searches {
    /// Creates the limits for a server on which at most `limit` searches run or wait.
    pub fn new(limit: usize, location: SearchLocation) -> Searches {
        let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
        let max_running = match location {
            SearchLocation::Local => cores,
            SearchLocation::Remote => MAX_REMOTE_SEARCHES,
        };
        Searches {
            running: Arc::new(Semaphore::new(max_running)),
            in_flight: Arc::default(),
            limit,
            reranking: Arc::new(Semaphore::new(1 + MAX_WAITING_RERANKS)),
        }
    }

    /// Returns a permit to rerank a query. The caller must hold the permit until the query is reranked. The encoder
    /// alternates between the queries that hold a permit.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if all permits are taken.
    pub fn rerank_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.reranking).try_acquire_owned().map_err(|_| {
            let max = 1 + MAX_WAITING_RERANKS;
            Problem::busy(format!(
                "{max} queries are being reranked or wait for reranking, which is the maximum; queries without \
                 rerank and rerank_sentences are still accepted"
            ))
        })
    }

    /// Returns the number of searches that run or wait.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Runs a query as soon as a permit is free. A quick query runs on the current thread, any other query as in
    /// [`Searches::run`].
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if too many searches wait, and the errors of the search.
    pub async fn search(
        &self,
        library: &Arc<Library>,
        query: Query,
        embeddings: Vec<Embedding>,
    ) -> Result<Answer, Problem> {
        if !is_quick(&query, library) {
            let library = Arc::clone(library);
            return self.run(move || library.search_encoded(&query, embeddings)).await;
        }
        let (_guard, _permit) = self.acquire().await?;
        let started = Instant::now();
        let answer = library.search_encoded(&query, embeddings);
        record(Stage::Search, started.elapsed());
        Ok(answer?)
    }

    /// Runs a search, or another reading of the library, on a blocking thread as soon as a permit is free.
    ///
    /// # Errors
    /// Returns [`Problem::busy`] if too many searches wait, and the errors of `search`.
    pub async fn run<T: Send + 'static>(
        &self,
        search: impl FnOnce() -> crate::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let (_guard, permit) = self.acquire().await?;
        let started = Instant::now();
        // The search keeps its permit until it ends, even if its client disconnects.
        let result = super::blocking(move || {
            let _permit = permit;
            search()
        });
        let result = result.await;
        record(Stage::Search, started.elapsed());
        result
    }

    /// Counts a search as in flight and waits for the permit to run it.
    async fn acquire(&self) -> Result<(InFlightGuard, OwnedSemaphorePermit), Problem> {
        let started = Instant::now();
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let guard = InFlightGuard(Arc::clone(&self.in_flight));
        if in_flight >= self.limit {
            let limit = self.limit;
            return Err(Problem::busy(format!(
                "{in_flight} searches run or wait, and at most {limit} are allowed to (--max-searches)"
            )));
        }
        let permit = Arc::clone(&self.running).acquire_owned().await.map_err(Problem::internal)?;
        record(Stage::Wait, started.elapsed());
        Ok((guard, permit))
    }
}

/// A query is quick ([`is_quick`]) only if it asks for at most this many hits, skipped hits included, and has at most
/// this many papers as examples.
const MAX_QUICK_SIZE: usize = 50;

/// Whether a query is quick: it takes only a few hundred microseconds.
fn is_quick(query: &Query, library: &Library) -> bool {
    let papers = query.like.papers.len() + query.unlike.papers.len();
    let is_small = query.k + query.offset <= MAX_QUICK_SIZE && papers <= MAX_QUICK_SIZE;
    let is_encoded = papers == 0 || !library.lacks_vectors();
    let is_local = library.folder().is_some() && library.mode(query).is_ok_and(|mode| mode == Mode::Semantic);
    let is_one = query.aggregation() == Aggregation::Mean;
    is_small && is_encoded && is_local && query.is_plain() && is_one && query.filter == Filter::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn searches_over_the_limit_are_refused_and_disconnected_ones_free_their_place() {
        let searches = Searches {
            running: Arc::new(Semaphore::new(1)),
            in_flight: Arc::default(),
            limit: 2,
            reranking: Arc::new(Semaphore::new(1)),
        };
        let slow = || {
            std::thread::sleep(Duration::from_millis(200));
            Ok(())
        };
        let first = searches.run(slow);
        let second = tokio::time::timeout(Duration::from_millis(20), searches.run(slow));
        let third = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            searches.run(|| Ok(())).await.map_err(|problem| problem.status.as_u16())
        };
        let fourth = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            searches.run(|| Ok(4)).await.unwrap()
        };
        let (first, second, third, fourth) = tokio::join!(first, second, third, fourth);
        assert!(first.is_ok() && second.is_err());
        assert_eq!((third, fourth), (Err(429), 4));
        assert_eq!(searches.in_flight(), 0);
    }
}
