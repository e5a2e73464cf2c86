//! The loops of the kernels, over rows of plain slices.
//!
//! Its own file because nothing here knows of tensors. The compiler vectorises these loops: `pulp`'s
//! dispatch compiles each once for every instruction level and calls the one the machine has. Each
//! loop is a struct with an always-inlined body, since a closure may be left out of line, and is then
//! compiled for the lowest level.

use super::Activation;
use super::level::Level;
use pulp::{Simd, WithSimd};

/// Adding this to a value rounds it to a whole number, which then stands in the low bits.
pub const ROUND: f32 = 12_582_912.0;

/// Values handled side by side in a sum, so that it can be vectorised.
const LANES: usize = 16;

/// `x = activation(x + bias)`, for `x [rows, width]` and `bias [width]`.
pub fn bias_and_activate(level: &Level, x: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::None => bias_and(level, x, bias, |value| value),
        Activation::Gelu => bias_and(level, x, bias, gelu),
        Activation::GeluNew => bias_and(level, x, bias, gelu_new),
        Activation::Relu => bias_and(level, x, bias, |value| value.max(0.0)),
    }
}

fn bias_and(level: &Level, x: &mut [f32], bias: &[f32], function: impl Fn(f32) -> f32 + Copy) {
    level.arch.dispatch(BiasAnd { x, bias, function });
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

/// Softmax of `scale * x` over the first `tokens` values of every row of `stride`.
pub fn softmax(level: &Level, x: &mut [f32], stride: usize, tokens: usize, scale: f32) {
    level.arch.dispatch(Softmax { x, stride, tokens, scale });
}

struct Softmax<'a> {
    x: &'a mut [f32],
    stride: usize,
    tokens: usize,
    scale: f32,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact_mut(self.stride) {
            softmax_row(&mut row[..self.tokens], self.scale);
        }
    }
}

#[inline(always)]
fn softmax_row(row: &mut [f32], scale: f32) {
    let largest =
        fold_lanes(row, f32::NEG_INFINITY, |largest, score| if score > largest { score } else { largest });
    for score in row.iter_mut() {
        *score = exp((*score - largest) * scale);
    }
    let inverse = 1.0 / fold_lanes(row, 0.0, |sum, weight| sum + weight);
    for weight in row.iter_mut() {
        *weight *= inverse;
    }
}

/// Layer norm (Ba, Kiros & Hinton): what comes before it, and its scale and shift.
pub struct Norm {
    /// Added to every row first.
    pub bias: Vec<f32>,
    /// `[width]`.
    pub scale: Vec<f32>,
    /// `[width]`.
    pub shift: Vec<f32>,
    /// Added to the variance.
    pub eps: f32,
}

/// `x = norm(x + y + bias)`, for `x` and `y` `[rows, width]`.
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
    fn with_simd<S: Simd>(self, _: S) {
        let Norm { bias, scale, shift, eps } = self.norm;
        let width = scale.len();
        for (row, y) in self.x.chunks_exact_mut(width).zip(self.y.chunks_exact(width)) {
            for ((value, y), bias) in row.iter_mut().zip(y).zip(bias) {
                *value += y + bias;
            }
            norm_row(row, scale, shift, *eps);
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
pub fn fold_lanes(row: &[f32], start: f32, fold: impl Fn(f32, f32) -> f32 + Copy) -> f32 {
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
