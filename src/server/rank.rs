//! Ranks texts by their similarity to a query. The `/rerank` routes of all APIs use this module.
//!
//! The score of a text is the cosine similarity between the text's embedding and the query's embedding.

use super::problem::Problem;
use super::queue::Priority;
use super::service::{Service, text_name};
use likewise_encoder::InputType;
use likewise_index::dot;

impl Service {
    /// Ranks texts by cosine similarity to a query. Returns each text's index and score, best first, and the number of
    /// tokens that were encoded. `field` is the name of the request's field with the texts, for error messages.
    pub async fn rerank(
        &self,
        query: String,
        field: &str,
        texts: Vec<String>,
    ) -> Result<(Vec<(usize, f32)>, usize), Problem> {
        self.check_text("query", &query)?;
        self.check_texts(field, &texts)?;
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
        let tokens = embeddings.iter().map(|embedding| embedding.tokens).sum();
        let Some((query, texts)) = embeddings.split_first() else {
            return Err(Problem::internal("the queue returned no embedding"));
        };
        let score = |text: &likewise_encoder::Embedding| dot(&query.vector, &text.vector).clamp(-1.0, 1.0);
        let mut ranked: Vec<(usize, f32)> = texts.iter().map(score).enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok((ranked, tokens))
    }
}

/// Maps a cosine from -1 to 1 to the range 0 to 1.
pub fn relevance(cosine: f32) -> f32 {
    (1.0 + cosine) / 2.0
}
