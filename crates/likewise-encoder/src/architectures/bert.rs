//! BERT and what is built like it: load and forward (Devlin et al., BERT; post-layer-norm encoder).
//!
//! DistilBERT, RoBERTa, MPNet and Jina's BERT differ in how positions are told, in the feed-forward part and in names:
//! [`crate::architectures::distilbert`], [`crate::architectures::roberta`], [`crate::architectures::mpnet`] and [`crate::architectures::jina_bert`] say how. It runs wherever
//! candle does, and is what the fast path in [`crate::architectures::packed`] is judged by.

use crate::adapter::Adapter;
use crate::batch::Batch;
use crate::kernels::Activation;
use crate::layers::attention::{Attention, split, split_heads};
use crate::layers::distance::DistanceBias;
use crate::layers::{Applied, Embedding, Gate, Linear, Loader, Norm, add};
use crate::model::{Side, Sides};
use crate::network::Network;
use candle_core::{Result, Tensor};
use serde::Deserialize;

/// The part of config.json that shapes the network.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub hidden_act: Activation,
    #[serde(skip)]
    pub positions: Positions,
    /// Whether one half of the feed-forward part's wide row is a gate for the other.
    #[serde(skip)]
    pub is_gated: bool,
}

/// How a token's place in its text is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Positions {
    /// By a vector for each place.
    #[default]
    Learned,
    /// The same, counted from the one after the vector of padding; a token that is padding has that one's.
    AfterPadding(u32),
    /// Only by how far apart tokens are.
    Distance,
}

impl Positions {
    /// Which vector each token of a text has.
    pub fn rows(self, ids: &[u32]) -> Vec<u32> {
        let mut next = 0;
        let row = |id: &u32| match self {
            Positions::AfterPadding(padding) if *id == padding => padding,
            Positions::AfterPadding(padding) => {
                next += 1;
                padding + next
            }
            Positions::Learned | Positions::Distance => {
                next += 1;
                next - 1
            }
        };
        ids.iter().map(row).collect()
    }
}

fn two() -> usize {
    2
}

fn default_eps() -> f64 {
    1e-12
}

/// A loaded BERT.
pub struct Bert {
    words: Embedding,
    /// Position embeddings, with the embedding of token type 0 already added to each; that alone, if places are told
    /// otherwise.
    positions: Tensor,
    told_by: Positions,
    embedding_norm: Norm,
    attention: Attention,
    bias: Option<DistanceBias>,
    layers: Vec<Layer>,
    adapters: Option<Sides<Adapter>>,
}

struct Layer {
    qkv: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    activation: Applied,
    is_gated: bool,
    output: Linear,
    output_norm: Norm,
}

/// Position embeddings, with the embedding of token type 0 added to each: `[positions, hidden]`; one row, if there are
/// none.
pub fn positions(config: &Config, embeddings: &Loader) -> Result<Tensor> {
    let hidden = config.hidden_size;
    let types = match config.type_vocab_size {
        0 => None,
        count => Some(embeddings.tensor((count, hidden), "token_type_embeddings.weight")?.get(0)?),
    };
    let table = match config.positions {
        Positions::Distance => {
            let device = embeddings.device();
            Tensor::zeros((1, hidden), embeddings.tensors().dtype(), device)?
        }
        _ => embeddings.tensor((config.max_position_embeddings, hidden), "position_embeddings.weight")?,
    };
    types.map_or(Ok(table.clone()), |types| table.broadcast_add(&types))
}

impl Bert {
    /// Takes the weights out of a checkpoint, `loader` standing where its names begin.
    pub fn load(
        config: &Config,
        bias: Option<DistanceBias>,
        adapters: Option<Sides<Adapter>>,
        loader: &Loader,
    ) -> Result<Bert> {
        let embeddings = loader.pp("embeddings");
        let layers = loader.pp("encoder.layer");
        Ok(Bert {
            words: embeddings.pp("word_embeddings").embedding(config.vocab_size, config.hidden_size)?,
            positions: positions(config, &embeddings)?,
            told_by: config.positions,
            embedding_norm: embeddings
                .pp("LayerNorm")
                .layer_norm(config.hidden_size, config.layer_norm_eps)?,
            attention: Attention::plain(config.num_attention_heads, config.hidden_size),
            bias,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, &layers.pp(layer)))
                .collect::<Result<_>>()?,
            adapters,
        })
    }

    fn embeddings(&self, texts: &[&[u32]], batch: &Batch) -> Result<Tensor> {
        let words = self.words.forward(&batch.ids)?;
        let embedded = match self.told_by {
            Positions::Distance => words.broadcast_add(&self.positions)?,
            Positions::Learned => add(&words, &self.positions.index_select(&batch.places, 0)?)?,
            Positions::AfterPadding(_) => {
                let rows: Vec<u32> = texts.iter().flat_map(|ids| self.told_by.rows(ids)).collect();
                let rows = Tensor::from_vec(rows, batch.places.shape(), batch.ids.device())?;
                add(&words, &self.positions.index_select(&rows, 0)?)?
            }
        };
        self.embedding_norm.forward(&embedded)
    }
}

impl Network for Bert {
    fn forward(&self, texts: &[&[u32]], batch: &Batch, side: Side) -> Result<Tensor> {
        let adapter = self.adapters.as_ref().map(|adapters| adapters.of(side));
        let mut hidden = self.embeddings(texts, batch)?;
        for (place, layer) in self.layers.iter().enumerate() {
            let context = layer.attend(&hidden, &self.attention, self.bias.as_ref(), batch)?;
            let attended =
                layer.attention_norm.forward(&add(&layer.attention_output.forward(&context)?, &hidden)?)?;
            let mut output = layer.feed_forward(&attended)?;
            if let Some(adapter) = adapter {
                output = adapter.forward(place, &output, &attended, &layer.output_norm)?;
            }
            hidden = layer.output_norm.forward(&add(&output, &attended)?)?;
        }
        Ok(hidden)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        self.words.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, loader: &Loader) -> Result<Layer> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let attention = loader.pp("attention");
        let parts = ["query", "key", "value"].map(|part| attention.pp("self").pp(part));
        let width = if config.is_gated { 2 * wide } else { wide };
        Ok(Layer {
            qkv: Loader::joined(&parts.each_ref(), hidden, &[hidden; 3])?,
            attention_output: attention.pp("output.dense").linear(hidden, hidden)?,
            attention_norm: attention.pp("output.LayerNorm").layer_norm(hidden, config.layer_norm_eps)?,
            intermediate: loader.pp("intermediate.dense").linear(hidden, width)?,
            activation: loader.function(config.hidden_act),
            is_gated: config.is_gated,
            output: loader.pp("output.dense").linear(wide, hidden)?,
            output_norm: loader.pp("output.LayerNorm").layer_norm(hidden, config.layer_norm_eps)?,
        })
    }

    fn attend(
        &self,
        hidden: &Tensor,
        attention: &Attention,
        bias: Option<&DistanceBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let width = hidden.dim(1)?;
        let parts = split(&self.qkv.forward(hidden)?, &[width; 3])?;
        let heads =
            parts.iter().map(|part| split_heads(part, attention.heads)).collect::<Result<Vec<_>>>()?;
        attention.forward([&heads[0], &heads[1], &heads[2]], bias, batch)
    }

    fn feed_forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let wide = self.intermediate.forward(hidden)?;
        let wide = if self.is_gated {
            self.activation.gated(&wide, Gate::First)?
        } else {
            self.activation.forward(&wide)?
        };
        self.output.forward(&wide)
    }
}
