//! How many searches run at once, and how many may wait.
//!
//! Its own file because it is the other place where load is met (`queue.rs` is the first): a search is a few hundred
//! microseconds of one core, so as many run as there are cores, in the order in which they came. One more than may wait
//! is told to come back; one whose caller has left is not run.
//!
//! A quick one is run where its request is answered: waking a thread for it and waiting for that one costs as much as the
//! search (measured: 3,100 answers a second by way of threads, 5,200 without, on two cores). Whatever may take longer, by a
//! filter or an exact scan, by many hits or many papers, is run on a thread that may block.

use super::problem::Problem;
use super::stages::{Stage, record};
use crate::search::{Answer, Examples, Library, Mode, Query};
use crate::store::catalog::Filter;
use likewise_encoder::Embedding;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The searches of a server.
pub struct Searches {
    running: Arc<Semaphore>,
    /// Those that wait, too.
    here: Arc<AtomicUsize>,
    limit: usize,
    /// The one question that is rescored.
    rescoring: Arc<Semaphore>,
}

/// Questions that may wait to be rescored: each takes about a second, and nobody waits for more than a few.
const MOST_RESCORED: usize = 4;

/// Searches that an engine elsewhere is asked at once.
const ELSEWHERE: usize = 64;

/// One that is here.
struct Here(Arc<AtomicUsize>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Searches {
    /// At most `limit` wait. Those of papers that are here take a core each; those of papers elsewhere only wait there.
    pub fn new(limit: usize, are_here: bool) -> Searches {
        let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
        let at_once = if are_here { cores } else { ELSEWHERE };
        Searches {
            running: Arc::new(Semaphore::new(at_once)),
            here: Arc::default(),
            limit,
            rescoring: Arc::new(Semaphore::new(1 + MOST_RESCORED)),
        }
    }

    /// A place among the questions that are rescored, until it is dropped; the encoder takes them in turns.
    ///
    /// # Errors
    /// [`Problem::busy`] if too many wait.
    pub fn rescoring(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.rescoring).try_acquire_owned().map_err(|_| {
            Problem::busy(format!("{} questions are being rescored; ask without rescore", 1 + MOST_RESCORED))
        })
    }

    /// Searches that run or wait.
    pub fn busy(&self) -> usize {
        self.here.load(Ordering::Relaxed)
    }

    /// Answers a query, when it is its turn.
    ///
    /// # Errors
    /// As [`Searches::run`].
    pub async fn answer(
        &self,
        library: &Arc<Library>,
        query: Query,
        embeddings: Vec<Embedding>,
    ) -> Result<Answer, Problem> {
        if !is_quick(&query, library) {
            let library = Arc::clone(library);
            return self.run(move || library.search_encoded(&query, embeddings)).await;
        }
        let (_here, _turn) = self.turn().await?;
        let started = Instant::now();
        let answer = library.search_encoded(&query, embeddings);
        record(Stage::Search, started.elapsed());
        Ok(answer?)
    }

    /// Runs a search on a thread that may block, when it is its turn.
    ///
    /// # Errors
    /// [`Problem::busy`] if too many wait; what the search itself says.
    pub async fn run<T: Send + 'static>(
        &self,
        search: impl FnOnce() -> crate::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let (_here, turn) = self.turn().await?;
        let started = Instant::now();
        // The turn is over when the search is, whether or not its caller still waits.
        let answer = super::blocking(move || {
            let _turn = turn;
            search()
        });
        let answer = answer.await;
        record(Stage::Search, started.elapsed());
        answer
    }

    /// Waits for a turn.
    async fn turn(&self) -> Result<(Here, OwnedSemaphorePermit), Problem> {
        let started = Instant::now();
        let waiting = self.here.fetch_add(1, Ordering::Relaxed);
        let here = Here(Arc::clone(&self.here));
        if waiting >= self.limit {
            let limit = self.limit;
            return Err(Problem::busy(format!(
                "{waiting} searches run or wait, and {limit} may (--max-searches)"
            )));
        }
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(Problem::internal)?;
        record(Stage::Wait, started.elapsed());
        Ok((here, turn))
    }
}

/// Most hits, and most papers asked about, of a search that takes a few hundred microseconds.
const FEW: usize = 50;

fn is_quick(query: &Query, library: &Library) -> bool {
    let papers = query.like.papers.len() + query.unlike.papers.len();
    let is_small = query.k + query.offset <= FEW && papers <= FEW;
    let is_encoded = papers == 0 || !library.lacks_vectors();
    let is_here = library.folder().is_some() && library.mode(query).is_ok_and(|mode| mode == Mode::Semantic);
    let is_one = query.examples() == Examples::Mean;
    is_small && is_encoded && is_here && query.is_plain() && is_one && query.filter == Filter::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn what_may_not_wait_is_refused_and_what_left_makes_room() {
        let searches = Searches {
            running: Arc::new(Semaphore::new(1)),
            here: Arc::default(),
            limit: 2,
            rescoring: Arc::new(Semaphore::new(1)),
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
        assert_eq!(searches.busy(), 0);
    }
}
