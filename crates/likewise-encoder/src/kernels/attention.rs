//! Scaled dot-product attention (Vaswani et al., section 3.2) of one text, without padding.
//!
//! Its own file because its two products have factors that change with every text: keys and values are
//! packed into panels per head, and the scores of one tile of queries are all that is held of the square.

use super::level::Level;
use super::room;
use super::rows;
use super::tile::Tile;
use super::words::{Form, Range, Rows, WordBuffer};
use crate::model::Precision;
use pulp::{Simd, WithSimd};
use std::ops;

/// What the sums of products start from.
const ZEROS: [f32; 64] = [0.0; 64];

/// What stands in for a token that is not there.
const ZERO_HALVES: [u16; 64] = [0; 64];

/// How attention is shaped and computed.
pub struct Attention {
    heads: usize,
    /// Values a token, of one head.
    size: usize,
    form: Form,
    level: &'static Level,
}

/// Room for one head's panels and one tile's scores, used again and again.
#[derive(Default)]
pub struct AttentionBuffer {
    keys: Vec<u32>,
    values: Vec<u32>,
    scores: Vec<f32>,
    shares: Vec<f32>,
    out: Vec<f32>,
    words: WordBuffer,
}

/// One head of one text.
struct Head<'a> {
    /// `[tokens, stride]`.
    qkv: &'a [u32],
    /// Words from one token to the next.
    stride: usize,
    /// Where the first token's query, key and value start.
    starts: [usize; 3],
    /// Words of each.
    words: usize,
}

impl Head<'_> {
    fn tokens(&self) -> usize {
        self.qkv.len() / self.stride
    }

    fn key(&self, token: usize) -> &[u32] {
        &self.qkv[token * self.stride + self.starts[1]..][..self.words]
    }

    fn value(&self, token: usize) -> &[u32] {
        &self.qkv[token * self.stride + self.starts[2]..][..self.words]
    }
}

impl Attention {
    /// Of `heads` heads, over `width` values a token, of all heads together. Both products are computed in
    /// `precision`; for bytes they are too coarse, and bf16 is used.
    pub fn new(level: &'static Level, precision: Precision, heads: usize, width: usize) -> Attention {
        let precision = if precision == Precision::Int8 { Precision::Bf16 } else { precision };
        Attention { heads, size: width / heads, form: Form { precision, range: Range::Signed }, level }
    }

    /// Words that a token's query, key and value take, of all heads.
    pub fn words(&self) -> usize {
        3 * self.heads * self.form.words(self.size)
    }

    /// Packs queries, keys and values, `[tokens, 3 * width]` to `[tokens, words]`.
    pub fn pack(&self, qkv: &[f32], words: &mut [u32]) {
        // Heads of whole words stand in a row as they would one by one.
        let whole = self.size == self.form.values(self.form.words(self.size));
        let size = if whole { 3 * self.heads * self.size } else { self.size };
        self.form.pack(self.level, qkv, size, words);
    }

    /// Attends from `queries` to every token of a text: `qkv [tokens, words]`, packed, to `context
    /// [queries, width]`.
    pub fn attend(
        &self,
        qkv: &[u32],
        queries: ops::Range<usize>,
        context: &mut [f32],
        buffer: &mut AttentionBuffer,
    ) {
        let (words, width) = (self.form.words(self.size), self.heads * self.size);
        for index in 0..self.heads {
            let starts = [0, 1, 2].map(|part| (part * self.heads + index) * words);
            let head = Head { qkv, stride: self.words(), starts, words };
            self.pack_keys(&head, &mut buffer.keys);
            self.pack_values(&head, &mut buffer.values);
            for first in queries.clone().step_by(self.level.rows()) {
                let last = queries.end.min(first + self.level.rows());
                let start = (first - queries.start) * width + index * self.size;
                self.score(&head, first..last, buffer);
                self.weigh(&head, last - first, buffer, &mut context[start..]);
            }
        }
    }

    /// A panel has the keys of as many tokens as it has columns.
    fn pack_keys(&self, head: &Head, keys: &mut Vec<u32>) {
        let (lanes, tokens) = (self.level.width, head.tokens());
        let keys = room(keys, tokens.next_multiple_of(lanes) * head.words);
        for (block, panel) in keys.chunks_exact_mut(head.words * lanes).enumerate() {
            for lane in 0..lanes.min(tokens - block * lanes) {
                let key = head.key(block * lanes + lane);
                panel.iter_mut().skip(lane).step_by(lanes).zip(key).for_each(|(word, key)| *word = *key);
            }
        }
    }

    /// A panel has as many of the head's values as it has columns, a word for each token or pair of tokens.
    fn pack_values(&self, head: &Head, values: &mut Vec<u32>) {
        let lanes = self.level.width;
        let values = room(values, self.size.next_multiple_of(lanes) * self.form.words(head.tokens()));
        self.level.arch.dispatch(PackValues { head, attention: self, values });
    }

