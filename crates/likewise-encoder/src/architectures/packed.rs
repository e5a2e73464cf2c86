//! BERT on a CPU, without padding: the same network as [`crate::architectures::bert`], on the crate's own kernels.
//!
//! Its own file because it is the fast path. All texts of a batch stand one after the other as rows of
//! tokens, so nothing is computed for padding; only attention knows where a text ends. candle loads the
//! weights.

use super::bert::{Config, Positions, positions};
use crate::kernels::Activation;
use crate::kernels::attention::{Attention, AttentionBuffer};
use crate::kernels::feed_forward::{FeedForward, FeedForwardBuffer};
use crate::kernels::level::Level;
use crate::kernels::linear::Linear;
use crate::kernels::room;
use crate::kernels::rows::{Norm, add_and_norm};
use crate::kernels::words::{Form, Range, WordBuffer};
use crate::layers::Loader;
use crate::model::{Pooling, Precision, Side};
use crate::network::Architecture;
use crate::pooling;
use candle_core::{Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;
use std::cell::RefCell;

/// Rows that go through a layer's wide part together: what they take there stays in the core's own cache.
const BLOCK_ROWS: usize = 168;

/// A loaded BERT.
pub struct PackedBert {
    /// `[vocabulary, hidden]`, as it was loaded: it is half of the model.
    words: Tensor,
    /// `[positions, hidden]`, with the embedding of token type 0.
    positions: Vec<f32>,
    told_by: Positions,
    embedding_norm: Norm,
    layers: Vec<Layer>,
    hidden: usize,
    pooling: Pooling,
    level: &'static Level,
}

struct Layer {
    /// Query, key and value, as few multiplications as their precisions allow.
    projections: Vec<Linear>,
    attention: Attention,
    attention_output: Linear,
    attention_norm: Norm,
    feed_forward: FeedForward,
    output_norm: Norm,
    /// Values a token.
    width: usize,
    level: &'static Level,
}

/// Room that one thread uses again and again.
#[derive(Default)]
struct Scratch {
    words: WordBuffer,
    attention: AttentionBuffer,
    feed_forward: FeedForwardBuffer,
    out: Vec<f32>,
}

/// What a batch takes from layer to layer, kept for the thread's next batch: fresh memory would have to be
/// cleared by the system first.
#[derive(Default)]
struct Batch {
    /// `[tokens, hidden]`.
    hidden: Vec<f32>,
    /// `[tokens, hidden]`: what attention gives.
    context: Vec<f32>,
    /// `[tokens, words]`, packed for attention.
    qkv: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    static BATCH: RefCell<Batch> = RefCell::default();
}

fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|scratch| work(&mut scratch.borrow_mut()))
}

