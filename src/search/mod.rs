//! A text, papers, or a vector → ranked papers.
//!
//! A [`Library`] is a data folder opened for answering: catalog, encoder, space, index. [`plan`] says
//! how a query is answered, [`directory`] which papers a vector stands for.

mod directory;
pub mod plan;

use crate::catalog::{Catalog, Filter, PaperNumber};
use crate::encoder::{Embedding, Encoder};
use crate::error::{Error, Result};
use crate::index::{Index, IndexStats, Neighbour, Segments, dot};
use crate::ingest;
use crate::paper::{Paper, PaperId};
use crate::space::Space;
use crate::text::{TextHash, text_of};
use directory::Directory;
use plan::Plan;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Most hits that can be asked for at once.
pub const MAX_K: usize = 1000;

/// Hits when nobody says how many.
pub const DEFAULT_K: usize = 10;

/// What to find neighbours of.
#[derive(Debug, Clone, PartialEq)]
pub enum Like {
    /// A text: a title, an abstract, a question.
    Text(String),
    /// Papers of this library; of several, their mean direction. They are not their own hits.
    Papers(Vec<String>),
    /// A vector of this space, of any length but 0.
    Vector(Vec<f32>),
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// What the answers should be like.
    pub like: Like,
    /// How many, 1 to [`MAX_K`].
    pub k: usize,
    /// Compare with every paper instead of walking the graph.
    pub exact: bool,
    /// Which papers may be answers.
    pub filter: Filter,
}

impl Query {
    /// Refuses what can be seen to be wrong without looking at any paper.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Invalid(what));
        match &self.like {
            Like::Text(text) if text.trim().is_empty() => {
                return wrong("text: got an empty text, wanted a title or an abstract".into());
            }
            Like::Papers(ids) if ids.is_empty() => {
                return wrong("like: got an empty list, wanted at least one id".into());
            }
            _ => {}
        }
        if (1..=MAX_K).contains(&self.k) {
            Ok(())
        } else {
            wrong(format!("k: got {}, wanted 1 to {MAX_K}", self.k))
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// From 1.
    pub rank: usize,
    /// Cosine similarity, -1 to 1.
    pub score: f32,
    /// The paper.
    pub paper: Paper,
}

/// How much of a query's text was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextRead {
    /// Tokens that the model read.
    pub tokens: usize,
    /// Whether the text was longer than the model reads.
    pub truncated: bool,
}

/// The answers to a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Best first; of equal scores, by id.
    pub hits: Vec<Hit>,
    /// Of a query by text, how much of it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextRead>,
}

/// What a library holds.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    /// Papers in the catalog when it was opened.
    pub papers: usize,
    /// Vectors in the space, one a distinct text.
    pub vectors: usize,
    /// Papers that have no vector yet.
    pub without_vector: usize,
    /// The index.
    pub index: IndexStats,
    /// The model's name.
    pub model: String,
    /// The space's fingerprint.
    pub fingerprint: String,
    /// Length of the vectors.
    pub dimension: usize,
}

/// A query, ready to be answered without the encoder: a unit vector, and who may not be a hit.
struct Target {
    vector: Vec<f32>,
    excluded: Vec<PaperNumber>,
    text: Option<TextRead>,
}

/// A data folder, opened for answering.
pub struct Library {
    catalog: Catalog,
    encoder: Arc<Encoder>,
    space: Space,
    index: Segments,
    directory: Directory,
}

impl Library {
    /// Opens a data folder as it is now; papers that come later are not answers.
    ///
    /// What a killed ingest left undone is done first, unless another process is ingesting: then what
    /// is there is served, and said to be behind.
    ///
    /// # Errors
    /// [`Error::Data`] if there is nothing, or it is another model's.
    pub fn open(data: &Path, encoder: Arc<Encoder>) -> Result<Library> {
        if !ingest::catalog_path(data).exists() {
            return Err(ingest::nothing_here(data));
        }
        let catalog = Catalog::open(&ingest::catalog_path(data))?;
        ingest::check_space(&catalog, encoder.model())?;
        let library = Library::load(data, catalog, Arc::clone(&encoder));
        if library.as_ref().is_ok_and(|library| !library.is_behind()) {
            return library;
        }
        match finish_interrupted(data, &encoder) {
            Ok(()) => Library::load(data, Catalog::open(&ingest::catalog_path(data))?, encoder),
            // Half an answer is better than none: a disk may be full, a folder only readable.
            Err(error) if library.is_ok() => {
                tracing::warn!("an earlier run was interrupted and could not be finished: {error}");
                library
            }
            Err(error) => Err(error),
        }
    }

