//! Rows of numbers → rows of the 32-bit words that the micro-kernels read.
//!
//! Its own file because weights and activations must agree on it. Two bf16 values share a word, or four
//! bytes, in their order. A row is cut into groups of 128 values, each packed for itself, so that a row can
//! be packed as its groups come.

use super::functions::{Function, Identity, ROUND};
use super::level::Level;
use super::room;
use super::rows::{apply, largest, largest_size};
use super::tile::{GROUP_WORDS, Steps};
use crate::model::Precision;
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// Values of a group; bytes of a group share a scale.
pub const GROUP: usize = 4 * GROUP_WORDS;

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

/// How values become words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// How many bits of a value are kept.
    pub precision: Precision,
    /// What the values may be.
    pub range: Range,
}

impl Form {
    /// Words that a row of `width` values takes.
    pub fn words(self, width: usize) -> usize {
        width / GROUP * self.group_words(GROUP) + self.group_words(width % GROUP)
    }

    /// Values that so many words hold.
    pub fn values(self, words: usize) -> usize {
        match self.precision {
            Precision::F32 => words,
            Precision::Bf16 => 2 * words,
            Precision::Int8 => 4 * words,
        }
    }

    /// Packs rows of `width` values; not for bytes, which need room for their scales.
    pub fn pack(self, level: &Level, x: &[f32], width: usize, words: &mut [u32]) {
        let rows = (x.len() / width, width, width);
        let function = PhantomData::<Identity>;
        let word_stride = self.words(width);
        level.arch.dispatch(Pack {
            level,
            form: self,
            function,
            x,
            rows,
            words,
            word_stride,
            scales: &mut [],
            scale_stride: 0,
        });
    }

    /// Words that one group takes; only a row's last may have fewer than [`GROUP`] values.
    pub fn group_words(self, values: usize) -> usize {
        match self.precision {
            Precision::F32 => values,
            Precision::Bf16 => values.div_ceil(2),
            Precision::Int8 => values.div_ceil(4),
        }
    }
}

/// Groups that a row of `width` values has.
pub fn groups(width: usize) -> usize {
    width.div_ceil(GROUP)
}

/// Rows of words.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// How many.
    pub count: usize,
    /// `[rows, stride]`; the last row may end early.
    pub words: &'a [u32],
    /// Words from one row to the next.
    pub stride: usize,
    /// `[rows, groups]`, of bytes: what 1 is worth.
    pub scales: &'a [f32],
}

/// Room for packed rows, used again and again.
#[derive(Default)]
pub struct WordBuffer {
    words: Vec<u32>,
    scales: Vec<f32>,
}

impl WordBuffer {
    /// Packs `count` rows of `width` values that are `stride` values apart.
    pub fn pack<'a>(
        &'a mut self,
        level: &Level,
        form: Form,
        x: &'a [f32],
        (count, stride, width): (usize, usize, usize),
    ) -> Rows<'a> {
        if form.precision == Precision::F32 {
            return Rows { count, words: bytemuck::cast_slice(x), stride, scales: &[] };
        }
        self.make_room(form, count, width);
        self.pack_group(level, form, Identity, x, (count, stride, width), (0, width));
        self.rows(form, count, width)
    }

    /// Makes room for rows that are packed group by group.
    pub fn make_room(&mut self, form: Form, count: usize, width: usize) {
        room(&mut self.words, count * form.words(width));
        if form.precision == Precision::Int8 {
            room(&mut self.scales, count * groups(width));
        }
    }

    /// Applies a function to a few columns of every row, from group `first` of `width` values on, and packs
    /// them; `x` has just those columns.
    pub fn pack_group<F: Function>(
        &mut self,
        level: &Level,
        form: Form,
        _: F,
        x: &[f32],
        (count, stride, columns): (usize, usize, usize),
        (first, width): (usize, usize),
    ) {
        let (word_stride, scale_stride) = (form.words(width), groups(width));
        let words = &mut self.words[first * form.group_words(GROUP)..];
        let scales = self.scales.get_mut(first..).unwrap_or_default();
        let rows = (count, stride, columns);
        level.arch.dispatch(Pack {
            level,
            form,
            function: PhantomData::<F>,
            x,
            rows,
            words,
            word_stride,
            scales,
            scale_stride,
        });
    }

    /// The rows that were packed.
    pub fn rows(&self, form: Form, count: usize, width: usize) -> Rows<'_> {
        Rows { count, words: &self.words, stride: form.words(width), scales: &self.scales }
    }
}

struct Pack<'a, F> {
    level: &'a Level,
    form: Form,
    function: PhantomData<F>,
    x: &'a [f32],
    rows: (usize, usize, usize),
    words: &'a mut [u32],
    word_stride: usize,
    scales: &'a mut [f32],
    scale_stride: usize,
}

impl<F: Function> WithSimd for Pack<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pack { form, x, rows: (count, stride, width), words, word_stride, .. } = self;
        let mut activated = [0.0; GROUP];
        for row in 0..count {
            let values = &x[row * stride..][..width];
            let words = &mut words[row * word_stride..][..form.words(width)];
            let groups = values.chunks(GROUP).zip(words.chunks_mut(form.group_words(GROUP)));
            for (group, (mut values, words)) in groups.enumerate() {
                if !F::IS_IDENTITY {
                    let activated = &mut activated[..values.len()];
                    apply::<S, F>(simd, activated, values);
                    values = activated;
                }
                match form.precision {
                    Precision::F32 => words.copy_from_slice(bytemuck::cast_slice(values)),
                    Precision::Bf16 => pack_bf16(self.level, values, words),
                    Precision::Int8 => {
                        let scale = pack_bytes(simd, self.level, values, form.range, words);
                        self.scales[row * self.scale_stride + group] = scale;
                    }
                }
            }
        }
    }
}

/// Packs one group of pairs, rounded to nearest, ties to even.
#[inline(always)]
fn pack_bf16(level: &Level, values: &[f32], words: &mut [u32]) {
    let (halves, rest) = bytemuck::cast_slice_mut::<u32, u16>(words).split_at_mut(values.len());
    rest.fill(0);
    level.to_bf16(values, halves);
}

/// Packs one group of bytes; gives what 1 is worth.
#[inline(always)]
fn pack_bytes<S: Simd>(simd: S, level: &Level, values: &[f32], range: Range, words: &mut [u32]) -> f32 {
    let (bytes, rest) = bytemuck::cast_slice_mut::<u32, u8>(words).split_at_mut(values.len());
    // What is missing of a last word meets weights of 0.
    rest.fill(0);
    match range {
        Range::Signed => {
            let largest = largest_size(simd, values);
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            level.to_bytes(values, Steps { zero: 0.0, inverse, shift: 128.0 }, bytes);
            largest / 127.0
        }
        Range::Activated => {
            let span = largest(simd, values, ACTIVATED_LOW) - ACTIVATED_LOW;
            let inverse = if span > 0.0 { 255.0 / span } else { 0.0 };
            level.to_bytes(values, Steps { zero: ACTIVATED_LOW, inverse, shift: 0.0 }, bytes);
            span / 255.0
        }
    }
}

/// Rounds one group of a weight's column to signed bytes; gives what 1 is worth, and the bytes' sum.
pub fn pack_weights(values: &[f32], words: &mut [u32]) -> (f32, i32) {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let bytes = bytemuck::cast_slice_mut::<u32, i8>(words);
    bytes.fill(0);
    for (byte, value) in bytes.iter_mut().zip(values) {
        *byte = (value * inverse + ROUND).to_bits() as i8;
    }
    (largest / 127.0, bytes.iter().map(|byte| i32::from(*byte)).sum())
}
