//! The layers that networks consist of (linear layers, norms, activation functions), and a [`Loader`] that reads them
//! from a checkpoint.
//!
//! A layer hides which code computes it. On a GPU, candle computes all layers. On a CPU, the crate's own kernels
//! compute linear layers and attention (in the chosen precision) and activation functions, and candle computes
//! everything else. With [`Engine::Candle`](crate::network::Engine::Candle), the only kernel is the softmax. Adapters are
//! computed in f32. Dense layers after pooling are always computed by candle.

pub mod alternating;
pub mod attention;
pub mod relative_position_bias;
pub mod rope;

use self::attention::{Attention, AttentionShape};
use crate::kernels::division::Division;
use crate::kernels::isa::{self, Isa};
use crate::kernels::linear::PackedLinear;
use crate::kernels::packed::{PackBuffer, PackFormat, ValueRange};
use crate::kernels::with_thread_buffers;
use crate::kernels::{Activation, activate};
use crate::model::Precision;
use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use candle_nn::{Module, VarBuilder};
use rayon::prelude::*;
use std::cell::RefCell;

/// Reads layers from a checkpoint. The names of all tensors that a loader reads start with the prefix of the loader.
#[derive(Clone)]
pub struct Loader<'a> {
    tensors: VarBuilder<'a>,
    /// The instruction set and the precision of the kernels that compute the layers. `None`: candle computes them.
    kernels: Option<(&'static Isa, Precision)>,
}

impl<'a> Loader<'a> {
    /// Creates a loader of layers that candle computes, on the device and in the data type of `tensors`.
    pub fn candle(tensors: VarBuilder<'a>) -> Loader<'a> {
        Loader { tensors, kernels: None }
    }

    /// Creates a loader of layers that the crate's kernels compute, on this CPU.
    pub fn kernels(tensors: VarBuilder<'a>, precision: Precision) -> Loader<'a> {
        Loader { tensors, kernels: Some((isa::current(), precision)) }
    }

    /// Creates a loader of an adapter's layers. If the kernels compute the layers of this loader, they compute the
    /// adapter's too, in f32.
    pub fn of_adapter<'b>(&self, tensors: VarBuilder<'b>) -> Loader<'b> {
        Loader { tensors, kernels: self.kernels.map(|(isa, _)| (isa, Precision::F32)) }
    }

    /// Returns a loader whose prefix is the prefix of this loader, followed by `name` and a dot.
    pub fn pp(&self, name: impl ToString) -> Loader<'a> {
        Loader { tensors: self.tensors.pp(name), kernels: self.kernels }
    }

    /// Returns the loader `self.pp(name)` if it has the tensor `tensor`, else a copy of this loader. In some
    /// checkpoints, the names of all tensors start with the name of the network.
    pub fn root(&self, name: &str, tensor: &str) -> Loader<'a> {
        if self.has(&format!("{name}.{tensor}")) { self.pp(name) } else { self.clone() }
    }

    /// Returns a loader that reads the tensor `rename(name)` when the tensor `name` is requested. Both names include the
    /// prefix of the loader.
    pub fn renamed(self, rename: impl Fn(&str) -> String + Send + Sync + 'static) -> Loader<'a> {
        // Renames at the root, because candle would otherwise put the prefix before the new name once more.
        let (prefix, renamed) = (self.tensors.prefix(), self.tensors.root().rename_f(rename));
        let tensors = if prefix.is_empty() { renamed } else { renamed.pp(prefix) };
        Loader { tensors, kernels: self.kernels }
    }

    /// The tensors, as candle's type for tensors of a checkpoint.
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
            bail!("the tensor {prefix}{dot}{name} has values that are not finite (NaN or infinity)");
        }
        Ok(tensor)
    }

    /// Reads a linear layer, with a bias if the checkpoint has a bias.
    pub fn linear(&self, inputs: usize, outputs: usize) -> Result<Linear> {
        Loader::fused_linear(&[self], inputs, &[outputs])
    }

    /// Makes a linear layer of a weight `[outputs, inputs]` and a bias `[outputs]`.
    pub fn linear_of(&self, weight: Tensor, bias: Option<Tensor>) -> Result<Linear> {
        Linear::new(weight, bias, self.kernels)
    }

    /// Reads several linear layers that take the same input, and joins them into one layer. The output of that layer is
    /// the concatenation of their outputs. `outputs` has the width of each output.
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
            bail!("{}: either all or none of these layers must have a bias", names.join(", "));
        }
        let weight = if weights.len() == 1 { weights.remove(0) } else { Tensor::cat(&weights, 0)? };
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        Linear::new(weight, bias, parts.first().and_then(|part| part.kernels))
    }

    /// Reads a layer norm of rows of `width` values; see [`Loader::norm_parameters`].
    pub fn layer_norm(&self, width: usize, eps: f64) -> Result<Norm> {
        let (scale, shift, eps) = self.norm_parameters(width, eps)?;
        Ok(Norm::Layer { scale, shift, eps })
    }

    /// Reads the scale `[width]` and the shift `[width]` of a layer norm, and returns them with eps. Older checkpoints
    /// call the scale `gamma` and the shift `beta`. If a checkpoint has no shift, the shift is 0.
    pub fn norm_parameters(&self, width: usize, eps: f64) -> Result<(Tensor, Tensor, f32)> {
        let (scale, shift) = if self.has("gamma") { ("gamma", "beta") } else { ("weight", "bias") };
        let scale = self.tensor(width, scale)?;
        let shift = if self.has(shift) { self.tensor(width, shift)? } else { scale.zeros_like()? };
        Ok((scale, shift, eps as f32))
    }

    /// Reads an RMS norm of rows of `width` values. `scale_offset` is added to the scales of the checkpoint.
    pub fn rms_norm(&self, width: usize, eps: f64, scale_offset: f64) -> Result<Norm> {
        let scale = self.tensor(width, "weight")?;
        // The offset is added in f32, because bf16 has too few digits for the sum of 1 and a small scale.
        let scale = (scale.to_dtype(DType::F32)? + scale_offset)?.to_dtype(scale.dtype())?;
        Ok(Norm::Rms { scale, eps: eps as f32 })
    }

    /// Reads an embedding table: `count` vectors of `width` values.
    pub fn embedding_table(&self, count: usize, width: usize) -> Result<EmbeddingTable> {
        Ok(EmbeddingTable(self.tensor((count, width), "weight")?))
    }

    /// Returns an attention operation that candle or the kernels compute, as they do for the layers of this loader.
    pub fn attention(&self, shape: AttentionShape) -> Attention {
        match self.kernels {
            Some((isa, precision)) => Attention::kernels(isa, precision, shape),
            None => Attention::candle(shape),
        }
    }

    /// Returns an activation function that candle or the kernels compute, as they do for the layers of this loader.
    pub fn activation_fn(&self, activation: Activation) -> ActivationFn {
        ActivationFn { activation, isa: self.kernels.map(|(isa, _)| isa) }
    }
}

