//! DistilBERT (Sanh et al.): BERT of half the layers, without token types, by other names.

use super::bert::Config;
use crate::kernels::Activation;
use serde::Deserialize;

/// The part of config.json that shapes the network.
#[derive(Deserialize)]
pub struct Distilled {
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    activation: Activation,
}

impl Distilled {
    /// The same, as BERT says it.
    pub fn bert(&self) -> Config {
        Config {
            hidden_size: self.dim,
            num_hidden_layers: self.n_layers,
            num_attention_heads: self.n_heads,
            intermediate_size: self.hidden_dim,
            vocab_size: self.vocab_size,
            max_position_embeddings: self.max_position_embeddings,
            type_vocab_size: 0,
            layer_norm_eps: 1e-12,
            hidden_act: self.activation,
            positions: Default::default(),
            is_gated: false,
        }
    }
}

/// What DistilBERT calls what BERT calls `name`.
pub fn name(name: &str) -> String {
    const NAMES: [(&str, &str); 8] = [
        ("encoder.layer.", "transformer.layer."),
        ("attention.self.query.", "attention.q_lin."),
        ("attention.self.key.", "attention.k_lin."),
        ("attention.self.value.", "attention.v_lin."),
        ("attention.output.dense.", "attention.out_lin."),
        ("attention.output.LayerNorm.", "sa_layer_norm."),
        ("intermediate.dense.", "ffn.lin1."),
        ("output.dense.", "ffn.lin2."),
    ];
    let renamed = NAMES.iter().fold(name.to_string(), |name, (theirs, ours)| name.replace(theirs, ours));
    // What is left of that name is the norm at a layer's end; the one of the embeddings has no other.
    renamed.replace(".output.LayerNorm.", ".output_layer_norm.")
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn every_part_of_a_layer_has_its_name() {
        let renamed = |part: &str| name(&format!("encoder.layer.1.{part}.weight"));
        assert_eq!(renamed("attention.self.key"), "transformer.layer.1.attention.k_lin.weight");
        assert_eq!(renamed("attention.output.dense"), "transformer.layer.1.attention.out_lin.weight");
        assert_eq!(renamed("attention.output.LayerNorm"), "transformer.layer.1.sa_layer_norm.weight");
        assert_eq!(renamed("output.dense"), "transformer.layer.1.ffn.lin2.weight");
        assert_eq!(renamed("output.LayerNorm"), "transformer.layer.1.output_layer_norm.weight");
        assert_eq!(name("embeddings.LayerNorm.bias"), "embeddings.LayerNorm.bias");
    }
}
