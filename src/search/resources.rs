//! The paper store and the model, which every stage of a search uses.
//!
//! This module is separate from [`Library`](super::Library), because `Library` calls the stages and imports must go one
//! way.

use super::paper_store::PaperStore;
use super::{Mode, QueryKind, RankedPaper};
use crate::error::{Error, Result};
use likewise_encoder::model::{Calibration, Curve, logit};
use likewise_encoder::{Encoder, PairScore, Reranker};
use likewise_papers::{Paper, PaperId};
use std::sync::Arc;

/// A paper store, and the model that computed its vectors.
pub struct Resources {
    /// The papers and their vectors.
    pub store: Box<dyn PaperStore>,
    /// The model, which encodes queries.
    pub encoder: Arc<Encoder>,
    /// The cross-encoder that reranks. `None`: queries cannot set `rerank`.
    pub reranker: Option<Arc<Reranker>>,
}

impl Resources {
    /// The paper with this id, and its vector; `None` in place of the vector if the paper has no vector.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if the store has no such paper, [`Error::Invalid`] if `id` is not a valid id.
    pub fn find(&self, id: &str) -> Result<(Paper, Option<Vec<f32>>)> {
        let id = parse(id)?;
        self.store.find(&id)?.ok_or_else(|| not_found(&id))
    }

    /// Whether the store indexes terms, which lexical and hybrid search need.
    pub fn indexes_terms(&self) -> Result<bool> {
        Ok(self.store.doc_freqs(&[])?.is_some())
    }

    /// The curve that turns scores into probabilities; `None` if the model is not calibrated.
    pub fn curve(&self, mode: Mode, kind: QueryKind) -> Option<Curve> {
        let Calibration { papers, texts } = self.encoder.model().calibration()?;
        let curves = match kind {
            QueryKind::Papers => papers,
            QueryKind::ShortText => texts,
        };
        Some(match mode {
            Mode::Semantic => curves.semantic,
            Mode::Lexical => curves.lexical,
            Mode::Hybrid => curves.hybrid,
        })
    }

    /// The probability that a paper with this score of the cross-encoder is related; `None` if the cross-encoder is not
    /// calibrated.
    pub fn rerank_probability(&self, kind: QueryKind, score: PairScore) -> Option<f32> {
        let calibration = self.reranker.as_ref()?.calibration()?;
        let curve = match kind {
            QueryKind::Papers => calibration.papers,
            QueryKind::ShortText => calibration.texts,
        };
        // Limited as in the calibration.
        curve.map(|curve| curve.at(logit(score.relevance)))
    }

    /// The probability that a paper with this score is related; `None` if the model is not calibrated.
    pub fn probability(&self, mode: Mode, kind: QueryKind, score: f32) -> Option<f32> {
        self.curve(mode, kind).map(|curve| curve.at(score))
    }
}

/// Parses an id in any of its notations.
pub fn parse(id: &str) -> Result<PaperId> {
    PaperId::parse(id).map_err(Error::Invalid)
}

/// The error for an id that the store does not have.
pub fn not_found(id: &PaperId) -> Error {
    let id = id.as_str();
    Error::NotFound(format!("paper {id:?} is not in the library; search by its text instead, or ingest it"))
}

/// Sorts by score, best first, and by id where scores are equal.
pub fn sort(papers: &mut [RankedPaper]) {
    papers.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.paper.id.cmp(&b.paper.id)));
}
