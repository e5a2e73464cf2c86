//! The traits that architectures implement. They turn token ids into vectors.

use crate::batch::{Batch, Sequence};
use crate::model::InputType;
use candle_core::Tensor;

/// A transformer without pooling, which works on candle's tensors. Every architecture has an implementation of this
/// trait. BERT and some of its variants also have a faster one that implements only [`Architecture`].
pub trait Network: Send + Sync {
    /// Computes the token vectors of texts, shape `[tokens, hidden]`. `texts` and `batch` contain the same token ids in
    /// two forms.
    fn forward(
        &self,
        texts: &[Sequence],
        batch: &Batch,
        input_type: InputType,
    ) -> candle_core::Result<Tensor>;

    /// Returns an error if the network has no vector for one of the token ids.
    fn check(&self, ids: &[u32]) -> candle_core::Result<()>;
}

/// A transformer that includes the pooling of its output, on one device.
pub trait Architecture: Send + Sync {
    /// Computes one vector per text from the token ids of the text. The result has the shape `[texts, hidden]`.
    fn forward_pooled(&self, texts: &[Sequence], input_type: InputType) -> candle_core::Result<Tensor>;

    /// Computes the vectors of all tokens of the texts, one text after the other. The result has the shape
    /// `[tokens, hidden]`.
    fn forward_tokens(&self, texts: &[Sequence], input_type: InputType) -> candle_core::Result<Tensor>;
}

/// The code that computes the layers of a network on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The crate's own kernels, in the precision of the model folder. For models that are not BERT,
    /// DistilBERT, RoBERTa, ELECTRA or ALBERT without adapters, the kernels compute only linear layers, activation
    /// functions and the softmax, and candle's operations compute the rest.
    #[default]
    Kernels,
    /// candle's operations in f32, whatever the precision of the model folder. Only the softmax of attention is
    /// computed by a kernel. This is slower than [`Engine::Kernels`], and tests compare the kernels with it.
    Candle,
}
