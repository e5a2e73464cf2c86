//! BERT, DistilBERT, RoBERTa, ELECTRA and ALBERT on a CPU, without padding: the same network as [`super::bert`] without
//! adapters, computed by the crate's own kernels.
//!
//! This is the faster implementation. The texts of a batch are concatenated, so nothing is computed for padding. Only
//! attention, pooling and the positions of tokens depend on where a text ends. candle is used only for loading the
//! weights and for holding the word embeddings and the result.

use super::bert::{Config, PositionKind, position_table, second_type};
use crate::batch::Sequence;
use crate::kernels::Activation;
use crate::kernels::attention::{AttentionShape, PackedAttention, Queries};
use crate::kernels::division::Division;
use crate::kernels::feed_forward::{FeedForward, FeedForwardBuffer};
use crate::kernels::isa::Isa;
use crate::kernels::linear::PackedLinear;
use crate::kernels::packed::{PackBuffer, PackFormat, ValueRange};
use crate::kernels::rows::{LayerNorm, add_and_norm};
use crate::kernels::{grow, with_thread_buffers};
use crate::layers::Loader;
use crate::model::{InputType, Pooling, Precision};
use crate::network::Architecture;
use crate::pooling;
use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;
use std::cell::RefCell;

/// A loaded BERT.
pub struct PackedBert {
    /// `[vocabulary, embedding width]`: the word embeddings. This is candle's tensor and not a copy, because the word embeddings
    /// are a large part of the model: half of all-MiniLM-L6-v2, and more of multilingual models.
    word_embeddings: Tensor,
    /// `[positions, embedding width]`, with the embedding of token type 0 added: see [`position_table`].
    position_table: Vec<f32>,
    position_kind: PositionKind,
    /// `[hidden]`: what is added to the tokens of the second text of a pair; see [`second_type`]. `None`: the model does
    /// not distinguish the two texts.
    second_type: Option<Vec<f32>>,
    embedding_norm: LayerNorm,
    /// The layer that widens the embeddings. `None`: they are as wide as token vectors.
    projection: Option<PackedLinear>,
    /// Number of values of a word embedding.
    embedding_width: usize,
    layers: Vec<Layer>,
    hidden: usize,
    pooling: Pooling,
    isa: &'static Isa,
}

struct Layer {
    /// The projections to queries, keys and values: one linear layer, or two layers if the values have another
    /// precision.
    projections: Vec<PackedLinear>,
    attention: PackedAttention,
    attention_output: PackedLinear,
    attention_norm: LayerNorm,
    feed_forward: FeedForward,
    output_norm: LayerNorm,
    /// Number of values per token.
    width: usize,
    isa: &'static Isa,
}

/// Memory that a thread uses for one block of rows, kept from one block to the next.
#[derive(Default)]
struct BlockBuffers {
    packed: PackBuffer,
    feed_forward: FeedForwardBuffer,
    out: Vec<f32>,
}

/// Memory for the values that pass from layer to layer. It is kept for the thread's next batch, because the operating
/// system clears newly allocated memory.
#[derive(Default)]
struct BatchBuffers {
    /// `[tokens, hidden]`: the token vectors.
    hidden: Vec<f32>,
    /// `[tokens, hidden]`: the output of attention.
    context: Vec<f32>,
    /// `[tokens, words]`: queries, keys and values, packed for attention.
    qkv: Vec<u32>,
}

thread_local! {
    static BLOCK_BUFFERS: RefCell<BlockBuffers> = RefCell::default();
    static BATCH_BUFFERS: RefCell<BatchBuffers> = RefCell::default();
}

impl PackedBert {
    /// Loads the weights and packs them. `tensors` has the prefix of the network's tensor names.
    pub fn load(
        config: &Config,
        pooling: Pooling,
        precision: Precision,
        isa: &'static Isa,
        tensors: &Loader,
    ) -> Result<PackedBert> {
        let embeddings = tensors.pp("embeddings");
        let word_embeddings =
            embeddings.tensor((config.vocab_size, config.embedding_width()), "word_embeddings.weight")?;
        let layers = tensors.pp("encoder.layer");
        Ok(PackedBert {
            word_embeddings,
            position_table: values(&position_table(config, &embeddings)?)?,
            position_kind: config.position_kind,
            second_type: second_type(config, &embeddings)?.as_ref().map(values).transpose()?,
            embedding_norm: norm(config, config.embedding_width(), &embeddings.pp("LayerNorm"))?,
            projection: match config.has_projection() {
                true => Some(projection(config, precision, isa, tensors)?),
                false => None,
            },
            embedding_width: config.embedding_width(),
            layers: (0..config.num_hidden_layers)
                .into_par_iter()
                .map(|layer| Layer::load(config, precision, isa, &layers.pp(layer)))
                .collect::<Result<_>>()?,
            hidden: config.hidden_size,
            pooling,
            isa,
        })
    }

