//! The models behind the queue: the encoder, the cross-encoder that reranks, and the sparse encoder. The queue runs one
//! batch at a time, so the models do not compete for the cores.

use likewise_encoder::{Embedding, Encoder, PairScore, Reranker, SparseEncoder, SparseVector, Tokenized};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Which model a request in the queue is for. All texts of a batch are for the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuedModel {
    /// The encoder: texts become embeddings.
    Encoder,
    /// The cross-encoder: pairs of texts become scores.
    Reranker,
    /// The sparse encoder: texts become sparse vectors.
    Sparse,
}

/// The output of a model for one text or pair.
#[derive(Debug, Clone)]
pub enum Output {
    /// The embedding of a text.
    Embedding(Embedding),
    /// The score of a pair.
    Score(PairScore),
    /// The sparse vector of a text.
    Sparse(SparseVector),
}

impl Output {
    /// The embedding, if it is one.
    pub fn into_embedding(self) -> Option<Embedding> {
        match self {
            Output::Embedding(embedding) => Some(embedding),
            Output::Score(_) | Output::Sparse(_) => None,
        }
    }

    /// The score, if it is one.
    pub fn into_score(self) -> Option<PairScore> {
        match self {
            Output::Score(score) => Some(score),
            Output::Embedding(_) | Output::Sparse(_) => None,
        }
    }

    /// The sparse vector, if it is one.
    pub fn into_sparse(self) -> Option<SparseVector> {
        match self {
            Output::Sparse(vector) => Some(vector),
            Output::Embedding(_) | Output::Score(_) => None,
        }
    }
}

/// The models that the queue runs.
#[derive(Clone)]
pub struct QueueModels {
    /// The encoder.
    pub encoder: Arc<Encoder>,
    /// The cross-encoder; `None` if the server has none.
    pub reranker: Option<Arc<Reranker>>,
    /// The sparse encoder; `None` if the server has none.
    pub sparse: Option<Arc<SparseEncoder>>,
}

impl QueueModels {
    /// Runs a model on a batch. Returns an output for each text, in order, or the message of an error. A panic of the
    /// model is an error.
    pub fn run(&self, model: QueuedModel, texts: Vec<Tokenized>) -> Result<Vec<Output>, String> {
        let missing = |kind: &str| likewise_encoder::Error::Invalid(format!("the server has no {kind}"));
        let run = || -> likewise_encoder::Result<Vec<Output>> {
            Ok(match model {
                QueuedModel::Encoder => {
                    self.encoder.embed(texts)?.into_iter().map(Output::Embedding).collect()
                }
                QueuedModel::Reranker => {
                    let reranker = self.reranker.as_ref().ok_or_else(|| missing("cross-encoder"))?;
                    reranker.score_tokenized(&texts)?.into_iter().map(Output::Score).collect()
                }
                QueuedModel::Sparse => {
                    let sparse = self.sparse.as_ref().ok_or_else(|| missing("sparse encoder"))?;
                    sparse.embed(&texts)?.into_iter().map(Output::Sparse).collect()
                }
            })
        };
        catch_unwind(AssertUnwindSafe(|| run().map_err(|error| error.to_string())))
            .unwrap_or_else(|_| Err("the encoder panicked".into()))
    }
}
