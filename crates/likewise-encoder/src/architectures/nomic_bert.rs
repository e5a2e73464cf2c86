//! Nomic's BERT (Nussbaum et al., Nomic Embed): BERT with rotary positions and a gated feed-forward part, without
//! biases. Load and forward.

use super::config::positive;
use crate::batch::Batch;
use crate::kernels::Activation;
use crate::layers::attention::Attention;
use crate::layers::rope;
use crate::layers::rope::{Rope, RotaryAttention};
use crate::layers::{Applied, Embedding, Gate, Linear, Loader, Norm, add};
use crate::model::Side;
use crate::network::Network;
use candle_core::Tensor;
use serde::Deserialize;

/// The part of config.json that shapes the network; see [`OLDER_NAMES`].
#[derive(Deserialize)]
pub struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: Activation,
    rotary_emb_base: Option<f64>,
    rope_parameters: Option<rope::Parameters>,
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

/// What its authors call what the reference library calls otherwise; some files have both.
pub const OLDER_NAMES: [(&str, &str); 6] = [
    ("n_embd", "hidden_size"),
    ("n_layer", "num_hidden_layers"),
    ("n_head", "num_attention_heads"),
    ("n_inner", "intermediate_size"),
    ("layer_norm_epsilon", "layer_norm_eps"),
    ("activation_function", "hidden_act"),
];

fn two() -> usize {
    2
}

impl Config {
    /// Refuses what is not computed here, and numbers that nothing can be computed with.
    pub fn check(&self) -> Result<(), String> {
        let has_experts = self.num_experts.is_some_and(|experts| experts > 1);
        let is_partly = self.rotary_emb_fraction.is_some_and(|fraction| fraction != 1.0);
        if self.prenorm
            || self.use_rms_norm == Some(true)
            || self.rotary_emb_interleaved
            || is_partly
            || has_experts
        {
            return Err("of nomic_bert only the kind of nomic-embed-text-v1 and v1.5 is supported: norms after, whole heads \
                        turned, no experts"
                .into());
        }
        let size = self.hidden_size / self.num_attention_heads.max(1);
        if self.causal || self.parallel_block || self.head_dim.is_some_and(|own| own != size) {
            return Err("causal, parallel_block and a head_dim of its own are not supported".into());
        }
        positive(&[("layer_norm_eps", self.layer_norm_eps), ("rope_theta", self.theta())])
    }

    fn theta(&self) -> f64 {
        let newer = self.rope_parameters.as_ref().map(|rope| rope.rope_theta);
        newer.or(self.rotary_emb_base).unwrap_or(1000.0)
    }
}

/// A loaded Nomic BERT.
pub struct NomicBert {
    words: Embedding,
    /// The embedding of token type 0.
    kind: Tensor,
    embedding_norm: Norm,
    attention: Attention,
    rope: Rope,
    layers: Vec<Layer>,
}

struct Layer {
    attention: RotaryAttention,
    attention_norm: Norm,
    /// What is multiplied, then what goes through the function.
    wide: Linear,
    activation: Applied,
    output: Linear,
    output_norm: Norm,
}

impl NomicBert {
    /// Takes the weights out of a checkpoint, to read texts of up to `most` tokens.
    pub fn load(config: &Config, most: usize, loader: &Loader) -> candle_core::Result<NomicBert> {
        let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
        let kinds =
            loader.tensor((config.type_vocab_size, hidden), "embeddings.token_type_embeddings.weight")?;
        Ok(NomicBert {
            words: loader.pp("embeddings.word_embeddings").embedding(config.vocab_size, hidden)?,
            kind: kinds.get(0)?,
            embedding_norm: loader.pp("emb_ln").layer_norm(hidden, config.layer_norm_eps)?,
            attention: Attention::plain(heads, hidden),
            rope: Rope::new(most, hidden / heads, config.theta(), loader.tensors().dtype(), loader.device())?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, &loader.pp("encoder.layers").pp(layer)))
                .collect::<candle_core::Result<_>>()?,
        })
    }
}

impl Network for NomicBert {
    fn forward(&self, _: &[&[u32]], batch: &Batch, _: Side) -> candle_core::Result<Tensor> {
        let words = self.words.forward(&batch.ids)?.broadcast_add(&self.kind)?;
        let mut hidden = self.embedding_norm.forward(&words)?;
        let turn = self.rope.turn(batch)?;
        for layer in &self.layers {
            let attended = layer.attention.forward(&hidden, &self.attention, &turn, batch)?;
            let attended = add(&attended, &hidden)?;
            let attended = layer.attention_norm.forward(&attended)?;
            hidden = layer.output_norm.forward(&add(&layer.feed_forward(&attended)?, &attended)?)?;
        }
        Ok(hidden)
    }

    fn check(&self, ids: &[u32]) -> candle_core::Result<()> {
        self.words.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, loader: &Loader) -> candle_core::Result<Layer> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let norm = |name: &str| loader.pp(name).layer_norm(hidden, config.layer_norm_eps);
        let parts = ["mlp.fc11", "mlp.fc12"].map(|part| loader.pp(part));
        Ok(Layer {
            attention: RotaryAttention {
                qkv: loader.pp("attn.Wqkv").linear(hidden, 3 * hidden)?,
                norms: None,
                output: loader.pp("attn.out_proj").linear(hidden, hidden)?,
            },
            attention_norm: norm("norm1")?,
            wide: Loader::joined(&parts.each_ref(), hidden, &[wide; 2])?,
            activation: loader.function(config.hidden_act),
            output: loader.pp("mlp.fc2").linear(wide, hidden)?,
            output_norm: norm("norm2")?,
        })
    }

    fn feed_forward(&self, hidden: &Tensor) -> candle_core::Result<Tensor> {
        self.output.forward(&self.activation.gated(&self.wide.forward(hidden)?, Gate::Second)?)
    }
}
