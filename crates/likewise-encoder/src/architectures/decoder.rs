//! Decoders of the same kind as Llama (Touvron et al.), without their language model heads: Qwen3, Qwen2 and Mistral.
//! EuroBERT is such a network too, with attention in both directions.
//!
//! There is no key-value cache, because every text is encoded once, as a whole. [`super::gemma3`] also uses
//! [`attention`] and [`GatedMlp`] of this module.

use super::config::check_positive;
use crate::batch::{Batch, Sequence};
use crate::kernels::Activation;
use crate::layers::attention::{Attention, AttentionMask, AttentionShape};
use crate::layers::rope::{RopeParameters, RopeTable, RotaryAttention};
use crate::layers::{ActivationFn, EmbeddingTable, Gate, Linear, Loader, Norm, add};
use crate::model::InputType;
use crate::network::Network;
use candle_core::Tensor;
use serde::Deserialize;

/// The fields of config.json that describe the network.
#[derive(Deserialize)]
pub struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    rms_norm_eps: f64,
    #[serde(default = "default_activation")]
    hidden_act: Activation,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    use_sliding_window: Option<bool>,
    sliding_window: Option<usize>,
    is_causal: Option<bool>,
    #[serde(default)]
    model_type: String,
}

fn default_activation() -> Activation {
    Activation::Silu
}

impl Config {
    /// Checks that the config describes a supported model.
    ///
    /// # Errors
    /// Returns a message that names the field if a field requests something that is not implemented, or has a number
    /// that is out of range.
    pub fn check(&self, max_tokens: usize) -> Result<(), String> {
        // Qwen's window is off unless `use_sliding_window` turns it on; Mistral's config has no such field.
        let window =
            self.sliding_window.filter(|_| self.use_sliding_window.unwrap_or(self.model_type == "mistral"));
        if let Some(window) = window.filter(|window| *window < max_tokens) {
            return Err(format!(
                "sliding_window must be at least the maximum length, {max_tokens} (got {window}): shorter windows are \
                 not supported"
            ));
        }
        check_positive(&[("rms_norm_eps", self.rms_norm_eps), ("rope_theta", self.theta())])
    }

    fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().map(|rope| rope.rope_theta);
        let default = if self.model_type == "qwen3" { 1_000_000.0 } else { 10_000.0 };
        newer.or(self.rope_theta).unwrap_or(default)
    }

    fn attention(&self) -> AttentionShape {
        let heads = self.num_attention_heads;
        let head_size = self.head_dim.unwrap_or(self.hidden_size / heads);
        let is_causal = self.is_causal.unwrap_or(self.model_type != "eurobert");
        AttentionShape {
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads),
            head_size,
            scale: 1.0 / (head_size as f64).sqrt(),
            mask: if is_causal { AttentionMask::Causal } else { AttentionMask::Full },
        }
    }
}

/// A loaded decoder.
pub struct Decoder {
    word_embeddings: EmbeddingTable,
    layers: Vec<Layer>,
    norm: Norm,
    attention: Attention,
    rope: RopeTable,
}

struct Layer {
    attention_norm: Norm,
    attention: RotaryAttention,
    feed_forward_norm: Norm,
    feed_forward: GatedMlp,
}

impl Decoder {
    /// Loads the weights, for texts of up to `max_tokens` tokens.
    pub fn load(config: &Config, max_tokens: usize, loader: &Loader) -> candle_core::Result<Decoder> {
        let loader = loader.root("model", "embed_tokens.weight");
        let hidden = config.hidden_size;
        let shape = config.attention();
        Ok(Decoder {
            word_embeddings: loader.pp("embed_tokens").embedding_table(config.vocab_size, hidden)?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, &shape, &loader.pp("layers").pp(layer)))
                .collect::<candle_core::Result<_>>()?,
            norm: loader.pp("norm").rms_norm(hidden, config.rms_norm_eps, 0.0)?,
            rope: RopeTable::new(
                max_tokens,
                shape.head_size,
                config.theta(),
                loader.tensors().dtype(),
                loader.device(),
            )?,
            attention: loader.attention(shape),
        })
    }
}

