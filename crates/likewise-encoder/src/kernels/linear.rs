//! Multiplies rows by a fixed weight. The weight is packed for the registers of this CPU once, when the model is
//! loaded.
//!
//! Encoding spends most of its time in this module. The scheme is Goto & van de Geijn's (Anatomy of High-Performance
//! Matrix Multiplication): the weight is cut into panels two registers wide, and the sums of a tile stay in registers
//! while the kernel iterates over the inner dimension. In int8, the rows and the weight have one scale per group of 128
//! values, because with one scale per row, a single outlier would make the rounding of the whole row coarse.

use super::isa::Isa;
use super::packed::{
    ACTIVATION_MIN, GROUP_VALUES, PackBuffer, PackFormat, PackedRows, QuantizedGroup, RowLayout, ValueRange,
    groups, pack_weights,
};
use super::tile::{Scales, Tile};
use crate::model::Precision;
use rayon::prelude::*;
use std::ops::Range;

/// A packed weight and its bias.
pub struct PackedLinear {
    format: PackFormat,
    inputs: usize,
    outputs: usize,
    /// `[panels, words, width]`: the packed columns. Columns of the last panel beyond `outputs` are 0.
    panels: Vec<u32>,
    /// `[panels, groups, width]`: see [`Scales::columns`]. Empty unless the precision is int8.
    scales: Vec<f32>,
    /// `[panels, groups, width]`: see [`Scales::initial_sums`]. Empty unless the precision is int8.
    initial_sums: Vec<i32>,
    /// The bias, `[panels, width]`. In int8 with [`ValueRange::Activated`], the bias includes the correction for the
    /// zero point.
    bias: Vec<f32>,
    isa: &'static Isa,
}

