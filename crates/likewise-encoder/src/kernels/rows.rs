//! Operations on rows of f32 values: softmax, layer norm, elementwise functions, maxima.
//!
//! The loops are written with `pulp`, for registers of any size: `pulp` compiles each loop once per instruction set,
//! and calls the version for the given [`Isa`].

use super::functions::{Function, exp2};
use super::isa::Isa;
use pulp::{Simd, WithSimd};

/// Computes the softmax of rows in place, but without the final division by the sum of the row. The shapes are
/// `x [rows, stride]` and `inverse_sums [rows]`.
///
/// The first `tokens` values of a row become `e^(scale * (x - max))`, where `max` is the largest of these `tokens`
/// values. The values after them become about 1e-38. `inverse_sums` gets 1 / sum for each row, and the caller has to
/// multiply the row by this value.
pub fn softmax(isa: &Isa, x: &mut [f32], stride: usize, tokens: usize, scale: f32, inverse_sums: &mut [f32]) {
    isa.arch.dispatch(Softmax { x, stride, tokens, scale, inverse_sums });
}

struct Softmax<'a> {
    x: &'a mut [f32],
    stride: usize,
    tokens: usize,
    scale: f32,
    inverse_sums: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (row, inverse_sum) in self.x.chunks_exact_mut(self.stride).zip(self.inverse_sums) {
            // Fills the padding, so that the loops below can process the whole row, padding included.
            row[self.tokens..].fill(f32::NEG_INFINITY);
            let largest = max(simd, row, f32::NEG_INFINITY);
            // e^(scale * (x - largest)) = 2^(factor * x - factor * largest)
            let factor = self.scale * std::f32::consts::LOG2_E;
            let (factor, offset) = (simd.splat_f32s(factor), simd.splat_f32s(-factor * largest));
            let (registers, rest) = S::as_mut_simd_f32s(row);
            let mut total = simd.splat_f32s(0.0);
            for scores in registers {
                *scores = exp2(simd, simd.mul_add_e_f32s(*scores, factor, offset));
                total = simd.add_f32s(total, *scores);
            }
            let mut total = simd.reduce_sum_f32s(total);
            if !rest.is_empty() {
                let scores = simd.partial_load_f32s(rest);
                simd.partial_store_f32s(rest, exp2(simd, simd.mul_add_e_f32s(scores, factor, offset)));
                total += rest.iter().sum::<f32>();
            }
            *inverse_sum = 1.0 / total;
        }
    }
}

/// The parameters of a layer norm (Ba, Kiros & Hinton).
pub struct LayerNorm {
    /// `[width]`: the factors of the normalised values.
    pub scale: Vec<f32>,
    /// `[width]`: the values that are added after the scaling.
    pub shift: Vec<f32>,
    /// A small value that is added to the variance, so that it is not 0.
    pub eps: f32,
}

/// Computes `x = norm(x + y)` in place. The shapes are `x [rows, width]` and `y [rows, width]`.
pub fn add_and_norm(isa: &Isa, x: &mut [f32], y: &[f32], norm: &LayerNorm) {
    isa.arch.dispatch(AddAndNorm { x, y, norm });
}

struct AddAndNorm<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
    norm: &'a LayerNorm,
}

impl WithSimd for AddAndNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let LayerNorm { scale, shift, eps } = self.norm;
        let width = scale.len();
        for (row, y) in self.x.chunks_exact_mut(width).zip(self.y.chunks_exact(width)) {
            row.iter_mut().zip(y).for_each(|(value, y)| *value += y);
            let mean = sum(simd, row) / width as f32;
            let inverse = 1.0 / (squared_deviations(simd, row, mean) / width as f32 + eps).sqrt();
            for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                *value = (*value - mean) * inverse * scale + shift;
            }
        }
    }
}

/// Computes `to = function(from)` elementwise, for slices of the same length.
#[inline(always)]
pub fn apply<S: Simd, F: Function>(simd: S, to: &mut [f32], from: &[f32]) {
    let ((to, to_rest), (from, from_rest)) = (S::as_mut_simd_f32s(to), S::as_simd_f32s(from));
    for (to, values) in to.iter_mut().zip(from) {
        *to = F::apply(simd, *values);
    }
    if !to_rest.is_empty() {
        simd.partial_store_f32s(to_rest, F::apply(simd, simd.partial_load_f32s(from_rest)));
    }
}

/// Computes `x = function(x)` elementwise, in place.
pub fn apply_in_place<F: Function>(isa: &Isa, x: &mut [f32], function: F) {
    isa.arch.dispatch(ApplyInPlace { x, _function: function });
}

struct ApplyInPlace<'a, F> {
    x: &'a mut [f32],
    _function: F,
}

impl<F: Function> WithSimd for ApplyInPlace<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (registers, rest) = S::as_mut_simd_f32s(self.x);
        for values in registers {
            *values = F::apply(simd, *values);
        }
        if !rest.is_empty() {
            let values = simd.partial_load_f32s(rest);
            simd.partial_store_f32s(rest, F::apply(simd, values));
        }
    }
}

/// Returns the largest of `start` and the values of the row.
#[inline(always)]
pub fn max<S: Simd>(simd: S, row: &[f32], start: f32) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let mut total = simd.splat_f32s(start);
    for values in registers {
        total = simd.max_f32s(total, *values);
    }
    rest.iter().fold(simd.reduce_max_f32s(total), |total, value| if *value > total { *value } else { total })
}

/// Returns the largest absolute value of a row, or 0 for an empty row.
#[inline(always)]
pub fn max_abs<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let mut total = simd.abs_f32s(simd.partial_load_f32s(rest));
    for values in registers {
        total = simd.max_f32s(total, simd.abs_f32s(*values));
    }
    simd.reduce_max_f32s(total)
}

#[inline(always)]
fn sum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let mut total = simd.partial_load_f32s(rest);
    for values in registers {
        total = simd.add_f32s(total, *values);
    }
    simd.reduce_sum_f32s(total)
}

/// Returns the sum of `(value - mean)²` over the values of the row.
#[inline(always)]
fn squared_deviations<S: Simd>(simd: S, row: &[f32], mean: f32) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let mut total = simd.splat_f32s(0.0);
    for values in registers {
        let difference = simd.sub_f32s(*values, simd.splat_f32s(mean));
        total = simd.mul_add_e_f32s(difference, difference, total);
    }
    rest.iter().fold(simd.reduce_sum_f32s(total), |sum, value| sum + (value - mean) * (value - mean))
}
