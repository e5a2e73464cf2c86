//! The interface that all architectures implement: token ids in, vectors out.

use crate::batch::Batch;
use crate::model::InputType;
use candle_core::Tensor;

/// A transformer without pooling, written with candle's operations. Each architecture implements it.
pub trait Network: Send + Sync {
    /// Computes the token vectors of texts, shape `[tokens, hidden]`. `texts` and `batch` hold the same token ids.
    fn forward(&self, texts: &[&[u32]], batch: &Batch, input_type: InputType) -> candle_core::Result<Tensor>;

    /// Returns an error if the network has no vector for one of the token ids.
    fn check(&self, ids: &[u32]) -> candle_core::Result<()>;
}

/// A transformer with its pooling, on one device.
pub trait Architecture: Send + Sync {
    /// Computes one vector per text from its token ids, shape `[texts, hidden]`.
    fn forward_pooled(&self, texts: &[&[u32]], input_type: InputType) -> candle_core::Result<Tensor>;
}

/// The implementation that computes the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The crate's own kernels.
    #[default]
    Kernels,
    /// candle's operations in f32: slower; the reference that the kernels are tested against.
    Candle,
}
