//! The crate's own CPU kernels, for the operations that take most of a transformer's time.
//!
//! - [`isa`] detects the CPU's instruction sets and chooses the micro-kernels;
//! - [`tile`] is the interface of the micro-kernels, and [`amx`], [`avx512`], [`avx2`] and [`portable`] implement it (all
//!   `unsafe` code of the crate is in the micro-kernels, with the macros that define them, and in the calls of
//!   micro-kernels in [`isa`]);
//! - [`packed`] packs values for the micro-kernels;
//! - [`division`] divides the products between threads;
//! - [`linear`], [`attention`] and [`feed_forward`] compute the parts of a transformer layer;
//! - [`rows`] has the operations on rows, such as softmax and layer norm;
//! - [`functions`] has the activation functions, `e^x` and `2^x`.

#[cfg(target_arch = "x86_64")]
mod amx;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod division;
pub mod feed_forward;
mod functions;
pub mod isa;
pub mod linear;
pub mod mask;
pub mod packed;
mod portable;
pub mod rows;
pub mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

use serde::Deserialize;
use std::cell::RefCell;
use std::thread::LocalKey;

/// Grows a buffer to at least `length` values, and returns the first `length` values of the buffer. They can be values
/// from an earlier use. The buffer never shrinks, because growing it again would take time to clear the new part.
pub fn grow<T: Clone + Default>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    &mut buffer[..length]
}

/// Runs `work` with buffers of this thread, which keep their memory from one use to the next.
///
/// The buffers are taken, not borrowed: if `work` waits for other threads, this thread can begin other work in the
/// meantime. If that work uses the same buffers, it gets new ones.
pub fn with_thread_buffers<B: Default, T>(
    thread_buffers: &'static LocalKey<RefCell<B>>,
    work: impl FnOnce(&mut B) -> T,
) -> T {
    let mut buffers = thread_buffers.take();
    let result = work(&mut buffers);
    thread_buffers.set(buffers);
    result
}