impl PackedLinear {
    /// Packs a weight and a bias. The weight has the shape `[outputs, inputs]`, as in checkpoints, and the bias
    /// `[outputs]`. `format` is the format of the rows that the weight will multiply.
    pub fn new(isa: &'static Isa, format: PackFormat, weight: &[f32], mut bias: Vec<f32>) -> PackedLinear {
        let outputs = bias.len();
        let inputs = weight.len() / outputs;
        let (packed_len, groups) = (format.packed_len(inputs), groups(inputs));
        let panel_count = outputs.div_ceil(isa.width);
        bias.resize(panel_count * isa.width, 0.0);
        let mut panels = vec![0; panel_count * packed_len * isa.width];
        let scale_count =
            if format.precision == Precision::Int8 { panel_count * groups * isa.width } else { 0 };
        let (mut scales, mut initial_sums) = (vec![0.0; scale_count], vec![0; scale_count]);
        let mut column = vec![0; packed_len];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let (panel, lane) = (output / isa.width, output % isa.width);
            if format.precision == Precision::Int8 {
                let parts =
                    row.chunks(GROUP_VALUES).zip(column.chunks_mut(format.packed_group_len(GROUP_VALUES)));
                for (group, (values, column)) in parts.enumerate() {
                    let QuantizedGroup { scale, sum } = pack_weights(format, values, column);
                    let index = (panel * groups + group) * isa.width + lane;
                    scales[index] = scale;
                    match format.range {
                        ValueRange::Signed => initial_sums[index] = -128 * sum,
                        ValueRange::Activated => bias[output] += ACTIVATION_MIN * scale * sum as f32,
                    }
                }
            } else {
                format.pack(isa, row, inputs, &mut column);
            }
            let start = panel * packed_len * isa.width + lane;
            for (target, word) in panels[start..].iter_mut().step_by(isa.width).zip(&column) {
                *target = *word;
            }
        }
        PackedLinear { format, inputs, outputs, panels, scales, initial_sums, bias, isa }
    }

    /// The format into which input rows are packed.
    pub fn format(&self) -> PackFormat {
        self.format
    }

    /// Number of values of an input row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of values of an output row.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Size of the packed weight in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.panels.as_slice())
    }

    /// Multiplies rows by the weight and adds the bias. Reads `x [rows, inputs]`, packs the rows into `buffer`, and
    /// writes the first `outputs` columns of `out [rows, stride]`. Several `column_parts` are computed in parallel: see
    /// [`Division`](super::division::Division).
    pub fn multiply(
        &self,
        x: &[f32],
        buffer: &mut PackBuffer,
        out: &mut [f32],
        stride: usize,
        column_parts: usize,
    ) {
        self.multiply_packed(self.pack(x, buffer), out, stride, column_parts);
    }

    /// Packs the rows `x [rows, inputs]` for [`PackedLinear::multiply_packed`].
    pub fn pack<'a>(&self, x: &'a [f32], buffer: &'a mut PackBuffer) -> PackedRows<'a> {
        let layout = RowLayout { count: x.len() / self.inputs, stride: self.inputs, width: self.inputs };
        buffer.pack(self.isa, self.format, x, layout)
    }

    /// Like [`PackedLinear::multiply`], for rows that are already packed.
    pub fn multiply_packed(&self, x: PackedRows, out: &mut [f32], stride: usize, column_parts: usize) {
        let panels = self.outputs.div_ceil(self.isa.width);
        if column_parts == 1 {
            return self.multiply_panels(0..panels, x, out, stride);
        }
        let panels_per_part = panels.div_ceil(column_parts);
        let parts: Vec<(Range<usize>, Vec<f32>)> = (0..panels)
            .into_par_iter()
            .step_by(panels_per_part)
            .with_max_len(1)
            .map(|first| {
                let panels = first..panels.min(first + panels_per_part);
                let columns = self.columns(&panels);
                let mut part = vec![0.0; x.count * columns.len()];
                self.multiply_panels(panels, x, &mut part, columns.len());
                (columns, part)
            })
            .collect();
        for (columns, part) in parts {
            for (out, part) in out.chunks_mut(stride).zip(part.chunks_exact(columns.len())) {
                out[columns.clone()].copy_from_slice(part);
            }
        }
    }

    /// The columns of the output that some panels compute.
    fn columns(&self, panels: &Range<usize>) -> Range<usize> {
        panels.start * self.isa.width..self.outputs.min(panels.end * self.isa.width)
    }

    /// Multiplies all rows by some panels. Writes their columns to the first columns of `out [rows, stride]`.
    fn multiply_panels(&self, panels: Range<usize>, x: PackedRows, out: &mut [f32], stride: usize) {
        let width = self.isa.width;
        let columns = self.columns(&panels).len();
        let full_panels = columns / width;
        for panel in 0..full_panels {
            self.multiply_panel(panels.start + panel, x, &mut out[panel * width..], stride);
        }
        let rest = columns % width;
        if rest > 0 {
            let mut last = vec![0.0; x.count * width];
            self.multiply_panel(panels.start + full_panels, x, &mut last, width);
            for (out, last) in out.chunks_mut(stride).zip(last.chunks_exact(width)) {
                out[full_panels * width..][..rest].copy_from_slice(&last[..rest]);
            }
        }
    }

    /// Multiplies all rows by one panel, and adds the bias of the panel. Writes the first [`Isa::width`] columns of
    /// `out [rows, out_stride]`.
    pub fn multiply_panel(&self, index: usize, x: PackedRows, out: &mut [f32], out_stride: usize) {
        let width = self.isa.width;
        let groups = groups(self.inputs);
        let panel_len = self.format.packed_len(self.inputs) * width;
        let panel = &self.panels[index * panel_len..][..panel_len];
        let bias = &self.bias[index * width..][..width];
        let max_height = self.isa.max_rows(self.format.precision);
        // The tiles get nearly equal heights, because a tile with few rows has too few independent sums to keep the CPU
        // busy.
        let height = x.count.div_ceil(x.count.div_ceil(max_height).max(1)).max(1);
        for row in (0..x.count).step_by(height) {
            let height = height.min(x.count - row);
            let packed = &x.packed[row * x.stride..];
            let out = &mut out[row * out_stride..];
            let tile = Tile { x: packed, stride: x.stride, panel, bias, out, out_stride };
            match self.format.precision {
                Precision::F32 => self.isa.f32(height, tile),
                Precision::Bf16 => self.isa.bf16(height, tile),
                Precision::Int8 => {
                    let columns = index * groups * width..;
                    let scales = Scales {
                        rows: &x.scales[row * groups..],
                        columns: &self.scales[columns.clone()],
                        initial_sums: &self.initial_sums[columns],
                    };
                    self.isa.int8(height, tile, &scales);
                }
            }
        }
    }
}
