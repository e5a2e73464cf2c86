//! The CPU's fast path: what a transformer's forward spends its time on.
//!
//! [`level`] finds what the machine has; [`avx512`], [`avx2`] and [`portable`] are its micro-kernels, the
//! only `unsafe` code; [`words`] packs numbers for them, [`linear`] multiplies by weights, [`attention`]
//! attends, [`feed_forward`] is the wide part, [`rows`] is everything that is done row by row, and
//! [`functions`] the formulas in it.

pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod feed_forward;
mod functions;
pub mod level;
pub mod linear;
mod portable;
pub mod rows;
pub mod tile;
pub mod words;
#[cfg(target_arch = "x86_64")]
mod x86;

use serde::Deserialize;

/// The first `length` values of a buffer that only grows: shrunk, it would be cleared each time it grows again.
pub fn room<T: Clone + Default>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    &mut buffer[..length]
}

/// The function between a transformer's two wide layers, by config.json's `hidden_act`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * Φ(x)`, with the exact erf (Hendrycks & Gimpel).
    #[default]
    Gelu,
    /// The tanh approximation of it.
    #[serde(alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluNew,
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + e^-x)`.
    #[serde(alias = "swiglu", alias = "swish")]
    Silu,
}

/// Applies a function to every value of a row.
pub fn activate(level: &level::Level, activation: Activation, row: &mut [f32]) {
    match activation {
        Activation::Gelu => rows::apply_in_place(level, row, functions::Gelu),
        Activation::GeluNew => rows::apply_in_place(level, row, functions::GeluNew),
        Activation::Relu => rows::apply_in_place(level, row, functions::Relu),
        Activation::Silu => rows::apply_in_place(level, row, functions::Silu),
    }
}

#[cfg(test)]
mod tests {
    use super::attention::{Attention, AttentionBuffer};
    use super::feed_forward::{FeedForward, FeedForwardBuffer};
    use super::functions::{Function, Gelu, GeluNew, Identity, Relu};
    use super::linear::Linear;
    use super::rows::{Norm, add_and_norm, softmax};
    use super::words::{ACTIVATED_LOW, Form, Range, WordBuffer};
    use super::*;
    use crate::model::Precision;
    use proptest::prelude::*;

    const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    /// The levels live as long as the tests, as they do in the program.
    fn levels() -> &'static [level::Level] {
        static LEVELS: std::sync::LazyLock<Vec<level::Level>> = std::sync::LazyLock::new(level::available);
        &LEVELS
    }

    /// Deterministic values in -8..8, a few of them extreme.
    fn values(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 40) as f32 / (1u32 << 20) as f32 - 8.0;
            if state >> 58 == 0 { value * 30.0 } else { value }
        };
        (0..count).map(next).collect()
    }

    fn assert_close(fast: &[f32], obvious: &[f32], tolerance: f32, what: &str) {
        assert_eq!(fast.len(), obvious.len());
        for (fast, obvious) in fast.iter().zip(obvious) {
            let close = (fast - obvious).abs() <= tolerance * obvious.abs().max(1.0);
            assert!(close, "{what}: got {fast}, wanted {obvious}");
        }
    }

    fn through_bf16(value: f32) -> f32 {
        let mut half = [0];
        portable::to_bf16(&[value], &mut half);
        f32::from_bits(u32::from(half[0]) << 16)
    }

    /// Values as a precision sees them: rounded, and back in f32.
    fn rounded(row: &[f32], precision: Precision, low: Option<f32>) -> Vec<f32> {
        let bytes = |group: &[f32]| {
            let size = |value: f32| if low.is_some() { value } else { value.abs() };
            let largest = group.iter().fold(low.unwrap_or(0.0), |largest, value| largest.max(size(*value)));
            let (zero, steps) = low.map_or((0.0, 127.0), |low| (low, 255.0));
            let span = largest - zero;
            let inverse = if span > 0.0 { steps / span } else { 0.0 };
            let round = |value: &f32| ((value - zero) * inverse).round_ties_even() * (span / steps) + zero;
            group.iter().map(round).collect::<Vec<_>>()
        };
        match precision {
            Precision::F32 => row.to_vec(),
            Precision::Bf16 => row.iter().map(|value| through_bf16(*value)).collect(),
            Precision::Int8 => row.chunks(128).flat_map(bytes).collect(),
        }
    }

    fn product(x: &[f32], weight: &[f32], inputs: usize) -> Vec<f32> {
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        x.chunks_exact(inputs)
            .flat_map(|x| weight.chunks_exact(inputs).map(move |weight| dot(x, weight) as f32))
            .collect()
    }

    fn add_bias(x: &mut [f32], bias: &[f32]) {
        x.chunks_exact_mut(bias.len())
            .for_each(|row| row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias));
    }

    fn gelu(x: f64) -> f64 {
        0.5 * x * (1.0 + candle_core::cpu::erf::erf_f64(x * 0.5_f64.sqrt()))
    }

    fn gelu_new(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
    }

    /// Rows of `width`, through the packing that the feed-forward part uses.
    fn activated(level: &level::Level, function: impl Function, x: &[f32], width: usize) -> Vec<f32> {
        let form = Form { precision: Precision::F32, range: Range::Activated };
        let mut buffer = WordBuffer::default();
        buffer.make_room(form, x.len() / width, width);
        buffer.pack_group(level, form, function, x, (x.len() / width, width, width), (0, width));
        bytemuck::cast_slice(buffer.rows(form, x.len() / width, width).words).to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn products_equal_the_obvious_sums_of_rounded_values(
            rows in 1_usize..40, inputs in 1_usize..300, outputs in 1_usize..70, activated: bool, seed in any::<u64>(),
        ) {
            let low = activated.then_some(ACTIVATED_LOW);
            let range = if activated { Range::Activated } else { Range::Signed };
            let mut x = values(rows * inputs, seed);
            x.iter_mut().for_each(|value| *value = low.map_or(*value, |low| value.max(low)));
            let (weight, bias) = (values(outputs * inputs, seed ^ 1), values(outputs, seed ^ 2));
            for precision in PRECISIONS {
                let seen = |values: &[f32], low| values.chunks_exact(inputs).flat_map(|row| rounded(row, precision, low)).collect::<Vec<_>>();
                let mut obvious = product(&seen(&x, low), &seen(&weight, None), inputs);
                add_bias(&mut obvious, &bias);
                for level in levels() {
                    let linear = Linear::new(level, Form { precision, range }, &weight, bias.clone());
                    let mut fast = vec![f32::NAN; rows * outputs];
                    linear.multiply(&x, &mut WordBuffer::default(), &mut fast, outputs);
                    // Sums of values up to 240 * 240 that cancel: the tolerance is of the terms.
                    let size = 64.0 * inputs as f32 + 240.0 * 240.0;
                    let scaled = |values: &[f32]| values.iter().map(|value| value / size).collect::<Vec<_>>();
                    assert_close(&scaled(&fast), &scaled(&obvious), 2e-5, &format!("{} {precision}", level.name));
                }
            }
        }

        #[test]
        fn attention_equals_the_obvious_one(
            tokens in 1_usize..60, heads in 1_usize..4, size in 1_usize..40, first in 0_usize..60, seed in any::<u64>(),
        ) {
            let width = heads * size;
            let queries = first.min(tokens - 1)..tokens;
            // Rounded beforehand, so that bf16 differs by what it rounds between the two products.
            let qkv: Vec<f32> = values(tokens * 3 * width, seed).iter().map(|value| through_bf16(value / 8.0)).collect();
            let part = |token: usize, which: usize, head: usize| &qkv[(3 * token + which) * width + head * size..][..size];
            let mut obvious = vec![0.0; queries.len() * width];
            for (row, query) in queries.clone().enumerate() {
                for head in 0..heads {
                    let score = |key: usize| product(part(query, 0, head), part(key, 1, head), size)[0] / (size as f32).sqrt();
                    let largest = (0..tokens).map(score).fold(f32::MIN, f32::max);
                    let weights: Vec<f32> = (0..tokens).map(|key| (score(key) - largest).exp()).collect();
                    let sum: f32 = weights.iter().sum();
                    for (key, weight) in weights.iter().enumerate() {
                        let out = &mut obvious[row * width + head * size..][..size];
                        out.iter_mut().zip(part(key, 2, head)).for_each(|(out, value)| *out += weight / sum * value);
                    }
                }
            }
            for level in levels() {
                for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.08)] {
                    let attention = Attention::new(level, precision, heads, width);
                    let mut words = vec![u32::MAX; tokens * attention.words()];
                    attention.pack(&qkv, &mut words);
                    let mut fast = vec![f32::NAN; obvious.len()];
                    attention.attend(&words, queries.clone(), &mut fast, &mut AttentionBuffer::default());
                    assert_close(&fast, &obvious, tolerance, &format!("{} {precision}", level.name));
                }
            }
        }

        #[test]
        fn activations_equal_the_obvious_functions(width in 1_usize..300, seed in any::<u64>()) {
            let x = values(3 * width, seed);
            for level in levels() {
                let close = |fast: Vec<f32>, function: &dyn Fn(f64) -> f64| {
                    let obvious: Vec<f32> = x.iter().map(|x| function(f64::from(*x)) as f32).collect();
                    assert_close(&fast, &obvious, 3e-6, level.name);
                };
                close(activated(level, Identity, &x, width), &|x| x);
                close(activated(level, Gelu, &x, width), &gelu);
                close(activated(level, GeluNew, &x, width), &gelu_new);
                close(activated(level, Relu, &x, width), &|x| x.max(0.0));
            }
        }

        #[test]
        fn the_feed_forward_part_equals_its_parts_one_after_the_other(
            rows in 1_usize..40, inputs in 1_usize..70, wide in 1_usize..300, outputs in 1_usize..70, seed in any::<u64>(),
        ) {
            let x = values(rows * inputs, seed);
            let [up, up_bias, down, down_bias] =
                [wide * inputs, wide, outputs * wide, outputs].map(|count| values(count, seed ^ count as u64));
            for level in levels() {
                for precision in PRECISIONS {
                    let form = |range| Form { precision, range };
                    let intermediate = Linear::new(level, form(Range::Signed), &up, up_bias.clone());
                    let output = Linear::new(level, form(Range::Activated), &down, down_bias.clone());
                    let multiply = |linear: &Linear, x: &[f32]| {
                        let mut out = vec![f32::NAN; rows * linear.outputs()];
                        linear.multiply(x, &mut WordBuffer::default(), &mut out, linear.outputs());
                        out
                    };
                    let obvious = multiply(&output, &activated(level, Gelu, &multiply(&intermediate, &x), wide));
                    let feed_forward = FeedForward { intermediate, activation: Activation::Gelu, output, level };
                    let mut fast = vec![f32::NAN; rows * outputs];
                    feed_forward.forward(&x, &mut FeedForwardBuffer::default(), &mut fast);
                    assert_close(&fast, &obvious, 1e-6, &format!("{} {precision}", level.name));
                }
            }
        }

        #[test]
        fn norms_equal_the_obvious_one(width in 2_usize..70, seed in any::<u64>()) {
            let (x, y) = (values(3 * width, seed), values(3 * width, seed ^ 1));
            let [scale, shift] = [3, 4].map(|salt| values(width, seed ^ salt));
            let mut obvious = Vec::new();
            for (x, y) in x.chunks(width).zip(y.chunks(width)) {
                let sum: Vec<f64> = (0..width).map(|at| f64::from(x[at] + y[at])).collect();
                let mean = sum.iter().sum::<f64>() / width as f64;
                let variance = sum.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / width as f64;
                let normed = |at: usize| (sum[at] - mean) / (variance + 1e-5).sqrt();
                obvious.extend((0..width).map(|at| (normed(at) * f64::from(scale[at]) + f64::from(shift[at])) as f32));
            }
            let norm = Norm { scale, shift, eps: 1e-5 };
            for level in levels() {
                let mut fast = x.clone();
                add_and_norm(level, &mut fast, &y, &norm);
                assert_close(&fast, &obvious, 2e-4, level.name);
            }
        }

        #[test]
        fn softmax_equals_the_obvious_one_and_leaves_nothing_in_the_padding(width in 1_usize..70, rest in 0_usize..20, seed in any::<u64>()) {
            let stride = width + rest;
            let x = values(3 * stride, seed);
            for level in levels() {
                let (mut fast, mut shares) = (x.clone(), [f32::NAN; 3]);
                softmax(level, &mut fast, (stride, width), 0.25, &mut shares);
                for ((fast, share), x) in fast.chunks(stride).zip(shares).zip(x.chunks(stride)) {
                    let largest = x[..width].iter().copied().fold(f32::MIN, f32::max);
                    let weights: Vec<f64> = x[..width].iter().map(|x| f64::from((x - largest) * 0.25).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    let obvious: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
                    let fast: Vec<f32> = fast.iter().map(|weight| weight * share).collect();
                    assert_close(&fast[..width], &obvious, 2e-6, level.name);
                    assert!(fast[width..].iter().all(|weight| weight.abs() < 1e-30));
                }
            }
        }
    }
}
