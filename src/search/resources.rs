//! What every stage of a search may ask: what holds the papers, and the model.
//!
//! Its own file because stages stand beside each other: each asks this, and none of them the [`Library`](super::Library),
//! which calls them one after the other.

use super::holdings::Holdings;
use super::{Mode, Ranked};
use crate::error::{Error, Result};
use likewise_encoder::Encoder;
use likewise_encoder::model::{Chances, Curve};
use likewise_papers::{Paper, PaperId};
use std::sync::Arc;

/// Papers and the model that reads questions.
pub struct Resources {
    /// What holds the papers.
    pub holdings: Box<dyn Holdings>,
    /// What reads texts.
    pub encoder: Arc<Encoder>,
}

impl Resources {
    /// The paper with this id, and its vector, if it has one yet.
    pub fn find(&self, id: &str) -> Result<(Paper, Option<Vec<f32>>)> {
        let id = parse(id)?;
        self.holdings.find(&id)?.ok_or_else(|| not_here(&id))
    }

    /// Whether papers can be compared by their words, too.
    pub fn keeps_words(&self) -> Result<bool> {
        Ok(self.holdings.counts_of_terms(&[])?.is_some())
    }

    /// What scores of a mode mean, if that is known: by a short text, or by what is longer and by papers.
    pub fn curve(&self, mode: Mode, is_short: bool) -> Option<Curve> {
        let Chances { papers, texts } = self.encoder.model().chances()?;
        let curves = if is_short { texts } else { papers };
        Some(match mode {
            Mode::Semantic => curves.semantic,
            Mode::Lexical => curves.lexical,
            Mode::Hybrid => curves.hybrid,
        })
    }

    /// The chance that a paper of this score is related, if that is known.
    pub fn chance(&self, mode: Mode, is_short: bool, score: f32) -> Option<f32> {
        self.curve(mode, is_short).map(|curve| curve.at(score))
    }
}

/// Reads an id, however it is written.
pub fn parse(id: &str) -> Result<PaperId> {
    PaperId::parse(id).map_err(Error::Invalid)
}

/// There is no paper of this id.
pub fn not_here(id: &PaperId) -> Error {
    Error::NotFound(format!("no paper {:?} here; ask by text instead, or ingest it", id.as_str()))
}

/// Best first; of equal scores, by id.
pub fn sort(pool: &mut [Ranked]) {
    pool.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.paper.id.cmp(&b.paper.id)));
}
