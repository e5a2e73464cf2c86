//! What an architecture is to the rest: token ids in, vectors out.
//!
//! Its own file because every architecture is written to it, and the list of them stands on all.

use crate::batch::Batch;
use crate::model::Side;
use candle_core::Tensor;

/// A transformer, in candle's operations: one implementation an architecture.
pub trait Network: Send + Sync {
    /// A few texts, as they are and one after the other, to their token vectors, `[tokens, hidden]`.
    fn forward(&self, texts: &[&[u32]], batch: &Batch, side: Side) -> candle_core::Result<Tensor>;

    /// Refuses tokens that the network has no vectors for.
    fn check(&self, ids: &[u32]) -> candle_core::Result<()>;
}

/// A transformer with its pooling, on one device.
pub trait Architecture: Send + Sync {
    /// Token ids of a few texts to one vector each, `[texts, hidden]`.
    fn pooled(&self, texts: &[&[u32]], side: Side) -> candle_core::Result<Tensor>;
}

/// Which implementation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The crate's own kernels.
    #[default]
    Kernels,
    /// candle's own operations, in f32: slower, and what the kernels are judged by.
    Candle,
}
