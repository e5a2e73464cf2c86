//! BERT (Devlin et al.): an encoder with layer norms after attention and after the feed-forward block.
//!
//! This module also computes DistilBERT, RoBERTa, MPNet, Jina's BERT, ELECTRA and ALBERT, which differ from BERT in
//! positions, token types, the feed-forward block and names. [`super::distilbert`], [`super::roberta`], [`super::mpnet`] and
//! [`super::jina_bert`] translate their configs to those of BERT, and BERT's tensor names to theirs. This
//! implementation runs on every device. For BERT, DistilBERT, RoBERTa, ELECTRA and ALBERT without adapters, [`super::packed_bert`] is a
//! faster implementation for CPUs, with the same results up to rounding.

use crate::adapter::Adapter;
use crate::batch::{Batch, Sequence};
use crate::kernels::Activation;
use crate::layers::attention::{Attention, AttentionShape, split, split_heads};
use crate::layers::relative_position_bias::RelativePositionBias;
use crate::layers::{ActivationFn, EmbeddingTable, Gate, Linear, Loader, Norm, add};
use crate::model::{InputType, PerInputType};
use crate::network::Network;
use candle_core::{Result, Tensor};
use serde::Deserialize;

/// Maximum number of layers, far above that of any real model. ALBERT's layers share their tensors, so the weights do not
/// limit their number.
const MAX_LAYERS: usize = 1024;

/// Maximum number of values of a word embedding.
const MAX_EMBEDDING_WIDTH: usize = 1 << 16;

/// The fields of config.json that describe the network.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    #[serde(default = "default_token_types")]
    pub type_vocab_size: usize,
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub hidden_act: Activation,
    /// Number of values of a word embedding. `None`: as many as a token vector has.
    pub embedding_size: Option<usize>,
    /// The name of the layer that widens the embeddings, if they are narrower than the token vectors.
    #[serde(skip)]
    pub embedding_projection: &'static str,
    #[serde(skip)]
    pub position_kind: PositionKind,
    /// Whether the feed-forward block is gated. If so, the output of the intermediate layer is twice as wide as without
    /// a gate, and one half of this output is the gate.
    #[serde(skip)]
    pub is_gated: bool,
}

impl Config {
    /// Number of values of a word embedding.
    pub fn embedding_width(&self) -> usize {
        // BERT's config.json can have the field by accident; only variants with a projection use it.
        let is_used = !self.embedding_projection.is_empty();
        self.embedding_size.filter(|_| is_used).unwrap_or(self.hidden_size)
    }

    /// Checks the sizes that no tensor confirms before memory is allocated.
    ///
    /// # Errors
    /// Returns a message that names the field of config.json.
    pub fn check(&self) -> std::result::Result<(), String> {
        if self.num_hidden_layers > MAX_LAYERS {
            return Err(format!(
                "num_hidden_layers must be at most {MAX_LAYERS} (got {})",
                self.num_hidden_layers
            ));
        }
        match self.embedding_width() {
            1..=MAX_EMBEDDING_WIDTH => Ok(()),
            width => Err(format!("embedding_size must be between 1 and {MAX_EMBEDDING_WIDTH} (got {width})")),
        }
    }

    /// Whether a linear layer widens the embeddings.
    pub fn has_projection(&self) -> bool {
        self.embedding_width() != self.hidden_size
    }
}

/// How the network encodes the positions of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PositionKind {
    /// A learned vector for each position, counted from 0.
    #[default]
    Learned,
    /// A learned vector for each position. Positions are counted from the padding token's id + 1. A padding token
    /// within a text is not counted, and has the padding token's id as its position. The value is the padding token's
    /// id.
    AfterPadding(u32),
    /// No position vectors. Attention adds a bias that depends on relative positions.
    Relative,
}

impl PositionKind {
    /// Returns the index of the position vector of each token in a text.
    pub fn position_ids(self, ids: &[u32]) -> Vec<u32> {
        let mut next = 0;
        let position_id = |id: &u32| match self {
            PositionKind::AfterPadding(padding) if *id == padding => padding,
            PositionKind::AfterPadding(padding) => {
                next += 1;
                padding + next
            }
            PositionKind::Learned | PositionKind::Relative => {
                next += 1;
                next - 1
            }
        };
        ids.iter().map(position_id).collect()
    }
}

