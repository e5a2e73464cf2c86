//! Jina's BERT, version 2 (Günther et al., Jina Embeddings 2): BERT with ALiBi instead of position embeddings, and
//! with a gated feed-forward block.

use super::bert::{Config, PositionKind};
use crate::layers::relative_position_bias::RelativePositionBias;

/// Changes the fields in which Jina's BERT differs from BERT (relative positions, gated feed-forward block) in a config
/// that was read as a config of BERT.
pub fn bert_config(config: Config) -> Config {
    Config { position_kind: PositionKind::Relative, is_gated: true, ..config }
}

/// Returns the name that Jina's BERT gives to the tensor that BERT calls `name`.
pub fn tensor_name(name: &str) -> String {
    if name.contains(".attention.") {
        return name.to_string();
    }
    name.replace(".intermediate.dense.", ".mlp.gated_layers.")
        .replace(".output.dense.", ".mlp.wo.")
        .replace(".output.LayerNorm.", ".mlp.layernorm.")
}

/// Returns the biases of ALiBi, for texts of up to `max_tokens` tokens.
pub fn bias(config: &Config, max_tokens: usize) -> RelativePositionBias {
    RelativePositionBias::alibi(config.num_attention_heads, max_tokens)
}
