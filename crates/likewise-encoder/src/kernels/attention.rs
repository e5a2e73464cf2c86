//! Computes scaled dot-product attention (Vaswani et al., section 3.2) with the micro-kernels, for one text at a time,
//! without padding.
//!
//! Attention consists of two matrix products: queries by keys, and weights by values. Unlike in a linear layer, both
//! factors of each product change with every text. The keys and values of each head are therefore packed into panels
//! for each text. Only the scores of one tile of queries are held in memory, not the scores of all pairs of tokens.

use super::grow;
use super::isa::Isa;
use super::packed::{PackBuffer, PackFormat, PackedRows, RowLayout, ValueRange};
use super::rows;
use super::tile::Tile;
use crate::model::Precision;
use pulp::{Simd, WithSimd};
use std::ops;

/// The bias of the two products, which is zero. The array is at least as long as a panel is wide.
const ZEROS: [f32; 64] = [0.0; 64];

/// Zeros that are paired with the values of the last token if the number of tokens is odd.
const ZERO_HALVES: [u16; 64] = [0; 64];

/// Multi-head attention with as many key-value heads as query heads.
pub struct PackedAttention {
    heads: usize,
    /// Number of values of one head per token.
    head_size: usize,
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

/// The packed queries, keys and values of one head and one text.
struct AttentionHead<'a> {
    /// Number of tokens whose keys and values are used, from the first on.
    attended: usize,
    /// `[tokens, stride]`: the packed queries, keys and values of all heads.
    qkv: &'a [u32],
    /// Number of words of `qkv` from the start of one token's data to the start of the next token's data.
    stride: usize,
    /// Offsets of the first token's query, key and value.
    starts: [usize; 3],
    /// Number of words of one packed query, key or value.
    packed_len: usize,
}

impl AttentionHead<'_> {
    fn value(&self, token: usize) -> &[u32] {
        &self.qkv[token * self.stride + self.starts[2]..][..self.packed_len]
    }
}

impl PackedAttention {
    /// Creates attention with `heads` heads. `width` is the number of values per token of all heads together. The
    /// products are computed in `precision`, except that int8 is replaced by [`Isa::bf16_or_f32`], because int8 is too
    /// coarse for attention.
    pub fn new(isa: &'static Isa, precision: Precision, heads: usize, width: usize) -> PackedAttention {
        let precision = if precision == Precision::Int8 { isa.bf16_or_f32 } else { precision };
        let format = PackFormat::new(isa, precision, ValueRange::Signed);
        PackedAttention { heads, head_size: width / heads, format, isa }
    }

    /// Number of 32-bit words that one token's packed queries, keys and values take up, for all heads together.
    pub fn packed_len(&self) -> usize {
        3 * self.heads * self.format.packed_len(self.head_size)
    }

    /// Packs queries, keys and values: `qkv [tokens, 3 * width]` to `packed [tokens, packed_len]`.
    pub fn pack(&self, qkv: &[f32], packed: &mut [u32]) {
        // If the values of a head fill whole words, a row is packed at once instead of head by head, with the same
        // result.
        let fills_words = self.head_size == self.format.capacity(self.format.packed_len(self.head_size));
        let width = if fills_words { 3 * self.heads * self.head_size } else { self.head_size };
        self.format.pack(self.isa, qkv, width, packed);
    }

    /// Computes the attention of some queries of a text to the first `attended` tokens of the text. Reads the packed
    /// `qkv [tokens, packed_len]`, and writes `context [queries, width]`. `queries` is the range of tokens whose
    /// queries are used.
    pub fn attend(
        &self,
        qkv: &[u32],
        attended: usize,
        queries: ops::Range<usize>,
        context: &mut [f32],
        buffer: &mut AttentionBuffer,
    ) {
        let (packed_len, width) = (self.format.packed_len(self.head_size), self.heads * self.head_size);
        for index in 0..self.heads {
            let starts = [0, 1, 2].map(|part| (part * self.heads + index) * packed_len);
            let head = AttentionHead { attended, qkv, stride: self.packed_len(), starts, packed_len };
            self.pack_keys(&head, &mut buffer.keys);
            self.pack_values(&head, &mut buffer.values);
            let max_rows = self.isa.max_rows(self.format.precision);
            for first in queries.clone().step_by(max_rows) {
                let last = queries.end.min(first + max_rows);
                let start = (first - queries.start) * width + index * self.head_size;
                self.score(&head, first..last, buffer);
                self.weighted_sums(&head, last - first, buffer, &mut context[start..]);
            }
        }
    }

