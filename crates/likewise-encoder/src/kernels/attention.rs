//! Computes scaled dot-product attention (Vaswani et al., section 3.2) with the micro-kernels, for one text at a time,
//! without padding. With an attention mask, only the keys that some query of a tile attends to are computed.
//!
//! Attention consists of two matrix products: queries by keys, and weights by values. Unlike in a linear layer, both
//! factors of each product change with every text. The keys and values of each head are therefore packed into panels
//! for each text. Only the scores of one tile of queries are held in memory, not the scores of all pairs of tokens.

use super::grow;
use super::isa::Isa;
use super::mask::AttentionMask;
use super::packed::{PackBuffer, PackFormat, PackedRows, RowLayout, ValueRange};
use super::rows;
use super::tile::Tile;
use crate::model::Precision;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops;

/// The bias of the two products, which is zero. The array is at least as long as a panel is wide.
const ZEROS: [f32; 64] = [0.0; 64];

/// Zeros that are paired with the values of the last token if the number of tokens is odd.
const ZERO_HALVES: [u16; 64] = [0; 64];

/// Weights below this fraction of the largest weight in the same row become 0 where there is a bias, because products
/// with denormal numbers take a CPU about 100 times as long as other products.
pub const MIN_WEIGHT: f32 = 1e-20;

/// The parameters of an attention operation.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key-value heads, a divisor of `heads`. Each key-value head is shared by `heads / kv_heads` query heads
    /// (Ainslie et al., grouped-query attention).
    pub kv_heads: usize,
    /// Number of values per head.
    pub head_size: usize,
    /// The factor by which scores are multiplied.
    pub scale: f64,
    /// Which tokens a token attends to.
    pub mask: AttentionMask,
}

impl AttentionShape {
    /// Attention as in BERT: every token attends to all tokens, every head has its own keys and values, and scores
    /// are divided by the square root of the head size. `width` is the number of values of all heads together.
    pub fn standard(heads: usize, width: usize) -> AttentionShape {
        let head_size = width / heads;
        let scale = 1.0 / (head_size as f64).sqrt();
        AttentionShape { heads, kv_heads: heads, head_size, scale, mask: AttentionMask::Full }
    }

    /// Number of values per token of the queries, the keys and the values.
    pub fn widths(&self) -> [usize; 3] {
        [self.heads, self.kv_heads, self.kv_heads].map(|heads| heads * self.head_size)
    }
}

/// Adds a bias to scores: the arguments are the head, the position of the query, the positions of the keys, and the scores
/// of the query and these keys.
pub type AddBias<'a> = &'a (dyn Fn(usize, usize, &ops::Range<usize>, &mut [f32]) + Sync);

/// The tokens whose attention is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queries {
    All,
    /// The first token of each text.
    First,
}

thread_local! {
    static BUFFER: RefCell<AttentionBuffer> = RefCell::default();
}

/// Multi-head attention.
pub struct PackedAttention {
    shape: AttentionShape,
    format: PackFormat,
    isa: &'static Isa,
}

/// Memory for the panels of one head and the scores of one tile, kept from one use to the next.
#[derive(Default)]
pub struct AttentionBuffer {
    keys: Vec<u32>,
    values: Vec<u32>,
    scores: Vec<f32>,
    inverse_sums: Vec<f32>,
    out: Vec<f32>,
    weights: PackBuffer,
}

/// The packed keys and values of one key-value head and one text.
struct AttentionHead<'a> {
    /// Number of tokens whose keys and values are used, from the first on.
    attended: usize,
    /// `[tokens, stride]`: the packed queries, keys and values of all heads.
    qkv: &'a [u32],
    /// Number of words of `qkv` from the start of one token's data to the start of the next token's data.
    stride: usize,
    /// Offset of the first token's key.
    key: usize,
    /// Offset of the first token's value.
    value: usize,
    /// Number of words of one packed query, key or value.
    packed_len: usize,
}

/// A tile of queries of one head, and the keys that these queries attend to.
struct QueryTile {
    /// Index of the query head.
    head: usize,
    /// Positions of the queries in the text.
    queries: ops::Range<usize>,
    /// Positions of the keys in the text. They start at the beginning of a panel.
    keys: ops::Range<usize>,
}

impl AttentionHead<'_> {
    fn value(&self, token: usize) -> &[u32] {
        &self.qkv[token * self.stride + self.value..][..self.packed_len]
    }
}

