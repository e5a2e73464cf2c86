//! ModernBERT (Warner et al.): an encoder with layer norms before attention and before the feed-forward block, rotary
//! positions, a gated feed-forward block, and local attention in two of three layers (unless config.json says
//! otherwise).

use super::config::check_positive;
use crate::batch::{Batch, Sequence};
use crate::kernels::Activation;
use crate::layers::alternating::{AlternatingAttention, AttentionScope, LayerTypes, RopeThetas};
use crate::layers::attention::{Attention, AttentionMask, AttentionShape};
use crate::layers::rope::{RotaryAttention, RotaryEmbedding};
use crate::layers::{ActivationFn, EmbeddingTable, Gate, Linear, Loader, Norm, add};
use crate::model::InputType;
use crate::network::Network;
use candle_core::Tensor;
use serde::Deserialize;

/// The fields of config.json that describe the network.
#[derive(Deserialize)]
pub struct Config {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    vocab_size: usize,
    local_attention: usize,
    #[serde(default = "default_eps")]
    norm_eps: f64,
    #[serde(default)]
    hidden_activation: Activation,
    #[serde(default = "default_global_interval")]
    global_attn_every_n_layers: usize,
    #[serde(flatten)]
    layer_types: LayerTypes,
    global_rope_theta: Option<f64>,
    /// The base of the rotary angles in local layers. `None` (null in the file): the base of the global layers.
    #[serde(default = "default_local_theta")]
    local_rope_theta: Option<f64>,
}

fn default_eps() -> f64 {
    1e-5
}

fn default_global_interval() -> usize {
    3
}

fn default_local_theta() -> Option<f64> {
    Some(10_000.0)
}

impl Config {
    /// Checks that the config describes a supported model.
    ///
    /// # Errors
    /// Returns a message that names the field if a number is out of range, or a layer type is not supported.
    pub fn check(&self) -> Result<(), String> {
        let RopeThetas { global, local } = self.thetas();
        check_positive(&[
            ("norm_eps", self.norm_eps),
            ("local_attention", self.local_attention as f64),
            ("global_attn_every_n_layers", self.global_attn_every_n_layers as f64),
            ("rope_theta of full_attention, or global_rope_theta", global),
            ("rope_theta of sliding_attention, or local_rope_theta", local),
        ])?;
        self.layer_types.check(self.num_hidden_layers)
    }

    fn thetas(&self) -> RopeThetas {
        let global = self.global_rope_theta.unwrap_or(160_000.0);
        self.layer_types.thetas(RopeThetas { global, local: self.local_rope_theta.unwrap_or(global) })
    }

    fn scope(&self, layer: usize) -> AttentionScope {
        let is_global = layer.is_multiple_of(self.global_attn_every_n_layers);
        let default = if is_global { AttentionScope::Global } else { AttentionScope::Local };
        self.layer_types.scope(layer, default)
    }
}

/// A loaded ModernBERT.
pub struct ModernBert {
    word_embeddings: EmbeddingTable,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    final_norm: Norm,
    attention: AlternatingAttention,
}

struct Layer {
    /// The norm before attention. `None` in the first layer, because the input of that layer is already normalised.
    attention_norm: Option<Norm>,
    attention: RotaryAttention,
    feed_forward_norm: Norm,
    intermediate: Linear,
    activation: ActivationFn,
    output: Linear,
    scope: AttentionScope,
}

impl ModernBert {
    /// Loads the weights, for texts of up to `max_tokens` tokens.
    pub fn load(config: &Config, max_tokens: usize, loader: &Loader) -> candle_core::Result<ModernBert> {
        let loader = loader.root("model", "embeddings.tok_embeddings.weight");
        let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
        let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.norm_eps);
        // The width in config.json covers both sides of a token. `SlidingWindow` takes the width of one side.
        let window = AttentionMask::SlidingWindow(config.local_attention / 2);
        Ok(ModernBert {
            word_embeddings: loader
                .pp("embeddings.tok_embeddings")
                .embedding_table(config.vocab_size, hidden)?,
            embedding_norm: norm("embeddings.norm")?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, layer, &loader.pp("layers").pp(layer)))
                .collect::<candle_core::Result<_>>()?,
            final_norm: norm("final_norm")?,
            attention: AlternatingAttention::new(
                [AttentionMask::Full, window].map(|mask| {
                    loader.attention(AttentionShape { mask, ..AttentionShape::standard(heads, hidden) })
                }),
                config.thetas(),
                max_tokens,
                (loader.tensors().dtype(), loader.device()),
            )?,
        })
    }
}

impl Network for ModernBert {
    fn forward(&self, _: &[Sequence], batch: &Batch, _: InputType) -> candle_core::Result<Tensor> {
        let mut hidden = self.embedding_norm.forward(&self.word_embeddings.forward(&batch.ids)?)?;
        let batch_attention = self.attention.for_batch(batch)?;
        for layer in &self.layers {
            let (attention, rotary) = batch_attention.get(layer.scope);
            hidden = add(&layer.attend(&hidden, attention, rotary, batch)?, &hidden)?;
            hidden = add(&layer.feed_forward(&hidden)?, &hidden)?;
        }
        self.final_norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> candle_core::Result<()> {
        self.word_embeddings.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, layer: usize, loader: &Loader) -> candle_core::Result<Layer> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.norm_eps);
        Ok(Layer {
            attention_norm: (layer > 0).then(|| norm("attn_norm")).transpose()?,
            attention: RotaryAttention {
                qkv: loader.pp("attn.Wqkv").linear(hidden, 3 * hidden)?,
                norms: None,
                output: loader.pp("attn.Wo").linear(hidden, hidden)?,
            },
            feed_forward_norm: norm("mlp_norm")?,
            intermediate: loader.pp("mlp.Wi").linear(hidden, 2 * intermediate)?,
            activation: loader.activation_fn(config.hidden_activation),
            output: loader.pp("mlp.Wo").linear(intermediate, hidden)?,
            scope: config.scope(layer),
        })
    }

    fn attend(
        &self,
        hidden: &Tensor,
        attention: &Attention,
        rotary: &RotaryEmbedding,
        batch: &Batch,
    ) -> candle_core::Result<Tensor> {
        let normed = self.attention_norm.as_ref().map_or(Ok(hidden.clone()), |norm| norm.forward(hidden))?;
        self.attention.forward(&normed, attention, rotary, batch)
    }

    fn feed_forward(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let intermediate = self.intermediate.forward(&self.feed_forward_norm.forward(hidden)?)?;
        self.output.forward(&self.activation.gated(&intermediate, Gate::First)?)
    }
}
