//! GTE's encoder (Zhang et al. 2024, mGTE): BERT with rotary positions and a gated feed-forward block. Models: GTE v1.5,
//! gte-multilingual, arctic-embed-m-v2, stella-400M. Their repositories call the architecture `new`.

use super::config::check_positive;
use super::rotary_bert::{Layer, RotaryBert};
use crate::kernels::Activation;
use crate::layers::Loader;
use crate::layers::attention::AttentionShape;
use crate::layers::rope::{RopeParameters, RopeTable, RotaryAttention};
use serde::Deserialize;

/// The fields of config.json that describe the network.
#[derive(Deserialize)]
pub struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    #[serde(default)]
    type_vocab_size: usize,
    #[serde(default = "default_eps")]
    layer_norm_eps: f64,
    #[serde(default)]
    hidden_act: Activation,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<RopeScaling>,
    #[serde(default = "rms_or_layer_norm")]
    layer_norm_type: String,
    #[serde(default)]
    logn_attention_scale: bool,
}

/// The field `rope_scaling`, with which GTE's authors extend the positions of a trained network.
#[derive(Deserialize)]
struct RopeScaling {
    #[serde(rename = "type")]
    kind: String,
    factor: f64,
    mixed_b: Option<f64>,
}

fn default_eps() -> f64 {
    1e-12
}

fn rms_or_layer_norm() -> String {
    "layer_norm".into()
}

impl Config {
    /// Checks that the config describes a supported model.
    ///
    /// # Errors
    /// Returns a message that names the field if a field requests something that is not implemented, or has a number
    /// that is out of range.
    pub fn check(&self) -> Result<(), String> {
        if self.layer_norm_type != "layer_norm" || self.logn_attention_scale {
            return Err("layer_norm_type must be layer_norm, and logn_attention_scale must be false".into());
        }
        if let Some(RopeScaling { kind, factor, mixed_b }) = &self.rope_scaling {
            if kind != "ntk" || mixed_b.is_some() {
                return Err(format!("rope_scaling must have the type ntk, without mixed_b (got {kind:?})"));
            }
            check_positive(&[("rope_scaling.factor", *factor)])?;
        }
        check_positive(&[("layer_norm_eps", self.layer_norm_eps), ("rope_theta", self.theta())])
    }

    /// The base of the rotary angles. With scaling, all angles are those of a larger base, divided by
    /// `factor^(2 / head_size)`: this is the same as a base of `theta * factor` with slower frequencies, see
    /// [`Config::frequency_divisor`].
    fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().map(|rope| rope.rope_theta);
        let theta = newer.or(self.rope_theta).unwrap_or(10_000.0);
        theta * self.rope_scaling.as_ref().map_or(1.0, |scaling| scaling.factor)
    }

    /// What the frequencies of the rotary angles are divided by: `factor^(2 / head_size)` with scaling, otherwise 1.
    fn frequency_divisor(&self) -> f64 {
        let head_size = self.hidden_size as f64 / self.num_attention_heads as f64;
        self.rope_scaling.as_ref().map_or(1.0, |scaling| scaling.factor.powf(2.0 / head_size))
    }
}

/// Loads the weights, for texts of up to `max_tokens` tokens.
pub fn load(config: &Config, max_tokens: usize, loader: &Loader) -> candle_core::Result<RotaryBert> {
    let loader = loader.root("new", "embeddings.word_embeddings.weight");
    let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
    let embeddings = loader.pp("embeddings");
    let token_type = match config.type_vocab_size {
        0 => None,
        count => Some(embeddings.tensor((count, hidden), "token_type_embeddings.weight")?.get(0)?),
    };
    Ok(RotaryBert {
        word_embeddings: embeddings.pp("word_embeddings").embedding_table(config.vocab_size, hidden)?,
        token_type,
        embedding_norm: embeddings.pp("LayerNorm").layer_norm(hidden, config.layer_norm_eps)?,
        attention: loader.attention(AttentionShape::standard(heads, hidden)),
        rope: RopeTable::with_divisor(
            max_tokens,
            hidden / heads,
            config.theta(),
            config.frequency_divisor(),
            (loader.tensors().dtype(), loader.device()),
        )?,
        layers: (0..config.num_hidden_layers)
            .map(|index| layer(config, &loader.pp("encoder.layer").pp(index)))
            .collect::<candle_core::Result<_>>()?,
    })
}

fn layer(config: &Config, loader: &Loader) -> candle_core::Result<Layer> {
    let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
    let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.layer_norm_eps);
    Ok(Layer {
        attention: RotaryAttention {
            qkv: loader.pp("attention.qkv_proj").linear(hidden, 3 * hidden)?,
            norms: None,
            output: loader.pp("attention.o_proj").linear(hidden, hidden)?,
        },
        attention_norm: norm("attn_ln")?,
        up_and_gate: loader.pp("mlp.up_gate_proj").linear(hidden, 2 * intermediate)?,
        activation: loader.activation_fn(config.hidden_act),
        down: loader.pp("mlp.down_proj").linear(intermediate, hidden)?,
        output_norm: norm("mlp_ln")?,
    })
}
