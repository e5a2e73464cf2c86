//! The attention of networks whose layers alternate between global and local attention (`gemma3`, `modernbert`). Global
//! and local layers have different bases of the rotary angles.
//!
//! An older config.json describes the layers with fields that differ between the two architectures, so callers read
//! these fields and pass their values in as defaults. A newer config.json has the same fields for both architectures
//! (`layer_types`, `rope_parameters`), which are read here.

use crate::batch::Batch;
use crate::layers::attention::Attention;
use crate::layers::rope::{RopeParameters, RopeTable, RotaryEmbedding};
use candle_core::{DType, Device};
use serde::Deserialize;

/// Which tokens the attention of a layer covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionScope {
    /// All tokens of the text.
    Global,
    /// The tokens within a sliding window.
    Local,
}

/// The bases of the rotary angles in global layers and in local layers.
#[derive(Debug, Clone, Copy)]
pub struct RopeThetas {
    pub global: f64,
    pub local: f64,
}

/// The fields of a newer config.json that describe the layers.
#[derive(Deserialize)]
pub struct LayerTypes {
    layer_types: Option<Vec<String>>,
    rope_parameters: Option<RopeByLayerType>,
}

#[derive(Deserialize)]
struct RopeByLayerType {
    full_attention: RopeParameters,
    sliding_attention: RopeParameters,
}

impl LayerTypes {
    /// Checks that `layer_types`, if present, has one known type for each of `layers` layers.
    ///
    /// # Errors
    /// Returns a message that names the field if `layer_types` has a different number of types, or a type that is not
    /// supported.
    pub fn check(&self, layers: usize) -> Result<(), String> {
        let Some(types) = &self.layer_types else { return Ok(()) };
        if types.len() != layers {
            return Err(format!(
                "layer_types must have {layers} entries, one for each layer (got {})",
                types.len()
            ));
        }
        let is_known = |kind: &&String| ["full_attention", "sliding_attention"].contains(&kind.as_str());
        match types.iter().find(|kind| !is_known(kind)) {
            Some(kind) => Err(format!(
                "layer_types: {kind:?} is not supported, only full_attention and sliding_attention"
            )),
            None => Ok(()),
        }
    }

    /// Returns the scope of a layer's attention, or `default` if config.json has no `layer_types`.
    pub fn scope(&self, layer: usize, default: AttentionScope) -> AttentionScope {
        match &self.layer_types {
            Some(types) if types.get(layer).is_some_and(|kind| kind == "full_attention") => {
                AttentionScope::Global
            }
            Some(_) => AttentionScope::Local,
            None => default,
        }
    }

    /// Returns the bases of the rotary angles, or `default` if config.json has no `rope_parameters`.
    pub fn thetas(&self, default: RopeThetas) -> RopeThetas {
        self.rope_parameters.as_ref().map_or(default, |rope| RopeThetas {
            global: rope.full_attention.rope_theta,
            local: rope.sliding_attention.rope_theta,
        })
    }
}

/// Global attention and local attention, each with a table of rotary angles.
pub struct AlternatingAttention {
    global: (Attention, RopeTable),
    local: (Attention, RopeTable),
}

impl AlternatingAttention {
    /// Computes the tables of rotary angles for texts of up to `max_tokens` tokens.
    pub fn new(
        [global, local]: [Attention; 2],
        thetas: RopeThetas,
        max_tokens: usize,
        (dtype, device): (DType, &Device),
    ) -> candle_core::Result<AlternatingAttention> {
        let table = |attention: &Attention, theta| {
            RopeTable::new(max_tokens, attention.shape.head_size, theta, dtype, device)
        };
        let (global_table, local_table) = (table(&global, thetas.global)?, table(&local, thetas.local)?);
        Ok(AlternatingAttention { global: (global, global_table), local: (local, local_table) })
    }

    /// Looks up the rotary angles of a batch's tokens, once for all layers.
    pub fn for_batch(&self, batch: &Batch) -> candle_core::Result<BatchAttention<'_>> {
        Ok(BatchAttention {
            attention: self,
            global: self.global.1.for_batch(batch)?,
            local: self.local.1.for_batch(batch)?,
        })
    }
}

/// An [`AlternatingAttention`] with the rotary angles of one batch.
pub struct BatchAttention<'a> {
    attention: &'a AlternatingAttention,
    global: RotaryEmbedding,
    local: RotaryEmbedding,
}

impl BatchAttention<'_> {
    /// Returns the attention and the rotary angles of the layers with this scope.
    pub fn get(&self, scope: AttentionScope) -> (&Attention, &RotaryEmbedding) {
        match scope {
            AttentionScope::Global => (&self.attention.global.0, &self.global),
            AttentionScope::Local => (&self.attention.local.0, &self.local),
        }
    }
}
