//! Late interaction: a model computes one vector per token, and a document's score is the sum, over the tokens of the
//! query, of the largest dot product with a token of the document (MaxSim; Khattab and Zaharia 2020, section 3.3).

use crate::error::{Error, Result, UnreadableText};
use crate::model::{InputType, LateInteractionConfig, ModelFolder, PerInputType, QueryExpansion};
use crate::runner::Runner;
use crate::tokenize::{EncodeOptions, Tokenized, Tokenizer, TruncationSide};
use candle_core::{Device, Tensor};
use std::collections::HashSet;

/// Tokenises the texts of a model with late interaction, and scores their token vectors.
///
/// A pair is the tokens of the query, followed by those of the document. [`Tokenized::second_text`] is where the document
/// starts, and [`Tokenized::attended`] is the number of the query's tokens that tokens attend to.
pub struct LateInteraction {
    /// Whether the score is the mean over the tokens of the query, and not the sum.
    pub is_mean: bool,
    /// One tokenizer per input type, because their maximum lengths differ.
    tokenizers: PerInputType<Tokenizer>,
    prompts: PerInputType<String>,
    /// How queries are filled up, and the id of the token that is added.
    expansion: Option<(QueryExpansion, u32)>,
    /// The ids of the tokens whose vectors are left out.
    skipped: HashSet<u32>,
    /// Whether they are left out of queries and of documents.
    skips: PerInputType<bool>,
}

/// The score of a pair.
pub struct MaxSim {
    /// The sum of the largest dot products.
    pub sum: f32,
    /// Number of the query's tokens that were summed over.
    pub query_tokens: usize,
}

impl LateInteraction {
    /// Loads the tokenizers of a model.
    ///
    /// # Errors
    /// Returns the errors of [`Tokenizer::load`], and [`Error::Model`] if the tokenizer lacks the token that queries are
    /// filled up with.
    pub fn load(folder: &ModelFolder, config: &LateInteractionConfig) -> Result<LateInteraction> {
        let load = |input_type: InputType| {
            let mut folder = folder.clone();
            folder.config.max_length = *config.max_lengths.get(input_type);
            Tokenizer::load(&folder)?.with_markers(&folder, &config.markers)
        };
        let tokenizers =
            PerInputType { document: load(InputType::Document)?, query: load(InputType::Query)? };
        let with_id = |expansion: &QueryExpansion| match tokenizers.query.token_id(&expansion.token) {
            Some(id) => Ok((expansion.clone(), id)),
            None => Err(Error::Model(format!(
                "{}: the tokenizer has no token {:?}, with which queries are expanded; fetch the model folder again",
                folder.path.display(),
                expansion.token
            ))),
        };
        let expansion = config.expansion.as_ref().map(with_id).transpose()?;
        let skipped = config.skipped.iter().filter_map(|token| tokenizers.query.token_id(token)).collect();
        let prompts = folder.prompt.clone();
        Ok(LateInteraction {
            skips: config.skips.clone(),
            is_mean: config.is_mean,
            tokenizers,
            prompts,
            expansion,
            skipped,
        })
    }

    /// Tokenises the pairs of a query and each document.
    ///
    /// # Errors
    /// [`Error::Texts`] lists the documents with a token that the model has no vector for; all of them if the query has
    /// such a token.
    pub fn tokenize(&self, query: &str, documents: &[&str]) -> Result<Vec<Tokenized>> {
        let query = match self.tokenize_as(InputType::Query, &[query]) {
            Err(Error::Texts(unreadable)) => {
                return Err(Error::Texts(in_all(&unreadable[0].reason, documents.len())));
            }
            tokenized => tokenized?.swap_remove(0),
        };
        let query = self.expanded(query);
        let pair = |document: Tokenized| Tokenized {
            second_text: query.ids.len(),
            attended: query.attended,
            ids: [&query.ids[..], &document.ids].concat(),
            truncated: query.truncated || document.truncated,
            input_type: InputType::Query,
        };
        Ok(self.tokenize_as(InputType::Document, documents)?.into_iter().map(pair).collect())
    }

    fn tokenize_as(&self, input_type: InputType, texts: &[&str]) -> Result<Vec<Tokenized>> {
        let prompt = self.prompts.get(input_type).clone();
        let options = EncodeOptions { input_type, prompt, truncation_side: TruncationSide::Right };
        self.tokenizers.get(input_type).tokenize(texts, &options)
    }

