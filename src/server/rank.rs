//! Texts, the nearest to a query first: what every `/rerank` answers, in whichever words.
//!
//! A text's relevance to a query is the cosine of their vectors.

use super::problem::Problem;
use super::queue::Priority;
use super::service::{Service, name_of};
use likewise_encoder::Side;
use likewise_index::dot;

impl Service {
    /// How near each text is to a query, nearest first, by its place; and the tokens that were read.
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
        self.queue.check_room(texts.iter().chain([&query]), priority)?;
        let query = self.queue.tokenize(vec![query], encoder.reading(Side::Query)).await;
        let texts = self.queue.tokenize(texts, encoder.reading(Side::Paper)).await;
        let mut tokenized = query.map_err(|problem| problem.of_text(|_| "query".into()))?;
        tokenized.extend(texts.map_err(|problem| problem.of_text(|index| name_of(field, index, count)))?);
        let embeddings = self.queue.embed(tokenized, priority).await?;
        let tokens = embeddings.iter().map(|embedding| embedding.tokens).sum();
        let Some((query, texts)) = embeddings.split_first() else {
            return Err(Problem::internal("the queue gave no embedding"));
        };
        let score = |text: &likewise_encoder::Embedding| dot(&query.vector, &text.vector).clamp(-1.0, 1.0);
        let mut ranked: Vec<(usize, f32)> = texts.iter().map(score).enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        Ok((ranked, tokens))
    }
}

/// A cosine, moved into 0 to 1.
pub fn relevance(cosine: f32) -> f32 {
    (1.0 + cosine) / 2.0
}
