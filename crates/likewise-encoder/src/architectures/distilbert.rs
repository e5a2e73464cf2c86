//! DistilBERT (Sanh et al.): BERT with half the layers and without token types. The config fields and tensors of
//! DistilBERT have other names than those of BERT.

use super::bert::Config;
use crate::kernels::Activation;
use serde::Deserialize;

/// The fields of config.json that describe the network.
#[derive(Deserialize)]
pub struct DistilBertConfig {
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default)]
    activation: Activation,
}

impl DistilBertConfig {
    /// Returns the equivalent config of BERT.
    pub fn to_bert(&self) -> Config {
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
            embedding_size: None,
            embedding_projection: "",
            position_kind: Default::default(),
            is_gated: false,
        }
    }
}

/// Returns the name that DistilBERT gives to the tensor that BERT calls `name`.
pub fn tensor_name(name: &str) -> String {
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
    let renamed =
        NAMES.iter().fold(name.to_string(), |name, (bert, distilbert)| name.replace(bert, distilbert));
    // The remaining `.output.LayerNorm.` belongs to the norm at the end of a layer. The norm of the embeddings keeps
    // its name.
    renamed.replace(".output.LayerNorm.", ".output_layer_norm.")
}

#[cfg(test)]
mod tests {
    use super::tensor_name;

    #[test]
    fn tensor_names_of_bert_become_those_of_distilbert() {
        let renamed = |part: &str| tensor_name(&format!("encoder.layer.1.{part}.weight"));
        assert_eq!(renamed("attention.self.key"), "transformer.layer.1.attention.k_lin.weight");
        assert_eq!(renamed("attention.output.dense"), "transformer.layer.1.attention.out_lin.weight");
        assert_eq!(renamed("attention.output.LayerNorm"), "transformer.layer.1.sa_layer_norm.weight");
        assert_eq!(renamed("output.dense"), "transformer.layer.1.ffn.lin2.weight");
        assert_eq!(renamed("output.LayerNorm"), "transformer.layer.1.output_layer_norm.weight");
        assert_eq!(tensor_name("embeddings.LayerNorm.bias"), "embeddings.LayerNorm.bias");
    }
}
