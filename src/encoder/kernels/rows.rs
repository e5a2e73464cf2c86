//! The loops of the kernels, over rows of plain slices.
//!
//! Its own file because nothing here knows of tensors. The compiler vectorises these loops: `pulp`'s
//! dispatch compiles each once for every instruction level and calls the one the machine has. Each
//! loop is a struct with an always-inlined body, since a closure may be left out of line, and is then
//! compiled for the lowest level.

use super::level::Level;
use pulp::{Simd, WithSimd};

/// Adding this to a value rounds it to a whole number, which then stands in the low bits.
pub const ROUND: f32 = 12_582_912.0;

/// Values handled side by side in a sum, so that it can be vectorised.
const LANES: usize = 16;

/// A function of one value that a dispatched loop can apply.
pub trait Function: Copy {
    /// Whether it changes nothing.
    const IS_IDENTITY: bool = false;

    /// Applies it.
    fn apply<S: Simd>(x: f32) -> f32;
}

/// Changes nothing.
#[derive(Clone, Copy)]
pub struct Identity;

/// See [`Activation::Gelu`](super::Activation::Gelu).
#[derive(Clone, Copy)]
pub struct Gelu;

/// See [`Activation::GeluNew`](super::Activation::GeluNew).
#[derive(Clone, Copy)]
pub struct GeluNew;

/// See [`Activation::Relu`](super::Activation::Relu).
#[derive(Clone, Copy)]
pub struct Relu;

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
            for score in row.iter_mut() {
                *score = exp::<S>((*score - largest) * self.scale);
            }
            *share = 1.0 / sum(simd, row);
        }
    }
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
            norm_row(simd, row, scale, shift, *eps);
        }
    }
}

#[inline(always)]
fn norm_row<S: Simd>(simd: S, row: &mut [f32], scale: &[f32], shift: &[f32], eps: f32) {
    let width = row.len() as f32;
    let mean = sum(simd, row) / width;
    let variance = squares(simd, row, mean) / width;
    let inverse = 1.0 / (variance + eps).sqrt();
    for ((value, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
        *value = mul_add::<S>((*value - mean) * inverse, *scale, *shift);
    }
}

/// `to = function(from)`, [`LANES`] at a time. Each chunk is computed beside `to` before it is stored: only then
/// does the compiler know that no value depends on another's place, and makes a register of them.
#[inline(always)]
pub fn map_lanes<A: Copy, B: Copy + Default>(to: &mut [B], from: &[A], function: impl Fn(A) -> B) {
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<LANES>(), from.as_chunks::<LANES>());
    for (to, from) in to.iter_mut().zip(from) {
        let mut chunk = [B::default(); LANES];
        for (to, from) in chunk.iter_mut().zip(*from) {
            *to = function(from);
        }
        *to = chunk;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = function(*from);
    }
}

/// The largest value of a row, or `start`.
#[inline(always)]
pub fn largest<S: Simd>(simd: S, row: &[f32], start: f32) -> f32 {
    fold_idempotent(simd, row, start, |a, b| simd.max_f32s(a, b))
}

/// The largest size of a row's values.
#[inline(always)]
pub fn largest_size<S: Simd>(simd: S, row: &[f32]) -> f32 {
    fold_idempotent(simd, row, 0.0, |a, b| simd.max_f32s(a, simd.abs_f32s(b)))
}

/// Of a `fold` that may meet a value twice.
#[inline(always)]
fn fold_idempotent<S: Simd>(
    simd: S,
    row: &[f32],
    start: f32,
    fold: impl Fn(S::f32s, S::f32s) -> S::f32s,
) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let total = registers.iter().fold(simd.splat_f32s(start), |total, values| fold(total, *values));
    let total = rest.iter().fold(total, |total, value| fold(total, simd.splat_f32s(*value)));
    simd.reduce_max_f32s(total)
}

