//! What networks are made of: linear layers, norms, functions, and how they are found in a checkpoint.
//!
//! Its own file because it is where a network meets the machine: the same layer is candle's on a GPU, and the crate's
//! own kernel, in the precision that was asked for, on a CPU. An architecture says what is computed, not by what.

pub mod alternating;
pub mod attention;
pub mod distance;
pub mod rope;

use crate::kernels::level::{self, Level};
use crate::kernels::words::{Form, Range, WordBuffer};
use crate::kernels::{self, Activation, activate};
use crate::model::Precision;
use candle_core::{DType, Device, Result, Storage, Tensor, bail};
use candle_nn::{Module, VarBuilder};
use rayon::prelude::*;
use std::cell::RefCell;

/// Rows that one thread takes at a time.
const BLOCK_ROWS: usize = 168;

/// Where a network's layers come from, and what they are computed by.
#[derive(Clone)]
pub struct Loader<'a> {
    tensors: VarBuilder<'a>,
    /// The kernels, and their precision; else candle computes.
    kernels: Option<(&'static Level, Precision)>,
}

impl<'a> Loader<'a> {
    /// Layers that candle computes, where the tensors are and in their type.
    pub fn candle(tensors: VarBuilder<'a>) -> Loader<'a> {
        Loader { tensors, kernels: None }
    }

    /// Layers that the kernels compute, on this CPU.
    pub fn kernels(tensors: VarBuilder<'a>, precision: Precision) -> Loader<'a> {
        Loader { tensors, kernels: Some((level::current(), precision)) }
    }

    /// What is under a name.
    pub fn pp(&self, name: impl ToString) -> Loader<'a> {
        Loader { tensors: self.tensors.pp(name), kernels: self.kernels }
    }

    /// What is under `name`, if that has `tensor` in it, or else what is here: some checkpoints have everything under
    /// the name of the network.
    pub fn root(&self, name: &str, tensor: &str) -> Loader<'a> {
        if self.has(&format!("{name}.{tensor}")) { self.pp(name) } else { self.clone() }
    }

    /// The same tensors by other names.
    pub fn renamed(self, rename: impl Fn(&str) -> String + Send + Sync + 'static) -> Loader<'a> {
        Loader { tensors: self.tensors.rename_f(rename), kernels: self.kernels }
    }

    /// The tensors themselves.
    pub fn tensors(&self) -> &VarBuilder<'a> {
        &self.tensors
    }

    /// Where they are.
    pub fn device(&self) -> &Device {
        self.tensors.device()
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_tensor(name)
    }

    /// A tensor of this shape, all of whose values are numbers.
    pub fn tensor(&self, shape: impl Into<candle_core::Shape>, name: &str) -> Result<Tensor> {
        let tensor = self.tensors.get(shape, name)?;
        if !is_finite(&tensor)? {
            let prefix = self.tensors.prefix();
            let dot = if prefix.is_empty() { "" } else { "." };
            bail!("{prefix}{dot}{name} has values that are no numbers");
        }
        Ok(tensor)
    }

    /// A layer with a bias, if the checkpoint has one.
    pub fn linear(&self, inputs: usize, outputs: usize) -> Result<Linear> {
        Loader::joined(&[self], inputs, &[outputs])
    }

    /// Layers that take the same rows, as one.
    pub fn joined(parts: &[&Loader], inputs: usize, outputs: &[usize]) -> Result<Linear> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (part, outputs) in parts.iter().zip(outputs) {
            weights.push(part.tensor((*outputs, inputs), "weight")?);
            if part.has("bias") {
                biases.push(part.tensor(*outputs, "bias")?);
            }
        }
        if !biases.is_empty() && biases.len() != parts.len() {
            bail!("some of the layers have a bias, and others have none");
        }
        let weight = if weights.len() == 1 { weights.remove(0) } else { Tensor::cat(&weights, 0)? };
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        Linear::new(weight, bias, parts.first().and_then(|part| part.kernels))
    }

    /// A layer norm; older checkpoints call its scale and shift `gamma` and `beta`, and some have no shift.
    pub fn layer_norm(&self, width: usize, eps: f64) -> Result<Norm> {
        let (scale, shift, eps) = self.norm_parameters(width, eps)?;
        Ok(Norm::Layer { scale, shift, eps })
    }

    /// The numbers in it.
    pub fn norm_parameters(&self, width: usize, eps: f64) -> Result<(Tensor, Tensor, f32)> {
        let (scale, shift) = if self.has("gamma") { ("gamma", "beta") } else { ("weight", "bias") };
        let scale = self.tensor(width, scale)?;
        let shift = if self.has(shift) { self.tensor(width, shift)? } else { scale.zeros_like()? };
        Ok((scale, shift, eps as f32))
    }

    /// A norm by the root of the mean square (Zhang & Sennrich), with `more` added to its scale.
    pub fn rms_norm(&self, width: usize, eps: f64, more: f64) -> Result<Norm> {
        let scale = self.tensor(width, "weight")?;
        // In f32: 1 and a small scale are more than bf16 has digits for.
        let scale = (scale.to_dtype(DType::F32)? + more)?.to_dtype(scale.dtype())?;
        Ok(Norm::Rms { scale, eps: eps as f32 })
    }

    /// A table of vectors.
    pub fn embedding(&self, count: usize, width: usize) -> Result<Embedding> {
        Ok(Embedding(self.tensor((count, width), "weight")?))
    }

    /// A function that its config calls `activation`.
    pub fn function(&self, activation: Activation) -> Applied {
        Applied { activation, level: self.kernels.map(|(level, _)| level) }
    }
}

/// A table of vectors, by number.
pub struct Embedding(Tensor);