impl PackedAttention {
    /// Creates attention. The products are computed in `precision`, except that int8 is replaced by
    /// [`Isa::bf16_or_f32`], because int8 is too coarse for attention.
    pub fn new(isa: &'static Isa, precision: Precision, shape: AttentionShape) -> PackedAttention {
        let precision = if precision == Precision::Int8 { isa.bf16_or_f32 } else { precision };
        PackedAttention { shape, format: PackFormat::new(isa, precision, ValueRange::Signed), isa }
    }

    /// Number of 32-bit words that one token's packed queries, keys and values take up, for all heads together.
    pub fn packed_len(&self) -> usize {
        (self.shape.heads + 2 * self.shape.kv_heads) * self.format.packed_len(self.shape.head_size)
    }

    /// Packs queries, keys and values: `qkv [tokens, width]` to `packed [tokens, packed_len]`, where `width` is the sum of
    /// [`AttentionShape::widths`].
    pub fn pack(&self, qkv: &[f32], packed: &mut [u32]) {
        // If the values of a head fill whole words, a row is packed at once instead of head by head, with the same
        // result.
        let head_size = self.shape.head_size;
        let fills_words = head_size == self.format.capacity(self.format.packed_len(head_size));
        let width = if fills_words { self.shape.widths().iter().sum() } else { head_size };
        self.format.pack(self.isa, qkv, width, packed);
    }

    /// Computes the attention within each text, from the packed `qkv [tokens, packed_len]` of all texts to `context`, with
    /// one row of `heads * head_size` values for each of `queries`. `texts` has the number of tokens of each text, and the
    /// number of them that are attended to, from the first on. The queries of a text are divided among the threads.
    pub fn attend_texts(
        &self,
        texts: impl Iterator<Item = (usize, usize)>,
        mut qkv: &[u32],
        queries: Queries,
        bias: Option<AddBias>,
        mut context: &mut [f32],
    ) {
        let (width, threads) = (self.shape.heads * self.shape.head_size, rayon::current_num_threads());
        let mut jobs = Vec::new();
        for (length, attended) in texts {
            let (text, later) = qkv.split_at(length * self.packed_len());
            qkv = later;
            let (count, block) = match queries {
                Queries::All => (length, length.div_ceil(threads)),
                Queries::First => (1, 1),
            };
            for first in (0..count).step_by(block.max(1)) {
                let queries = first..count.min(first + block);
                let (part, later) = std::mem::take(&mut context).split_at_mut(queries.len() * width);
                context = later;
                jobs.push((text, attended, queries, part));
            }
        }
        jobs.into_par_iter().for_each(|(text, attended, queries, context)| {
            BUFFER.with_borrow_mut(|buffer| self.attend(text, attended, queries, bias, context, buffer));
        });
    }

    /// Computes the attention of some queries of a text to the first `attended` tokens of the text. Reads the packed
    /// `qkv [tokens, packed_len]`, and writes `context [queries, heads * head_size]`. `queries` is the range of tokens
    /// whose queries are used.
    pub fn attend(
        &self,
        qkv: &[u32],
        attended: usize,
        queries: ops::Range<usize>,
        bias: Option<AddBias>,
        context: &mut [f32],
        buffer: &mut AttentionBuffer,
    ) {
        let AttentionShape { heads, kv_heads, head_size, .. } = self.shape;
        let packed_len = self.format.packed_len(head_size);
        let max_rows = self.isa.max_rows(self.format.precision);
        for kv_head in 0..kv_heads {
            let (key, value) = ((heads + kv_head) * packed_len, (heads + kv_heads + kv_head) * packed_len);
            let kv = AttentionHead { attended, qkv, stride: self.packed_len(), key, value, packed_len };
            self.pack_keys(&kv, &mut buffer.keys);
            self.pack_values(&kv, &mut buffer.values);
            let shared = heads / kv_heads;
            for head in kv_head * shared..(kv_head + 1) * shared {
                for first in queries.clone().step_by(max_rows) {
                    let tile = self.query_tile(head, first..queries.end.min(first + max_rows), attended);
                    let start = (first - queries.start) * heads * head_size + head * head_size;
                    if tile.keys.is_empty() {
                        let rows = context[start..].chunks_mut(heads * head_size).take(tile.queries.len());
                        rows.for_each(|row| row[..head_size].fill(0.0));
                        continue;
                    }
                    self.score(&kv, &tile, bias, buffer);
                    self.weighted_sums(&tile, attended, buffer, &mut context[start..]);
                }
            }
        }
    }

