//! Rotary position embedding (Su et al., RoFormer, section 3.2): queries and keys are turned by their places.
//!
//! Its own file because four architectures have it, each with angles of its own.

use crate::batch::Batch;
use crate::layers::attention::{Attention, split, split_heads};
use crate::layers::{Linear, Norm};
use candle_core::{DType, Device, Result, Tensor};
use serde::Deserialize;

/// What a newer config.json says of the angles.
#[derive(Deserialize)]
pub struct Parameters {
    pub rope_theta: f64,
}

/// Cosines and sines for every place: `[places, size / 2]`.
pub struct Rope {
    cos: Tensor,
    sin: Tensor,
}

/// Those of a batch's tokens: `[tokens, size / 2]`.
pub struct Turn {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// For texts of up to `places` tokens and heads of `size` values: angles `place * theta^(-2i / size)`.
    pub fn new(places: usize, size: usize, theta: f64, dtype: DType, device: &Device) -> Result<Rope> {
        let half = size / 2;
        let angle = |place: usize, i: usize| {
            // As the reference library has it: frequencies in f32, then angles.
            let frequency = 1.0 / (theta as f32).powf((2 * i) as f32 / size as f32);
            place as f32 * frequency
        };
        let angles: Vec<f32> =
            (0..places).flat_map(|place| (0..half).map(move |i| angle(place, i))).collect();
        let angles = Tensor::from_vec(angles, (places, half), device)?;
        Ok(Rope { cos: angles.cos()?.to_dtype(dtype)?, sin: angles.sin()?.to_dtype(dtype)? })
    }

    /// The angles of a batch's tokens.
    pub fn turn(&self, batch: &Batch) -> Result<Turn> {
        Ok(Turn {
            cos: self.cos.index_select(&batch.places, 0)?,
            sin: self.sin.index_select(&batch.places, 0)?,
        })
    }
}

impl Turn {
    /// Turns `[tokens, heads, size]`; the value i goes with the value i + size / 2.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::rotary_emb::rope_thd(&x.unsqueeze(0)?.contiguous()?, &self.cos, &self.sin)?.squeeze(0)
    }
}

/// A layer's attention, with its linear layers, whose queries and keys are turned.
pub struct RotaryAttention {
    /// To all queries, keys and values in one row.
    pub qkv: Linear,
    /// Of every head's queries and of its keys, if there are any.
    pub norms: Option<(Norm, Norm)>,
    /// Of what attention gives.
    pub output: Linear,
}

impl RotaryAttention {
    /// Rows `[tokens, hidden]` to rows of the same width.
    pub fn forward(&self, x: &Tensor, shape: &Attention, turn: &Turn, batch: &Batch) -> Result<Tensor> {
        let Attention { heads, kv_heads, size, .. } = *shape;
        let parts = split(&self.qkv.forward(x)?, &[heads * size, kv_heads * size, kv_heads * size])?;
        let turned = |part: &Tensor, heads: usize, norm: Option<&Norm>| {
            let part = split_heads(part, heads)?;
            turn.apply(&norm.map_or(Ok(part.clone()), |norm| norm.forward(&part))?)
        };
        let (of_queries, of_keys) = self.norms.as_ref().map(|(query, key)| (query, key)).unzip();
        let query = turned(&parts[0], heads, of_queries)?;
        let key = turned(&parts[1], kv_heads, of_keys)?;
        self.output.forward(&shape.forward(
            [&query, &key, &split_heads(&parts[2], kv_heads)?],
            None,
            batch,
        )?)
    }
}