impl PackedBert {
    /// Takes the weights out of a safetensors file and packs them.
    pub fn load(
        config: &Config,
        pooling: Pooling,
        precision: Precision,
        level: &'static Level,
        tensors: &Loader,
    ) -> Result<PackedBert> {
        let embeddings = tensors.pp("embeddings");
        let words = embeddings.tensor((config.vocab_size, config.hidden_size), "word_embeddings.weight")?;
        let layers = tensors.pp("encoder.layer");
        Ok(PackedBert {
            words,
            positions: values(&positions(config, &embeddings)?)?,
            told_by: config.positions,
            embedding_norm: norm(config, &embeddings.pp("LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(config, precision, level, &layers.pp(layer)))
                .collect::<Result<_>>()?,
            hidden: config.hidden_size,
            pooling,
            level,
        })
    }

    /// Sum of word, position and type embeddings, normed, into `words [tokens, hidden]`; `places` is room for
    /// as much.
    fn embeddings(&self, texts: &[&[u32]], words: &mut Vec<f32>, places: &mut Vec<f32>) -> Result<()> {
        let width = self.hidden;
        let (table, _) = self.words.storage_and_layout();
        let Storage::Cpu(table) = &*table else { bail!("the word embeddings are not in memory") };
        let table = table.as_slice::<f32>()?;
        words.clear();
        places.clear();
        for ids in texts {
            match self.told_by {
                Positions::Learned => places.extend_from_slice(&self.positions[..ids.len() * width]),
                told_by => {
                    for row in told_by.rows(ids) {
                        places.extend_from_slice(&self.positions[row as usize * width..][..width]);
                    }
                }
            }
            for &id in *ids {
                let start = id as usize * width;
                let Some(word) = table.get(start..start + width) else {
                    bail!("token {id} is not in the model's vocabulary; tokenizer.json is another model's")
                };
                words.extend_from_slice(word);
            }
        }
        add_and_norm(self.level, words, places, &self.embedding_norm);
        Ok(())
    }

    /// All layers, `hidden [tokens, hidden]` in place. What is done row by row, from one attention to the next,
    /// is one parallel loop, since threads that wait for each other fall asleep; an encoder's worker has one
    /// thread, and somebody who waits for one text has all.
    fn forward(&self, hidden: &mut [f32], lengths: &[usize], qkv: &mut Vec<u32>, context: &mut [f32]) {
        let Some(first) = self.layers.first() else { return };
        let (width, words, threads) = (self.hidden, first.attention.words(), rayon::current_num_threads());
        let tokens = hidden.len() / width;
        let block = tokens.div_ceil(threads).clamp(1, BLOCK_ROWS);
        let qkv = room(qkv, tokens * words);
        let rows = hidden.par_chunks(block * width).zip(qkv.par_chunks_mut(block * words));
        rows.for_each(|(hidden, qkv)| first.project(hidden, qkv));
        for (index, layer) in self.layers.iter().enumerate() {
            layer.attend(lengths, qkv, context, threads);
            let rows = hidden.par_chunks_mut(block * width).zip(context.par_chunks(block * width));
            rows.zip(qkv.par_chunks_mut(block * words)).for_each(|((hidden, context), qkv)| {
                layer.finish(hidden, context);
                if let Some(next) = self.layers.get(index + 1) {
                    next.project(hidden, qkv);
                }
            });
        }
    }
}

impl Architecture for PackedBert {
    fn pooled(&self, texts: &[&[u32]], _: Side) -> Result<Tensor> {
        let mut room = BATCH.take();
        let Batch { hidden, context, qkv } = &mut room;
        self.embeddings(texts, hidden, context)?;
        let lengths: Vec<usize> = texts.iter().map(|ids| ids.len()).collect();
        self.forward(hidden, &lengths, qkv, context);
        let mut rest = &hidden[..];
        let mut pooled = Vec::with_capacity(texts.len() * self.hidden);
        for length in lengths {
            let (text, later) = rest.split_at(length * self.hidden);
            rest = later;
            pooled.extend(pooling::rows(text, self.hidden, self.pooling));
        }
        BATCH.set(room);
        Tensor::from_vec(pooled, (texts.len(), self.hidden), &Device::Cpu)
    }
}

impl Layer {
    fn load(config: &Config, precision: Precision, level: &'static Level, tensors: &Loader) -> Result<Layer> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let attention = tensors.pp("attention");
        let linear = |precision, range, tensors: &[Loader], inputs, outputs| {
            let (mut weight, mut bias) = (Vec::new(), Vec::new());
            for tensors in tensors {
                weight.extend(values(&tensors.tensor((outputs, inputs), "weight")?)?);
                bias.extend(values(&tensors.tensor(outputs, "bias")?)?);
            }
            Ok::<_, candle_core::Error>(Linear::new(level, Form { precision, range }, &weight, bias))
        };
        let parts = ["query", "key", "value"].map(|part| attention.pp("self").pp(part));
        let projections = match precision {
            // Half of what bytes lose, they lose in the values, which go into the sum unsoftened.
            Precision::Int8 => vec![(Precision::Int8, &parts[..2]), (Precision::Bf16, &parts[2..])],
            _ => vec![(precision, &parts[..])],
        };
        let one = |range, tensors, inputs, outputs| linear(precision, range, &[tensors], inputs, outputs);
        let projections = projections
            .into_iter()
            .map(|(precision, parts)| linear(precision, Range::Signed, parts, hidden, hidden))
            .collect::<Result<Vec<_>>>()?;
        // The others' lowest values are what bytes begin at; this one's is lower.
        let activated = if config.hidden_act == Activation::Silu { Range::Signed } else { Range::Activated };
        let feed_forward = FeedForward {
            intermediate: one(Range::Signed, tensors.pp("intermediate.dense"), hidden, wide)?,
            activation: config.hidden_act,
            output: one(activated, tensors.pp("output.dense"), wide, hidden)?,
            level,
        };
        Ok(Layer {
            projections,
            attention: Attention::new(level, precision, config.num_attention_heads, hidden),
            attention_output: one(Range::Signed, attention.pp("output.dense"), hidden, hidden)?,
            attention_norm: norm(config, &attention.pp("output.LayerNorm"))?,
            feed_forward,
            output_norm: norm(config, &tensors.pp("output.LayerNorm"))?,
            width: hidden,
            level,
        })
    }

    fn project(&self, hidden: &[f32], qkv: &mut [u32]) {
        with_scratch(|scratch| {
            let Scratch { words, out, .. } = scratch;
            let stride = 3 * self.width;
            let out = room(out, 3 * hidden.len());
            let mut column = 0;
            for linear in &self.projections {
                linear.multiply(hidden, words, &mut out[column..], stride);
                column += linear.outputs();
            }
            self.attention.pack(out, qkv);
        });
    }

    fn attend(&self, lengths: &[usize], mut qkv: &[u32], mut context: &mut [f32], threads: usize) {
        let mut jobs = Vec::new();
        for &length in lengths {
            let (text, later) = qkv.split_at(length * self.attention.words());
            qkv = later;
            let share = if threads == 1 { length } else { length.div_ceil(threads) };
            for first in (0..length).step_by(share.max(1)) {
                let queries = first..length.min(first + share);
                let (part, later) = std::mem::take(&mut context).split_at_mut(queries.len() * self.width);
                context = later;
                jobs.push((text, queries, part));
            }
        }
        jobs.into_par_iter().for_each(|(text, queries, context)| {
            with_scratch(|scratch| self.attention.attend(text, queries, context, &mut scratch.attention));
        });
    }

    /// What comes after attention, row by row.
    fn finish(&self, hidden: &mut [f32], context: &[f32]) {
        with_scratch(|scratch| {
            let Scratch { words, feed_forward, out, .. } = scratch;
            let out = room(out, hidden.len());
            self.attention_output.multiply(context, words, out, self.width);
            add_and_norm(self.level, hidden, out, &self.attention_norm);
            self.feed_forward.forward(hidden, feed_forward, out);
            add_and_norm(self.level, hidden, out, &self.output_norm);
        });
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

fn norm(config: &Config, tensors: &Loader) -> Result<Norm> {
    let (scale, shift, eps) = tensors.norm_parameters(config.hidden_size, config.layer_norm_eps)?;
    Ok(Norm { scale: values(&scale)?, shift: values(&shift)?, eps })
}
