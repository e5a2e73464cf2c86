//! Ranks texts by their relevance to a query. The `/rerank` routes of all APIs use this module.
//!
//! If the server has a cross-encoder, it scores the query with each text. Otherwise the score of a text is the cosine
//! similarity between the text's embedding and the query's embedding.

use super::problem::Problem;
use super::queue::Priority;
use super::service::{Service, text_name};
use likewise_encoder::{InputType, PairScore, Reranker};
use likewise_index::dot;
use std::sync::Arc;

/// The score of a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TextScore {
    /// By the cross-encoder.
    Pair(PairScore),
    /// The cosine of two embeddings, -1 to 1.
    Cosine(f32),
}

impl TextScore {
    /// The score as the model computes it: a logit or a cosine.
    pub fn raw(self) -> f32 {
        match self {
            TextScore::Pair(score) => score.logit,
            TextScore::Cosine(cosine) => cosine,
        }
    }

    /// The score, mapped to the range 0 to 1: the sigmoid function of a logit, or `(1 + cosine) / 2`.
    pub fn relevance(self) -> f32 {
        match self {
            TextScore::Pair(score) => score.relevance,
            TextScore::Cosine(cosine) => (1.0 + cosine) / 2.0,
        }
    }
}

/// The texts of a request by their scores, and what they cost.
pub struct RankedTexts {
    /// Each text's index in the request and its score, best first.
    pub scores: Vec<(usize, TextScore)>,
    /// Number of tokens that the model read.
    pub tokens: usize,
}

impl Service {
    /// Ranks texts by their relevance to a query. `field` is the name of the request's field with the texts, for error
    /// messages.
    pub async fn rerank(
        &self,
        query: String,
        field: &str,
        texts: Vec<String>,
    ) -> Result<RankedTexts, Problem> {
        self.check_text("query", &query)?;
        self.check_texts(field, &texts)?;
        let mut ranked = match self.library.reranker() {
            Some(reranker) => self.rank_pairs(reranker, query, field, texts).await?,
            None => self.rank_by_cosine(query, field, texts).await?,
        };
        ranked.scores.sort_by(|a, b| b.1.raw().total_cmp(&a.1.raw()).then(a.0.cmp(&b.0)));
        Ok(ranked)
    }

    async fn rank_pairs(
        &self,
        reranker: &Arc<Reranker>,
        query: String,
        field: &str,
        texts: Vec<String>,
    ) -> Result<RankedTexts, Problem> {
        let count = texts.len();
        self.queue.check_pairs_capacity(reranker, &query, &texts)?;
        let pairs = self.queue.tokenize_pairs(reranker, query, texts).await;
        let pairs =
            pairs.map_err(|problem| problem.with_text_name(|index| text_name(field, index, count)))?;
        let scores = self.queue.score(pairs).await?;
        Ok(RankedTexts {
            tokens: scores.iter().map(|score| score.tokens).sum(),
            scores: scores.into_iter().map(TextScore::Pair).enumerate().collect(),
        })
    }

    async fn rank_by_cosine(
        &self,
        query: String,
        field: &str,
        texts: Vec<String>,
    ) -> Result<RankedTexts, Problem> {
        let count = texts.len();
        let encoder = self.library.encoder();
        let priority = Priority::of(1 + texts.len());
        self.queue.check_capacity(texts.iter().chain([&query]), priority)?;
        let query = self.queue.tokenize(vec![query], encoder.encode_options(InputType::Query)).await;
        let texts = self.queue.tokenize(texts, encoder.encode_options(InputType::Document)).await;
        let mut tokenized = query.map_err(|problem| problem.with_text_name(|_| "query".into()))?;
        tokenized
            .extend(texts.map_err(|problem| problem.with_text_name(|index| text_name(field, index, count)))?);
        let embeddings = self.queue.embed(tokenized, priority).await?;
        let Some((query, texts)) = embeddings.split_first() else {
            return Err(Problem::internal("the queue returned no embedding"));
        };
        let cosine = |text: &likewise_encoder::Embedding| dot(&query.vector, &text.vector).clamp(-1.0, 1.0);
        Ok(RankedTexts {
            tokens: embeddings.iter().map(|embedding| embedding.tokens).sum(),
            scores: texts.iter().map(|text| TextScore::Cosine(cosine(text))).enumerate().collect(),
        })
    }
}
