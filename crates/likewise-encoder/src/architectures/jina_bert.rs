//! Jina's BERT of the second version (Günther et al., Jina Embeddings 2): BERT whose places are told by linear biases
//! and whose feed-forward part is gated.

use super::bert::{Config, Positions};
use crate::layers::distance::DistanceBias;

/// BERT's shape, with what is different.
pub fn shaped(config: Config) -> Config {
    Config { positions: Positions::Distance, is_gated: true, ..config }
}

/// What Jina's BERT calls what BERT calls `name`.
pub fn name(name: &str) -> String {
    if name.contains(".attention.") {
        return name.to_string();
    }
    name.replace(".intermediate.dense.", ".mlp.gated_layers.")
        .replace(".output.dense.", ".mlp.wo.")
        .replace(".output.LayerNorm.", ".mlp.layernorm.")
}

/// The biases, for texts of up to `most` tokens.
pub fn bias(config: &Config, most: usize) -> DistanceBias {
    DistanceBias::alibi(config.num_attention_heads, most)
}
