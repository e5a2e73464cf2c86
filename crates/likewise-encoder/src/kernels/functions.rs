//! Activation functions and `e^x`, computed for a register of f32 values at once. [`super::rows`] applies these
//! functions to rows.
//!
//! The functions use `pulp` and do not rely on the compiler to vectorise them, because it might vectorise an enclosing
//! loop instead, with slow gather instructions. The functions contain no closures, because a closure that is not
//! inlined is compiled for the baseline instruction set, where every step becomes a function call.

use pulp::Simd;

/// 1.5 * 2^23. Adding this constant to a value between -2^22 and 2^22 rounds the value to the nearest integer, ties to
/// even, and leaves the integer in the low bits of the sum.
pub const ROUND_MAGIC: f32 = 12_582_912.0;

/// An elementwise function.
pub trait Function: Copy {
    /// Whether the function returns its argument unchanged, so that callers need not apply it.
    const IS_IDENTITY: bool = false;

    /// Applies the function to each value of a register.
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s;
}

/// `x`.
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

/// See [`Activation::Silu`](super::Activation::Silu).
#[derive(Clone, Copy)]
pub struct Silu;

impl Function for Identity {
    const IS_IDENTITY: bool = true;

    #[inline(always)]
    fn apply<S: Simd>(_: S, x: S::f32s) -> S::f32s {
        x
    }
}

impl Function for Relu {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        simd.max_f32s(x, simd.splat_f32s(0.0))
    }
}

impl Function for Gelu {
    /// `x * Φ(x)`, with an error of at most 1.5e-6.
    ///
    /// Φ(x) is approximated by `1/2 + x p(x²)` for |x| <= [`GELU_SATURATION`], and by 0 or 1 for larger |x|. The
    /// polynomial p was fitted to minimise the maximum error of GELU, which is x² times the error of p (Lawson's
    /// iteration in Chebyshev polynomials). The variable of p is x², scaled to -1..1. The approximation needs no
    /// division and no exponential, so it is twice as fast as GELU computed with erf.
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let inner = clamp(simd, x, -GELU_SATURATION, GELU_SATURATION);
        let square = simd.mul_f32s(inner, inner);
        let scaled = simd.mul_add_e_f32s(
            square,
            simd.splat_f32s(2.0 / (GELU_SATURATION * GELU_SATURATION)),
            simd.splat_f32s(-1.0),
        );
        let phi =
            simd.mul_add_e_f32s(inner, polynomial(simd, scaled, GELU_COEFFICIENTS), simd.splat_f32s(0.5));
        simd.mul_f32s(x, simd.max_f32s(phi, simd.splat_f32s(0.0)))
    }
}

/// For x above this value, Φ(x) is approximated by 1, with an error of less than 1e-7.
const GELU_SATURATION: f32 = 5.25;

/// The coefficients of p in [`Gelu`], highest power first.
const GELU_COEFFICIENTS: [f32; 13] = [
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
    /// `0.5 x (1 + tanh(u))` with `u = √(2/π) (x + 0.044715 x³)`, computed as `x / (1 + e^(-2u))`.
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        // -2 √(2/π): the factor of x in -2u.
        const LINEAR_FACTOR: f32 = -1.595_769;
        let cubic_factor = simd.splat_f32s(0.044_715 * LINEAR_FACTOR);
        let factor = simd.mul_add_e_f32s(simd.mul_f32s(x, x), cubic_factor, simd.splat_f32s(LINEAR_FACTOR));
        let power = exp(simd, simd.mul_f32s(x, factor));
        simd.div_f32s(x, simd.add_f32s(simd.splat_f32s(1.0), power))
    }
}

impl Function for Silu {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let power = exp(simd, simd.neg_f32s(x));
        simd.div_f32s(x, simd.add_f32s(simd.splat_f32s(1.0), power))
    }
}

/// `e^x`, with a relative error of about 1e-7. Arguments are limited to -87..88 first.
///
/// With n as the integer nearest to x / ln 2, it evaluates the polynomial of Cephes' `expf` at `x - n ln 2`, and
/// multiplies the result by `2^n`.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const COEFFICIENTS: [f32; 8] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0];
    let x = clamp(simd, x, -87.0, 88.0);
    let round = simd.splat_f32s(ROUND_MAGIC);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    times_power_of_two(simd, polynomial(simd, r, COEFFICIENTS), shifted)
}

/// `2^x` for x up to 126, with a relative error of about 2e-7. Arguments below -126 are raised to -126.
///
/// With n as the integer nearest to x, it evaluates the Taylor series of `2^r` at `r = x - n`, which is from -1/2 to 1/2,
/// and multiplies the result by `2^n`.
#[inline(always)]
pub fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// (ln 2)^k / k! for k from 6 to 0.
    const COEFFICIENTS: [f32; 7] = [
        1.540_353_1e-4,
        1.333_355_8e-3,
        9.618_129e-3,
        5.550_411e-2,
        2.402_265e-1,
        std::f32::consts::LN_2,
        1.0,
    ];
    let x = simd.max_f32s(x, simd.splat_f32s(-126.0));
    let round = simd.splat_f32s(ROUND_MAGIC);
    let shifted = simd.add_f32s(x, round);
    let r = simd.sub_f32s(x, simd.sub_f32s(shifted, round));
    times_power_of_two(simd, polynomial(simd, r, COEFFICIENTS), shifted)
}

/// Multiplies values by `2^n`, by adding n to the exponent bits. `shifted` is n plus [`ROUND_MAGIC`].
#[inline(always)]
fn times_power_of_two<S: Simd>(simd: S, values: S::f32s, shifted: S::f32s) -> S::f32s {
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(values), power))
}

/// Evaluates a polynomial by Horner's scheme. `coefficients` starts with the coefficient of the highest power.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(*coefficient));
    }
    sum
}

#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, low: f32, high: f32) -> S::f32s {
    simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(low)), simd.splat_f32s(high))
}