fn default_token_types() -> usize {
    2
}

fn default_eps() -> f64 {
    1e-12
}

/// A loaded BERT.
pub struct Bert {
    word_embeddings: EmbeddingTable,
    /// See [`position_table`].
    position_table: Tensor,
    position_kind: PositionKind,
    /// The embedding of token type 1 minus that of type 0, `[hidden]`. `None`: the model has at most one type.
    second_type: Option<Tensor>,
    embedding_norm: Norm,
    /// The layer that widens the embeddings. `None`: they are as wide as token vectors.
    projection: Option<Linear>,
    attention: Attention,
    /// The bias that attention adds to the scores. `None`: no bias.
    bias: Option<RelativePositionBias>,
    layers: Vec<Layer>,
    /// The adapters for documents and for queries. `None`: the model has no adapters.
    adapters: Option<PerInputType<Adapter>>,
}

struct Layer {
    qkv: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    activation: ActivationFn,
    is_gated: bool,
    output: Linear,
    output_norm: Norm,
}

/// Returns the position embeddings, `[positions, hidden]`. If there are token types, the embedding of token type 0 is
/// added to every row. If there are no position embeddings, the result is a single row: the embedding of token type 0,
/// or zeros.
pub fn position_table(config: &Config, embeddings: &Loader) -> Result<Tensor> {
    let hidden = config.embedding_width();
    let types = match config.type_vocab_size {
        0 => None,
        count => Some(embeddings.tensor((count, hidden), "token_type_embeddings.weight")?.get(0)?),
    };
    let table = match config.position_kind {
        PositionKind::Relative => {
            let device = embeddings.device();
            Tensor::zeros((1, hidden), embeddings.tensors().dtype(), device)?
        }
        _ => embeddings.tensor((config.max_position_embeddings, hidden), "position_embeddings.weight")?,
    };
    types.map_or(Ok(table.clone()), |types| table.broadcast_add(&types))
}

/// Returns the embedding of token type 1 minus the embedding of token type 0, `[hidden]`. It is added to the tokens of
/// the second text of a pair, because [`position_table`] already contains the embedding of type 0. `None`: the model has
/// at most one token type.
pub fn second_type(config: &Config, embeddings: &Loader) -> Result<Option<Tensor>> {
    if config.type_vocab_size < 2 {
        return Ok(None);
    }
    let shape = (config.type_vocab_size, config.embedding_width());
    let types = embeddings.tensor(shape, "token_type_embeddings.weight")?;
    (types.get(1)? - types.get(0)?).map(Some)
}

