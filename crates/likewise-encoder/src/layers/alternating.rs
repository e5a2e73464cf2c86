//! Layers of two kinds: in some a token sees its whole text, in the others what is near; each kind with angles of its
//! own (`gemma3`, `modernbert`).
//!
//! Its own file because both say it in config.json by the same two conventions, an older and a newer one.

use crate::batch::Batch;
use crate::layers::attention::Attention;
use crate::layers::rope::{Parameters, Rope, Turn};
use candle_core::{DType, Device};
use serde::Deserialize;

/// What a newer config.json says of them.
#[derive(Deserialize)]
pub struct Kinds {
    layer_types: Option<Vec<String>>,
    rope_parameters: Option<KindsParameters>,
}

#[derive(Deserialize)]
struct KindsParameters {
    full_attention: Parameters,
    sliding_attention: Parameters,
}

impl Kinds {
    /// Refuses kinds that are not known, and lists that are not of all layers.
    pub fn check(&self, layers: usize) -> Result<(), String> {
        let Some(types) = &self.layer_types else { return Ok(()) };
        if types.len() != layers {
            return Err(format!("layer_types: got {}, wanted one for each of {layers} layers", types.len()));
        }
        let is_known = |kind: &&String| ["full_attention", "sliding_attention"].contains(&kind.as_str());
        match types.iter().find(|kind| !is_known(kind)) {
            Some(kind) => Err(format!("layer_types: {kind:?} is not supported")),
            None => Ok(()),
        }
    }

    /// Whether a layer sees all; `older` is what an older config.json says.
    pub fn is_global(&self, layer: usize, older: bool) -> bool {
        match &self.layer_types {
            Some(types) => types.get(layer).is_some_and(|kind| kind == "full_attention"),
            None => older,
        }
    }

    /// Angles' bases, of layers that see all, and of those that do not; `older` as above.
    pub fn thetas(&self, older: (f64, f64)) -> (f64, f64) {
        let of = |rope: &KindsParameters| (rope.full_attention.rope_theta, rope.sliding_attention.rope_theta);
        self.rope_parameters.as_ref().map_or(older, of)
    }
}

/// Attention of both kinds.
pub struct Alternating {
    global: (Attention, Rope),
    local: (Attention, Rope),
}

impl Alternating {
    /// For texts of up to `most` tokens; bases as [`Kinds::thetas`] has them.
    pub fn new(
        [global, local]: [Attention; 2],
        thetas: (f64, f64),
        most: usize,
        (dtype, device): (DType, &Device),
    ) -> candle_core::Result<Alternating> {
        let rope = |shape: &Attention, theta| Rope::new(most, shape.size, theta, dtype, device);
        let ropes = (rope(&global, thetas.0)?, rope(&local, thetas.1)?);
        Ok(Alternating { global: (global, ropes.0), local: (local, ropes.1) })
    }

    /// What a layer of each kind needs for a batch.
    pub fn turned(&self, batch: &Batch) -> candle_core::Result<Turned<'_>> {
        Ok(Turned { of: self, global: self.global.1.turn(batch)?, local: self.local.1.turn(batch)? })
    }
}

/// [`Alternating`], for one batch.
pub struct Turned<'a> {
    of: &'a Alternating,
    global: Turn,
    local: Turn,
}

impl Turned<'_> {
    /// That of one kind.
    pub fn kind(&self, is_global: bool) -> (&Attention, &Turn) {
        if is_global { (&self.of.global.0, &self.global) } else { (&self.of.local.0, &self.local) }
    }
}