impl Network for Decoder {
    fn forward(&self, _: &[Sequence], batch: &Batch, _: InputType) -> candle_core::Result<Tensor> {
        let mut hidden = self.word_embeddings.forward(&batch.ids)?;
        let rotary = self.rope.for_batch(batch)?;
        for layer in &self.layers {
            let normed = layer.attention_norm.forward(&hidden)?;
            hidden = add(&layer.attention.forward(&normed, &self.attention, &rotary, batch)?, &hidden)?;
            hidden = add(&layer.feed_forward.forward(&layer.feed_forward_norm.forward(&hidden)?)?, &hidden)?;
        }
        self.norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> candle_core::Result<()> {
        self.word_embeddings.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, shape: &AttentionShape, loader: &Loader) -> candle_core::Result<Layer> {
        let (hidden, eps) = (config.hidden_size, config.rms_norm_eps);
        // Of these decoders, only Qwen3 has norms for queries and keys.
        let norms = (config.model_type == "qwen3").then_some(HeadNorms { eps, scale_offset: 0.0 });
        Ok(Layer {
            attention_norm: loader.pp("input_layernorm").rms_norm(hidden, eps, 0.0)?,
            attention: attention(hidden, shape, norms, &loader.pp("self_attn"))?,
            feed_forward_norm: loader.pp("post_attention_layernorm").rms_norm(hidden, eps, 0.0)?,
            feed_forward: GatedMlp::load(
                hidden,
                config.intermediate_size,
                config.hidden_act,
                &loader.pp("mlp"),
            )?,
        })
    }
}

/// The norms for the queries and keys of each head.
#[derive(Debug, Clone, Copy)]
pub struct HeadNorms {
    pub eps: f64,
    /// This is added to the scales in the checkpoint.
    pub scale_offset: f64,
}

/// Loads the attention of a layer. The prefix of `loader` ends with the layer's `self_attn`. `norms` describes the
/// norms for the queries and keys of each head; `None` if the architecture has none.
pub fn attention(
    hidden: usize,
    shape: &AttentionShape,
    norms: Option<HeadNorms>,
    loader: &Loader,
) -> candle_core::Result<RotaryAttention> {
    let parts = ["q_proj", "k_proj", "v_proj"].map(|part| loader.pp(part));
    let widths = shape.widths();
    let norm = |name: &str, norms: HeadNorms| {
        loader.pp(name).rms_norm(shape.head_size, norms.eps, norms.scale_offset)
    };
    Ok(RotaryAttention {
        qkv: Loader::fused_linear(&parts.each_ref(), hidden, &widths)?,
        norms: match norms {
            Some(norms) => Some((norm("q_norm", norms)?, norm("k_norm", norms)?)),
            None => None,
        },
        output: loader.pp("o_proj").linear(widths[0], hidden)?,
    })
}

/// A gated feed-forward block (Shazeer, GLU Variants).
pub struct GatedMlp {
    /// The layers `gate_proj` and `up_proj` of the checkpoint, fused.
    gate_and_up: Linear,
    activation: ActivationFn,
    down: Linear,
}

impl GatedMlp {
    /// Loads the feed-forward block of a layer. The prefix of `loader` ends with the layer's `mlp`.
    pub fn load(
        hidden: usize,
        intermediate: usize,
        activation: Activation,
        loader: &Loader,
    ) -> candle_core::Result<GatedMlp> {
        let parts = ["gate_proj", "up_proj"].map(|part| loader.pp(part));
        Ok(GatedMlp {
            gate_and_up: Loader::fused_linear(&parts.each_ref(), hidden, &[intermediate; 2])?,
            activation: loader.activation_fn(activation),
            down: loader.pp("down_proj").linear(intermediate, hidden)?,
        })
    }

    /// Computes `down(f(gate(x)) * up(x))`. Maps rows `[tokens, hidden]` to rows of the same width.
    pub fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.down.forward(&self.activation.gated(&self.gate_and_up.forward(x)?, Gate::First)?)
    }
}
