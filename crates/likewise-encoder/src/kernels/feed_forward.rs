//! A transformer's feed-forward part: to a wide row, through an activation, and back.
//!
//! Its own file because the wide rows are never stored as they are: they are made 128 columns at a time,
//! and activated and packed for the way back while they are still in the core's own cache.

use super::functions::{Function, Gelu, GeluNew, Relu, Silu};
use super::level::Level;
use super::linear::Linear;
use super::words::{GROUP, Rows, WordBuffer, groups};
use super::{Activation, room};

/// `output(activation(intermediate(x)))`.
pub struct FeedForward {
    /// To the wide rows.
    pub intermediate: Linear,
    /// On every value of them.
    pub activation: Activation,
    /// And back.
    pub output: Linear,
    /// The instructions to use.
    pub level: &'static Level,
}

/// Room for packed rows and a strip of the wide ones, used again and again.
#[derive(Default)]
pub struct FeedForwardBuffer {
    narrow: WordBuffer,
    wide: WordBuffer,
    strip: Vec<f32>,
}

impl FeedForward {
    /// `x [rows, inputs]` to `out [rows, outputs]`.
    pub fn forward(&self, x: &[f32], buffer: &mut FeedForwardBuffer, out: &mut [f32]) {
        let FeedForwardBuffer { narrow, wide, strip } = buffer;
        let x = self.intermediate.pack(x, narrow);
        match self.activation {
            Activation::Gelu => self.widen(x, strip, wide, Gelu),
            Activation::GeluNew => self.widen(x, strip, wide, GeluNew),
            Activation::Relu => self.widen(x, strip, wide, Relu),
            Activation::Silu => self.widen(x, strip, wide, Silu),
        }
        let wide = wide.rows(self.output.form(), x.count, self.output.inputs());
        self.output.multiply_packed(wide, out, self.output.outputs());
    }

    fn widen(&self, x: Rows, strip: &mut Vec<f32>, wide: &mut WordBuffer, function: impl Function) {
        let (form, width) = (self.output.form(), self.output.inputs());
        let panels = GROUP / self.level.width;
        wide.make_room(form, x.count, width);
        let strip = room(strip, x.count * GROUP);
        for group in 0..groups(width) {
            let columns = GROUP.min(width - group * GROUP);
            for panel in 0..columns.div_ceil(self.level.width) {
                let out = &mut strip[panel * self.level.width..];
                self.intermediate.multiply_panel(group * panels + panel, x, out, GROUP);
            }
            wide.pack_group(self.level, form, function, strip, (x.count, GROUP, columns), (group, width));
        }
    }
}