    /// The tile of these queries, with the keys that at least one of them attends to.
    fn query_tile(&self, head: usize, queries: ops::Range<usize>, attended: usize) -> QueryTile {
        let keys = self.shape.mask.keys(&queries, attended);
        let start = keys.start - keys.start % self.isa.width;
        QueryTile { head, queries, keys: start.min(attended)..keys.end.min(attended) }
    }

    /// Packs the keys into panels, shape `[panels, words of a key, width]`, with one token per column.
    fn pack_keys(&self, head: &AttentionHead, keys: &mut Vec<u32>) {
        let (lanes, tokens) = (self.isa.width, head.attended);
        let keys = grow(keys, tokens.next_multiple_of(lanes) * head.packed_len);
        for (block, panel) in keys.chunks_exact_mut(head.packed_len * lanes).enumerate() {
            let first = block * lanes;
            let rows = &head.qkv[first * head.stride + head.key..];
            self.isa.transpose(rows, head.stride, lanes.min(tokens - first), panel);
        }
    }

    /// Packs the values into panels, shape `[panels, words, width]`. A column holds one dimension of the head. A word
    /// holds the value of one token (f32) or of a pair of tokens (bf16).
    fn pack_values(&self, head: &AttentionHead, values: &mut Vec<u32>) {
        let lanes = self.isa.width;
        let values = grow(
            values,
            self.shape.head_size.next_multiple_of(lanes) * self.format.packed_len(head.attended),
        );
        self.isa.arch.dispatch(PackValues { head, attention: self, values });
    }

    /// Computes the scores of one tile of queries, and the softmax of the scores without its final division (see
    /// [`rows::softmax`]). Writes `buffer.scores [queries, padded keys]` and `buffer.inverse_sums [queries]`.
    fn score(
        &self,
        kv: &AttentionHead,
        tile: &QueryTile,
        bias: Option<AddBias>,
        buffer: &mut AttentionBuffer,
    ) {
        let lanes = self.isa.width;
        let (count, padded) = (tile.keys.len(), tile.keys.len().next_multiple_of(lanes));
        let AttentionBuffer { keys, scores, inverse_sums, .. } = buffer;
        let packed = &kv.qkv[tile.queries.start * kv.stride + tile.head * kv.packed_len..];
        let x = PackedRows { count: tile.queries.len(), packed, stride: kv.stride, scales: &[] };
        let scores = grow(scores, tile.queries.len() * padded);
        let inverse_sums = grow(inverse_sums, tile.queries.len());
        let panels = keys[tile.keys.start * kv.packed_len..].chunks_exact(kv.packed_len * lanes);
        for (block, panel) in panels.take(padded / lanes).enumerate() {
            self.multiply(x, panel, &mut scores[block * lanes..], padded);
        }
        let mut scale = self.shape.scale as f32;
        if let Some(bias) = bias {
            for (query, row) in tile.queries.clone().zip(scores.chunks_exact_mut(padded)) {
                row.iter_mut().for_each(|score| *score *= scale);
                bias(tile.head, query, &tile.keys, &mut row[..count]);
            }
            scale = 1.0;
        }
        let is_masked = self.shape.mask != AttentionMask::Full;
        if is_masked {
            self.fill_masked(tile, padded, scores, f32::NEG_INFINITY);
        }
        rows::softmax(self.isa, scores, padded, count, scale, inverse_sums);
        if is_masked {
            self.fill_masked(tile, padded, scores, 0.0);
            // A token whose window has no attended token gets no value at all.
            let rows = tile.queries.clone().zip(inverse_sums);
            rows.filter(|(query, _)| self.allowed(tile, *query).is_empty()).for_each(|(_, sum)| *sum = 0.0);
        }
        if bias.is_some() {
            scores.iter_mut().filter(|weight| **weight < MIN_WEIGHT).for_each(|weight| *weight = 0.0);
        }
    }

    /// Sets the scores `[queries, padded]` of the keys that a query does not attend to.
    fn fill_masked(&self, tile: &QueryTile, padded: usize, scores: &mut [f32], value: f32) {
        for (query, row) in tile.queries.clone().zip(scores.chunks_exact_mut(padded)) {
            let allowed = self.allowed(tile, query);
            row[..allowed.start].fill(value);
            row[allowed.end..tile.keys.len()].fill(value);
        }
    }

