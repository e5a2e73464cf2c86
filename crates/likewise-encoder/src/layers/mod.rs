//! The layers that networks consist of (linear layers, norms, activation functions), and a [`Loader`] that reads them
//! from a checkpoint.
//!
//! A layer hides what computes it: candle on a GPU, the crate's own kernels, in the chosen precision, on a CPU.

pub mod alternating;
pub mod attention;
pub mod relative_position_bias;
pub mod rope;

use crate::kernels::isa::{self, Isa};
use crate::kernels::linear::PackedLinear;
use crate::kernels::packed::{PackBuffer, PackFormat, ValueRange};
use crate::kernels::{Activation, activate};
use crate::model::Precision;
use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use candle_nn::{Module, VarBuilder};
use rayon::prelude::*;
use std::cell::RefCell;

/// The most rows that one thread multiplies at a time.
const BLOCK_ROWS: usize = 168;

/// Reads layers from a checkpoint, at one prefix of its tensors' names.
#[derive(Clone)]
pub struct Loader<'a> {
    tensors: VarBuilder<'a>,
    /// The instruction set and the precision of the kernels that compute the layers. `None`: candle computes them.
    kernels: Option<(&'static Isa, Precision)>,
}

impl<'a> Loader<'a> {
    /// A loader of layers that candle computes, on the tensors' device and in their type.
    pub fn candle(tensors: VarBuilder<'a>) -> Loader<'a> {
        Loader { tensors, kernels: None }
    }

    /// A loader of layers that the kernels compute, on this CPU.
    pub fn kernels(tensors: VarBuilder<'a>, precision: Precision) -> Loader<'a> {
        Loader { tensors, kernels: Some((isa::current(), precision)) }
    }

    /// A loader for the tensors whose names continue with `name` and a dot.
    pub fn pp(&self, name: impl ToString) -> Loader<'a> {
        Loader { tensors: self.tensors.pp(name), kernels: self.kernels }
    }

    /// A loader for the tensors under `name` if `name.tensor` exists, else this loader: some checkpoints put all
    /// tensors under the name of the network.
    pub fn root(&self, name: &str, tensor: &str) -> Loader<'a> {
        if self.has(&format!("{name}.{tensor}")) { self.pp(name) } else { self.clone() }
    }

    /// A loader that looks up `rename(name)` where `name` is requested.
    pub fn renamed(self, rename: impl Fn(&str) -> String + Send + Sync + 'static) -> Loader<'a> {
        Loader { tensors: self.tensors.rename_f(rename), kernels: self.kernels }
    }

    /// The tensors, in candle's own type.
    pub fn tensors(&self) -> &VarBuilder<'a> {
        &self.tensors
    }

    /// The device that the tensors are on.
    pub fn device(&self) -> &Device {
        self.tensors.device()
    }

