//! Networks that compute one text at a time: those of candle-transformers.

use crate::batch::{Batch, Sequence};
use crate::layers::check_token_ids;
use crate::model::InputType;
use crate::network::Network;
use candle_core::{Result, Tensor};

/// A network whose implementation takes a single text.
pub trait OneByOne: Send + Sync {
    /// Computes the token vectors of a text, shape `[tokens, hidden]`.
    fn forward_one(&self, text: &Sequence) -> Result<Tensor>;

    /// Number of tokens that the network has vectors for.
    fn vocabulary(&self) -> usize;
}

impl<N: OneByOne> Network for N {
    fn forward(&self, texts: &[Sequence], _: &Batch, _: InputType) -> Result<Tensor> {
        let hidden = texts.iter().map(|text| self.forward_one(text)).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&hidden, 0)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        check_token_ids(ids, self.vocabulary())
    }
}
