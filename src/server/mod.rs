//! The same over HTTP: the only async room, and a thin one.
//!
//! The socket answers at once; the library is opened beside it, and `/ready` says when it is there. Encoding goes through
//! one [`queue`], searching through [`searches`], writing through [`writes`], and when one of them is full the answer is
//! 429 at once. [`around`] stands before every route. One file a group of routes, named by its URL: our own under `/v1`,
//! and those of the APIs whose clients people have.

mod access;
mod around;
mod body;
mod connections;
mod dialect;
mod options;
mod paths;
mod problem;
mod queue;
mod searches;
mod service;
mod shapes;
mod stages;
mod unread;
mod view;
mod writes;

mod compat;
mod docs;
mod examples;
mod filter;
mod health;
mod list;
#[cfg(feature = "mcp")]
mod mcp;
mod metrics;
mod pages;
mod papers;
mod rank;
mod ranking;
mod search;
mod stats;
mod upload;

pub use access::{Keys, Right};
pub use connections::{Tls, serve};
#[cfg(feature = "mcp")]
pub use mcp::over_stdio;
pub use options::ServerOptions;
pub use queue::QueueLimits;

use crate::search::Library;
use axum::Router;
use axum::http::Uri;
use axum::middleware;
use compat::{cohere, hf_papers, openai, recommendations, semantic_scholar, tei};
use metrics::Metrics;
use paths::Paths;
use problem::Problem;
use service::Service;
use std::sync::{Arc, PoisonError, RwLock};
use tower::util::MapRequest;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};
use unread::Unread;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What every handler shares.
#[derive(Clone, Default)]
pub struct App(Arc<Shared>);

#[derive(Default)]
struct Shared {
    options: ServerOptions,
    metrics: Arc<Metrics>,
    unread: Unread,
    service: RwLock<Option<Arc<Service>>>,
}

impl App {
    /// A server that has nothing to answer from yet.
    pub fn new(options: ServerOptions) -> App {
        App(Arc::new(Shared { options, ..Shared::default() }))
    }

    /// Answers from `library` from now on.
    pub fn set_library(&self, library: Arc<Library>) {
        let service = Service::start(library, &self.0.options, &self.0.metrics);
        *self.0.service.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(service));
    }

    /// Looks how good walks are now, and tells `/metrics`; takes a few milliseconds.
    pub fn probe_recall(&self) {
        if let Ok(service) = self.service() {
            self.0.metrics.set_recall(service.library.probe_recall());
        }
    }

    fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    fn unread(&self) -> &Unread {
        &self.0.unread
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    fn service(&self) -> Result<Arc<Service>, Problem> {
        let service = self.0.service.read().unwrap_or_else(PoisonError::into_inner);
        service.clone().ok_or_else(Problem::loading)
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> crate::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?.map_err(Problem::from)
}

/// All routes, and what stands around them; other spellings of their paths are mended before that.
pub fn router(app: App) -> Router {
    let (router, api) = documented().split_for_parts();
    let paths = Paths::of(&api);
    let known = paths.clone();
    let not_found = async move |uri: Uri| Problem::no_route(uri.path(), known.nearest(uri.path()));
    #[cfg(feature = "mcp")]
    let agents = mcp::router(&app);
    #[cfg(not(feature = "mcp"))]
    let agents = Router::new().route("/mcp", axum::routing::any(async || Problem::without_mcp()));
    let routes = router
        .merge(docs::router(api, app.options()))
        .merge(agents)
        // Without the slash, as some clients write it.
        .route("/recommendations/v1/papers", axum::routing::post(recommendations::for_papers))
        .merge(pages::router())
        .fallback(not_found)
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(middleware::from_fn_with_state(app.clone(), around::around))
        // Outermost: a browser asks whether it may without a key, and reads refusals only if it may.
        .layer(tower::util::option_layer(cors(&app.options().cors_origins)))
        .with_state(app);
    Router::new().fallback_service(MapRequest::new(routes, move |request| paths.mend(request)))
}

/// The routes that `/openapi.json` has.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::about())
        .routes(routes!(search::search))
        .routes(routes!(search::batch))
        .routes(routes!(list::list, upload::upload))
        .routes(routes!(papers::paper, papers::delete))
        .routes(routes!(openai::embeddings))
        .routes(routes!(openai::models))
        .routes(routes!(openai::model))
        .routes(routes!(stats::stats))
        .routes(routes!(tei::embed))
        .routes(routes!(pages::home::home, tei::embed_here))
        .routes(routes!(tei::info))
        .routes(routes!(tei::rerank))
        .routes(routes!(cohere::rerank))
        .routes(routes!(cohere::rerank_v2))
        .routes(routes!(recommendations::for_paper))
        .routes(routes!(recommendations::for_papers))
        .routes(routes!(semantic_scholar::paper))
        .routes(routes!(semantic_scholar::batch))
        .routes(routes!(hf_papers::search))
        .routes(routes!(hf_papers::daily))
        .routes(routes!(hf_papers::paper))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
}

/// Which other sites' pages may ask, from a browser; none but those that are named.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let layer =
        CorsLayer::new().allow_methods(Any).allow_headers(AllowHeaders::mirror_request()).expose_headers(Any);
    let named = || AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()));
    match origins {
        [] => None,
        some if some.iter().any(|origin| origin == "*") => Some(layer.allow_origin(Any)),
        _ => Some(layer.allow_origin(named())),
    }
}
