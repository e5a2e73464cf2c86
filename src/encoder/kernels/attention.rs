//! Scaled dot-product attention (Vaswani et al., section 3.2) of one text, without padding.
//!
//! Its own file because its two products have factors that change with every text: keys and values are
//! packed into panels per head, and the scores of one tile of queries are all that is held of the square.

use super::level::{Level, Tile};
use super::rows;
use super::words::{bf16, pack_bf16, words};
use crate::model::Precision;
use std::ops::Range;

/// How attention is shaped and computed.
pub struct Attention {
    /// Heads.
    pub heads: usize,
    /// Values a token, of all heads.
    pub width: usize,
    /// Of both products; for bytes they are too coarse, and bf16 is used.
    pub precision: Precision,
    /// The instructions to use.
    pub level: &'static Level,
}

/// Room for one head's panels and one tile's scores, used again and again.
#[derive(Default)]
pub struct AttentionBuffer {
    keys: Vec<u32>,
    values: Vec<u32>,
    queries: Vec<u32>,
    scores: Vec<f32>,
    weights: Vec<u32>,
    out: Vec<f32>,
}

/// One head of one text.
struct Head<'a> {
    /// `[tokens, 3 * width]`.
    qkv: &'a [f32],
    tokens: usize,
    index: usize,
    /// Values a token.
    size: usize,
    width: usize,
}

impl Head<'_> {
    fn query(&self, token: usize) -> &[f32] {
        self.part(token, 0)
    }

    fn key(&self, token: usize) -> &[f32] {
        self.part(token, 1)
    }

    fn value(&self, token: usize) -> &[f32] {
        self.part(token, 2)
    }

    fn part(&self, token: usize, part: usize) -> &[f32] {
        let start = (3 * token + part) * self.width + self.index * self.size;
        &self.qkv[start..start + self.size]
    }
}

impl Attention {
    /// Attends from `queries` to every token of a text: `qkv [tokens, 3 * width]` to `context
    /// [queries, width]`.
    pub fn attend(
        &self,
        qkv: &[f32],
        queries: Range<usize>,
        context: &mut [f32],
        buffer: &mut AttentionBuffer,
    ) {
        let (tokens, size) = (qkv.len() / (3 * self.width), self.width / self.heads);
        for index in 0..self.heads {
            let head = Head { qkv, tokens, index, size, width: self.width };
            self.pack_keys(&head, &mut buffer.keys);
            self.pack_values(&head, &mut buffer.values);
            for first in queries.clone().step_by(self.level.rows()) {
                let last = queries.end.min(first + self.level.rows());
                let start = (first - queries.start) * self.width + index * size;
                self.score(&head, first..last, buffer);
                self.weigh(&head, last - first, buffer, &mut context[start..]);
            }
        }
    }

    /// A panel has the keys of as many tokens as it has columns.
    fn pack_keys(&self, head: &Head, keys: &mut Vec<u32>) {
        let (lanes, words) = (self.level.width, self.words(head.size));
        keys.clear();
        keys.resize(head.tokens.div_ceil(lanes) * words * lanes, 0);
        let mut packed = vec![0; words];
        for token in 0..head.tokens {
            self.pack(head.key(token), &mut packed);
            let panel = &mut keys[token / lanes * words * lanes..][..words * lanes];
            for (columns, word) in panel.chunks_exact_mut(lanes).zip(&packed) {
                columns[token % lanes] = *word;
            }
        }
    }