    fn load(data: &Path, catalog: Catalog, encoder: Arc<Encoder>) -> Result<Library> {
        // The catalog first: each of its papers that has a vector by now is found.
        let texts = catalog.texts()?;
        let space = Space::open(data, &encoder.model().fingerprint)?;
        let index = Segments::open(space.path(), space.vectors().clone())?;
        let directory = Directory::new(&texts, space.vectors().len(), |text| space.slot(text));
        Ok(Library { catalog, encoder, space, index, directory })
    }

    /// Whether papers have no vector yet, or many vectors are in no segment.
    fn is_behind(&self) -> bool {
        self.directory.without_slot() > 0 || self.index.is_behind()
    }

    /// The model it encodes queries with.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// What it holds.
    pub fn stats(&self) -> Stats {
        let model = self.encoder.model();
        Stats {
            papers: self.directory.papers(),
            vectors: self.space.vectors().len(),
            without_vector: self.directory.without_slot(),
            index: self.index.stats(),
            model: model.name.clone(),
            fingerprint: model.fingerprint.sha256.clone(),
            dimension: self.encoder.dimension(),
        }
    }

    /// The paper with this id, however it is written.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not here, [`Error::Invalid`] if that cannot be an id.
    pub fn paper(&self, id: &str) -> Result<Paper> {
        Ok(self.find(id)?.1)
    }

    fn find(&self, id: &str) -> Result<(PaperNumber, Paper)> {
        let id = PaperId::parse(id).map_err(Error::Invalid)?;
        self.catalog.find(&id)?.ok_or_else(|| {
            Error::NotFound(format!("no paper {:?} here; ask by text instead, or ingest it", id.as_str()))
        })
    }

    /// Answers a query.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::NotFound`] say what is wrong with the query.
    pub fn search(&self, query: &Query) -> Result<Answer> {
        query.check()?;
        let embedding = match &query.like {
            Like::Text(text) => Some(self.encoder.encode_one(text)?),
            _ => None,
        };
        self.search_encoded(query, embedding)
    }

    /// Answers a query whose text, if it has one, was encoded already: the server encodes the texts of
    /// many queries together.
    ///
    /// # Errors
    /// As [`Library::search`]; also if a query by text comes without its embedding.
    pub fn search_encoded(&self, query: &Query, embedding: Option<Embedding>) -> Result<Answer> {
        query.check()?;
        let target = self.target(&query.like, embedding)?;
        let allowed = self.allowed(&query.filter)?;
        let hits = self.nearest_papers(&target, query, allowed.as_ref())?;
        Ok(Answer { hits, text: target.text })
    }

    fn target(&self, like: &Like, embedding: Option<Embedding>) -> Result<Target> {
        match like {
            Like::Text(_) => {
                let missing = || Error::Invalid("text: it was not encoded before the search".into());
                let Embedding { vector, tokens, truncated } = embedding.ok_or_else(missing)?;
                Ok(Target { vector, excluded: Vec::new(), text: Some(TextRead { tokens, truncated }) })
            }
            Like::Vector(vector) => Ok(Target {
                vector: unit(vector, self.encoder.dimension())?,
                excluded: Vec::new(),
                text: None,
            }),
            Like::Papers(ids) => {
                let papers = ids.iter().map(|id| self.find(id)).collect::<Result<Vec<_>>>()?;
                let vectors =
                    papers.iter().map(|(_, paper)| self.vector_of(paper)).collect::<Result<Vec<_>>>()?;
                let mut sum = vec![0.0; self.encoder.dimension()];
                for vector in &vectors {
                    sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
                }
                let excluded = papers.into_iter().map(|(number, _)| number).collect();
                Ok(Target { vector: unit(&sum, sum.len())?, excluded, text: None })
            }
        }
    }