    /// Writes the normalised sums of word, position and token type embeddings to `hidden [tokens, hidden]`. `positions`
    /// is working memory of the same size as `hidden`.
    fn embeddings(&self, texts: &[Sequence], hidden: &mut Vec<f32>, positions: &mut Vec<f32>) -> Result<()> {
        let width = self.embedding_width;
        let (table, _) = self.word_embeddings.storage_and_layout();
        let Storage::Cpu(table) = &*table else { bail!("the word embeddings must be in CPU memory") };
        let table = table.as_slice::<f32>()?;
        hidden.clear();
        positions.clear();
        for Sequence { ids, second_text, .. } in texts {
            let start = positions.len();
            match self.position_kind {
                PositionKind::Learned => {
                    positions.extend_from_slice(&self.position_table[..ids.len() * width]);
                }
                position_kind => {
                    for position_id in position_kind.position_ids(ids) {
                        let start = position_id as usize * width;
                        positions.extend_from_slice(&self.position_table[start..][..width]);
                    }
                }
            }
            if let Some(second_type) = &self.second_type {
                let second_text = &mut positions[start + second_text * width..];
                for position in second_text.chunks_exact_mut(width) {
                    position.iter_mut().zip(second_type).for_each(|(value, more)| *value += more);
                }
            }
            for &id in *ids {
                let start = id as usize * width;
                let Some(word) = table.get(start..start + width) else {
                    bail!(
                        "token {id} is not in the model's vocabulary; tokenizer.json belongs to another model"
                    )
                };
                hidden.extend_from_slice(word);
            }
        }
        add_and_norm(self.isa, hidden, positions, &self.embedding_norm);
        if let Some(projection) = &self.projection {
            let embedded = std::mem::take(hidden);
            let tokens = embedded.len() / width;
            hidden.resize(tokens * self.hidden, 0.0);
            let Division { block_rows, column_parts } = Division::new(tokens, projection.bytes());
            let rows = hidden.par_chunks_mut(block_rows * self.hidden);
            rows.zip(embedded.par_chunks(block_rows * width)).for_each(|(hidden, embedded)| {
                with_thread_buffers(&BLOCK_BUFFERS, |buffers| {
                    projection.multiply(embedded, &mut buffers.packed, hidden, self.hidden, column_parts);
                });
            });
            // The positions' memory becomes the output of attention, which is as wide as the token vectors.
            positions.resize(tokens * self.hidden, 0.0);
        }
        Ok(())
    }

    /// Runs all layers on `hidden [tokens, hidden]`, in place. All steps between the attention of one layer and the
    /// attention of the next layer work row by row. They run in one parallel loop, because threads that wait for each
    /// other between loops fall asleep. (A worker of the encoder has one thread, but a call with a single batch runs on
    /// all threads.)
    ///
    /// With [`KeptTokens::First`], the last layer computes only the vectors of the first tokens, and leaves them in
    /// `hidden [texts, hidden]`.
    fn forward(
        &self,
        hidden: &mut Vec<f32>,
        texts: &[Sequence],
        qkv: &mut Vec<u32>,
        context: &mut [f32],
        kept: KeptTokens,
    ) {
        let Some(first) = self.layers.first() else { return };
        let (width, packed_len) = (self.hidden, first.attention.packed_len());
        let tokens = hidden.len() / width;
        let Division { block_rows: block, column_parts } =
            Division::new(tokens, first.feed_forward.intermediate.bytes());
        let qkv = grow(qkv, tokens * packed_len);
        let rows = hidden.par_chunks(block * width).zip(qkv.par_chunks_mut(block * packed_len));
        rows.for_each(|(hidden, qkv)| first.project(hidden, qkv, column_parts));
        for (index, layer) in self.layers.iter().enumerate() {
            let next = self.layers.get(index + 1);
            if next.is_none() && kept == KeptTokens::First {
                layer.attend(texts, qkv, Queries::First, context);
                keep_first_rows(hidden, texts, width);
                let rows = hidden.par_chunks_mut(block * width).zip(context.par_chunks(block * width));
                return rows.for_each(|(hidden, context)| {
                    layer.finish(hidden, &context[..hidden.len()], column_parts);
                });
            }
            layer.attend(texts, qkv, Queries::All, context);
            let rows = hidden.par_chunks_mut(block * width).zip(context.par_chunks(block * width));
            rows.zip(qkv.par_chunks_mut(block * packed_len)).for_each(|((hidden, context), qkv)| {
                layer.finish(hidden, context, column_parts);
                if let Some(next) = next {
                    next.project(hidden, qkv, column_parts);
                }
            });
        }
    }
}