    /// A panel has as many of the head's values as it has columns, a word for each token or pair of tokens.
    fn pack_values(&self, head: &Head, values: &mut Vec<u32>) {
        let (lanes, words) = (self.level.width, self.words(head.tokens));
        values.clear();
        values.resize(head.size.div_ceil(lanes) * words * lanes, 0);
        for (block, panel) in values.chunks_exact_mut(words * lanes).enumerate() {
            let part = block * lanes..head.size.min((block + 1) * lanes);
            for (token, columns) in panel.chunks_exact_mut(lanes).enumerate() {
                let low = &head.value(token)[part.clone()];
                match self.precision {
                    Precision::F32 => columns[..low.len()].copy_from_slice(bytemuck::cast_slice(low)),
                    Precision::Bf16 | Precision::Int8 => {
                        columns.iter_mut().zip(low).for_each(|(word, low)| *word = bf16(*low) >> 16);
                        if token + words < head.tokens {
                            let high = &head.value(token + words)[part.clone()];
                            columns.iter_mut().zip(high).for_each(|(word, high)| *word |= bf16(*high));
                        }
                    }
                }
            }
        }
    }

    /// Softmax of one tile's scaled scores: `[queries, padded tokens]`.
    fn score(&self, head: &Head, queries: Range<usize>, buffer: &mut AttentionBuffer) {
        let (lanes, words) = (self.level.width, self.words(head.size));
        let padded = head.tokens.next_multiple_of(lanes);
        buffer.queries.resize(queries.len() * words, 0);
        for (token, packed) in queries.clone().zip(buffer.queries.chunks_exact_mut(words)) {
            self.pack(head.query(token), packed);
        }
        buffer.scores.resize(queries.len() * padded, 0.0);
        for (block, panel) in buffer.keys.chunks_exact(words * lanes).enumerate() {
            let out = &mut buffer.scores[block * lanes..];
            let tile = Tile { x: &buffer.queries, stride: words, panel, out, out_stride: padded };
            self.multiply(queries.len(), tile);
        }
        let scale = 1.0 / (head.size as f32).sqrt();
        rows::softmax(self.level, &mut buffer.scores, padded, head.tokens, scale);
    }

    /// Sums the values by those weights, into the head's columns of `context`.
    fn weigh(&self, head: &Head, rows: usize, buffer: &mut AttentionBuffer, context: &mut [f32]) {
        let (lanes, words) = (self.level.width, self.words(head.tokens));
        let padded = head.tokens.next_multiple_of(lanes);
        let (x, stride): (&[u32], usize) = match self.precision {
            Precision::F32 => (bytemuck::cast_slice(&buffer.scores), padded),
            Precision::Bf16 | Precision::Int8 => {
                buffer.weights.resize(rows * words, 0);
                for (scores, packed) in
                    buffer.scores.chunks_exact(padded).zip(buffer.weights.chunks_exact_mut(words))
                {
                    self.pack(&scores[..head.tokens], packed);
                }
                (&buffer.weights, words)
            }
        };
        for (block, panel) in buffer.values.chunks_exact(words * lanes).enumerate() {
            let columns = block * lanes..head.size.min((block + 1) * lanes);
            if columns.len() == lanes {
                let out = &mut context[columns.start..];
                self.multiply(rows, Tile { x, stride, panel, out, out_stride: self.width });
                continue;
            }
            buffer.out.resize(rows * lanes, 0.0);
            self.multiply(rows, Tile { x, stride, panel, out: &mut buffer.out, out_stride: lanes });
            for (context, out) in
                context.chunks_mut(self.width).zip(buffer.out.chunks_exact(lanes)).take(rows)
            {
                context[columns.clone()].copy_from_slice(&out[..columns.len()]);
            }
        }
    }

    fn words(&self, width: usize) -> usize {
        match self.precision {
            Precision::F32 => words(Precision::F32, width),
            Precision::Bf16 | Precision::Int8 => words(Precision::Bf16, width),
        }
    }

    fn multiply(&self, rows: usize, tile: Tile) {
        match self.precision {
            Precision::F32 => self.level.f32(rows, tile),
            Precision::Bf16 | Precision::Int8 => self.level.bf16(rows, tile),
        }
    }

    fn pack(&self, row: &[f32], words: &mut [u32]) {
        match self.precision {
            Precision::F32 => words.copy_from_slice(bytemuck::cast_slice(row)),
            Precision::Bf16 | Precision::Int8 => pack_bf16(row, words),
        }
    }
}
