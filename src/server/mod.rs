//! The HTTP server.
//!
//! The server accepts connections at once. The library is opened in the background, and `/ready` reports whether it is
//! loaded. Encoding goes through one [`queue`], searches go through [`searches`] and writes through [`writes`]. A
//! request that finds its queue full gets a 429 response at once. [`middleware`] runs around every route. Each group of
//! routes has its own file. likewise's own routes for papers and searches are under `/v1`; [`compat`] has the routes of
//! other APIs, some of which are under `/v1` too.

mod above;
mod access;
mod body;
mod connections;
mod error_format;
mod middleware;
mod options;
mod paths;
mod problem;
mod queue;
mod queued_model;
mod renamed;
mod response_budget;
mod schemas;
mod searches;
mod service;
mod stages;
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
mod search_schemas;
mod stats;
mod upload;

pub use access::{Keys, Permission};
pub use connections::{Tls, serve};
#[cfg(feature = "mcp")]
pub use mcp::over_stdio;
pub use options::ServerOptions;
pub use queue::QueueLimits;

use crate::search::Library;
use axum::Router;
use axum::http::Uri;
use compat::{cohere, hf_papers, openai, recommendations, semantic_scholar, tei};
use likewise_encoder::SparseEncoder;
use metrics::Metrics;
use paths::Paths;
use problem::Problem;
use response_budget::ResponseBudget;
use service::Service;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use tower::util::MapRequest;
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state that all handlers share.
#[derive(Clone, Default)]
pub struct App(Arc<AppState>);

#[derive(Default)]
struct AppState {
    options: ServerOptions,
    metrics: Arc<Metrics>,
    response_budget: ResponseBudget,
    service: RwLock<Option<Arc<Service>>>,
    /// The model behind `/embed_sparse`. It is set once, before the first library. Not set: there is none.
    sparse: OnceLock<Arc<SparseEncoder>>,
}

impl App {
    /// Returns a server without a library. Routes that need a library return 503 until [`App::set_library`] is called.
    pub fn new(options: ServerOptions) -> App {
        App(Arc::new(AppState { options, ..AppState::default() }))
    }

    /// Answers `/embed_sparse` with this model. Must be called before the first call of [`App::set_library`].
    pub fn set_sparse_encoder(&self, encoder: Arc<SparseEncoder>) {
        let _ = self.0.sparse.set(encoder);
    }

    /// Serves all later requests from `library`.
    pub fn set_library(&self, library: Arc<Library>) {
        let sparse = self.0.sparse.get().cloned();
        let service = Service::start(library, sparse, &self.0.options, &self.0.metrics);
        *self.0.service.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(service));
    }

    /// Measures the recall of graph search and publishes the value in `/metrics`. Takes about as long as 20 to 39
    /// exact scans, which run on all cores.
    pub fn probe_recall(&self) {
        if let Ok(service) = self.service() {
            self.0.metrics.set_recall(service.library.probe_recall());
        }
    }

    fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    fn response_budget(&self) -> &ResponseBudget {
        &self.0.response_budget
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    fn service(&self) -> Result<Arc<Service>, Problem> {
        let service = self.0.service.read().unwrap_or_else(PoisonError::into_inner);
        service.clone().ok_or_else(Problem::loading)
    }
}

/// Runs blocking work on a thread of the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> crate::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?.map_err(Problem::from)
}

/// Returns all routes with their middleware. Misspelt paths are corrected before routing.
pub fn router(app: App) -> Router {
    let (router, api) = documented().split_for_parts();
    let paths = Paths::of(&api);
    let known_paths = paths.clone();
    let not_found = async move |uri: Uri| Problem::no_route(uri.path(), known_paths.nearest(uri.path()));
    #[cfg(feature = "mcp")]
    let mcp = mcp::router(&app);
    #[cfg(not(feature = "mcp"))]
    let mcp = Router::new().route("/mcp", axum::routing::any(async || Problem::without_mcp()));
    let routes = router
        .merge(docs::router(api, app.options()))
        .merge(mcp)
        // Some clients leave out the final slash.
        .route("/recommendations/v1/papers", axum::routing::post(recommendations::for_papers))
        .merge(pages::router())
        .fallback(not_found)
        .method_not_allowed_fallback(async || Problem::wrong_method())
        .layer(axum::middleware::from_fn_with_state(app.clone(), middleware::handle_request))
        // CORS is the outermost layer: browsers send preflight requests without a key, and a page can read an error
        // response only if the response has the CORS headers.
        .layer(tower::util::option_layer(cors(&app.options().cors_origins)))
        .with_state(app);
    Router::new().fallback_service(MapRequest::new(routes, move |request| paths.correct(request)))
}

/// Returns the routes that `/openapi.json` documents, except `/v1/papers/{id}/similar`.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::api_info())
        .routes(routes!(search::search))
        .routes(routes!(search::batch))
        .routes(routes!(list::list, upload::upload))
        .routes(routes!(papers::paper, papers::delete))
        .routes(routes!(openai::embeddings))
        .routes(routes!(openai::models))
        .routes(routes!(openai::model))
        .routes(routes!(stats::stats))
        .routes(routes!(tei::embed))
        .routes(routes!(pages::home::home, tei::embed_at_root))
        .routes(routes!(tei::info))
        .routes(routes!(tei::rerank))
        .routes(routes!(tei::embed_sparse))
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

/// Returns the CORS layer that lets pages of `origins` call this server. The origin `*` allows all origins. `None` if
/// `origins` is empty.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let layer =
        CorsLayer::new().allow_methods(Any).allow_headers(AllowHeaders::mirror_request()).expose_headers(Any);
    let listed = || AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok()));
    match origins {
        [] => None,
        _ if origins.iter().any(|origin| origin == "*") => Some(layer.allow_origin(Any)),
        _ => Some(layer.allow_origin(listed())),
    }
}