    /// Packs the keys into panels, shape `[panels, words of a key, width]`, with one token per column.
    fn pack_keys(&self, head: &AttentionHead, keys: &mut Vec<u32>) {
        let (lanes, tokens) = (self.isa.width, head.attended);
        let keys = grow(keys, tokens.next_multiple_of(lanes) * head.packed_len);
        for (block, panel) in keys.chunks_exact_mut(head.packed_len * lanes).enumerate() {
            let first = block * lanes;
            let rows = &head.qkv[first * head.stride + head.starts[1]..];
            self.isa.transpose(rows, head.stride, lanes.min(tokens - first), panel);
        }
    }

    /// Packs the values into panels, shape `[panels, words, width]`. A column holds one dimension of the head. A word
    /// holds the value of one token (f32) or of a pair of tokens (bf16).
    fn pack_values(&self, head: &AttentionHead, values: &mut Vec<u32>) {
        let lanes = self.isa.width;
        let values =
            grow(values, self.head_size.next_multiple_of(lanes) * self.format.packed_len(head.attended));
        self.isa.arch.dispatch(PackValues { head, attention: self, values });
    }

    /// Computes the scores of one tile of queries, and the softmax of the scores without its final division (see
    /// [`rows::softmax`]). Writes `buffer.scores [queries, padded tokens]` and `buffer.inverse_sums [queries]`.
    fn score(&self, head: &AttentionHead, queries: ops::Range<usize>, buffer: &mut AttentionBuffer) {
        let (lanes, tokens) = (self.isa.width, head.attended);
        let padded = tokens.next_multiple_of(lanes);
        let AttentionBuffer { keys, scores, inverse_sums, .. } = buffer;
        let packed = &head.qkv[queries.start * head.stride + head.starts[0]..];
        let x = PackedRows { count: queries.len(), packed, stride: head.stride, scales: &[] };
        let scores = grow(scores, queries.len() * padded);
        let inverse_sums = grow(inverse_sums, queries.len());
        let keys = &keys[..padded * head.packed_len];
        for (block, panel) in keys.chunks_exact(head.packed_len * lanes).enumerate() {
            self.multiply(x, panel, &mut scores[block * lanes..], padded);
        }
        let scale = 1.0 / (self.head_size as f32).sqrt();
        rows::softmax(self.isa, scores, padded, tokens, scale, inverse_sums);
    }

    /// Writes the weighted sums of the values to the head's columns of `context`. The weights are the softmax that
    /// [`PackedAttention::score`] has computed.
    fn weighted_sums(
        &self,
        head: &AttentionHead,
        rows: usize,
        buffer: &mut AttentionBuffer,
        context: &mut [f32],
    ) {
        let (lanes, tokens) = (self.isa.width, head.attended);
        let padded = tokens.next_multiple_of(lanes);
        let AttentionBuffer { values, scores, inverse_sums, out, weights, .. } = buffer;
        let layout = RowLayout { count: rows, stride: padded, width: tokens };
        let weights = weights.pack(self.isa, self.format, scores, layout);
        let out = grow(out, rows * lanes);
        let values = &values[..self.head_size.next_multiple_of(lanes) * self.format.packed_len(tokens)];
        for (block, panel) in values.chunks_exact(self.format.packed_len(tokens) * lanes).enumerate() {
            let columns = block * lanes..self.head_size.min((block + 1) * lanes);
            self.multiply(weights, panel, out, lanes);
            let rows = context.chunks_mut(self.heads * self.head_size).zip(out.chunks_exact(lanes));
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
        let PackValues { head, attention: PackedAttention { head_size, format, isa, .. }, values } = self;
        let (lanes, tokens) = (isa.width, head.attended);
        for (block, panel) in values.chunks_exact_mut(format.packed_len(tokens) * lanes).enumerate() {
            let columns = block * lanes..(*head_size).min((block + 1) * lanes);
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
