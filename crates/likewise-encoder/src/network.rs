//! The traits that all architectures implement. They turn token ids into vectors.

use crate::batch::Batch;
use crate::model::InputType;
use candle_core::Tensor;

/// A transformer without pooling, written with candle's operations. Each architecture implements this trait.
pub trait Network: Send + Sync {
    /// Computes the token vectors of texts, shape `[tokens, hidden]`. `texts` and `batch` contain the same token ids in
    /// two forms.
    fn forward(&self, texts: &[&[u32]], batch: &Batch, input_type: InputType) -> candle_core::Result<Tensor>;

    /// Returns an error if the network has no vector for one of the token ids.
    fn check(&self, ids: &[u32]) -> candle_core::Result<()>;
}

/// A transformer that includes the pooling of its output, on one device.
pub trait Architecture: Send + Sync {
    /// Computes one vector per text from the token ids of the text. The result has the shape `[texts, hidden]`.
    fn forward_pooled(&self, texts: &[&[u32]], input_type: InputType) -> candle_core::Result<Tensor>;
}

/// The code that computes the layers of a network on a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The crate's own kernels.
    #[default]
    Kernels,
    /// candle's operations in f32. They are slower than the kernels, and are the reference that the kernels are tested
    /// against.
    Candle,
}