    /// Whether the checkpoint has this tensor.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_tensor(name)
    }

    /// Reads a tensor of this shape, and checks that all its values are finite.
    pub fn tensor(&self, shape: impl Into<candle_core::Shape>, name: &str) -> Result<Tensor> {
        let tensor = self.tensors.get(shape, name)?;
        if !is_finite(&tensor)? {
            let prefix = self.tensors.prefix();
            let dot = if prefix.is_empty() { "" } else { "." };
            bail!("{prefix}{dot}{name} has values that are not finite (NaN or infinity)");
        }
        Ok(tensor)
    }

    /// A linear layer, with a bias if the checkpoint has one.
    pub fn linear(&self, inputs: usize, outputs: usize) -> Result<Linear> {
        Loader::fused_linear(&[self], inputs, &[outputs])
    }

    /// Several linear layers that take the same input, as one layer whose output is theirs concatenated. `outputs`
    /// has the width of each.
    pub fn fused_linear(parts: &[&Loader], inputs: usize, outputs: &[usize]) -> Result<Linear> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (part, outputs) in parts.iter().zip(outputs) {
            weights.push(part.tensor((*outputs, inputs), "weight")?);
            if part.has("bias") {
                biases.push(part.tensor(*outputs, "bias")?);
            }
        }
        if !biases.is_empty() && biases.len() != parts.len() {
            let names: Vec<String> = parts.iter().map(|part| part.tensors.prefix()).collect();
            bail!("{}: all of these layers must have a bias, or none", names.join(", "));
        }
        let weight = if weights.len() == 1 { weights.remove(0) } else { Tensor::cat(&weights, 0)? };
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        Linear::new(weight, bias, parts.first().and_then(|part| part.kernels))
    }

    /// A layer norm of rows of `width` values; see [`Loader::norm_parameters`].
    pub fn layer_norm(&self, width: usize, eps: f64) -> Result<Norm> {
        let (scale, shift, eps) = self.norm_parameters(width, eps)?;
        Ok(Norm::Layer { scale, shift, eps })
    }

    /// The scale `[width]`, the shift `[width]` and the eps of a layer norm. Older checkpoints call scale and shift
    /// `gamma` and `beta`; in a checkpoint without a shift it is 0.
    pub fn norm_parameters(&self, width: usize, eps: f64) -> Result<(Tensor, Tensor, f32)> {
        let (scale, shift) = if self.has("gamma") { ("gamma", "beta") } else { ("weight", "bias") };
        let scale = self.tensor(width, scale)?;
        let shift = if self.has(shift) { self.tensor(width, shift)? } else { scale.zeros_like()? };
        Ok((scale, shift, eps as f32))
    }

    /// An RMS norm of rows of `width` values. `scale_offset` is added to the scales of the checkpoint.
    pub fn rms_norm(&self, width: usize, eps: f64, scale_offset: f64) -> Result<Norm> {
        let scale = self.tensor(width, "weight")?;
        // Added in f32, because bf16 has too few digits for 1 plus a small scale.
        let scale = (scale.to_dtype(DType::F32)? + scale_offset)?.to_dtype(scale.dtype())?;
        Ok(Norm::Rms { scale, eps: eps as f32 })
    }

    /// An embedding table: `count` vectors of `width` values.
    pub fn embedding_table(&self, count: usize, width: usize) -> Result<EmbeddingTable> {
        Ok(EmbeddingTable(self.tensor((count, width), "weight")?))
    }

    /// An activation function, computed like the layers of this loader.
    pub fn activation_fn(&self, activation: Activation) -> ActivationFn {
        ActivationFn { activation, isa: self.kernels.map(|(isa, _)| isa) }
    }
}

/// A vector per token id.
pub struct EmbeddingTable(Tensor);

impl EmbeddingTable {
    /// Looks up the vectors of ids `[tokens]`: `[tokens, width]`. The ids must be in the table
    /// ([`EmbeddingTable::check`]).
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.0.index_select(ids, 0)
    }

    /// Returns an error if an id is not in the table.
    pub fn check(&self, ids: &[u32]) -> Result<()> {
        let count = self.0.dim(0)?;
        match ids.iter().find(|id| **id as usize >= count) {
            Some(id) => {
                bail!("token {id} is not in the model's vocabulary; tokenizer.json belongs to another model")
            }
            None => Ok(()),
        }
    }
}

/// A linear layer: `x Wᵀ + b`.
pub enum Linear {
    /// Computed by candle: the transposed weight `[inputs, outputs]`, and the bias `[outputs]`.
    Candle(Tensor, Option<Tensor>),
    /// Computed by the kernels.
    Kernel(PackedLinear),
}

thread_local! {
    static PACK_BUFFER: RefCell<PackBuffer> = RefCell::default();
}

impl Linear {
    fn new(
        weight: Tensor,
        bias: Option<Tensor>,
        kernels: Option<(&'static Isa, Precision)>,
    ) -> Result<Linear> {
        let Some((isa, precision)) = kernels else {
            return Ok(Linear::Candle(weight.t()?, bias));
        };
        let outputs = weight.dim(0)?;
        let bias = bias.map_or(Ok(vec![0.0; outputs]), |bias| bias.to_dtype(DType::F32)?.to_vec1())?;
        let weight: Vec<f32> = weight.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let format = PackFormat { precision, range: ValueRange::Signed };
        Ok(Linear::Kernel(PackedLinear::new(isa, format, &weight, bias)))
    }

    /// Maps rows `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let linear = match self {
            Linear::Candle(weight, bias) => {
                let product = x.matmul(weight)?;
                return bias.as_ref().map_or(Ok(product.clone()), |bias| product.broadcast_add(bias));
            }
            Linear::Kernel(linear) => linear,
        };
        let (rows, inputs) = x.dims2()?;
        let outputs = linear.outputs();
        let mut out = vec![0.0; rows * outputs];
        with_values(x, |x| {
            let block = rows.div_ceil(rayon::current_num_threads()).clamp(1, BLOCK_ROWS);
            let parts = x.par_chunks(block * inputs).zip(out.par_chunks_mut(block * outputs));
            parts.for_each(|(x, out)| {
                PACK_BUFFER.with_borrow_mut(|buffer| linear.multiply(x, buffer, out, outputs));
            });
        })?;
        Tensor::from_vec(out, (rows, outputs), x.device())
    }
}

