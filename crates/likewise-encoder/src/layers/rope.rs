//! Rotary position embedding (Su et al., RoFormer, section 3.2): queries and keys are rotated by angles that grow with
//! their positions. ModernBERT, Nomic's BERT, GTE, Gemma 3 and the decoders use it. The base of the angles is in config.json.

use crate::batch::Batch;
use crate::layers::attention::{Attention, AttentionShape, split, split_heads};
use crate::layers::{Linear, Norm};
use candle_core::{DType, Device, Result, Tensor};
use serde::Deserialize;

/// The field `rope_parameters` of a newer config.json, or the entry of this field for one type of layer.
#[derive(Deserialize)]
pub struct RopeParameters {
    pub rope_theta: f64,
}

/// The cosines and sines of the angles at every position: `[positions, head_size / 2]`.
pub struct RopeTable {
    cos: Tensor,
    sin: Tensor,
}

/// The cosines and sines for the tokens of one batch: `[tokens, head_size / 2]`.
pub struct RotaryEmbedding {
    cos: Tensor,
    sin: Tensor,
}

impl RopeTable {
    /// Computes the angles `position * theta^(-2i / head_size)`, i from 0 to `head_size / 2 - 1`, for texts of up to
    /// `max_tokens` tokens.
    pub fn new(
        max_tokens: usize,
        head_size: usize,
        theta: f64,
        dtype: DType,
        device: &Device,
    ) -> Result<RopeTable> {
        RopeTable::with_divisor(max_tokens, head_size, theta, 1.0, (dtype, device))
    }

    /// Like [`RopeTable::new`], but divides all frequencies by `divisor`.
    pub fn with_divisor(
        max_tokens: usize,
        head_size: usize,
        theta: f64,
        divisor: f64,
        (dtype, device): (DType, &Device),
    ) -> Result<RopeTable> {
        let half = head_size / 2;
        let angle = |position: usize, i: usize| {
            // The frequencies are rounded to f32 before they are multiplied by the position, as in the reference
            // library.
            let frequency = 1.0 / (theta as f32).powf((2 * i) as f32 / head_size as f32) / divisor as f32;
            position as f32 * frequency
        };
        let angles: Vec<f32> =
            (0..max_tokens).flat_map(|position| (0..half).map(move |i| angle(position, i))).collect();
        let angles = Tensor::from_vec(angles, (max_tokens, half), device)?;
        Ok(RopeTable { cos: angles.cos()?.to_dtype(dtype)?, sin: angles.sin()?.to_dtype(dtype)? })
    }

    /// Looks up the angles of a batch's tokens.
    pub fn for_batch(&self, batch: &Batch) -> Result<RotaryEmbedding> {
        Ok(RotaryEmbedding {
            cos: self.cos.index_select(&batch.position_ids, 0)?,
            sin: self.sin.index_select(&batch.position_ids, 0)?,
        })
    }
}

impl RotaryEmbedding {
    /// Rotates the vectors `x [tokens, heads, head_size]`. In each vector, value i and value i + head_size / 2 are
    /// rotated as a pair.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope_thd(&x.unsqueeze(0)?.contiguous()?, &self.cos, &self.sin)?.squeeze(0)
    }
}

/// The attention of a layer with rotary position embedding, including the linear layers before and after attention.
pub struct RotaryAttention {
    /// The linear layer from a row to the row's queries, keys and values, concatenated.
    pub qkv: Linear,
    /// The norms of the queries and of the keys of each head, applied before the rotation. `None`: queries and keys are
    /// not normalised.
    pub norms: Option<(Norm, Norm)>,
    /// The linear layer that follows attention.
    pub output: Linear,
}

impl RotaryAttention {
    /// Maps rows `[tokens, hidden]` to rows of the same width.
    pub fn forward(
        &self,
        x: &Tensor,
        attention: &Attention,
        rotary: &RotaryEmbedding,
        batch: &Batch,
    ) -> Result<Tensor> {
        let AttentionShape { heads, kv_heads, .. } = attention.shape;
        let parts = split(&self.qkv.forward(x)?, &attention.shape.widths())?;
        let rotate = |part: &Tensor, heads: usize, norm: Option<&Norm>| {
            let part = split_heads(part, heads)?;
            rotary.apply(&norm.map_or(Ok(part.clone()), |norm| norm.forward(&part))?)
        };
        let (query_norm, key_norm) = self.norms.as_ref().map(|(query, key)| (query, key)).unzip();
        let query = rotate(&parts[0], heads, query_norm)?;
        let key = rotate(&parts[1], kv_heads, key_norm)?;
        self.output.forward(&attention.forward(
            [&query, &key, &split_heads(&parts[2], kv_heads)?],
            None,
            batch,
        )?)
    }
}
