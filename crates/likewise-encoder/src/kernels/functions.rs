//! Functions of single values, computed for a register of them at once.
//!
//! Its own file because these are formulas, with their errors and where they come from; what is done with
//! them is [`super::rows`]. They are written in `pulp`'s registers, not left to the compiler to vectorise:
//! around a loop like these it may see a longer one, and gather. There are no closures in them, because one
//! that is compiled out of line is compiled for the lowest level, and calls a function for every step.

use pulp::Simd;

/// Adding this to a value rounds it to a whole number, which then stands in the low bits.
pub const ROUND: f32 = 12_582_912.0;

/// A function of every value.
pub trait Function: Copy {
    /// Whether it changes nothing.
    const IS_IDENTITY: bool = false;

    /// Applies it.
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s;
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
    /// `x * Φ(x)`, to 1.5e-6. Φ is `1/2 + x p(x²)`, with p the polynomial whose error, times x², is least
    /// where |x| <= [`GELU_END`] (by Lawson's iteration in Chebyshev polynomials, written out in `x²` scaled
    /// to -1..1); at the ends it is 0 and 1, and stays so beyond. No division, no exponential: twice as fast
    /// as one by erf.
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        let inner = clamp(simd, x, -GELU_END, GELU_END);
        let square = simd.mul_f32s(inner, inner);
        let scaled =
            simd.mul_add_e_f32s(square, simd.splat_f32s(2.0 / (GELU_END * GELU_END)), simd.splat_f32s(-1.0));
        let phi = simd.mul_add_e_f32s(inner, polynomial(simd, scaled, GELU), simd.splat_f32s(0.5));
        simd.mul_f32s(x, simd.max_f32s(phi, simd.splat_f32s(0.0)))
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
    /// `0.5 x (1 + tanh(u))` with `u = √(2/π) (x + 0.044715 x³)`, which is `x / (1 + e^(-2u))`.
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        // -2 √(2/π).
        const SLOPE: f32 = -1.595_769;
        let cubic = simd.splat_f32s(0.044_715 * SLOPE);
        let slope = simd.mul_add_e_f32s(simd.mul_f32s(x, x), cubic, simd.splat_f32s(SLOPE));
        let power = exp(simd, simd.mul_f32s(x, slope));
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

/// `e^x`, to about 1e-7 relative, for x from -87 to 88 and as there beyond. The Cephes `expf` polynomial on
/// `x - n ln 2`, scaled by `2^n` by adding n to the exponent's bits.
#[inline(always)]
pub fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const P: [f32; 8] =
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0];
    let x = clamp(simd, x, -87.0, 88.0);
    let round = simd.splat_f32s(ROUND);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let value = simd.transmute_u32s_f32s(polynomial(simd, r, P));
    simd.transmute_f32s_u32s(simd.add_u32s(value, power))
}

/// The value of a polynomial, highest coefficient first (Horner).
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
