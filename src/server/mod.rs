//! The same over HTTP: the only async room, and a thin one.
//!
//! The socket answers at once; the library is opened beside it, and `/ready` says when it is there.
//! Encoding goes through one [`queue`], searching runs on blocking threads, and when either is full
//! the answer is 429 at once. One file a group of routes, named by its URL.

mod body;
mod embeddings;
mod health;
mod metrics;
mod papers;
mod problem;
mod queue;
mod search;
mod stats;

pub use queue::{EncodeQueue, QueueLimits};

use crate::encoder::Embedding;
use crate::search::{Answer, Library, Like, Query};
use crate::text::text_of_query;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use problem::Problem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Searches that run or wait at the same time; one more is told to come back.
const MAX_SEARCHES: usize = 256;

/// What every handler shares.
#[derive(Clone, Default)]
pub struct App {
    service: Arc<RwLock<Option<Arc<Service>>>>,
}

/// A library that is open, and the ways into it. A request keeps the one that it began with.
struct Service {
    library: Arc<Library>,
    queue: EncodeQueue,
    searches: Arc<Semaphore>,
}

impl App {
    /// Answers from `library` from now on.
    pub fn set_library(&self, library: Arc<Library>) {
        let queue = EncodeQueue::start(Arc::clone(library.encoder()), QueueLimits::default());
        let searches = Arc::new(Semaphore::new(MAX_SEARCHES));
        let service = Arc::new(Service { library, queue, searches });
        *self.service.write().unwrap_or_else(PoisonError::into_inner) = Some(service);
    }

    fn service(&self) -> Result<Arc<Service>, Problem> {
        let service = self.service.read().unwrap_or_else(PoisonError::into_inner);
        service.clone().ok_or_else(Problem::loading)
    }
}

impl Service {
    /// Encodes through the queue, searches on a blocking thread.
    async fn search(&self, query: Query) -> Result<Answer, Problem> {
        query.check()?;
        let permit = Arc::clone(&self.searches).try_acquire_owned().map_err(|_| Problem::busy())?;
        let embedding = match &query.like {
            Like::Text(text) => Some(self.encode_one(text_of_query(text).into_owned()).await?),
            _ => None,
        };
        let library = Arc::clone(&self.library);
        blocking(move || {
            let _permit = permit;
            library.search_encoded(&query, embedding)
        })
        .await
    }

    async fn encode_one(&self, text: String) -> Result<Embedding, Problem> {
        let mut embeddings = self.queue.encode(vec![text], queue::Priority::Interactive).await?;
        embeddings.pop().ok_or_else(|| Problem::internal("the queue gave no embedding"))
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> crate::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?.map_err(Problem::from)
}

/// All routes.
pub fn router(app: App) -> Router {
    Router::new()
        .merge(health::router())
        .merge(stats::router())
        .merge(metrics::router())
        .merge(search::router())
        .merge(papers::router())
        .merge(embeddings::router())
        .fallback(async || Problem::no_route())
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(middleware::from_fn(log))
        .with_state(app)
}

/// Serves until `shutdown` ends, then lets the running requests finish.
pub async fn run(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(app)).with_graceful_shutdown(shutdown).await
}

/// One line a request: what was asked for and what became of it, never what it said.
async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let started = Instant::now();
    let response = next.run(request).await;
    let millis = started.elapsed().as_secs_f64() * 1e3;
    tracing::debug!("{method} {path} {} {millis:.1} ms", response.status().as_u16());
    response
}