impl Bert {
    /// Loads the weights. `loader` has the prefix of the network's tensor names.
    pub fn load(
        config: &Config,
        bias: Option<RelativePositionBias>,
        adapters: Option<PerInputType<Adapter>>,
        loader: &Loader,
    ) -> Result<Bert> {
        let embeddings = loader.pp("embeddings");
        let layers = loader.pp("encoder.layer");
        Ok(Bert {
            word_embeddings: embeddings
                .pp("word_embeddings")
                .embedding_table(config.vocab_size, config.embedding_width())?,
            position_table: position_table(config, &embeddings)?,
            position_kind: config.position_kind,
            second_type: second_type(config, &embeddings)?,
            embedding_norm: embeddings
                .pp("LayerNorm")
                .layer_norm(config.embedding_width(), config.layer_norm_eps)?,
            projection: match config.has_projection() {
                true => {
                    let loader = loader.pp(config.embedding_projection);
                    Some(loader.linear(config.embedding_width(), config.hidden_size)?)
                }
                false => None,
            },
            attention: loader
                .attention(AttentionShape::standard(config.num_attention_heads, config.hidden_size)),
            bias,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, &layers.pp(layer)))
                .collect::<Result<_>>()?,
            adapters,
        })
    }

    fn embeddings(&self, texts: &[Sequence], batch: &Batch) -> Result<Tensor> {
        let words = self.word_embeddings.forward(&batch.ids)?;
        let embedded = match self.position_kind {
            PositionKind::Relative => words.broadcast_add(&self.position_table)?,
            PositionKind::Learned => add(&words, &self.position_table.index_select(&batch.position_ids, 0)?)?,
            PositionKind::AfterPadding(_) => {
                let position_ids: Vec<u32> =
                    texts.iter().flat_map(|text| self.position_kind.position_ids(text.ids)).collect();
                let shape = batch.position_ids.shape();
                let position_ids = Tensor::from_vec(position_ids, shape, batch.ids.device())?;
                add(&words, &self.position_table.index_select(&position_ids, 0)?)?
            }
        };
        let is_pair = |text: &Sequence| text.second_text < text.ids.len();
        let embedded = match &self.second_type {
            Some(second_type) if texts.iter().any(is_pair) => {
                let types = texts.iter().flat_map(|text| {
                    (0..text.ids.len()).map(|token| if token < text.second_text { 0.0 } else { 1.0 })
                });
                let types = Tensor::from_iter(types.collect::<Vec<f32>>(), batch.ids.device())?;
                let types = types.to_dtype(embedded.dtype())?.unsqueeze(1)?;
                (embedded + types.matmul(&second_type.unsqueeze(0)?)?)?
            }
            _ => embedded,
        };
        let embedded = self.embedding_norm.forward(&embedded)?;
        self.projection.as_ref().map_or(Ok(embedded.clone()), |projection| projection.forward(&embedded))
    }
}

impl Network for Bert {
    fn forward(&self, texts: &[Sequence], batch: &Batch, input_type: InputType) -> Result<Tensor> {
        let adapter = self.adapters.as_ref().map(|adapters| adapters.get(input_type));
        let mut hidden = self.embeddings(texts, batch)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let context = layer.attend(&hidden, &self.attention, self.bias.as_ref(), batch)?;
            let attended =
                layer.attention_norm.forward(&add(&layer.attention_output.forward(&context)?, &hidden)?)?;
            let mut output = layer.feed_forward(&attended)?;
            if let Some(adapter) = adapter {
                output = adapter.forward(index, &output, &attended, &layer.output_norm)?;
            }
            hidden = layer.output_norm.forward(&add(&output, &attended)?)?;
        }
        Ok(hidden)
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        self.word_embeddings.check(ids)
    }
}

impl Layer {
    fn load(config: &Config, loader: &Loader) -> Result<Layer> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let attention = loader.pp("attention");
        let parts = ["query", "key", "value"].map(|part| attention.pp("self").pp(part));
        let width = if config.is_gated { 2 * intermediate } else { intermediate };
        Ok(Layer {
            qkv: Loader::fused_linear(&parts.each_ref(), hidden, &[hidden; 3])?,
            attention_output: attention.pp("output.dense").linear(hidden, hidden)?,
            attention_norm: attention.pp("output.LayerNorm").layer_norm(hidden, config.layer_norm_eps)?,
            intermediate: loader.pp("intermediate.dense").linear(hidden, width)?,
            activation: loader.activation_fn(config.hidden_act),
            is_gated: config.is_gated,
            output: loader.pp("output.dense").linear(intermediate, hidden)?,
            output_norm: loader.pp("output.LayerNorm").layer_norm(hidden, config.layer_norm_eps)?,
        })
    }

    fn attend(
        &self,
        hidden: &Tensor,
        attention: &Attention,
        bias: Option<&RelativePositionBias>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let width = hidden.dim(1)?;
        let parts = split(&self.qkv.forward(hidden)?, &[width; 3])?;
        let heads =
            parts.iter().map(|part| split_heads(part, attention.shape.heads)).collect::<Result<Vec<_>>>()?;
        attention.forward([&heads[0], &heads[1], &heads[2]], bias, batch)
    }

    fn feed_forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let intermediate = self.intermediate.forward(hidden)?;
        let activated = if self.is_gated {
            self.activation.gated(&intermediate, Gate::First)?
        } else {
            self.activation.forward(&intermediate)?
        };
        self.output.forward(&activated)
    }
}