    /// Softmax of one tile's scaled scores, without its division: `[queries, padded tokens]`, and what each
    /// row is to be multiplied by.
    fn score(&self, head: &Head, queries: ops::Range<usize>, buffer: &mut AttentionBuffer) {
        let (lanes, tokens) = (self.level.width, head.tokens());
        let padded = tokens.next_multiple_of(lanes);
        let AttentionBuffer { keys, scores, shares, .. } = buffer;
        let words = &head.qkv[queries.start * head.stride + head.starts[0]..];
        let x = Rows { count: queries.len(), words, stride: head.stride, scales: &[] };
        let scores = room(scores, queries.len() * padded);
        let shares = room(shares, queries.len());
        let keys = &keys[..padded * head.words];
        for (block, panel) in keys.chunks_exact(head.words * lanes).enumerate() {
            self.multiply(x, panel, &mut scores[block * lanes..], padded);
        }
        let scale = 1.0 / (self.size as f32).sqrt();
        rows::softmax(self.level, scores, (padded, tokens), scale, shares);
    }

    /// Sums the values by those weights, into the head's columns of `context`.
    fn weigh(&self, head: &Head, rows: usize, buffer: &mut AttentionBuffer, context: &mut [f32]) {
        let (lanes, tokens) = (self.level.width, head.tokens());
        let padded = tokens.next_multiple_of(lanes);
        let AttentionBuffer { values, scores, shares, out, words, .. } = buffer;
        let weights = words.pack(self.level, self.form, scores, (rows, padded, tokens));
        let out = room(out, rows * lanes);
        let values = &values[..self.size.next_multiple_of(lanes) * self.form.words(tokens)];
        for (block, panel) in values.chunks_exact(self.form.words(tokens) * lanes).enumerate() {
            let columns = block * lanes..self.size.min((block + 1) * lanes);
            self.multiply(weights, panel, out, lanes);
            let rows = context.chunks_mut(self.heads * self.size).zip(out.chunks_exact(lanes));
            for ((context, out), share) in rows.zip(&*shares) {
                let context = context[columns.clone()].iter_mut();
                context.zip(out).for_each(|(context, value)| *context = value * share);
            }
        }
    }

    fn multiply(&self, x: Rows, panel: &[u32], out: &mut [f32], out_stride: usize) {
        let bias = &ZEROS[..self.level.width];
        let tile = Tile { x: x.words, stride: x.stride, panel, bias, out, out_stride };
        match self.form.precision {
            Precision::F32 => self.level.f32(x.count, tile),
            Precision::Bf16 | Precision::Int8 => self.level.bf16(x.count, tile),
        }
    }
}

/// Puts a head's values side by side as [`Form`] packs the weights of the tokens.
struct PackValues<'a> {
    head: &'a Head<'a>,
    attention: &'a Attention,
    values: &'a mut [u32],
}

impl WithSimd for PackValues<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let PackValues { head, attention: Attention { size, form, level, .. }, values } = self;
        let (lanes, tokens) = (level.width, head.tokens());
        for (block, panel) in values.chunks_exact_mut(form.words(tokens) * lanes).enumerate() {
            let columns = block * lanes..(*size).min((block + 1) * lanes);
            for (word, panel) in panel.chunks_exact_mut(lanes).enumerate() {
                if form.precision == Precision::F32 {
                    panel[..columns.len()].copy_from_slice(&head.value(word)[columns.clone()]);
                    continue;
                }
                let halves = |token| &bytemuck::cast_slice::<u32, u16>(head.value(token))[columns.clone()];
                let panel = &mut panel[..columns.len()];
                let partner = (2 * word + 1 < tokens).then(|| halves(2 * word + 1));
                interleave(halves(2 * word), partner.unwrap_or(&ZERO_HALVES[..columns.len()]), panel);
            }
        }
    }
}

/// Pairs in words. The loop is over whole registers of words, in which the compiler knows every place.
#[inline(always)]
fn interleave(low: &[u16], high: &[u16], words: &mut [u32]) {
    const LANES: usize = 16;
    let (words, words_rest) = words.as_chunks_mut::<LANES>();
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<LANES>(), high.as_chunks::<LANES>());
    let word = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    for ((words, low), high) in words.iter_mut().zip(low).zip(high) {
        let mut chunk = [0; LANES];
        for ((to, low), high) in chunk.iter_mut().zip(low).zip(high) {
            *to = word(*low, *high);
        }
        *words = chunk;
    }
    for ((to, low), high) in words_rest.iter_mut().zip(low_rest).zip(high_rest) {
        *to = word(*low, *high);
    }
}