    /// The keys that a query attends to, counted from the first key of the tile.
    fn allowed(&self, tile: &QueryTile, query: usize) -> ops::Range<usize> {
        let keys = self.shape.mask.keys(&(query..query + 1), usize::MAX);
        let of_tile = |key: usize| key.clamp(tile.keys.start, tile.keys.end) - tile.keys.start;
        of_tile(keys.start)..of_tile(keys.end)
    }

    /// Writes the weighted sums of the values to the head's columns of `context`. The weights are the softmax that
    /// [`PackedAttention::score`] has computed.
    fn weighted_sums(
        &self,
        tile: &QueryTile,
        attended: usize,
        buffer: &mut AttentionBuffer,
        context: &mut [f32],
    ) {
        let (lanes, head_size, rows) = (self.isa.width, self.shape.head_size, tile.queries.len());
        let padded = tile.keys.len().next_multiple_of(lanes);
        let AttentionBuffer { values, scores, inverse_sums, out, weights, .. } = buffer;
        let layout = RowLayout { count: rows, stride: padded, width: tile.keys.len() };
        let weights = weights.pack(self.isa, self.format, scores, layout);
        let out = grow(out, rows * lanes);
        let panel_len = self.format.packed_len(attended) * lanes;
        let words = self.format.packed_len(tile.keys.start)..self.format.packed_len(tile.keys.end);
        let values = &values[..head_size.div_ceil(lanes) * panel_len];
        for (block, panel) in values.chunks_exact(panel_len).enumerate() {
            let columns = block * lanes..head_size.min((block + 1) * lanes);
            self.multiply(weights, &panel[words.start * lanes..words.end * lanes], out, lanes);
            let rows = context.chunks_mut(self.shape.heads * head_size).zip(out.chunks_exact(lanes));
            for ((context, out), inverse_sum) in rows.zip(&*inverse_sums) {
                let context = context[columns.clone()].iter_mut();
                context.zip(out).for_each(|(context, value)| *context = value * inverse_sum);
            }
        }
    }

    fn multiply(&self, x: PackedRows, panel: &[u32], out: &mut [f32], out_stride: usize) {
        let bias = &ZEROS[..self.isa.width];
        let tile = Tile { x: x.packed, stride: x.stride, panel, bias, out, out_stride };
        match self.format.precision {
            Precision::F32 => self.isa.f32(x.count, tile),
            Precision::Bf16 | Precision::Int8 => self.isa.bf16(x.count, tile),
        }
    }
}

/// The loop of [`PackedAttention::pack_values`].
struct PackValues<'a> {
    head: &'a AttentionHead<'a>,
    attention: &'a PackedAttention,
    values: &'a mut [u32],
}

impl WithSimd for PackValues<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let PackValues { head, attention: PackedAttention { shape, format, isa }, values } = self;
        let (lanes, tokens, head_size) = (isa.width, head.attended, shape.head_size);
        for (block, panel) in values.chunks_exact_mut(format.packed_len(tokens) * lanes).enumerate() {
            let columns = block * lanes..head_size.min((block + 1) * lanes);
            for (word, panel) in panel.chunks_exact_mut(lanes).enumerate() {
                if format.precision == Precision::F32 {
                    panel[..columns.len()].copy_from_slice(&head.value(word)[columns.clone()]);
                    continue;
                }
                let halves = |token| &bytemuck::cast_slice::<u32, u16>(head.value(token))[columns.clone()];
                let panel = &mut panel[..columns.len()];
                let next = (2 * word + 1 < tokens).then(|| halves(2 * word + 1));
                pack_pairs(halves(2 * word), next.unwrap_or(&ZERO_HALVES[..columns.len()]), panel);
            }
        }
    }
}

/// Joins 16-bit values in pairs: each word gets one value of `low` in its lower half, and one value of `high` in its
/// upper half. The main loop runs over arrays of fixed length, so that the compiler vectorises it.
#[inline(always)]
fn pack_pairs(low: &[u16], high: &[u16], packed: &mut [u32]) {
    const LANES: usize = 16;
    let (packed, packed_rest) = packed.as_chunks_mut::<LANES>();
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<LANES>(), high.as_chunks::<LANES>());
    let word = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    for ((packed, low), high) in packed.iter_mut().zip(low).zip(high) {
        let mut chunk = [0; LANES];
        for ((to, low), high) in chunk.iter_mut().zip(low).zip(high) {
            *to = word(*low, *high);
        }
        *packed = chunk;
    }
    for ((to, low), high) in packed_rest.iter_mut().zip(low_rest).zip(high_rest) {
        *to = word(*low, *high);
    }
}
