//! The feed-forward block of a transformer layer: a linear layer to wide rows, an activation function, and a linear
//! layer back to narrow rows.
//!
//! The wide rows are never stored in f32 as a whole. They are computed in strips of 128 columns. Each strip is
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
    /// Maps `x [rows, inputs]` to `out [rows, outputs]`.
    pub fn forward(&self, x: &[f32], buffer: &mut FeedForwardBuffer, out: &mut [f32]) {
        let FeedForwardBuffer { input, wide, strip } = buffer;
        let x = self.intermediate.pack(x, input);
        match self.activation {
            Activation::Gelu => self.pack_wide(x, strip, wide, Gelu),
            Activation::GeluNew => self.pack_wide(x, strip, wide, GeluNew),
            Activation::Relu => self.pack_wide(x, strip, wide, Relu),
            Activation::Silu => self.pack_wide(x, strip, wide, Silu),
        }
        let wide = wide.rows(self.output.format(), x.count, self.output.inputs());
        self.output.multiply_packed(wide, out, self.output.outputs());
    }

    /// Computes, activates and packs the wide rows, one group of columns after the other.
    fn pack_wide(&self, x: PackedRows, strip: &mut Vec<f32>, wide: &mut PackBuffer, function: impl Function) {
        let (format, width) = (self.output.format(), self.output.inputs());
        let panels_per_group = GROUP_VALUES / self.isa.width;
        wide.grow(format, x.count, width);
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
}
