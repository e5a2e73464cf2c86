//! Multiplication by a fixed weight, packed once at load for the registers of this machine.
//!
//! Its own file because it is where encoding spends its time. The scheme is Goto's (Goto & van de Geijn,
//! Anatomy of High-Performance Matrix Multiplication): the weight is cut into panels two registers wide,
//! and a tile of results stays in registers while it walks the inner dimension. Bytes carry one scale a
//! group of 128 values, in both factors: with one a row, an outlier blurs everything beside it.

use super::level::Level;
use super::tile::{Scales, Tile};
use super::words::{ACTIVATED_LOW, Form, GROUP, Range, Rows, WordBuffer, groups, pack_weights};
use crate::model::Precision;

/// A weight, packed, and its bias.
pub struct Linear {
    form: Form,
    inputs: usize,
    outputs: usize,
    /// `[panels, words, width]`, zeros to the right of the last column.
    panels: Vec<u32>,
    /// `[panels, groups, width]`, of bytes.
    scales: Vec<f32>,
    /// `[panels, groups, width]`, of bytes.
    starts: Vec<i32>,
    /// `[panels, width]`.
    bias: Vec<f32>,
    level: &'static Level,
}

impl Linear {
    /// Packs a weight as checkpoints have it, `[outputs, inputs]`, for rows of `form`.
    pub fn new(level: &'static Level, form: Form, weight: &[f32], mut bias: Vec<f32>) -> Linear {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let (words, groups) = (form.words(inputs), groups(inputs));
        let panels = outputs.div_ceil(level.width);
        bias.resize(panels * level.width, 0.0);
        let mut packed = vec![0; panels * words * level.width];
        let bytes = if form.precision == Precision::Int8 { panels * groups * level.width } else { 0 };
        let (mut scales, mut starts) = (vec![0.0; bytes], vec![0; bytes]);
        let mut column = vec![0; words];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let (panel, lane) = (output / level.width, output % level.width);
            if form.precision == Precision::Int8 {
                let parts = row.chunks(GROUP).zip(column.chunks_mut(form.group_words(GROUP)));
                for (group, (values, column)) in parts.enumerate() {
                    let (scale, sum) = pack_weights(values, column);
                    let place = (panel * groups + group) * level.width + lane;
                    scales[place] = scale;
                    match form.range {
                        Range::Signed => starts[place] = -128 * sum,
                        Range::Activated => bias[output] += ACTIVATED_LOW * scale * sum as f32,
                    }
                }
            } else {
                form.pack(level, row, inputs, &mut column);
            }
            let start = panel * words * level.width + lane;
            for (slot, word) in packed[start..].iter_mut().step_by(level.width).zip(&column) {
                *slot = *word;
            }
        }
        Linear { form, inputs, outputs, panels: packed, scales, starts, bias, level }
    }

    /// What it makes of a row's values first.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Values a row has.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values a row of the product has.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Rows times the weight, plus the bias, into `out`, whose rows are `stride` apart; packs the rows into
    /// `buffer` first.
    pub fn multiply(&self, x: &[f32], buffer: &mut WordBuffer, out: &mut [f32], stride: usize) {
        self.multiply_packed(self.pack(x, buffer), out, stride);
    }

    /// Packs rows for [`Linear::multiply_packed`].
    pub fn pack<'a>(&self, x: &'a [f32], buffer: &'a mut WordBuffer) -> Rows<'a> {
        buffer.pack(self.level, self.form, x, (x.len() / self.inputs, self.inputs, self.inputs))
    }

    /// Like [`Linear::multiply`], of rows that are packed.
    pub fn multiply_packed(&self, x: Rows, out: &mut [f32], stride: usize) {
        let width = self.level.width;
        let whole = self.outputs / width;
        for panel in 0..whole {
            self.multiply_panel(panel, x, &mut out[panel * width..], stride);
        }
        let kept = self.outputs % width;
        if kept > 0 {
            let mut wide = vec![0.0; x.count * width];
            self.multiply_panel(whole, x, &mut wide, width);
            for (out, wide) in out.chunks_mut(stride).zip(wide.chunks_exact(width)) {
                out[whole * width..][..kept].copy_from_slice(&wide[..kept]);
            }
        }
    }

    /// All rows times one panel, which gives [`Level::width`] columns.
    pub fn multiply_panel(&self, index: usize, x: Rows, out: &mut [f32], out_stride: usize) {
        let width = self.level.width;
        let groups = groups(self.inputs);
        let panel = self.form.words(self.inputs) * width;
        let panel = &self.panels[index * panel..][..panel];
        let bias = &self.bias[index * width..][..width];
        let is_int8 = self.form.precision == Precision::Int8;
        let most = if is_int8 { self.level.int8_rows() } else { self.level.rows() };
        // Tiles of like heights: a low one would wait for its own sums.
        let height = x.count.div_ceil(x.count.div_ceil(most).max(1)).max(1);
        for row in (0..x.count).step_by(height) {
            let height = height.min(x.count - row);
            let words = &x.words[row * x.stride..];
            let out = &mut out[row * out_stride..];
            let tile = Tile { x: words, stride: x.stride, panel, bias, out, out_stride };
            match self.form.precision {
                Precision::F32 => self.level.f32(height, tile),
                Precision::Bf16 => self.level.bf16(height, tile),
                Precision::Int8 => {
                    let columns = index * groups * width..;
                    let (scales, starts) = (&self.scales[columns.clone()], &self.starts[columns]);
                    let scales = Scales { rows: &x.scales[row * groups..], columns: scales, starts };
                    self.level.int8(height, tile, &scales);
                }
            }
        }
    }
}
