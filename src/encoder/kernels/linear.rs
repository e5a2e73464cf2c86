//! Multiplication by a fixed weight, packed once at load for the registers of this machine.
//!
//! Its own file because it is where encoding spends its time. The scheme is Goto's (Goto & van de Geijn,
//! Anatomy of High-Performance Matrix Multiplication): the weight is cut into panels two registers wide,
//! and a tile of results stays in registers while it walks the inner dimension. Bytes carry one scale a
//! group of 128 values, in both factors: with one a row, an outlier blurs everything beside it.

use super::level::{GROUP_WORDS, Int8Tile, Level, Tile};
use super::words::{self, ACTIVATED_LOW, Range, Rows};
use crate::model::Precision;

/// A weight, packed, and its bias.
pub struct Linear {
    precision: Precision,
    range: Range,
    inputs: usize,
    outputs: usize,
    /// `[panels, words, width]`, zeros to the right of the last column.
    panels: Vec<u32>,
    /// `[panels, groups, width]`, of bytes.
    scales: Vec<f32>,
    /// `[panels, groups, width]`, of bytes.
    starts: Vec<i32>,
    bias: Vec<f32>,
    level: &'static Level,
}

impl Linear {
    /// Packs a weight as checkpoints have it, `[outputs, inputs]`, for rows that hold `range`.
    pub fn new(
        level: &'static Level,
        precision: Precision,
        range: Range,
        weight: &[f32],
        mut bias: Vec<f32>,
    ) -> Linear {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let (words, groups) = (words::words(precision, inputs), words::groups(inputs));
        let panels = outputs.div_ceil(level.width);
        let mut packed = vec![0; panels * words * level.width];
        let bytes = if precision == Precision::Int8 { panels * groups * level.width } else { 0 };
        let (mut scales, mut starts) = (vec![0.0; bytes], vec![0; bytes]);
        let mut column = vec![0; words];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let (panel, lane) = (output / level.width, output % level.width);
            match precision {
                Precision::F32 => column.copy_from_slice(bytemuck::cast_slice(row)),
                Precision::Bf16 => words::pack_bf16(row, &mut column),
                Precision::Int8 => {
                    for group in 0..groups {
                        let column = &mut column[group * GROUP_WORDS..words.min((group + 1) * GROUP_WORDS)];
                        let (scale, sum) = pack_group(words::group(row, group), column);
                        let place = (panel * groups + group) * level.width + lane;
                        scales[place] = scale;
                        match range {
                            Range::Signed => starts[place] = -128 * sum,
                            Range::Activated => bias[output] += ACTIVATED_LOW * scale * sum as f32,
                        }
                    }
                }
            }
            let start = panel * words * level.width + lane;
            for (slot, word) in packed[start..].iter_mut().step_by(level.width).zip(&column) {
                *slot = *word;
            }
        }
        Linear { precision, range, inputs, outputs, panels: packed, scales, starts, bias, level }
    }

    /// Values a row of the product has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// What is still to be added to every row of a product.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Rows times the weight, without the bias, into `out`, whose rows are `stride` apart; packs the rows
    /// into `buffer` first.
    pub fn multiply(&self, x: &[f32], buffer: &mut words::WordBuffer, out: &mut [f32], stride: usize) {
        let x = buffer.pack(self.level, self.precision, self.range, x, self.inputs);
        let width = self.level.width;
        let words = words::words(self.precision, self.inputs);
        for (index, panel) in self.panels.chunks_exact(words * width).enumerate() {
            let column = index * width;
            let kept = width.min(self.outputs - column);
            if kept == width {
                self.panel(index, panel, x, &mut out[column..], stride);
                continue;
            }
            let mut wide = vec![0.0; x.words.len() / x.stride * width];
            self.panel(index, panel, x, &mut wide, width);
            for (out, wide) in out.chunks_mut(stride).zip(wide.chunks_exact(width)) {
                out[column..column + kept].copy_from_slice(&wide[..kept]);
            }
        }
    }

    /// All rows times one panel.
    fn panel(&self, index: usize, panel: &[u32], x: Rows, out: &mut [f32], out_stride: usize) {
        let rows = x.words.len() / x.stride;
        let groups = words::groups(self.inputs);
        let most = if self.precision == Precision::Int8 { self.level.int8_rows() } else { self.level.rows() };
        for row in (0..rows).step_by(most) {
            let height = most.min(rows - row);
            let tile = Tile {
                x: &x.words[row * x.stride..],
                stride: x.stride,
                panel,
                out: &mut out[row * out_stride..],
                out_stride,
            };
            match self.precision {
                Precision::F32 => self.level.f32(height, tile),
                Precision::Bf16 => self.level.bf16(height, tile),
                Precision::Int8 => {
                    let columns = index * groups * self.level.width..;
                    let (scales, starts) = (&self.scales[columns.clone()], &self.starts[columns]);
                    let row_scales = &x.scales[row * groups..];
                    self.level.int8(height, Int8Tile { tile, row_scales, scales, starts });
                }
            }
        }
    }
}

/// Rounds one group of a weight's column to signed bytes; gives the scale and the bytes' sum.
fn pack_group(values: &[f32], words: &mut [u32]) -> (f32, i32) {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let quarter = words.len();
    words.fill(0);
    let mut sum = 0;
    for (place, value) in values.iter().enumerate() {
        let byte = (value * inverse).round_ties_even() as i8;
        sum += i32::from(byte);
        words[place % quarter] |= u32::from(byte as u8) << (8 * (place / quarter));
    }
    (largest / 127.0, sum)
}