/// Keeps the first row of each text, and removes the others.
fn keep_first_rows(rows: &mut Vec<f32>, texts: &[Sequence], width: usize) {
    let mut start = 0;
    for (index, text) in texts.iter().enumerate() {
        rows.copy_within(start * width..(start + 1) * width, index * width);
        start += text.ids.len();
    }
    rows.truncate(texts.len() * width);
}

/// The tokens whose vectors are needed after the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptTokens {
    All,
    /// The first token of each text.
    First,
}

impl Architecture for PackedBert {
    fn forward_pooled(&self, texts: &[Sequence], _: InputType) -> Result<Tensor> {
        // Without layers, all vectors are still there. A text without tokens has no first token.
        let has_tokens = texts.iter().all(|text| !text.ids.is_empty());
        let is_first = self.pooling == Pooling::Cls && !self.layers.is_empty() && has_tokens;
        let kept = if is_first { KeptTokens::First } else { KeptTokens::All };
        self.with_hidden(texts, kept, |hidden| {
            let mut rest = hidden;
            let mut pooled = Vec::with_capacity(texts.len() * self.hidden);
            for text in texts {
                let rows = if is_first { 1 } else { text.ids.len() };
                let (rows, later) = rest.split_at(rows * self.hidden);
                rest = later;
                pooled.extend(pooling::rows(rows, self.hidden, self.pooling));
            }
            Tensor::from_vec(pooled, (texts.len(), self.hidden), &Device::Cpu)
        })
    }

    fn forward_tokens(&self, texts: &[Sequence], _: InputType) -> Result<Tensor> {
        self.with_hidden(texts, KeptTokens::All, |hidden| {
            Tensor::from_slice(hidden, (hidden.len() / self.hidden, self.hidden), &Device::Cpu)
        })
    }
}

impl PackedBert {
    /// Computes the token vectors of texts, and passes them to `work`. They are in memory that the next batch uses again.
    fn with_hidden(
        &self,
        texts: &[Sequence],
        kept: KeptTokens,
        work: impl FnOnce(&[f32]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        with_thread_buffers(&BATCH_BUFFERS, |BatchBuffers { hidden, context, qkv }| {
            self.embeddings(texts, hidden, context)?;
            self.forward(hidden, texts, qkv, context, kept);
            work(hidden)
        })
    }
}

impl Layer {
    fn load(config: &Config, precision: Precision, isa: &'static Isa, tensors: &Loader) -> Result<Layer> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let attention = tensors.pp("attention");
        let linear = |precision, range, tensors: &[Loader], inputs, outputs| {
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for tensors in tensors {
                weight.extend(values(&tensors.tensor((outputs, inputs), "weight")?)?);
                bias.extend(values(&tensors.tensor(outputs, "bias")?)?);
            }
            let format = PackFormat::new(isa, precision, range);
            Ok::<_, candle_core::Error>(PackedLinear::new(isa, format, &weight, bias))
        };
        let parts = ["query", "key", "value"].map(|part| attention.pp("self").pp(part));
        let projections = match precision {
            // Half of int8's error comes from the values, which enter the weighted sum directly, so the values have more
            // bits.
            Precision::Int8 => vec![(Precision::Int8, &parts[..2]), (isa.bf16_or_f32, &parts[2..])],
            _ => vec![(precision, &parts[..])],
        };
        let one = |range, tensors, inputs, outputs| linear(precision, range, &[tensors], inputs, outputs);
        let projections = projections
            .into_iter()
            .map(|(precision, parts)| linear(precision, ValueRange::Signed, parts, hidden, hidden))
            .collect::<Result<Vec<_>>>()?;
        // The unsigned range starts just below GELU's minimum. SiLU has lower values, so it uses the signed range.
        let is_silu = config.hidden_act == Activation::Silu;
        let activated = if is_silu { ValueRange::Signed } else { ValueRange::Activated };
        let feed_forward = FeedForward {
            intermediate: one(ValueRange::Signed, tensors.pp("intermediate.dense"), hidden, intermediate)?,
            activation: config.hidden_act,
            output: one(activated, tensors.pp("output.dense"), intermediate, hidden)?,
            isa,
        };
        Ok(Layer {
            projections,
            attention: PackedAttention::new(
                isa,
                precision,
                AttentionShape::standard(config.num_attention_heads, hidden),
            ),
            attention_output: one(ValueRange::Signed, attention.pp("output.dense"), hidden, hidden)?,
            attention_norm: norm(config, hidden, &attention.pp("output.LayerNorm"))?,
            feed_forward,
            output_norm: norm(config, hidden, &tensors.pp("output.LayerNorm"))?,
            width: hidden,
            isa,
        })
    }

