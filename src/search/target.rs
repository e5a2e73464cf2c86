//! What a query is near to: texts, papers and vectors, and papers that answers should be unlike → one unit vector.
//!
//! Its own file because every way of asking comes down to this vector, and all that is searched for is it.

use super::library::Library;
use super::{Bag, Like, Mode, Query, TextRead, unit};
use crate::encoder::Embedding;
use crate::error::{Error, Result};
use crate::model::Side;
use crate::paper::{Paper, PaperId};
use crate::text::text_of_query;

/// How much of what answers should be unlike is taken away. What one has asked for and one of its answers have most in
/// common: on conference abstracts 0.5 leaves five of the nine other answers, of anything, and 0.15 all but one.
const AWAY: f32 = 0.3;

/// A query, ready to be answered without the encoder: a unit vector, and who may not be a hit.
pub(super) struct Target {
    pub vector: Vec<f32>,
    pub excluded: Vec<PaperId>,
    pub texts: Vec<TextRead>,
    /// Its words, if they are asked for.
    pub bag: Bag,
}

impl Library {
    /// The unit vector that a query is answered by.
    ///
    /// # Errors
    /// As [`Library::search_encoded`].
    pub fn target_of(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Vec<f32>> {
        query.check()?;
        Ok(self.target(query, embeddings)?.vector)
    }

    pub(super) fn target(&self, query: &Query, embeddings: Vec<Embedding>) -> Result<Target> {
        let Query { like: Like { texts, papers, vectors }, unlike, .. } = query;
        if embeddings.len() != texts.len() {
            return Err(Error::Invalid("text: it was not encoded before the search".into()));
        }
        let read = |Embedding { tokens, truncated, .. }: &Embedding| TextRead {
            tokens: *tokens,
            truncated: *truncated,
        };
        let mut bag = Bag::default();
        if query.mode != Mode::Semantic {
            texts.iter().for_each(|text| bag.text(&text_of_query(text)));
        }
        let texts = embeddings.iter().map(read).collect();
        let (mut examples, papers) = self.vectors_of(papers)?;
        if query.mode != Mode::Semantic {
            papers.iter().for_each(|paper| bag.paper(paper));
        }
        let excluded = papers.into_iter().map(|paper| paper.id).collect();
        examples.extend(embeddings.into_iter().map(|embedding| embedding.vector));
        for vector in vectors {
            examples.push(unit(vector, self.encoder().dimension())?);
        }
        let vector = match &examples[..] {
            // To the bit, as it was given.
            [one] => one.clone(),
            many => mean(many)?,
        };
        let mut target = Target { vector, excluded, texts, bag };
        self.turn_away(&mut target, unlike)?;
        Ok(target)
    }

    /// Turns a target away from papers, by Rocchio's rule (1971): the target less a share of their mean.
    fn turn_away(&self, target: &mut Target, unlike: &[String]) -> Result<()> {
        if unlike.is_empty() {
            return Ok(());
        }
        let (vectors, papers) = self.vectors_of(unlike)?;
        let mean = mean(&vectors)?;
        let turned: Vec<f32> = target.vector.iter().zip(&mean).map(|(to, from)| to - AWAY * from).collect();
        target.vector = unit(&turned, turned.len())?;
        target.excluded.extend(papers.into_iter().map(|paper| paper.id));
        Ok(())
    }

    /// The vectors of papers, and the papers, each once.
    fn vectors_of(&self, ids: &[String]) -> Result<(Vec<Vec<f32>>, Vec<Paper>)> {
        let (mut vectors, mut papers): (Vec<_>, Vec<Paper>) = Default::default();
        for id in ids {
            let (paper, vector) = self.find(id)?;
            // A paper that is named twice, by two of its ids, is one example.
            if papers.iter().all(|known| known.id != paper.id) {
                // One that has none yet gets a new one.
                vectors.push(vector.map_or_else(|| self.encode(&paper), Ok)?);
                papers.push(paper);
            }
        }
        Ok((vectors, papers))
    }

    fn encode(&self, paper: &Paper) -> Result<Vec<f32>> {
        Ok(self.encoder().encode_one(&self.encoder().model().text_of(paper), Side::Paper)?.vector)
    }
}

/// The mean direction of vectors.
fn mean(vectors: &[Vec<f32>]) -> Result<Vec<f32>> {
    let mut sum = vec![0.0; vectors.first().map_or(0, Vec::len)];
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    unit(&sum, sum.len())
}