/// Whether all values are finite. Weights are checked for this at load: a value that is not may vanish on its way
/// through the network, and still make the result wrong.
fn is_finite(x: &Tensor) -> Result<bool> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return with_values(x, |x| x.iter().all(|value| value.is_finite()));
    }
    // 0 times NaN or infinity is NaN, and so is every sum with it.
    Ok((x * 0.0)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? == 0.0)
}

/// Runs `work` on the values of a tensor in CPU memory, in row-major order.
fn with_values<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("the kernels need tensors in CPU memory") };
    let start = layout.start_offset();
    Ok(work(&storage.as_slice::<f32>()?[start..start + layout.shape().elem_count()]))
}

/// A normalisation of rows.
pub enum Norm {
    /// Layer norm (Ba, Kiros & Hinton).
    Layer {
        /// `[width]`: multiplied after normalisation.
        scale: Tensor,
        /// `[width]`: added after the scale.
        shift: Tensor,
        /// Added to the variance.
        eps: f32,
    },
    /// RMS norm: division by the root of the mean square (Zhang & Sennrich).
    Rms {
        /// `[width]`: multiplied after normalisation.
        scale: Tensor,
        /// Added to the mean square.
        eps: f32,
    },
}

impl Norm {
    /// Normalises over the last dimension.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Norm::Layer { scale, shift, eps } => {
                candle_nn::ops::layer_norm(&x.contiguous()?, scale, shift, *eps)
            }
            Norm::Rms { scale, eps } => candle_nn::ops::rms_norm(&x.contiguous()?, scale, *eps),
        }
    }
}

/// `x + y`. On a CPU it does not use candle's sum, which runs on candle's own threads, and these wait by spinning:
/// every core is already busy with a batch.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return x + y;
    }
    let sum = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x + y).collect::<Vec<f32>>();
    let sums = with_values(x, |x| with_values(y, |y| sum(x, y)))??;
    Tensor::from_vec(sums, x.shape(), x.device())
}

/// Which half of a row is the gate: the half that the activation function is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    First,
    Second,
}

/// An activation function.
#[derive(Clone, Copy)]
pub struct ActivationFn {
    activation: Activation,
    /// The instruction set of the kernel that computes it. `None`: candle computes it.
    isa: Option<&'static Isa>,
}

impl ActivationFn {
    /// Applies the function to every value.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(isa) = self.isa {
            let mut out = with_values(x, <[f32]>::to_vec)?;
            out.par_chunks_mut(1 << 14).for_each(|part| activate(isa, self.activation, part));
            return Tensor::from_vec(out, x.shape(), x.device());
        }
        self.with_candle(x)
    }

    /// A gated linear unit (Shazeer, GLU Variants): applies the function to one half of every row, and multiplies the
    /// result by the other half, `[rows, 2 * width]` to `[rows, width]`.
    pub fn gated(&self, x: &Tensor, gate: Gate) -> Result<Tensor> {
        let (rows, width) = (x.dim(0)?, x.dim(1)? / 2);
        let (first, second) = (x.narrow(1, 0, width)?, x.narrow(1, width, width)?);
        let Some(isa) = self.isa else {
            let (gate, other) = if gate == Gate::First { (first, second) } else { (second, first) };
            return self.with_candle(&gate.contiguous()?)? * other;
        };
        let mut out = vec![0.0; rows * width];
        with_values(x, |x| {
            out.par_chunks_mut(width).zip(x.par_chunks(2 * width)).for_each(|(out, row)| {
                let (first, second) = row.split_at(width);
                let (gate, other) = if gate == Gate::First { (first, second) } else { (second, first) };
                out.copy_from_slice(gate);
                activate(isa, self.activation, out);
                out.iter_mut().zip(other).for_each(|(out, other)| *out *= other);
            });
        })?;
        Tensor::from_vec(out, (rows, width), x.device())
    }

    fn with_candle(&self, x: &Tensor) -> Result<Tensor> {
        match self.activation {
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluNew => x.gelu(),
            Activation::Relu => x.relu(),
            Activation::Silu => candle_nn::Activation::Silu.forward(x),
        }
    }
}