/// A table with one vector per token id.
pub struct EmbeddingTable(Tensor);

impl EmbeddingTable {
    /// Looks up the vectors of `ids [tokens]`. The result has the shape `[tokens, width]`. All ids must be in the table
    /// (see [`EmbeddingTable::check`]).
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.0.index_select(ids, 0)
    }

    /// Returns an error if an id is not in the table.
    pub fn check(&self, ids: &[u32]) -> Result<()> {
        check_token_ids(ids, self.0.dim(0)?)
    }
}

/// Returns an error if a token id is not below `vocabulary`, the number of tokens that a network has vectors for.
pub fn check_token_ids(ids: &[u32], vocabulary: usize) -> Result<()> {
    match ids.iter().find(|id| **id as usize >= vocabulary) {
        Some(id) => {
            bail!("token {id} is not in the model's vocabulary; tokenizer.json belongs to another model")
        }
        None => Ok(()),
    }
}

/// A linear layer: `x Wᵀ + b`.
pub enum Linear {
    /// A layer that candle computes: the transposed weight `[inputs, outputs]`, and the bias `[outputs]`.
    Candle(Tensor, Option<Tensor>),
    /// A layer that the crate's kernels compute.
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
        let format = PackFormat::new(isa, precision, ValueRange::Signed);
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
            let Division { block_rows, column_parts } = Division::new(rows, linear.bytes());
            let parts = x.par_chunks(block_rows * inputs).zip(out.par_chunks_mut(block_rows * outputs));
            parts.for_each(|(x, out)| {
                with_thread_buffers(&PACK_BUFFER, |buffer| {
                    linear.multiply(x, buffer, out, outputs, column_parts)
                });
            });
        })?;
        Tensor::from_vec(out, (rows, outputs), x.device())
    }
}

/// Whether all values are finite. Weights are checked when they are loaded, because a NaN or an infinity can disappear
/// on its way through the network, and still make the result wrong.
fn is_finite(x: &Tensor) -> Result<bool> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return with_values(x, |x| x.iter().all(|value| value.is_finite()));
    }
    // 0 times NaN or infinity is NaN, and every sum that includes NaN is NaN.
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
        /// `[width]`: the factors of the normalised values.
        scale: Tensor,
        /// `[width]`: the values that are added after the scaling.
        shift: Tensor,
        /// A small value that is added to the variance, so that it is not 0.
        eps: f32,
    },
    /// RMS norm: division by the root of the mean square (Zhang & Sennrich).
    Rms {
        /// `[width]`: the factors of the normalised values.
        scale: Tensor,
        /// A small value that is added to the mean square, so that it is not 0.
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

/// Returns `x + y`. On a CPU, it does not use candle's sum, because candle's own threads wait in a busy loop while
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
    /// The instruction set of the kernel that computes the function. `None`: candle computes the function.
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

    /// Computes a gated linear unit (Shazeer, GLU Variants): applies the function to the half of every row that is the
    /// gate, and multiplies the result by the other half. Maps `[rows, 2 * width]` to `[rows, width]`.
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
