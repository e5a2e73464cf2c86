//! Nomic's BERT (Nussbaum et al., Nomic Embed): BERT with rotary positions and a gated feed-forward block, and without
//! biases in its linear layers.

use super::config::check_positive;
use super::rotary_bert::{Layer, RotaryBert};
use crate::kernels::Activation;
use crate::layers::Loader;
use crate::layers::attention::AttentionShape;
use crate::layers::rope::{RopeParameters, RopeTable, RotaryAttention};
use serde::Deserialize;

/// The fields of config.json that describe the network. Some fields have older names: see [`OLDER_NAMES`].
#[derive(Deserialize)]
pub struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    #[serde(default = "default_token_types")]
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: Activation,
    rotary_emb_base: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    prenorm: bool,
    #[serde(default)]
    use_rms_norm: Option<bool>,
    #[serde(default)]
    rotary_emb_interleaved: bool,
    rotary_emb_fraction: Option<f64>,
    num_experts: Option<usize>,
    #[serde(default)]
    causal: bool,
    #[serde(default)]
    parallel_block: bool,
    head_dim: Option<usize>,
}

/// Pairs of names for the same field of config.json: the name that the model's authors use, and the name that the
/// reference library uses. Some files have both names.
pub const OLDER_NAMES: [(&str, &str); 6] = [
    ("n_embd", "hidden_size"),
    ("n_layer", "num_hidden_layers"),
    ("n_head", "num_attention_heads"),
    ("n_inner", "intermediate_size"),
    ("layer_norm_epsilon", "layer_norm_eps"),
    ("activation_function", "hidden_act"),
];

fn default_token_types() -> usize {
    2
}

impl Config {
    /// Checks that the config describes a supported model.
    ///
    /// # Errors
    /// Returns a message if a field requests something that is not implemented, or has a number that is out of range.
    /// The message names the field, or says which values several fields must have.
    pub fn check(&self) -> Result<(), String> {
        let has_experts = self.num_experts.is_some_and(|experts| experts > 1);
        let is_partly_rotated = self.rotary_emb_fraction.is_some_and(|fraction| fraction != 1.0);
        if self.prenorm
            || self.use_rms_norm == Some(true)
            || self.rotary_emb_interleaved
            || is_partly_rotated
            || has_experts
        {
            return Err("only nomic_bert models like nomic-embed-text-v1 and v1.5 are supported: prenorm, \
                        use_rms_norm and rotary_emb_interleaved must be false, rotary_emb_fraction must be 1, and \
                        num_experts at most 1"
                .into());
        }
        let size = self.hidden_size / self.num_attention_heads.max(1);
        if self.causal || self.parallel_block || self.head_dim.is_some_and(|own| own != size) {
            return Err(format!(
                "causal and parallel_block must be false, and head_dim must be hidden_size / num_attention_heads \
                 ({size})"
            ));
        }
        check_positive(&[("layer_norm_eps", self.layer_norm_eps), ("rope_theta", self.theta())])
    }

    fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().map(|rope| rope.rope_theta);
        newer.or(self.rotary_emb_base).unwrap_or(1000.0)
    }
}

/// Loads the weights, for texts of up to `max_tokens` tokens.
pub fn load(config: &Config, max_tokens: usize, loader: &Loader) -> candle_core::Result<RotaryBert> {
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    let token_types =
        loader.tensor((config.type_vocab_size, hidden), "embeddings.token_type_embeddings.weight")?;
    Ok(RotaryBert {
        word_embeddings: loader
            .pp("embeddings.word_embeddings")
            .embedding_table(config.vocab_size, hidden)?,
        token_type: Some(token_types.get(0)?),
        embedding_norm: loader.pp("emb_ln").layer_norm(hidden, config.layer_norm_eps)?,
        attention: loader.attention(AttentionShape::standard(heads, hidden)),
        rope: RopeTable::new(
            max_tokens,
            hidden / heads,
            config.theta(),
            loader.tensors().dtype(),
            loader.device(),
        )?,
        layers: (0..config.num_hidden_layers)
            .map(|index| layer(config, &loader.pp("encoder.layers").pp(index)))
            .collect::<candle_core::Result<_>>()?,
    })
}

fn layer(config: &Config, loader: &Loader) -> candle_core::Result<Layer> {
    let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
    let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.layer_norm_eps);
    let parts = ["mlp.fc11", "mlp.fc12"].map(|part| loader.pp(part));
    Ok(Layer {
        attention: RotaryAttention {
            qkv: loader.pp("attn.Wqkv").linear(hidden, 3 * hidden)?,
            norms: None,
            output: loader.pp("attn.out_proj").linear(hidden, hidden)?,
        },
        attention_norm: norm("norm1")?,
        // The second half of the fused layer's output is the gate.
        up_and_gate: Loader::fused_linear(&parts.each_ref(), hidden, &[intermediate; 2])?,
        activation: loader.activation_fn(config.hidden_act),
        down: loader.pp("mlp.fc2").linear(intermediate, hidden)?,
        output_norm: norm("norm2")?,
    })
}