    /// Fills up a query with tokens.
    fn expanded(&self, mut query: Tokenized) -> Tokenized {
        if let Some((expansion, id)) = &self.expansion {
            query.ids.resize(query.ids.len().max(expansion.length), *id);
            if expansion.is_attended {
                query.attended = query.ids.len();
            }
            query.second_text = query.ids.len();
        }
        query
    }

    /// Scores tokenised pairs, in the order of `pairs`. The vectors of a query that several pairs share are computed once.
    pub fn score(&self, runner: &Runner, pairs: &[Tokenized]) -> Result<Vec<MaxSim>> {
        let documents: Vec<Tokenized> = pairs.iter().map(document_of).collect();
        let mut queries: Vec<Tokenized> = Vec::new();
        let mut query_of = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let known = queries.iter().position(|known| known.ids == pair.ids[..pair.second_text]);
            query_of.push(known.unwrap_or(queries.len()));
            if known.is_none() {
                queries.push(query_of_pair(pair));
            }
        }
        // In separate calls, because flash attention cannot compute queries with tokens that are not attended to.
        let query_vectors = runner.run(&queries)?;
        let document_vectors = runner.run(&documents)?;
        let score = |(index, query): (usize, &usize)| {
            let query = self.kept(&queries[*query], &query_vectors[*query], InputType::Query)?;
            let document = self.kept(&documents[index], &document_vectors[index], InputType::Document)?;
            Ok(MaxSim { sum: max_sim(&query, &document)?, query_tokens: query.dim(0)? })
        };
        query_of.iter().enumerate().map(score).collect()
    }

    /// The vectors of the tokens that are not left out, shape `[tokens, dimension]`.
    fn kept(&self, text: &Tokenized, vectors: &[f32], input_type: InputType) -> Result<Tensor> {
        let dimension = vectors.len() / text.ids.len().max(1);
        let skips = *self.skips.get(input_type);
        let is_kept = |id: &u32| !(skips && self.skipped.contains(id));
        let rows = text.ids.iter().zip(vectors.chunks_exact(dimension.max(1)));
        let kept: Vec<&[f32]> = rows.filter(|(id, _)| is_kept(id)).map(|(_, row)| row).collect();
        Ok(Tensor::from_vec(kept.concat(), (kept.len(), dimension), &Device::Cpu)?)
    }
}

/// The sum, over the rows of `query [tokens, dimension]`, of the largest dot product with a row of `document`. It is 0 if
/// one of the two has no rows.
fn max_sim(query: &Tensor, document: &Tensor) -> candle_core::Result<f32> {
    if query.dim(0)? == 0 || document.dim(0)? == 0 {
        return Ok(0.0);
    }
    query.matmul(&document.t()?)?.max(1)?.sum_all()?.to_scalar()
}

/// The document of a pair.
fn document_of(pair: &Tokenized) -> Tokenized {
    let ids = pair.ids[pair.second_text..].to_vec();
    Tokenized {
        second_text: ids.len(),
        attended: ids.len(),
        ids,
        truncated: pair.truncated,
        input_type: InputType::Document,
    }
}

/// The query of a pair.
fn query_of_pair(pair: &Tokenized) -> Tokenized {
    let ids = pair.ids[..pair.second_text].to_vec();
    Tokenized { second_text: ids.len(), ids, ..pair.clone() }
}

/// An error of the query, as one for each document.
fn in_all(reason: &str, documents: usize) -> Vec<UnreadableText> {
    (0..documents).map(|index| UnreadableText { index, reason: reason.into() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_sim_sums_the_largest_products() {
        let query = Tensor::new(&[[1.0_f32, 0.0], [0.0, 1.0]], &Device::Cpu).unwrap();
        let document = Tensor::new(&[[0.6_f32, 0.8], [1.0, 0.0], [0.0, -1.0]], &Device::Cpu).unwrap();
        assert!((max_sim(&query, &document).unwrap() - 1.8).abs() < 1e-6);
        let none = Tensor::zeros((0, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_eq!(max_sim(&query, &none).unwrap(), 0.0);
    }
}
