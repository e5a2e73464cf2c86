//! ModernBERT (Warner et al.): pre-layer-norm, rotary positions, gated feed-forward, and in two layers of three only
//! what is near is seen. Load and forward.

use super::config::positive;
use crate::batch::Batch;
use crate::kernels::Activation;
use crate::layers::alternating::{Alternating, Kinds};
use crate::layers::attention::{Attention, Reach};
use crate::layers::rope::{RotaryAttention, Turn};
use crate::layers::{Applied, Embedding, Gate, Linear, Loader, Norm, add};
use crate::model::Side;
use crate::network::Network;
use candle_core::Tensor;
use serde::Deserialize;

/// The part of config.json that shapes the network.
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
    #[serde(default = "three")]
    global_attn_every_n_layers: usize,
    #[serde(flatten)]
    kinds: Kinds,
    global_rope_theta: Option<f64>,
    /// As the others', if it is null.
    #[serde(default = "short")]
    local_rope_theta: Option<f64>,
}

fn default_eps() -> f64 {
    1e-5
}

fn three() -> usize {
    3
}

fn short() -> Option<f64> {
    Some(10_000.0)
}

impl Config {
    /// Refuses numbers that nothing can be computed with.
    pub fn check(&self) -> Result<(), String> {
        let (global, local) = self.thetas();
        positive(&[
            ("norm_eps", self.norm_eps),
            ("local_attention", self.local_attention as f64),
            ("global_attn_every_n_layers", self.global_attn_every_n_layers as f64),
            ("rope_theta of full_attention, or global_rope_theta", global),
            ("rope_theta of sliding_attention, or local_rope_theta", local),
        ])?;
        self.kinds.check(self.num_hidden_layers)
    }

    fn thetas(&self) -> (f64, f64) {
        let global = self.global_rope_theta.unwrap_or(160_000.0);
        self.kinds.thetas((global, self.local_rope_theta.unwrap_or(global)))
    }
}

/// A loaded ModernBERT.
pub struct ModernBert {
    words: Embedding,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    final_norm: Norm,
    attention: Alternating,
}

struct Layer {
    /// The first layer has none: the embeddings were normed just before.
    attention_norm: Option<Norm>,
    attention: RotaryAttention,
    wide_norm: Norm,
    intermediate: Linear,
    activation: Applied,
    output: Linear,
    is_global: bool,
}

impl ModernBert {
    /// Takes the weights out of a checkpoint, to read texts of up to `most` tokens.
    pub fn load(config: &Config, most: usize, loader: &Loader) -> candle_core::Result<ModernBert> {
        let loader = loader.root("model", "embeddings.tok_embeddings.weight");
        let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
        let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.norm_eps);
        let near = Reach::Window(config.local_attention / 2);
        Ok(ModernBert {
            words: loader.pp("embeddings.tok_embeddings").embedding(config.vocab_size, hidden)?,
            embedding_norm: norm("embeddings.norm")?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, layer, &loader.pp("layers").pp(layer)))
                .collect::<candle_core::Result<_>>()?,
            final_norm: norm("final_norm")?,
            attention: Alternating::new(
                [Reach::All, near].map(|reach| Attention { reach, ..Attention::plain(heads, hidden) }),
                config.thetas(),
                most,
                (loader.tensors().dtype(), loader.device()),
            )?,
        })
    }
}

impl Network for ModernBert {
    fn forward(&self, _: &[&[u32]], batch: &Batch, _: Side) -> candle_core::Result<Tensor> {
        let mut hidden = self.embedding_norm.forward(&self.words.forward(&batch.ids)?)?;
        let turned = self.attention.turned(batch)?;
        for layer in &self.layers {
            let (shape, turn) = turned.kind(layer.is_global);
            hidden = add(&layer.attend(&hidden, shape, turn, batch)?, &hidden)?;
            hidden = add(&layer.feed_forward(&hidden)?, &hidden)?;
        }
        self.final_norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> candle_core::Result<()> {
        self.words.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, layer: usize, loader: &Loader) -> candle_core::Result<Layer> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.norm_eps);
        Ok(Layer {
            attention_norm: (layer > 0).then(|| norm("attn_norm")).transpose()?,
            attention: RotaryAttention {
                qkv: loader.pp("attn.Wqkv").linear(hidden, 3 * hidden)?,
                norms: None,
                output: loader.pp("attn.Wo").linear(hidden, hidden)?,
            },
            wide_norm: norm("mlp_norm")?,
            intermediate: loader.pp("mlp.Wi").linear(hidden, 2 * wide)?,
            activation: loader.function(config.hidden_activation),
            output: loader.pp("mlp.Wo").linear(wide, hidden)?,
            is_global: config.kinds.is_global(layer, layer.is_multiple_of(config.global_attn_every_n_layers)),
        })
    }

    fn attend(
        &self,
        hidden: &Tensor,
        shape: &Attention,
        turn: &Turn,
        batch: &Batch,
    ) -> candle_core::Result<Tensor> {
        let normed = self.attention_norm.as_ref().map_or(Ok(hidden.clone()), |norm| norm.forward(hidden))?;
        self.attention.forward(&normed, shape, turn, batch)
    }

    fn feed_forward(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        let wide = self.intermediate.forward(&self.wide_norm.forward(hidden)?)?;
        self.output.forward(&self.activation.gated(&wide, Gate::First)?)
    }
}
