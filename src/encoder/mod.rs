//! Text → tokens → vectors.
//!
//! An [`Encoder`] is one loaded model. It tokenises everything it is given first, sorts by length,
//! packs texts into batches by a token budget ([`tokenize`]), runs each batch through the model
//! ([`bert`]) on one of its worker threads, pools ([`pooling`]) and puts the vectors back in the
//! order of the texts. The device is chosen here and nowhere else.

mod bert;
mod kernels;
mod pooling;
mod tokenize;

pub use tokenize::{Batch, Tokenized};

use crate::error::{Error, Result};
use crate::map::MappedFile;
use crate::model::{CONFIG, ModelFolder, Pooling, WEIGHTS};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Padded tokens in one batch on a CPU. Small on purpose: a batch's activations then stay in the
/// core's own cache, and more than one abstract a batch gains nothing.
const CPU_BATCH_TOKENS: usize = 512;

/// One text's embedding, and how much of the text it stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Unit vector of the model's dimension.
    pub vector: Vec<f32>,
    /// Tokens that the model read, special tokens included.
    pub tokens: usize,
    /// Whether the text was longer than the model reads, so that its end was cut.
    pub truncated: bool,
}

/// A transformer that turns token ids into token vectors: one implementation an architecture.
trait Architecture: Send + Sync {
    /// Token ids and attention mask, both `[texts, tokens]`, to hidden states `[texts, tokens, dimension]`.
    fn forward(&self, ids: &Tensor, mask: &Tensor) -> candle_core::Result<Tensor>;
}

/// A loaded model.
pub struct Encoder {
    folder: ModelFolder,
    tokenizer: tokenize::Tokenizer,
    architecture: Box<dyn Architecture>,
    device: Device,
    workers: Vec<rayon::ThreadPool>,
}

impl Encoder {
    /// Loads a model, to encode with as many threads as the machine has cores.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, damaged or of an unknown architecture.
    pub fn load(folder: &ModelFolder) -> Result<Encoder> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Encoder::load_with_threads(folder, threads)
    }

    /// Loads a model, to encode with `threads` threads.
    pub fn load_with_threads(folder: &ModelFolder, threads: usize) -> Result<Encoder> {
        let device = Device::Cpu;
        let weights_path = folder.path.join(WEIGHTS);
        let weights = MappedFile::open(&weights_path)?;
        let tensors = VarBuilder::from_slice_safetensors(weights.bytes(), DType::F32, &device)
            .map_err(|error| damaged(&weights_path, error))?;
        let architecture = architecture(folder, tensors)?;
        let tokenizer = tokenize::Tokenizer::load(folder)?;
        let workers = (0..threads.max(1)).map(|_| single_thread()).collect::<Result<_>>()?;
        Ok(Encoder { folder: folder.clone(), tokenizer, architecture, device, workers })
    }

    /// The model this encoder runs.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// Length of the vectors.
    pub fn dimension(&self) -> usize {
        self.folder.fingerprint.dimension
    }

    /// Where and with how many threads this encoder runs, in words.
    pub fn describe(&self) -> String {
        format!("{} on cpu, {} threads, {}", self.folder.name, self.workers.len(), kernels::level())
    }

    /// Encodes one text.
    pub fn encode_one(&self, text: &str) -> Result<Embedding> {
        let mut embeddings = self.encode(&[text])?;
        Ok(embeddings.pop().expect("encode gives one embedding a text"))
    }

    /// Encodes texts; the answer has their order. A text's vector does not depend on the others'
    /// beyond rounding (1e-6).
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let tokenized = self.tokenizer.tokenize(texts)?;
        let batches = tokenize::pack(&tokenized, CPU_BATCH_TOKENS);
        let vectors = Mutex::new(vec![Vec::new(); texts.len()]);
        let encode_batch = |batch: &Batch| -> Result<()> {
            let encoded = self.encode_batch(batch)?;
            let mut vectors = vectors.lock().expect("no thread panics while holding this lock");
            batch.texts.iter().zip(encoded).for_each(|(&text, vector)| vectors[text] = vector);
            Ok(())
        };
        match &batches[..] {
            [] => {}
            // All cores may work on the one batch: this is somebody waiting for an answer.
            [only] => encode_batch(only)?,
            _ => self.share_out(&batches, encode_batch)?,
        }
        let vectors = vectors.into_inner().expect("no thread panicked while holding this lock");
        let embed = |(read, vector): (Tokenized, Vec<f32>)| Embedding {
            vector,
            tokens: read.ids.len(),
            truncated: read.truncated,
        };
        Ok(tokenized.into_iter().zip(vectors).map(embed).collect())
    }

    /// Runs every batch on some worker; each worker takes the next batch when it is free.
    fn share_out(&self, batches: &[Batch], run: impl Fn(&Batch) -> Result<()> + Sync) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                run(batch)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let work = &work;
            let mut running = Vec::new();
            for worker in &self.workers {
                running.push(scope.spawn(move || worker.install(work)));
            }
            running.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    fn encode_batch(&self, batch: &Batch) -> Result<Vec<Vec<f32>>> {
        let shape = (batch.texts.len(), batch.width);
        let ids = Tensor::from_slice(&batch.ids, shape, &self.device)?;
        let mask = Tensor::from_slice(&batch.mask, shape, &self.device)?;
        let hidden = self.architecture.forward(&ids, &mask)?;
        let pooled = match self.folder.pooling {
            Pooling::Mean => pooling::mean(&hidden, &mask)?,
            Pooling::Cls => pooling::cls(&hidden)?,
        };
        Ok(pooling::normalize(&pooled)?.to_vec2()?)
    }
}

/// Picks the architecture by config.json's `model_type`.
fn architecture(folder: &ModelFolder, tensors: VarBuilder) -> Result<Box<dyn Architecture>> {
    #[derive(serde::Deserialize)]
    struct Kind {
        model_type: String,
    }
    let path = folder.path.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let kind: Kind = serde_json::from_str(&text).map_err(|error| damaged(&path, error))?;
    match kind.model_type.as_str() {
        "bert" => {
            let config = serde_json::from_str(&text).map_err(|error| damaged(&path, error))?;
            let weights_path = folder.path.join(WEIGHTS);
            let bert = bert::Bert::load(&config, tensors).map_err(|error| damaged(&weights_path, error))?;
            Ok(Box::new(bert))
        }
        other => Err(Error::Model(format!(
            "{}: model_type {other:?} is not supported, only \"bert\"; use a model of the BERT family",
            path.display()
        ))),
    }
}

fn damaged(path: &std::path::Path, error: impl std::fmt::Display) -> Error {
    Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
}

/// A pool of one thread. Inside it every parallel loop of candle and gemm runs in place: with one
/// batch a core, splitting one multiplication over the cores would only add waiting.
fn single_thread() -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "encoder".into())
        .build()
        .map_err(|error| Error::Model(format!("cannot start an encoder thread: {error}")))
}