#[inline(always)]
fn sum<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let start = simd.partial_load_f32s(rest);
    simd.reduce_sum_f32s(registers.iter().fold(start, |sum, values| simd.add_f32s(sum, *values)))
}

/// Sum of `(value - mean)²`.
#[inline(always)]
fn squares<S: Simd>(simd: S, row: &[f32], mean: f32) -> f32 {
    let (registers, rest) = S::as_simd_f32s(row);
    let means = simd.splat_f32s(mean);
    let add = |sum, values: &S::f32s| {
        let difference = simd.sub_f32s(*values, means);
        simd.mul_add_e_f32s(difference, difference, sum)
    };
    let sum = simd.reduce_sum_f32s(registers.iter().fold(simd.splat_f32s(0.0), add));
    rest.iter().fold(sum, |sum, value| sum + (value - mean) * (value - mean))
}

/// `a * b + c`, rounded once where the machine does so in one step. (Without that instruction, rounding
/// once is a slow function.)
#[inline(always)]
fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

/// The value of a polynomial, highest coefficient first (Horner).
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let add = |sum, coefficient: &f32| mul_add::<S>(sum, x, *coefficient);
    coefficients[1..].iter().fold(coefficients[0], add)
}

/// Not `f32::clamp`, which may panic.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x > low { x } else { low };
    if x < high { x } else { high }
}

impl Function for Identity {
    const IS_IDENTITY: bool = true;

    #[inline(always)]
    fn apply<S: Simd>(x: f32) -> f32 {
        x
    }
}

impl Function for Relu {
    #[inline(always)]
    fn apply<S: Simd>(x: f32) -> f32 {
        x.max(0.0)
    }
}

impl Function for Gelu {
    /// `x * Φ(x)`, to 1.5e-6. Φ is `1/2 + x p(x²)`, with p the polynomial whose error, times x², is least
    /// where |x| <= [`GELU_END`] (by Lawson's iteration in Chebyshev polynomials, written out in `x²` scaled
    /// to -1..1); at the ends it is 0 and 1, and stays so beyond. No division, no exponential: twice as fast
    /// as one by erf.
    #[inline(always)]
    fn apply<S: Simd>(x: f32) -> f32 {
        let inner = clamp(x, -GELU_END, GELU_END);
        let scaled = mul_add::<S>(inner * inner, 2.0 / (GELU_END * GELU_END), -1.0);
        let phi = mul_add::<S>(inner, polynomial::<S, 13>(scaled, GELU), 0.5);
        x * if phi > 0.0 { phi } else { 0.0 }
    }
}

/// Where Φ is 1 in f32.
const GELU_END: f32 = 5.25;

const GELU: [f32; 13] = [
    9.800_423e-4,
    -2.821_801_7e-3,
    3.094_990_5e-3,
    -3.622_003_6e-3,
    7.904_3e-3,
    -1.365_345_1e-2,
    1.882_924_1e-2,
    -2.484_251_4e-2,
    3.196_798e-2,
    -3.978_210_3e-2,
    4.965_047_5e-2,
    -6.712_634e-2,
    1.346_592_9e-1,
];

impl Function for GeluNew {
    /// `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`, with tanh written by exp: `x * sigmoid(2 u)`.
    #[inline(always)]
    fn apply<S: Simd>(x: f32) -> f32 {
        let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
        x / (1.0 + exp::<S>(-2.0 * inner))
    }
}

/// `e^x`, to about 1e-7 relative, for x from -87 to 88 and as there beyond. The Cephes `expf` polynomial on
/// `x - n ln 2`, scaled by `2^n` by adding n to the exponent's bits.
#[inline(always)]
fn exp<S: Simd>(x: f32) -> f32 {
    let x = clamp(x, -87.0, 88.0);
    let shifted = mul_add::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<S>(n, 2.121_944_4e-4, mul_add::<S>(n, -0.693_359_4, x));
    let p = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0];
    f32::from_bits(polynomial::<S, 8>(r, p).to_bits().wrapping_add(shifted.to_bits() << 23))
}