    /// Projects the rows `hidden [rows, hidden]` to queries, keys and values, and packs these into `qkv [rows, words]`.
    fn project(&self, hidden: &[f32], qkv: &mut [u32], column_parts: usize) {
        with_thread_buffers(&BLOCK_BUFFERS, |buffers| {
            let BlockBuffers { packed, out, .. } = buffers;
            let stride = 3 * self.width;
            let out = grow(out, 3 * hidden.len());
            let mut column = 0;
            for linear in &self.projections {
                linear.multiply(hidden, packed, &mut out[column..], stride, column_parts);
                column += linear.outputs();
            }
            self.attention.pack(out, qkv);
        });
    }

    /// Computes the attention within each text, from `qkv [tokens, words]` to `context`, one row for each of `queries`.
    fn attend(&self, texts: &[Sequence], qkv: &[u32], queries: Queries, context: &mut [f32]) {
        let lengths = texts.iter().map(|text| (text.ids.len(), text.attended));
        self.attention.attend_texts(lengths, qkv, queries, None, context);
    }

    /// Computes the part of the layer that follows attention, for some rows: the linear layer of attention's output,
    /// the feed-forward block and both norms. `context [rows, hidden]` is the output of attention, and
    /// `hidden [rows, hidden]` the input of the layer, which the output replaces.
    fn finish(&self, hidden: &mut [f32], context: &[f32], column_parts: usize) {
        with_thread_buffers(&BLOCK_BUFFERS, |buffers| {
            let BlockBuffers { packed, feed_forward, out, .. } = buffers;
            let out = grow(out, hidden.len());
            self.attention_output.multiply(context, packed, out, self.width, column_parts);
            add_and_norm(self.isa, hidden, out, &self.attention_norm);
            self.feed_forward.forward(hidden, feed_forward, out, column_parts);
            add_and_norm(self.isa, hidden, out, &self.output_norm);
        });
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// Loads the layer that widens the embeddings.
fn projection(
    config: &Config,
    precision: Precision,
    isa: &'static Isa,
    tensors: &Loader,
) -> Result<PackedLinear> {
    let tensors = tensors.pp(config.embedding_projection);
    let (inputs, outputs) = (config.embedding_width(), config.hidden_size);
    let weight = values(&tensors.tensor((outputs, inputs), "weight")?)?;
    let bias = values(&tensors.tensor(outputs, "bias")?)?;
    let format = PackFormat::new(isa, precision, ValueRange::Signed);
    Ok(PackedLinear::new(isa, format, &weight, bias))
}

fn norm(config: &Config, width: usize, tensors: &Loader) -> Result<LayerNorm> {
    let (scale, shift, eps) = tensors.norm_parameters(width, config.layer_norm_eps)?;
    Ok(LayerNorm { scale: values(&scale)?, shift: values(&shift)?, eps })
}
