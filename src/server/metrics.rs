//! `GET /metrics`: what is served, as Prometheus reads it.
//!
//! Its own file because it says what `/v1/stats` says in another language, and to another reader: a person looks at
//! one, an alarm at the other.

use super::problem::Problem;
use super::{App, blocking};
use crate::search::Stats;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::sync::Arc;

/// The version of the format that is written.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// The route.
pub fn router() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    let stats = blocking(move || Ok(library.stats())).await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text(&stats)))
}

fn text(stats: &Stats) -> String {
    let index = &stats.index;
    let gauges = [
        ("likewise_papers", "Papers in the catalog.", stats.papers),
        ("likewise_vectors", "Vectors in the space, one a distinct text.", stats.vectors),
        ("likewise_papers_without_vector", "Papers that have no vector yet.", stats.without_vector),
        ("likewise_index_segments", "Segments of the index.", index.segments),
        ("likewise_index_vectors", "Vectors in segments.", index.indexed),
        ("likewise_index_waiting", "Vectors in no segment yet.", index.waiting),
        (
            "likewise_index_repaired",
            "Vectors that a walk lost, and finds since they were linked again.",
            index.repaired,
        ),
        (
            "likewise_index_stragglers",
            "Vectors that walks do not find, compared with every query.",
            index.stragglers,
        ),
    ];
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for (name, what, value) in gauges {
            describe_gauge!(name, what);
            gauge!(name, "model" => stats.model.clone()).set(value as f64);
        }
    });
    recorder.handle().render()
}
