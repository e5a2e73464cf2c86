//! `GET /v1/stats`: the number of papers and of vectors, the state of the index, and the model.

use super::problem::Problem;
use super::{App, blocking};
use crate::search;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Statistics of a library.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    /// Number of papers in the catalog.
    papers: usize,
    /// Number of stored vectors, one for each distinct text. Vectors of deleted papers count until they are removed by
    /// `likewise compact`.
    vectors: usize,
    /// Number of papers without a vector.
    without_vector: usize,
    /// State of the index.
    index: IndexStats,
    /// Address of the search engine that holds the papers; left out if the papers are in a data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    /// The model's name.
    model: String,
    /// Fingerprint of the model.
    fingerprint: String,
    /// Dimension of the vectors.
    dimension: usize,
    /// The model that will replace the current model, and its progress; left out if the current model is not being
    /// replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<NextStats>,
}

/// Statistics of an index.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexStats {
    /// Number of segments.
    segments: usize,
    /// Number of vectors in segments.
    indexed: usize,
    /// Number of vectors in segments that graph search could not reach and that were linked again.
    repaired: usize,
    /// Number of vectors in segments that graph search cannot reach and that are compared with every query instead.
    unreachable: usize,
    /// Number of vectors that are not in a segment yet.
    waiting: usize,
}

/// Progress of embedding all papers with the next model.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextStats {
    /// The model's name.
    model: String,
    /// Fingerprint of the model.
    fingerprint: String,
    /// Number of vectors stored so far, one for each distinct text.
    vectors: usize,
}

impl From<likewise_index::IndexStats> for IndexStats {
    fn from(stats: likewise_index::IndexStats) -> IndexStats {
        let likewise_index::IndexStats { segments, indexed, repaired, unreachable, waiting } = stats;
        IndexStats { segments, indexed, repaired, unreachable, waiting }
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

/// Returns the number of papers and of vectors, the state of the index, and the model.
#[utoipa::path(get, path = "/v1/stats", tag = "operations", responses(
    (status = 200, description = "Papers, vectors, index and model", body = Stats),
))]
pub async fn stats(State(app): State<App>) -> Result<Json<Stats>, Problem> {
    let service = app.service()?;
    let library = Arc::clone(&service.library);
    blocking(move || Ok(Json(library.stats().into()))).await
}