    /// A paper's vector: the stored one, or for a paper that came after this library was opened, a
    /// new one.
    fn vector_of(&self, paper: &Paper) -> Result<Vec<f32>> {
        let text = text_of(paper);
        match self.space.slot(TextHash::of(&text)) {
            Some(slot) => Ok(self.space.vectors().get(slot).to_vec()),
            None => Ok(self.encoder.encode_one(&text)?.vector),
        }
    }

    /// The papers that a filter leaves; `None` for all.
    fn allowed(&self, filter: &Filter) -> Result<Option<directory::Numbers>> {
        if filter.is_empty() {
            return Ok(None);
        }
        Ok(Some(directory::Numbers::new(self.catalog.matching(filter)?)))
    }

    fn nearest_papers(
        &self,
        target: &Target,
        query: &Query,
        allowed: Option<&directory::Numbers>,
    ) -> Result<Vec<Hit>> {
        let slots = self.directory.slots(allowed);
        // The queried papers may be among the nearest, and are then taken out again.
        let k = query.k + target.excluded.len();
        let plan =
            Plan::choose(query.exact, slots.as_ref().map(roaring::RoaringBitmap::len), self.index.len());
        let neighbours = match plan {
            Plan::Scan => self.index.scan(&target.vector, k, slots.as_ref()),
            Plan::Walk => self.index.search(&target.vector, k, slots.as_ref()),
        };
        let passes = |number: &PaperNumber| {
            !target.excluded.contains(number) && allowed.is_none_or(|allowed| allowed.contains(*number))
        };
        let mut found: Vec<(f32, PaperNumber)> = Vec::new();
        for Neighbour { slot, score } in neighbours {
            let numbers = self.directory.papers_of(slot).filter(passes);
            found.extend(numbers.map(|number| (score, number)));
        }
        let numbers: Vec<PaperNumber> = found.iter().map(|(_, number)| *number).collect();
        let papers = self.catalog.get(&numbers)?;
        let mut scores = found.into_iter();
        // Both are in the same order; a paper that has gone since is missing from the second.
        let mut hits: Vec<(f32, Paper)> = papers
            .into_iter()
            .filter_map(|(number, paper)| Some((scores.find(|(_, scored)| *scored == number)?.0, paper)))
            .collect();
        hits.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.id.cmp(&b.1.id)));
        hits.truncate(query.k);
        let hit = |(rank, (score, paper))| Hit { rank: rank + 1, score, paper };
        Ok(hits.into_iter().enumerate().map(hit).collect())
    }
}

/// Finishes what a killed ingest left, if no other process is at it.
fn finish_interrupted(data: &Path, encoder: &Encoder) -> Result<()> {
    let Some(mut writer) = ingest::Writer::try_open(data, encoder)? else {
        tracing::warn!("another process is ingesting here; papers that it adds from now on are not served");
        return Ok(());
    };
    tracing::info!("an earlier run was interrupted; finishing its work");
    writer.catch_up(|done, all| tracing::info!("encoded {done} of {all} papers left over"))?;
    writer.finish().map(drop)
}

/// Scales a caller's vector to length 1.
fn unit(vector: &[f32], dimension: usize) -> Result<Vec<f32>> {
    if vector.len() != dimension {
        let got = vector.len();
        return Err(Error::Invalid(format!("vector: got {got} values, wanted {dimension}")));
    }
    // Scaled by the largest value first, so that squares neither overflow nor vanish.
    let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    if !vector.iter().all(|value| value.is_finite()) || largest < f32::MIN_POSITIVE {
        return Err(Error::Invalid("vector: got NaN, infinity or only zeros, wanted a direction".into()));
    }
    let scaled: Vec<f32> = vector.iter().map(|value| value / largest).collect();
    let length = dot(&scaled, &scaled).sqrt();
    Ok(scaled.into_iter().map(|value| value / length).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_any_length_but_zero_become_unit_vectors() {
        assert_eq!(unit(&[3.0, 4.0], 2).unwrap(), [0.6, 0.8]);
        assert_eq!(unit(&[3e38, 0.0], 2).unwrap(), [1.0, 0.0]);
        assert_eq!(unit(&[0.0, -3e-30], 2).unwrap(), [0.0, -1.0]);
        for wrong in [&[0.0, 0.0][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0], &[1.0]] {
            assert!(unit(wrong, 2).is_err(), "{wrong:?}");
        }
    }
}
