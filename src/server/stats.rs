//! `GET /v1/stats`: what is served.

use super::problem::Problem;
use super::{App, blocking};
use crate::search;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a library holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    /// Papers in the catalog.
    papers: usize,
    /// Vectors in the space, one a distinct text.
    vectors: usize,
    /// Papers that have no vector yet.
    without_vector: usize,
    /// The index.
    index: IndexStats,
    /// Where the papers are, if that is no data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    /// The model's name.
    model: String,
    /// The space's fingerprint.
    fingerprint: String,
    /// Length of the vectors.
    dimension: usize,
    /// What is to take the place of this model, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<NextStats>,
}

/// What an index is made of.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexStats {
    /// Segments there are.
    segments: usize,
    /// Vectors in them.
    indexed: usize,
    /// Those of them that walks did not find, and do since they were linked again.
    repaired: usize,
    /// Those of them that walks do not find, and that are compared with every query instead.
    stragglers: usize,
    /// Vectors that are in no segment yet.
    waiting: usize,
}

/// How far the space of a next model is.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextStats {
    /// The model's name.
    model: String,
    /// The space's fingerprint.
    fingerprint: String,
    /// Vectors in the space so far, one a distinct text.
    vectors: usize,
}

impl From<likewise_index::IndexStats> for IndexStats {
    fn from(stats: likewise_index::IndexStats) -> IndexStats {
        let likewise_index::IndexStats { segments, indexed, repaired, stragglers, waiting } = stats;
        IndexStats { segments, indexed, repaired, stragglers, waiting }
    }
}

impl From<search::NextStats> for NextStats {
    fn from(search::NextStats { model, fingerprint, vectors }: search::NextStats) -> NextStats {
        NextStats { model, fingerprint, vectors }
    }
}

impl From<search::Stats> for Stats {
    fn from(stats: search::Stats) -> Stats {
        let search::Stats { papers, vectors, without_vector, index, engine, .. } = stats;
        let search::Stats { model, fingerprint, dimension, next, .. } = stats;
        let (index, next) = (index.into(), next.map(Into::into));
        Stats { papers, vectors, without_vector, index, engine, model, fingerprint, dimension, next }
    }
}

/// What is served.
#[utoipa::path(get, path = "/v1/stats", tag = "operations", responses(
    (status = 200, description = "Papers, vectors, index and model", body = Stats),
))]
pub async fn stats(State(app): State<App>) -> Result<Json<Stats>, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    blocking(move || Ok(Json(library.stats().into()))).await
}