impl Embedding {
    /// `[tokens]` to `[tokens, width]`; the numbers are in the table.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        self.0.index_select(ids, 0)
    }

    /// Refuses ids that are not in the table.
    pub fn check(&self, ids: &[u32]) -> Result<()> {
        let count = self.0.dim(0)?;
        match ids.iter().find(|id| **id as usize >= count) {
            Some(id) => {
                bail!("token {id} is not in the model's vocabulary; tokenizer.json is another model's")
            }
            None => Ok(()),
        }
    }
}

/// `x Wᵀ + b`, of rows.
pub enum Linear {
    /// By candle: the weight transposed, and the bias.
    Candle(Tensor, Option<Tensor>),
    /// By the kernels.
    Kernel(kernels::linear::Linear),
}

thread_local! {
    static WORDS: RefCell<WordBuffer> = RefCell::default();
}

impl Linear {
    fn new(
        weight: Tensor,
        bias: Option<Tensor>,
        kernels: Option<(&'static Level, Precision)>,
    ) -> Result<Linear> {
        let Some((level, precision)) = kernels else {
            return Ok(Linear::Candle(weight.t()?, bias));
        };
        let outputs = weight.dim(0)?;
        let bias = bias.map_or(Ok(vec![0.0; outputs]), |bias| bias.to_dtype(DType::F32)?.to_vec1())?;
        let weight: Vec<f32> = weight.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let form = Form { precision, range: Range::Signed };
        Ok(Linear::Kernel(kernels::linear::Linear::new(level, form, &weight, bias)))
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
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
        on_rows(x, |x| {
            let block = rows.div_ceil(rayon::current_num_threads()).clamp(1, BLOCK_ROWS);
            let parts = x.par_chunks(block * inputs).zip(out.par_chunks_mut(block * outputs));
            parts.for_each(|(x, out)| {
                WORDS.with_borrow_mut(|words| linear.multiply(x, words, out, outputs));
            });
        })?;
        Tensor::from_vec(out, (rows, outputs), x.device())
    }
}

/// Whether all values are numbers. One that is none may be lost on its way through a network, and spoil what comes out all
/// the same.
fn is_finite(x: &Tensor) -> Result<bool> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return on_rows(x, |x| x.iter().all(|value| value.is_finite()));
    }
    // Nothing times what is no number is no number.
    Ok((x * 0.0)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? == 0.0)
}

/// The values of a tensor that is in this memory.
fn on_rows<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let x = x.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("the kernels were given what is not in memory") };
    let start = layout.start_offset();
    Ok(work(&storage.as_slice::<f32>()?[start..start + layout.shape().elem_count()]))
}

/// What makes rows comparable.
pub enum Norm {
    /// Ba, Kiros & Hinton's.
    Layer {
        /// `[width]`.
        scale: Tensor,
        /// `[width]`.
        shift: Tensor,
        /// Added to the variance.
        eps: f32,
    },
    /// Zhang & Sennrich's.
    Rms {
        /// `[width]`.
        scale: Tensor,
        /// Added to the mean square.
        eps: f32,
    },
}

impl Norm {
    /// Norms rows, of the last dimension.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Norm::Layer { scale, shift, eps } => {
                candle_nn::ops::layer_norm(&x.contiguous()?, scale, shift, *eps)
            }
            Norm::Rms { scale, eps } => candle_nn::ops::rms_norm(&x.contiguous()?, scale, *eps),
        }
    }
}

/// `x + y`. candle shares the sum out to threads of its own, which wait by spinning: with a batch on every core there
/// are none to spare.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return x + y;
    }
    let sum = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x + y).collect::<Vec<f32>>();
    let sums = on_rows(x, |x| on_rows(y, |y| sum(x, y)))??;
    Tensor::from_vec(sums, x.shape(), x.device())
}

/// Which half of a gated row goes through the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    First,
    Second,
}

/// A function, and what it is computed by.
#[derive(Clone, Copy)]
pub struct Applied {
    activation: Activation,
    level: Option<&'static Level>,
}

impl Applied {
    /// Applies it to every value.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(level) = self.level {
            let mut out = on_rows(x, <[f32]>::to_vec)?;
            out.par_chunks_mut(1 << 14).for_each(|part| activate(level, self.activation, part));
            return Tensor::from_vec(out, x.shape(), x.device());
        }
        self.by_candle(x)
    }

    /// A gated linear unit (Shazeer, GLU Variants): one half of every row goes through the function, and is multiplied
    /// by the other, `[rows, 2 * width]` to `[rows, width]`.
    pub fn gated(&self, x: &Tensor, gate: Gate) -> Result<Tensor> {
        let (rows, width) = (x.dim(0)?, x.dim(1)? / 2);
        let (first, second) = (x.narrow(1, 0, width)?, x.narrow(1, width, width)?);
        let Some(level) = self.level else {
            let (gate, other) = if gate == Gate::First { (first, second) } else { (second, first) };
            return self.by_candle(&gate.contiguous()?)? * other;
        };
        let mut out = vec![0.0; rows * width];
        on_rows(x, |x| {
            out.par_chunks_mut(width).zip(x.par_chunks(2 * width)).for_each(|(out, row)| {
                let (first, second) = row.split_at(width);
                let (gate, other) = if gate == Gate::First { (first, second) } else { (second, first) };
                out.copy_from_slice(gate);
                activate(level, self.activation, out);
                out.iter_mut().zip(other).for_each(|(out, other)| *out *= other);
            });
        })?;
        Tensor::from_vec(out, (rows, width), x.device())
    }

    fn by_candle(&self, x: &Tensor) -> Result<Tensor> {
        match self.activation {
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluNew => x.gelu(),
            Activation::Relu => x.relu(),
            Activation::Silu => candle_nn::Activation::Silu.forward(x),
        }
    }
}
