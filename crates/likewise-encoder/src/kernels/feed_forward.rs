//! The feed-forward block of a transformer layer: a linear layer to wide rows, an activation function, and a linear
//! layer back to narrow rows.
//!
//! The wide rows are usually not stored in f32 as a whole. They are computed in strips of 128 columns. Each strip is
//! activated and packed for the second linear layer while the strip is still in the core's cache.

use super::functions::{Function, Gelu, GeluNew, Relu, Silu};
use super::isa::Isa;
use super::linear::PackedLinear;
use super::packed::{GROUP_VALUES, GroupColumns, PackBuffer, PackedRows, RowLayout, groups};
use super::{Activation, grow};

/// Computes `output(activation(intermediate(x)))`.
pub struct FeedForward {
    /// The linear layer from `inputs` values to the wide row.
    pub intermediate: PackedLinear,
    /// The function that is applied to every value of the wide row.
    pub activation: Activation,
    /// The linear layer from the wide row to `outputs` values.
    pub output: PackedLinear,
    /// The instruction set that `intermediate` and `output` are packed for.
    pub isa: &'static Isa,
}

/// Memory for packed rows and one strip of the wide rows, kept from one use to the next.
#[derive(Default)]
pub struct FeedForwardBuffer {
    input: PackBuffer,
    wide: PackBuffer,
    strip: Vec<f32>,
}

impl FeedForward {
    /// Maps `x [rows, inputs]` to `out [rows, outputs]`. Several `column_parts` are computed in parallel: see
    /// [`Division`](super::division::Division).
    pub fn forward(&self, x: &[f32], buffer: &mut FeedForwardBuffer, out: &mut [f32], column_parts: usize) {
        match self.activation {
            Activation::Gelu => self.run(x, buffer, out, column_parts, Gelu),
            Activation::GeluNew => self.run(x, buffer, out, column_parts, GeluNew),
            Activation::Relu => self.run(x, buffer, out, column_parts, Relu),
            Activation::Silu => self.run(x, buffer, out, column_parts, Silu),
        }
    }

    fn run(
        &self,
        x: &[f32],
        buffer: &mut FeedForwardBuffer,
        out: &mut [f32],
        column_parts: usize,
        function: impl Function,
    ) {
        let FeedForwardBuffer { input, wide, strip } = buffer;
        let x = self.intermediate.pack(x, input);
        wide.grow(self.output.format(), x.count, self.output.inputs());
        if column_parts == 1 {
            self.pack_strips(x, strip, wide, function);
        } else {
            self.pack_whole_rows(x, strip, wide, function, column_parts);
        }
        let wide = wide.rows(self.output.format(), x.count, self.output.inputs());
        self.output.multiply_packed(wide, out, self.output.outputs(), column_parts);
    }

    /// Computes, activates and packs the wide rows, one group of columns after the other.
    fn pack_strips(
        &self,
        x: PackedRows,
        strip: &mut Vec<f32>,
        wide: &mut PackBuffer,
        function: impl Function,
    ) {
        let (format, width) = (self.output.format(), self.output.inputs());
        let panels_per_group = GROUP_VALUES / self.isa.width;
        let strip = grow(strip, x.count * GROUP_VALUES);
        for group in 0..groups(width) {
            let columns = GROUP_VALUES.min(width - group * GROUP_VALUES);
            for panel in 0..columns.div_ceil(self.isa.width) {
                let out = &mut strip[panel * self.isa.width..];
                self.intermediate.multiply_panel(group * panels_per_group + panel, x, out, GROUP_VALUES);
            }
            let layout = RowLayout { count: x.count, stride: GROUP_VALUES, width: columns };
            let columns = GroupColumns { first_group: group, row_width: width };
            wide.pack_group(self.isa, format, function, strip, layout, columns);
        }
    }

    /// Computes the wide rows in parallel, then activates and packs them. `whole` is memory for the rows.
    fn pack_whole_rows(
        &self,
        x: PackedRows,
        whole: &mut Vec<f32>,
        wide: &mut PackBuffer,
        function: impl Function,
        column_parts: usize,
    ) {
        let width = self.output.inputs();
        let whole = grow(whole, x.count * width);
        self.intermediate.multiply_packed(x, whole, width, column_parts);
        let layout = RowLayout { count: x.count, stride: width, width };
        let columns = GroupColumns { first_group: 0, row_width: width };
        wide.pack_group(self.isa, self.output.format(), function, whole, layout, columns);
    }
}
