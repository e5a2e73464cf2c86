//! Rows of numbers → rows of the 32-bit words that the micro-kernels read.
//!
//! Its own file because weights and activations must agree on it. Two bf16 values share a word, or four
//! bytes; which ones is free to choose, so neighbours in a word stand half or a quarter of the row apart,
//! and packing needs no shuffles.

use super::level::{GROUP_WORDS, Level};
use super::rows::{ROUND, fold_lanes};
use crate::model::Precision;
use pulp::{Simd, WithSimd};

/// Values that share a scale, in bytes.
const GROUP: usize = 4 * GROUP_WORDS;

/// Below the lowest value of every activation that is used: GELU's is -0.16997, its tanh form's -0.17004.
pub const ACTIVATED_LOW: f32 = -0.1701;

/// What values a row may have; only bytes ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Any: a byte of 128 stands for 0.
    Signed,
    /// An activation's: a byte of 0 stands for [`ACTIVATED_LOW`], so that no byte is spent below it.
    Activated,
}

/// Rows of words.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// `[rows, stride]`.
    pub words: &'a [u32],
    /// Words a row.
    pub stride: usize,
    /// `[rows, groups]`, of bytes: what 1 is worth.
    pub scales: &'a [f32],
}

/// Words a row of `width` values takes.
pub fn words(precision: Precision, width: usize) -> usize {
    match precision {
        Precision::F32 => width,
        Precision::Bf16 => width.div_ceil(2),
        Precision::Int8 => width / GROUP * GROUP_WORDS + (width % GROUP).div_ceil(4),
    }
}

/// Scales a row of `width` values takes.
pub fn groups(width: usize) -> usize {
    width.div_ceil(GROUP)
}

/// The values of a row that group `group` has.
pub fn group(row: &[f32], group: usize) -> &[f32] {
    &row[group * GROUP..row.len().min((group + 1) * GROUP)]
}

/// Room for packed rows, used again and again.
#[derive(Default)]
pub struct WordBuffer {
    words: Vec<u32>,
    scales: Vec<f32>,
}

impl WordBuffer {
    /// Packs rows of `width` values.
    pub fn pack<'a>(
        &'a mut self,
        level: &Level,
        precision: Precision,
        range: Range,
        x: &'a [f32],
        width: usize,
    ) -> Rows<'a> {
        let stride = words(precision, width);
        let rows = x.len() / width;
        match precision {
            Precision::F32 => return Rows { words: bytemuck::cast_slice(x), stride, scales: &[] },
            Precision::Bf16 => {
                self.words.resize(rows * stride, 0);
                level.arch.dispatch(PackBf16 { x, width, words: &mut self.words });
            }
            Precision::Int8 => {
                self.words.resize(rows * stride, 0);
                self.scales.resize(rows * groups(width), 0.0);
                level.arch.dispatch(PackInt8 {
                    x,
                    width,
                    range,
                    words: &mut self.words,
                    scales: &mut self.scales,
                });
            }
        }
        Rows { words: &self.words, stride, scales: &self.scales }
    }
}

/// A value's upper half, rounded to nearest, ties to even, where it stands in an f32.
#[inline(always)]
pub fn bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000
}

/// Packs one row of pairs.
#[inline(always)]
pub fn pack_bf16(row: &[f32], words: &mut [u32]) {
    let (low, high) = row.split_at(row.len().div_ceil(2));
    for ((word, low), high) in words.iter_mut().zip(low).zip(high) {
        *word = bf16(*low) >> 16 | bf16(*high);
    }
    if low.len() > high.len() {
        words[low.len() - 1] = bf16(low[low.len() - 1]) >> 16;
    }
}

struct PackBf16<'a> {
    x: &'a [f32],
    width: usize,
    words: &'a mut [u32],
}

impl WithSimd for PackBf16<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let stride = self.width.div_ceil(2);
        for (row, words) in self.x.chunks_exact(self.width).zip(self.words.chunks_exact_mut(stride)) {
            pack_bf16(row, words);
        }
    }
}

struct PackInt8<'a> {
    x: &'a [f32],
    width: usize,
    range: Range,
    words: &'a mut [u32],
    scales: &'a mut [f32],
}

impl WithSimd for PackInt8<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let stride = words(Precision::Int8, self.width);
        let rows = self.x.chunks_exact(self.width).zip(self.words.chunks_exact_mut(stride));
        for ((row, words), scales) in rows.zip(self.scales.chunks_exact_mut(groups(self.width))) {
            for ((values, words), scale) in row.chunks(GROUP).zip(words.chunks_mut(GROUP_WORDS)).zip(scales) {
                *scale = match self.range {
                    Range::Signed => pack_signed(values, words),
                    Range::Activated => pack_activated(values, words),
                };
            }
        }
    }
}

#[inline(always)]
fn pack_signed(values: &[f32], words: &mut [u32]) -> f32 {
    let largest =
        fold_lanes(values, 0.0, |largest, value| if value.abs() > largest { value.abs() } else { largest });
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    pack_bytes(values, words, |value| value * inverse + (ROUND + 128.0));
    largest / 127.0
}

#[inline(always)]
fn pack_activated(values: &[f32], words: &mut [u32]) -> f32 {
    let largest =
        fold_lanes(values, ACTIVATED_LOW, |largest, value| if value > largest { value } else { largest });
    let span = largest - ACTIVATED_LOW;
    let inverse = if span > 0.0 { 255.0 / span } else { 0.0 };
    pack_bytes(values, words, |value| (value - ACTIVATED_LOW) * inverse + ROUND);
    span / 255.0
}

/// Packs one group; `shifted` leaves a whole number in the low bits of its result.
#[inline(always)]
fn pack_bytes(values: &[f32], words: &mut [u32], shifted: impl Fn(f32) -> f32) {
    let byte = |value: f32| shifted(value).to_bits() & 0xff;
    let quarter = words.len();
    if values.len() == 4 * quarter {
        let (left, right) = values.split_at(2 * quarter);
        let ((a, b), (c, d)) = (left.split_at(quarter), right.split_at(quarter));
        for ((((word, a), b), c), d) in words.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *word = byte(*a) | byte(*b) << 8 | byte(*c) << 16 | byte(*d) << 24;
        }
    } else {
        // A row's short last group: what is missing meets weights of 0.
        words.fill(0);
        for (place, value) in values.iter().enumerate() {
            words[place % quarter] |= byte(*value) << (8 * (place / quarter));
        }
    }
}
