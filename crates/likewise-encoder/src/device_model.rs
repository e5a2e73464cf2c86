//! A model loaded on one device, and the maximum number of tokens that the device computes at once.
//!
//! The number of tokens that fit into the memory of a GPU is not known in advance. It is found by trying: whenever the
//! device runs out of memory, the batch is halved. A batch of a single text cannot be halved and causes an error.

use crate::architectures::{self, ClassificationHead, MlmHead, is_packed};
use crate::batch::Sequence;
use crate::device;
use crate::error::{Error, Result};
use crate::head::Head;
use crate::model::{InputType, ModelFolder, ModelKind};
use crate::network::{Architecture, Engine};
use crate::tokenize::Tokenized;
use crate::weights::Weights;
use candle_core::{DType, Device};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum number of tokens per batch for the packed CPU kernels. With this number, the input of a layer fits into the
/// core's own cache.
pub const BATCH_TOKENS: usize = 1024;

/// Initial maximum number of tokens per batch on a GPU. Whenever a batch does not fit into the GPU's memory, the
/// maximum becomes half the number of tokens of that batch.
const GPU_BATCH_TOKENS: usize = 65_536;

/// Maximum number of tokens per batch on a CPU for models that the packed kernels do not compute. With this number, the
/// whole output of a layer stays in the core's own cache until the next layer reads it.
const LAYERED_BATCH_TOKENS: usize = 512;

/// The steps that follow pooling.
enum Output {
    /// One unit vector per text.
    Vector(Head),
    /// One logit per pair of texts.
    Logit(ClassificationHead),
    /// One vector per text, with a value for each token of the vocabulary.
    Sparse(Box<MlmHead>),
    /// One unit vector per token, one after the other.
    TokenVectors(Head),
}

impl Output {
    fn load(folder: &ModelFolder, engine: Engine, weights: &Weights, device: &Device) -> Result<Output> {
        match &folder.config.kind {
            ModelKind::Embedding => Head::load(folder, device).map(Output::Vector),
            ModelKind::LateInteraction(_) => Head::load(folder, device).map(Output::TokenVectors),
            ModelKind::CrossEncoder(config) => {
                ClassificationHead::load(folder, &config.scoring, weights, device).map(Output::Logit)
            }
            ModelKind::Sparse(config) => {
                let loader = architectures::loader(folder, engine, weights, device)?;
                MlmHead::load(folder, *config, weights, &loader).map(|head| Output::Sparse(Box::new(head)))
            }
        }
    }

    /// Runs the network on texts, and computes the output for each of them.
    fn forward(
        &self,
        architecture: &dyn Architecture,
        texts: &[Sequence],
        input_type: InputType,
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        match self {
            Output::Vector(head) => head.forward(architecture.forward_pooled(texts, input_type)?),
            Output::Logit(head) => head.forward(architecture.forward_pooled(texts, input_type)?),
            Output::Sparse(head) => {
                let mut start = 0;
                let ranges = texts.iter().map(|text| {
                    start += text.ids.len();
                    start - text.ids.len()..start
                });
                head.forward(&architecture.forward_tokens(texts, input_type)?, ranges)
            }
            Output::TokenVectors(head) => {
                let tokens = architecture.forward_tokens(texts, input_type)?.to_dtype(DType::F32)?;
                let mut vectors = head.forward(tokens)?.into_iter();
                Ok(texts
                    .iter()
                    .map(|text| vectors.by_ref().take(text.ids.len()).flatten().collect())
                    .collect())
            }
        }
    }
}

/// A model on one device.
pub struct DeviceModel {
    architecture: Box<dyn Architecture>,
    output: Output,
    device: Device,
    /// Maximum number of tokens per batch.
    budget: AtomicUsize,
}

impl DeviceModel {
    /// Loads a model's weights onto a device.
    pub fn new(
        folder: &ModelFolder,
        engine: Engine,
        weights: &Weights,
        device: &Device,
    ) -> Result<DeviceModel> {
        let architecture = architectures::load(folder, engine, weights, device)?;
        let budget = AtomicUsize::new(match device {
            Device::Cpu if engine == Engine::Kernels && is_packed(folder) => BATCH_TOKENS,
            Device::Cpu => LAYERED_BATCH_TOKENS,
            _ => GPU_BATCH_TOKENS,
        });
        let output = Output::load(folder, engine, weights, device)?;
        Ok(DeviceModel { architecture, output, device: device.clone(), budget })
    }

    /// Whether the device is the CPU.
    pub fn is_on_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// The device's name as on the command line: `cpu`, `cuda:0`.
    pub fn device_name(&self) -> String {
        device::name(&self.device)
    }

    /// Maximum number of tokens per batch; a single text can have more. The maximum is lowered when the device runs out
    /// of memory.
    pub fn budget(&self) -> usize {
        self.budget.load(Ordering::Relaxed)
    }

