//! The models behind the queue: the encoder, and the cross-encoder that reranks. The queue runs one batch at a time, so
//! the two models do not compete for the cores.

use likewise_encoder::{CrossEncoder, Embedding, Encoder, PairScore, Tokenized};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Which model a request in the queue is for. All texts of a batch are for the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuedModel {
    /// The encoder: texts become embeddings.
    Encoder,
    /// The cross-encoder: pairs of texts become scores.
    Reranker,
}

/// The output of a model for one text or pair.
#[derive(Debug, Clone)]
pub enum Output {
    /// The embedding of a text.
    Embedding(Embedding),
    /// The score of a pair.
    Score(PairScore),
}

impl Output {
    /// The embedding, if it is one.
    pub fn into_embedding(self) -> Option<Embedding> {
        match self {
            Output::Embedding(embedding) => Some(embedding),
            Output::Score(_) => None,
        }
    }

    /// The score, if it is one.
    pub fn into_score(self) -> Option<PairScore> {
        match self {
            Output::Score(score) => Some(score),
            Output::Embedding(_) => None,
        }
    }
}

/// The models that the queue runs.
#[derive(Clone)]
pub struct QueueModels {
    /// The encoder.
    pub encoder: Arc<Encoder>,
    /// The cross-encoder; `None` if the server has none.
    pub reranker: Option<Arc<CrossEncoder>>,
}

impl QueueModels {
    /// Runs a model on a batch. Returns an output for each text, in order, or the message of an error. A panic of the
    /// model is an error.
    pub fn run(&self, model: QueuedModel, texts: Vec<Tokenized>) -> Result<Vec<Output>, String> {
        let run = || match (model, &self.reranker) {
            (QueuedModel::Encoder, _) => {
                let embeddings = self.encoder.embed(texts)?;
                Ok(embeddings.into_iter().map(Output::Embedding).collect())
            }
            (QueuedModel::Reranker, Some(reranker)) => {
                Ok(reranker.score_tokenized(&texts)?.into_iter().map(Output::Score).collect())
            }
            (QueuedModel::Reranker, None) => {
                Err(likewise_encoder::Error::Invalid("the server has no cross-encoder".into()))
            }
        };
        catch_unwind(AssertUnwindSafe(|| run().map_err(|error| error.to_string())))
            .unwrap_or_else(|_| Err("the encoder panicked".into()))
    }
}