/// The activation function of a feed-forward block or an adapter. The names and their aliases are the supported values
/// of `hidden_act`, or of the field that an architecture or adapter has instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * Φ(x)`, with Φ computed from the error function (Hendrycks & Gimpel).
    #[default]
    Gelu,
    /// The tanh approximation of [`Activation::Gelu`].
    #[serde(alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluNew,
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + e^-x)`.
    #[serde(alias = "swiglu", alias = "swish")]
    Silu,
}

/// Applies an activation function to every value, in place.
pub fn activate(isa: &isa::Isa, activation: Activation, row: &mut [f32]) {
    match activation {
        Activation::Gelu => rows::apply_in_place(isa, row, functions::Gelu),
        Activation::GeluNew => rows::apply_in_place(isa, row, functions::GeluNew),
        Activation::Relu => rows::apply_in_place(isa, row, functions::Relu),
        Activation::Silu => rows::apply_in_place(isa, row, functions::Silu),
    }
}

#[cfg(test)]
mod tests {
    use super::attention::{AttentionBuffer, AttentionShape, PackedAttention};
    use super::feed_forward::{FeedForward, FeedForwardBuffer};
    use super::functions::{Function, Gelu, GeluNew, Identity, Relu};
    use super::linear::PackedLinear;
    use super::packed::{ACTIVATION_MIN, GroupColumns, PackBuffer, PackFormat, RowLayout, ValueRange};
    use super::rows::{LayerNorm, add_and_norm, softmax};
    use super::*;
    use crate::model::Precision;
    use proptest::prelude::*;

    const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

    /// Returns deterministic values in -8..8. About one value in 64 is multiplied by 30.
    fn values(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = (state >> 40) as f32 / (1u32 << 20) as f32 - 8.0;
            if state >> 58 == 0 { value * 30.0 } else { value }
        };
        (0..count).map(next).collect()
    }

    fn assert_close(fast: &[f32], expected: &[f32], tolerance: f32, case: &str) {
        assert_eq!(fast.len(), expected.len());
        for (fast, expected) in fast.iter().zip(expected) {
            let close = (fast - expected).abs() <= tolerance * expected.abs().max(1.0);
            assert!(close, "{case}: the kernel computed {fast}, the plain loop {expected}");
        }
    }

    fn through_bf16(value: f32) -> f32 {
        let mut half = [0];
        portable::to_bf16(&[value], &mut half);
        f32::from_bits(u32::from(half[0]) << 16)
    }

    /// Rounds values to a precision and back to f32. In int8, the bytes are unsigned and byte 0 stands for `min`. If
    /// `min` is `None`, the bytes are signed.
    fn rounded(row: &[f32], precision: Precision, min: Option<f32>) -> Vec<f32> {
        let bytes = |group: &[f32]| {
            let size = |value: f32| if min.is_some() { value } else { value.abs() };
            let largest = group.iter().fold(min.unwrap_or(0.0), |largest, value| largest.max(size(*value)));
            let (zero, steps) = min.map_or((0.0, 127.0), |min| (min, 255.0));
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

    /// Applies a function to rows of `width` values by packing them, as the feed-forward block does.
    fn activated(isa: &isa::Isa, function: impl Function, x: &[f32], width: usize) -> Vec<f32> {
        let format = PackFormat::new(isa, Precision::F32, ValueRange::Activated);
        let layout = RowLayout { count: x.len() / width, stride: width, width };
        let mut buffer = PackBuffer::default();
        buffer.grow(format, layout.count, width);
        buffer.pack_group(
            isa,
            format,
            function,
            x,
            layout,
            GroupColumns { first_group: 0, row_width: width },
        );
        bytemuck::cast_slice(buffer.rows(format, layout.count, width).packed).to_vec()
    }

    /// Any number of values of a row. Every other number fills whole tile registers in all precisions.
    fn any_width() -> impl Strategy<Value = usize> {
        prop_oneof![1_usize..300, (1_usize..5).prop_map(|registers| 64 * registers)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn products_equal_plain_sums_of_rounded_values(
            rows in 1_usize..40, inputs in any_width(), outputs in 1_usize..140, activated: bool,
            column_parts in 2_usize..6, seed in any::<u64>(),
        ) {
            let min = activated.then_some(ACTIVATION_MIN);
            let range = if activated { ValueRange::Activated } else { ValueRange::Signed };
            let mut x = values(rows * inputs, seed);
            x.iter_mut().for_each(|value| *value = min.map_or(*value, |min| value.max(min)));
            let (weight, bias) = (values(outputs * inputs, seed ^ 1), values(outputs, seed ^ 2));
            for precision in PRECISIONS {
                let rounded = |values: &[f32], min| -> Vec<f32> {
                    values.chunks_exact(inputs).flat_map(|row| rounded(row, precision, min)).collect()
                };
                let mut expected = product(&rounded(&x, min), &rounded(&weight, None), inputs);
                add_bias(&mut expected, &bias);
                for isa in isa::testable() {
                    let linear = PackedLinear::new(isa, PackFormat::new(isa, precision, range), &weight, bias.clone());
                    let mut fast = vec![f32::NAN; rows * outputs];
                    linear.multiply(&x, &mut PackBuffer::default(), &mut fast, outputs, 1);
                    let mut in_parts = vec![f32::NAN; rows * outputs];
                    linear.multiply(&x, &mut PackBuffer::default(), &mut in_parts, outputs, column_parts);
                    prop_assert_eq!(&in_parts, &fast, "{} {}: in {} parts", isa.name, precision, column_parts);
                    // Terms of up to 240 * 240 can cancel each other, so the tolerance is relative to the terms and not
                    // to their sum.
                    let size = 64.0 * inputs as f32 + 240.0 * 240.0;
                    let scaled = |values: &[f32]| values.iter().map(|value| value / size).collect::<Vec<_>>();
                    assert_close(&scaled(&fast), &scaled(&expected), 2e-5, &format!("{} {precision}", isa.name));
                }
            }
        }

        #[test]
        fn attention_equals_plain_loops(
            tokens in 1_usize..60, heads in 1_usize..4, size in 1_usize..40, first in 0_usize..60,
            unattended in 0_usize..20, seed in any::<u64>(),
        ) {
            let (width, attended) = (heads * size, tokens.saturating_sub(unattended).max(1));
            let queries = first.min(tokens - 1)..tokens;
            // The values are rounded to bf16 beforehand, so that the results in bf16 differ from the plain loops only
            // because the weights are rounded between the two products.
            let qkv: Vec<f32> = values(tokens * 3 * width, seed).iter().map(|value| through_bf16(value / 8.0)).collect();
            let part = |token: usize, which: usize, head: usize| {
                &qkv[(3 * token + which) * width + head * size..][..size]
            };
            let mut expected = vec![0.0; queries.len() * width];
            for (row, query) in queries.clone().enumerate() {
                for head in 0..heads {
                    let score = |key: usize| product(part(query, 0, head), part(key, 1, head), size)[0] / (size as f32).sqrt();
                    let largest = (0..attended).map(score).fold(f32::MIN, f32::max);
                    let weights: Vec<f32> = (0..attended).map(|key| (score(key) - largest).exp()).collect();
                    let sum: f32 = weights.iter().sum();
                    for (key, weight) in weights.iter().enumerate() {
                        let out = &mut expected[row * width + head * size..][..size];
                        out.iter_mut().zip(part(key, 2, head)).for_each(|(out, value)| *out += weight / sum * value);
                    }
                }
            }
            for isa in isa::testable() {
                for (precision, tolerance) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.08)] {
                    let attention = PackedAttention::new(isa, precision, AttentionShape::standard(heads, width));
                    let mut packed = vec![u32::MAX; tokens * attention.packed_len()];
                    attention.pack(&qkv, &mut packed);
                    let mut fast = vec![f32::NAN; expected.len()];
                    attention.attend(&packed, attended, queries.clone(), None, &mut fast, &mut AttentionBuffer::default());
                    assert_close(&fast, &expected, tolerance, &format!("{} {precision}", isa.name));
                }
            }
        }

        #[test]
        fn activations_equal_their_formulas_in_f64(width in 1_usize..300, seed in any::<u64>()) {
            let x = values(3 * width, seed);
            for isa in isa::testable() {
                let close = |fast: Vec<f32>, function: &dyn Fn(f64) -> f64| {
                    let expected: Vec<f32> = x.iter().map(|x| function(f64::from(*x)) as f32).collect();
                    assert_close(&fast, &expected, 3e-6, isa.name);
                };
                close(activated(isa, Identity, &x, width), &|x| x);
                close(activated(isa, Gelu, &x, width), &gelu);
                close(activated(isa, GeluNew, &x, width), &gelu_new);
                close(activated(isa, Relu, &x, width), &|x| x.max(0.0));
            }
        }

        #[test]
        fn feed_forward_equals_its_three_steps_run_separately(
            rows in 1_usize..40, inputs in 1_usize..70, wide in any_width(), outputs in 1_usize..70, seed in any::<u64>(),
        ) {
            let x = values(rows * inputs, seed);
            let [up, up_bias, down, down_bias] =
                [wide * inputs, wide, outputs * wide, outputs].map(|count| values(count, seed ^ count as u64));
            for isa in isa::testable() {
                for precision in PRECISIONS {
                    let format = |range| PackFormat::new(isa, precision, range);
                    let intermediate = PackedLinear::new(isa, format(ValueRange::Signed), &up, up_bias.clone());
                    let output = PackedLinear::new(isa, format(ValueRange::Activated), &down, down_bias.clone());
                    let multiply = |linear: &PackedLinear, x: &[f32]| {
                        let mut out = vec![f32::NAN; rows * linear.outputs()];
                        linear.multiply(x, &mut PackBuffer::default(), &mut out, linear.outputs(), 1);
                        out
                    };
                    let expected = multiply(&output, &activated(isa, Gelu, &multiply(&intermediate, &x), wide));
                    let feed_forward = FeedForward { intermediate, activation: Activation::Gelu, output, isa };
                    for column_parts in [1, 3] {
                        let mut fast = vec![f32::NAN; rows * outputs];
                        feed_forward.forward(&x, &mut FeedForwardBuffer::default(), &mut fast, column_parts);
                        assert_close(&fast, &expected, 1e-6, &format!("{} {precision}", isa.name));
                    }
                }
            }
        }

        #[test]
        fn transposed_rows_are_columns(
            count in 0_usize..32, words in 1_usize..40, gap in 0_usize..5, seed in any::<u64>(),
        ) {
            let stride = words + gap;
            let rows: Vec<u32> = values(32 * stride, seed).into_iter().map(f32::to_bits).collect();
            for isa in isa::testable() {
                let count = count.min(isa.width);
                let mut columns = vec![7; words * isa.width];
                isa.transpose(&rows, stride, count, &mut columns);
                for (at, column) in columns.into_iter().enumerate() {
                    let (word, row) = (at / isa.width, at % isa.width);
                    prop_assert_eq!(column, if row < count { rows[row * stride + word] } else { 7 }, "{}", isa.name);
                }
            }
        }

        #[test]
        fn layer_norm_equals_plain_loops(width in 2_usize..70, seed in any::<u64>()) {
            let (x, y) = (values(3 * width, seed), values(3 * width, seed ^ 1));
            let [scale, shift] = [3, 4].map(|salt| values(width, seed ^ salt));
            let mut expected = Vec::new();
            for (x, y) in x.chunks(width).zip(y.chunks(width)) {
                let sum: Vec<f64> = (0..width).map(|at| f64::from(x[at] + y[at])).collect();
                let mean = sum.iter().sum::<f64>() / width as f64;
                let variance = sum.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / width as f64;
                let normed = |at: usize| (sum[at] - mean) / (variance + 1e-5).sqrt();
                expected.extend((0..width).map(|at| (normed(at) * f64::from(scale[at]) + f64::from(shift[at])) as f32));
            }
            let norm = LayerNorm { scale, shift, eps: 1e-5 };
            for isa in isa::testable() {
                let mut fast = x.clone();
                add_and_norm(isa, &mut fast, &y, &norm);
                assert_close(&fast, &expected, 2e-4, isa.name);
            }
        }

        #[test]
        fn softmax_equals_plain_loops_and_padding_is_nearly_zero(
            width in 1_usize..70, rest in 0_usize..20, seed in any::<u64>(),
        ) {
            let stride = width + rest;
            let x = values(3 * stride, seed);
            for isa in isa::testable() {
                let (mut fast, mut inverse_sums) = (x.clone(), [f32::NAN; 3]);
                softmax(isa, &mut fast, stride, width, 0.25, &mut inverse_sums);
                for ((fast, inverse_sum), x) in fast.chunks(stride).zip(inverse_sums).zip(x.chunks(stride)) {
                    let largest = x[..width].iter().copied().fold(f32::MIN, f32::max);
                    let weights: Vec<f64> = x[..width].iter().map(|x| f64::from((x - largest) * 0.25).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    let expected: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
                    let fast: Vec<f32> = fast.iter().map(|weight| weight * inverse_sum).collect();
                    assert_close(&fast[..width], &expected, 2e-6, isa.name);
                    assert!(fast[width..].iter().all(|weight| weight.abs() < 1e-30));
                }
            }
        }
    }
}