    /// Computes the output for each text: a unit vector, a logit, a sparse vector, or the unit vectors of all tokens. If the device runs out of memory, the
    /// texts are computed in two halves, and the budget is lowered to half the number of tokens of `texts`.
    ///
    /// # Errors
    /// [`Error::Model`] if a single text does not fit into the device's memory; [`Error::Tensor`] if the computation
    /// fails.
    pub fn run(&self, texts: &[&Tokenized]) -> Result<Vec<Vec<f32>>> {
        let tokens = texts.iter().map(|text| text.ids.len()).sum::<usize>();
        let is_divisible = texts.len() > 1;
        if is_divisible && tokens > self.budget() && !self.is_on_cpu() {
            return self.run_halves(texts);
        }
        match self.run_at_once(texts) {
            Err(error) if is_divisible && device::is_out_of_memory(&error) => {
                self.budget.fetch_min(tokens / 2, Ordering::Relaxed);
                tracing::warn!(
                    "{} is out of memory with {tokens} tokens in a batch; trying again with half as many tokens",
                    self.device_name()
                );
                self.run_halves(texts)
            }
            Err(error) if device::is_out_of_memory(&error) => Err(Error::Model(format!(
                "{} is out of memory with one text of {tokens} tokens: {error}; use a smaller model, or --device cpu",
                self.device_name()
            ))),
            outcome => Ok(outcome?),
        }
    }

    fn run_halves(&self, texts: &[&Tokenized]) -> Result<Vec<Vec<f32>>> {
        let (first, second) = texts.split_at(texts.len() / 2);
        let mut vectors = self.run(first)?;
        vectors.extend(self.run(second)?);
        Ok(vectors)
    }

    fn run_at_once(&self, texts: &[&Tokenized]) -> candle_core::Result<Vec<Vec<f32>>> {
        // If the model has adapters, all texts of a batch have the same input type. Other networks ignore the type.
        let input_type = texts.first().map_or(InputType::Document, |text| text.input_type);
        let sequences: Vec<Sequence> = texts.iter().map(|text| text.sequence()).collect();
        self.output.forward(&*self.architecture, &sequences, input_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Tensor;
    use std::sync::Mutex;

    /// Simulates a device that can hold `capacity` tokens, and records the number of tokens of each batch.
    struct LimitedMemory {
        capacity: usize,
        batches: std::sync::Arc<Mutex<Vec<usize>>>,
    }

    impl Architecture for LimitedMemory {
        fn forward_pooled(&self, texts: &[Sequence], _: InputType) -> candle_core::Result<Tensor> {
            let tokens = texts.iter().map(|text| text.ids.len()).sum();
            self.batches.lock().unwrap().push(tokens);
            if tokens > self.capacity {
                return Err(candle_core::Error::Msg("CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\"".into()));
            }
            let first: Vec<f32> = texts.iter().flat_map(|text| [text.ids[0] as f32, 1.0]).collect();
            Tensor::from_vec(first, (texts.len(), 2), &Device::Cpu)
        }

        fn forward_tokens(&self, texts: &[Sequence], input_type: InputType) -> candle_core::Result<Tensor> {
            self.forward_pooled(texts, input_type)
        }
    }

    fn text(id: u32, length: usize) -> Tokenized {
        Tokenized {
            ids: vec![id; length],
            truncated: false,
            input_type: InputType::Document,
            second_text: length,
            attended: length,
        }
    }

    fn model(capacity: usize) -> (DeviceModel, std::sync::Arc<Mutex<Vec<usize>>>) {
        let batches = std::sync::Arc::new(Mutex::new(Vec::new()));
        let architecture = Box::new(LimitedMemory { capacity, batches: std::sync::Arc::clone(&batches) });
        let output = Output::Vector(Head::without_dense(2));
        (DeviceModel { architecture, output, device: Device::Cpu, budget: AtomicUsize::new(1000) }, batches)
    }

    #[test]
    fn a_batch_that_does_not_fit_is_halved_and_keeps_its_order() {
        let (model, batches) = model(30);
        let texts: Vec<Tokenized> = (1..=8).map(|id| text(id, 10)).collect();
        let vectors = model.run(&texts.iter().collect::<Vec<_>>()).unwrap();
        for (vector, id) in vectors.iter().zip(1..) {
            assert!((vector[0] / vector[1] - id as f32).abs() < 1e-4, "{vector:?}");
        }
        assert_eq!(*batches.lock().unwrap(), [80, 40, 20, 20, 40, 20, 20]);
        assert_eq!(model.budget(), 20, "the budget is lowered to a size that fits");
    }

    #[test]
    fn a_single_text_that_does_not_fit_is_an_error_with_a_remedy() {
        let (model, _) = model(30);
        let (small, large) = (text(1, 10), text(2, 50));
        let message = model.run(&[&small, &large]).unwrap_err().to_string();
        assert!(message.contains("one text of 50 tokens") && message.contains("--device cpu"), "{message}");
    }
}
