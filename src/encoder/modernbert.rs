//! ModernBERT (Warner et al.): pre-layer-norm, rotary positions, gated feed-forward, and in two layers of three only
//! what is near is seen. Load and forward.

use super::Network;
use super::attention::{Attention, Reach, split, split_heads};
use super::batch::Batch;
use super::kernels::Activation;
use super::layers::{Applied, Embedding, Gate, Linear, Loader, Norm, add};
use super::rope::{Rope, Turn};
use crate::model::Side;
use candle_core::{Result, Tensor};
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
    layer_types: Option<Vec<String>>,
    global_rope_theta: Option<f64>,
    local_rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
}

#[derive(Deserialize)]
struct RopeParameters {
    full_attention: Theta,
    sliding_attention: Theta,
}

#[derive(Deserialize)]
struct Theta {
    rope_theta: f64,
}

fn default_eps() -> f64 {
    1e-5
}

fn three() -> usize {
    3
}

impl Config {
    fn is_global(&self, layer: usize) -> bool {
        match &self.layer_types {
            Some(types) => types.get(layer).is_some_and(|kind| kind == "full_attention"),
            None => layer.is_multiple_of(self.global_attn_every_n_layers),
        }
    }

    /// Of layers that see all, and of those that do not.
    fn thetas(&self) -> (f64, f64) {
        let rope = self.rope_parameters.as_ref();
        let global = rope.map(|rope| rope.full_attention.rope_theta).or(self.global_rope_theta);
        let local = rope.map(|rope| rope.sliding_attention.rope_theta).or(self.local_rope_theta);
        (global.unwrap_or(160_000.0), local.unwrap_or(10_000.0))
    }
}

/// A loaded ModernBERT.
pub struct ModernBert {
    words: Embedding,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    final_norm: Norm,
    global: (Attention, Rope),
    local: (Attention, Rope),
}

struct Layer {
    /// The first layer has none: the embeddings were normed just before.
    attention_norm: Option<Norm>,
    qkv: Linear,
    attention_output: Linear,
    wide_norm: Norm,
    intermediate: Linear,
    activation: Applied,
    output: Linear,
    is_global: bool,
}

impl ModernBert {
    /// Takes the weights out of a checkpoint, to read texts of up to `most` tokens.
    pub fn load(config: &Config, most: usize, loader: &Loader) -> Result<ModernBert> {
        let loader = loader.root("model", "embeddings.tok_embeddings.weight");
        let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
        let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.norm_eps);
        let (global, local) = config.thetas();
        let rope = |theta| Rope::new(most, hidden / heads, theta, loader.tensors().dtype(), loader.device());
        let near = Reach::Window(config.local_attention / 2);
        Ok(ModernBert {
            words: loader.pp("embeddings.tok_embeddings").embedding(config.vocab_size, hidden)?,
            embedding_norm: norm("embeddings.norm")?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, layer, &loader.pp("layers").pp(layer)))
                .collect::<Result<_>>()?,
            final_norm: norm("final_norm")?,
            global: (Attention::plain(heads, hidden), rope(global)?),
            local: (Attention { reach: near, ..Attention::plain(heads, hidden) }, rope(local)?),
        })
    }
}

impl Network for ModernBert {
    fn forward(&self, _: &[&[u32]], batch: &Batch, _: Side) -> Result<Tensor> {
        let mut hidden = self.embedding_norm.forward(&self.words.forward(&batch.ids)?)?;
        let (global, local) = (self.global.1.turn(batch)?, self.local.1.turn(batch)?);
        for layer in &self.layers {
            let (attention, turn) =
                if layer.is_global { (&self.global.0, &global) } else { (&self.local.0, &local) };
            hidden = add(&layer.attend(&hidden, attention, turn, batch)?, &hidden)?;
            hidden = add(&layer.feed_forward(&hidden)?, &hidden)?;
        }
        self.final_norm.forward(&hidden)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        self.words.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, layer: usize, loader: &Loader) -> Result<Layer> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.norm_eps);
        Ok(Layer {
            attention_norm: (layer > 0).then(|| norm("attn_norm")).transpose()?,
            qkv: loader.pp("attn.Wqkv").linear(hidden, 3 * hidden)?,
            attention_output: loader.pp("attn.Wo").linear(hidden, hidden)?,
            wide_norm: norm("mlp_norm")?,
            intermediate: loader.pp("mlp.Wi").linear(hidden, 2 * wide)?,
            activation: loader.function(config.hidden_activation),
            output: loader.pp("mlp.Wo").linear(wide, hidden)?,
            is_global: config.is_global(layer),
        })
    }

    fn attend(&self, hidden: &Tensor, attention: &Attention, turn: &Turn, batch: &Batch) -> Result<Tensor> {
        let width = hidden.dim(1)?;
        let normed = self.attention_norm.as_ref().map_or(Ok(hidden.clone()), |norm| norm.forward(hidden))?;
        let parts = split(&self.qkv.forward(&normed)?, &[width; 3])?;
        let heads = |part: usize| split_heads(&parts[part], attention.heads);
        let (query, key) = (turn.apply(&heads(0)?)?, turn.apply(&heads(1)?)?);
        self.attention_output.forward(&attention.forward([&query, &key, &heads(2)?], None, batch)?)
    }

    fn feed_forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let wide = self.intermediate.forward(&self.wide_norm.forward(hidden)?)?;
        self.output.forward(&self.activation.gated(&wide, Gate::First)?)
    }
}
