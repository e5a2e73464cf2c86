//! What is done row by row: softmax, layer norm, and the loops that packing shares with them.
//!
//! Its own file because nothing here knows of tensors or of words. The loops are over registers of whatever
//! size the machine has: `pulp` compiles each once for every level and calls the one there is.

use super::functions::{Function, exp};
use super::level::Level;
use pulp::{Simd, WithSimd};

/// `e^(scale * (x - largest))` over the first `tokens` values of every row of `stride`, and next to nothing
/// in the rest of it; into `shares`, what a row is to be multiplied by so that its sum is 1. That is softmax,
/// but for the product.
pub fn softmax(
    level: &Level,
    x: &mut [f32],
    (stride, tokens): (usize, usize),
    scale: f32,
    shares: &mut [f32],
) {
    level.arch.dispatch(Softmax { x, stride, tokens, scale, shares });
}

struct Softmax<'a> {
    x: &'a mut [f32],
    stride: usize,
    tokens: usize,
    scale: f32,
    shares: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (row, share) in self.x.chunks_exact_mut(self.stride).zip(self.shares) {
            // So that no lane is left over.
            row[self.tokens..].fill(f32::NEG_INFINITY);
            let largest = largest(simd, row, f32::NEG_INFINITY);
            let (registers, rest) = S::as_mut_simd_f32s(row);
            for scores in registers {
                *scores = weights(simd, *scores, largest, self.scale);
            }
            if !rest.is_empty() {
                let scores = simd.partial_load_f32s(rest);
                simd.partial_store_f32s(rest, weights(simd, scores, largest, self.scale));
            }
            *share = 1.0 / sum(simd, row);
        }
    }
}

#[inline(always)]
fn weights<S: Simd>(simd: S, scores: S::f32s, largest: f32, scale: f32) -> S::f32s {
    let below = simd.sub_f32s(scores, simd.splat_f32s(largest));
    exp(simd, simd.mul_f32s(below, simd.splat_f32s(scale)))
}

/// Layer norm (Ba, Kiros & Hinton): its scale and shift.
pub struct Norm {
    /// `[width]`.
    pub scale: Vec<f32>,
    /// `[width]`.
    pub shift: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

/// `x = norm(x + y)`, for `x` and `y` `[rows, width]`.
pub fn add_and_norm(level: &Level, x: &mut [f32], y: &[f32], norm: &Norm) {
    level.arch.dispatch(AddAndNorm { x, y, norm });
}

struct AddAndNorm<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
    norm: &'a Norm,
}

impl WithSimd for AddAndNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Norm { scale, shift, eps } = self.norm;
        let width = scale.len();
        for (row, y) in self.x.chunks_exact_mut(width).zip(self.y.chunks_exact(width)) {
            row.iter_mut().zip(y).for_each(|(value, y)| *value += y);
            let mean = sum(simd, row) / width as f32;
            let inverse = 1.0 / (squares(simd, row, mean) / width as f32 + eps).sqrt();
            for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                *value = (*value - mean) * inverse * scale + shift;
            }
        }
    }
}

/// `to = function(from)`, of rows of the same length.
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

/// `x = function(x)`, of every value.
pub fn apply_in_place<F: Function>(level: &Level, x: &mut [f32], function: F) {
    level.arch.dispatch(InPlace { x, _function: function });
}

struct InPlace<'a, F> {
    x: &'a mut [f32],
    _function: F,
}

impl<F: Function> WithSimd for InPlace<'_, F> {
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

/// The largest value of a row, or `start`.
#[inline(always)]
pub fn largest<S: Simd>(simd: S, row: &[f32], start: f32) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let mut total = simd.splat_f32s(start);
    for values in registers {
        total = simd.max_f32s(total, *values);
    }
    rest.iter().fold(simd.reduce_max_f32s(total), |total, value| if *value > total { *value } else { total })
}

/// The largest size of a row's values.
#[inline(always)]
pub fn largest_size<S: Simd>(simd: S, row: &[f32]) -> f32 {
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

/// Sum of `(value - mean)²`.
#[inline(always)]
fn squares<S: Simd>(simd: S, row: &[f32], mean: f32) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let mut total = simd.splat_f32s(0.0);
    for values in registers {
        let difference = simd.sub_f32s(*values, simd.splat_f32s(mean));
        total = simd.mul_add_e_f32s(difference, difference, total);
    }
    rest.iter().fold(simd.reduce_sum_f32s(total), |sum, value| sum + (value - mean) * (value - mean))
}
