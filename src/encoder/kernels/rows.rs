//! The loops of the kernels, over rows of plain slices.
//!
//! Its own file because nothing here knows of tensors. The compiler vectorises these loops: `pulp`'s
//! dispatch compiles each once for every instruction level and calls the one the machine has. Each
//! loop is a struct with an always-inlined body, since a closure may be left out of line, and is then
//! compiled for the lowest level.

use super::Activation;
use pulp::{Simd, WithSimd};

/// Values handled side by side in a sum, so that it can be vectorised.
const LANES: usize = 16;

/// See [`super::bias_and_activate`].
pub fn bias_and_activate(x: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::None => bias_and(x, bias, |value| value),
        Activation::Gelu => bias_and(x, bias, gelu),
        Activation::GeluNew => bias_and(x, bias, gelu_new),
        Activation::Relu => bias_and(x, bias, |value| value.max(0.0)),
    }
}

fn bias_and(x: &mut [f32], bias: &[f32], function: impl Fn(f32) -> f32 + Copy) {
    pulp::Arch::new().dispatch(BiasAnd { x, bias, function });
}

struct BiasAnd<'a, F> {
    x: &'a mut [f32],
    bias: &'a [f32],
    function: F,
}

impl<F: Fn(f32) -> f32 + Copy> WithSimd for BiasAnd<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact_mut(self.bias.len()) {
            for (value, bias) in row.iter_mut().zip(self.bias) {
                *value = (self.function)(*value + bias);
            }
        }
    }
}

/// See [`super::masked_softmax`]; `mask` holds one row of `tokens` a text.
pub fn masked_softmax(x: &mut [f32], mask: &[f32], tokens: usize, scale: f32) {
    pulp::Arch::new().dispatch(MaskedSoftmax { x, mask, tokens, scale });
}

struct MaskedSoftmax<'a> {
    x: &'a mut [f32],
    mask: &'a [f32],
    tokens: usize,
    scale: f32,
}

impl WithSimd for MaskedSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, mask, tokens, scale } = self;
        if mask.is_empty() {
            return;
        }
        let scores_a_text = x.len() * tokens / mask.len();
        for (scores, mask) in x.chunks_exact_mut(scores_a_text).zip(mask.chunks_exact(tokens)) {
            for row in scores.chunks_exact_mut(tokens) {
                softmax_row(row, mask, scale);
            }
        }
    }
}

#[inline(always)]
fn softmax_row(row: &mut [f32], mask: &[f32], scale: f32) {
    for (score, mask) in row.iter_mut().zip(mask) {
        *score = *score * scale + mask;
    }
    let largest =
        fold_lanes(row, f32::NEG_INFINITY, |largest, score| if score > largest { score } else { largest });
    for score in row.iter_mut() {
        *score = exp(*score - largest);
    }
    let inverse = 1.0 / fold_lanes(row, 0.0, |sum, weight| sum + weight);
    for weight in row.iter_mut() {
        *weight *= inverse;
    }
}

/// See [`super::Norm::add_and_norm`]; `parameters` holds bias, scale and shift.
pub fn add_and_norm(x: &mut [f32], residual: &[f32], parameters: &[f32], eps: f32) {
    pulp::Arch::new().dispatch(AddAndNorm { x, residual, parameters, eps });
}

struct AddAndNorm<'a> {
    x: &'a mut [f32],
    residual: &'a [f32],
    parameters: &'a [f32],
    eps: f32,
}

impl WithSimd for AddAndNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.parameters.len() / 3;
        let (bias, parameters) = self.parameters.split_at(width);
        let (scale, shift) = parameters.split_at(width);
        for (row, residual) in self.x.chunks_exact_mut(width).zip(self.residual.chunks_exact(width)) {
            for ((value, residual), bias) in row.iter_mut().zip(residual).zip(bias) {
                *value += residual + bias;
            }
            norm_row(row, scale, shift, self.eps);
        }
    }
}

#[inline(always)]
fn norm_row(row: &mut [f32], scale: &[f32], shift: &[f32], eps: f32) {
    let width = row.len() as f32;
    let mean = fold_lanes(row, 0.0, |sum, value| sum + value) / width;
    for value in row.iter_mut() {
        *value -= mean;
    }
    let variance = fold_lanes_by(row, |value| value * value) / width;
    let inverse = 1.0 / (variance + eps).sqrt();
    for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
        *value = *value * inverse * scale + shift;
    }
}

/// Folds a row in [`LANES`] independent lanes, then the lanes.
#[inline(always)]
fn fold_lanes(row: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32 + Copy) -> f32 {
    let mut lanes = [start; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = fold(*lane, value);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(start, fold)
}

/// Sum of `map(value)` over a row, in lanes.
#[inline(always)]
fn fold_lanes_by(row: &[f32], map: impl Fn(f32) -> f32 + Copy) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += map(value);
        }
    }
    lanes.into_iter().sum::<f32>() + rest.iter().map(|&value| map(value)).sum::<f32>()
}

/// `x * Φ(x)`.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`, with tanh written by exp: `x * sigmoid(2 u)`.
#[inline(always)]
fn gelu_new(x: f32) -> f32 {
    let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    x / (1.0 + exp(-2.0 * inner))
}

/// The error function, to 1.5e-7 (Abramowitz & Stegun, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let polynomial =
        ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - polynomial * exp(-size * size)).copysign(x)
}

/// `e^x`, to about 1e-7 relative; 0 below -87, clamped above 88. The Cephes `expf` polynomial on
/// `x - n ln 2`, scaled by `2^n` through the exponent's bits.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding this rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > 88.0 { 88.0 } else { x };
    let clamped = if clamped < -87.0 { -87.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let value = p * r * r + r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { value * power }
}
