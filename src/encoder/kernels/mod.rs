//! The CPU's fast path: multiplication by packed weights ([`matmul`]), and what lies between two
//! multiplications as one pass over memory each ([`rows`]).
//!
//! candle has the latter as several operations with a fresh buffer each, and a scalar erf. Here each
//! works in place: a candle in-place op around plain loops, compiled once for every instruction level
//! and picked at run time by `pulp`, so there is no `unsafe` and no level that is special. Every
//! kernel is property-tested against candle's own operations.

mod matmul;
mod rows;

pub use matmul::PackedWeight;

use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};
use serde::Deserialize;

/// The function between a transformer's two wide layers, by config.json's `hidden_act`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing: only the bias is added.
    #[serde(skip)]
    None,
    /// `x * Φ(x)`, with the exact erf (Hendrycks & Gimpel).
    #[default]
    Gelu,
    /// The tanh approximation of it.
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    /// `max(x, 0)`.
    Relu,
}

/// The instruction level that was found, in words.
pub fn level() -> &'static str {
    match pulp::Arch::new() {
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V4(_) => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V3(_) => "AVX2",
        _ => "portable",
    }
}

/// `x = activation(x + bias)`, for `x [rows, width]` and `bias [width]`.
pub fn bias_and_activate(x: &Tensor, bias: &Tensor, activation: Activation) -> Result<()> {
    x.inplace_op2(bias, &BiasAndActivate(activation))
}

/// `x = softmax(scale * x + mask)` along the last dimension, for `x [texts, heads, tokens, tokens]`
/// and `mask [texts, tokens]`.
pub fn masked_softmax(x: &Tensor, mask: &Tensor, scale: f32) -> Result<()> {
    x.inplace_op2(mask, &MaskedSoftmax { scale })
}

/// Layer norm (Ba, Kiros & Hinton), preceded by a bias and a residual.
pub struct Norm {
    /// Bias, scale and shift, one after the other: `[3 * width]`.
    parameters: Tensor,
    eps: f32,
}

impl Norm {
    /// Takes three tensors of `[width]` each.
    pub fn new(bias: &Tensor, scale: &Tensor, shift: &Tensor, eps: f32) -> Result<Norm> {
        let parameters = Tensor::cat(&[bias, scale, shift], 0)?.to_dtype(DType::F32)?;
        Ok(Norm { parameters, eps })
    }

    /// `x = norm(x + bias + residual)`, for `x` and `residual` `[rows, width]`.
    pub fn add_and_norm(&self, x: &Tensor, residual: &Tensor) -> Result<()> {
        x.inplace_op3(residual, &self.parameters, &AddAndNorm { eps: self.eps })
    }
}

struct BiasAndActivate(Activation);

impl InplaceOp2 for BiasAndActivate {
    fn name(&self) -> &'static str {
        "bias-and-activate"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, xl: &Layout, bias: &CpuStorage, bl: &Layout) -> Result<()> {
        rows::bias_and_activate(slice_mut(x, xl)?, slice(bias, bl)?, self.0);
        Ok(())
    }
}

struct MaskedSoftmax {
    scale: f32,
}

impl InplaceOp2 for MaskedSoftmax {
    fn name(&self) -> &'static str {
        "masked-softmax"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, xl: &Layout, mask: &CpuStorage, ml: &Layout) -> Result<()> {
        let (_, tokens) = ml.shape().dims2()?;
        rows::masked_softmax(slice_mut(x, xl)?, slice(mask, ml)?, tokens, self.scale);
        Ok(())
    }
}

struct AddAndNorm {
    eps: f32,
}

impl InplaceOp3 for AddAndNorm {
    fn name(&self) -> &'static str {
        "add-and-norm"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        xl: &Layout,
        residual: &CpuStorage,
        rl: &Layout,
        parameters: &CpuStorage,
        pl: &Layout,
    ) -> Result<()> {
        rows::add_and_norm(slice_mut(x, xl)?, slice(residual, rl)?, slice(parameters, pl)?, self.eps);
        Ok(())
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("wanted a contiguous tensor") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("wanted a contiguous tensor") };
    match storage {
        CpuStorage::F32(values) => Ok(&mut values[start..end]),
        other => bail!("wanted f32, got {:?}", candle_core::backend::BackendStorage::dtype(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device};
    use proptest::prelude::*;

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

    pub fn tensor(shape: &[usize], seed: u64) -> Tensor {
        Tensor::from_vec(values(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
    }

    pub fn assert_close(fast: &Tensor, obvious: &Tensor, tolerance: f32) {
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (fast, obvious) in flat(fast).into_iter().zip(flat(obvious)) {
            let close = (fast - obvious).abs() <= tolerance * obvious.abs().max(1.0);
            assert!(close, "got {fast}, wanted {obvious}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn activations_equal_candles(rows in 1_usize..5, width in 1_usize..70, seed in any::<u64>()) {
            let (x, bias) = (tensor(&[rows, width], seed), tensor(&[width], seed ^ 1));
            let sum = x.broadcast_add(&bias).unwrap();
            let expected = [
                (Activation::None, sum.clone()),
                (Activation::Gelu, sum.gelu_erf().unwrap()),
                (Activation::GeluNew, sum.gelu().unwrap()),
                (Activation::Relu, sum.relu().unwrap()),
            ];
            for (activation, obvious) in expected {
                let fast = x.copy().unwrap();
                bias_and_activate(&fast, &bias, activation).unwrap();
                assert_close(&fast, &obvious, 2e-6);
            }
        }

        #[test]
        fn norms_equal_candles(rows in 1_usize..5, width in 2_usize..70, seed in any::<u64>()) {
            let x = tensor(&[rows, width], seed);
            let residual = tensor(&[rows, width], seed ^ 1);
            let [bias, scale, shift] = [2, 3, 4].map(|salt| tensor(&[width], seed ^ salt));
            let sum = x.broadcast_add(&bias).unwrap().add(&residual).unwrap();
            let obvious = candle_nn::ops::layer_norm_slow(&sum, &scale, &shift, 1e-5).unwrap();
            let fast = x.copy().unwrap();
            Norm::new(&bias, &scale, &shift, 1e-5).unwrap().add_and_norm(&fast, &residual).unwrap();
            assert_close(&fast, &obvious, 2e-4);
        }

        #[test]
        fn softmax_equals_candles_and_ignores_masked_tokens(
            texts in 1_usize..4, heads in 1_usize..4, tokens in 1_usize..40, cut in 0_usize..40, seed in any::<u64>(),
        ) {
            let x = tensor(&[texts, heads, tokens, tokens], seed);
            let kept = tokens - cut.min(tokens - 1);
            let row: Vec<f32> = (0..tokens).map(|token| if token < kept { 0.0 } else { -1e30 }).collect();
            let mask = Tensor::from_vec(row.repeat(texts), (texts, tokens), &Device::Cpu).unwrap();
            let shifted = (&x * 0.25).unwrap();
            let shifted = shifted.broadcast_add(&mask.reshape((texts, 1, 1, tokens)).unwrap()).unwrap();
            let obvious = candle_nn::ops::softmax(&shifted, D::Minus1).unwrap();
            let fast = x.copy().unwrap();
            masked_softmax(&fast, &mask, 0.25).unwrap();
            assert_close(&fast, &obvious, 2e-6);
            let padding = fast.narrow(3, kept, tokens - kept).unwrap().flatten_all().unwrap();
            prop_assert!(padding.to_vec1::<f32>().unwrap().iter().all(|&weight| weight == 0.0));
        }
    }
}
