//! Text → tokens → vectors.
//!
//! An [`Encoder`] is one loaded model. It tokenises everything it is given first, sorts by length,
//! packs texts into batches by a token budget ([`tokenize`]), runs each batch through the model
//! ([`packed`] on a CPU, [`bert`] elsewhere) on one of its worker threads and puts the vectors back in
//! the order of the texts. The device is chosen here and nowhere else.

mod bert;
mod kernels;
mod packed;
mod pooling;
mod tokenize;

pub use tokenize::{Batch, Tokenized};

use crate::error::{Error, Result};
use crate::map::MappedFile;
use crate::model::{CONFIG, ModelFolder, Precision, WEIGHTS};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokenize::Keep;

/// Tokens in one batch: what a layer takes of them then stays in the core's own cache.
const BATCH_TOKENS: usize = 1024;

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

/// A transformer with its pooling: one implementation an architecture and kind of device.
trait Architecture: Send + Sync {
    /// Token ids of a few texts to one vector each, of any length.
    fn embed(&self, texts: &[&[u32]]) -> candle_core::Result<Vec<Vec<f32>>>;
}

/// Which implementation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The crate's own kernels.
    #[default]
    Kernels,
    /// candle's own operations, in f32: slower, and what the kernels are judged by.
    Candle,
}

/// The precision that this machine computes fastest in, of those it has instructions for.
pub fn fastest_precision() -> Precision {
    kernels::level::current().fastest
}

/// A loaded model.
pub struct Encoder {
    folder: ModelFolder,
    tokenizer: tokenize::Tokenizer,
    architecture: Box<dyn Architecture>,
    workers: Vec<rayon::ThreadPool>,
    /// For one batch that somebody waits for.
    all_threads: rayon::ThreadPool,
}

impl Encoder {
    /// Loads a model, to encode with as many threads as the machine has cores.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing, damaged or of an unknown architecture.
    pub fn load(folder: &ModelFolder) -> Result<Encoder> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Encoder::load_with(folder, Engine::default(), threads)
    }

    /// Loads a model, to encode with `threads` threads.
    pub fn load_with(folder: &ModelFolder, engine: Engine, threads: usize) -> Result<Encoder> {
        let device = Device::Cpu;
        let weights_path = folder.path.join(WEIGHTS);
        let weights = MappedFile::open(&weights_path)?;
        let tensors = VarBuilder::from_slice_safetensors(weights.bytes(), DType::F32, &device)
            .map_err(|error| damaged(&weights_path, error))?;
        let architecture = architecture(folder, engine, tensors)?;
        let tokenizer = tokenize::Tokenizer::load(folder)?;
        let workers = (0..threads.max(1)).map(|_| pool(1)).collect::<Result<_>>()?;
        let all_threads = pool(threads.max(1))?;
        Ok(Encoder { folder: folder.clone(), tokenizer, architecture, workers, all_threads })
    }

    /// The model this encoder runs.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// Length of the vectors.
    pub fn dimension(&self) -> usize {
        self.folder.fingerprint.dimension
    }

    /// Texts that are encoded at once, when there are so many.
    pub fn threads(&self) -> usize {
        self.workers.len()
    }

    /// Where and with how many threads this encoder runs, in words.
    pub fn describe(&self) -> String {
        let (name, precision) = (&self.folder.name, self.folder.precision);
        let (threads, level) = (self.threads(), kernels::level::current().name);
        format!("{name} in {precision} on cpu, {threads} threads, {level}")
    }

    /// How many bytes of a text are read before the model's limit.
    pub fn read_bytes(&self, text: &str) -> usize {
        self.tokenizer.read_bytes(text)
    }

    /// Encodes one text.
    pub fn encode_one(&self, text: &str) -> Result<Embedding> {
        let mut embeddings = self.encode(&[text])?;
        Ok(embeddings.pop().expect("encode gives one embedding a text"))
    }

    /// Splits texts into tokens, as [`Encoder::encode`] does first.
    pub fn tokenize(&self, texts: &[&str]) -> Result<Vec<Tokenized>> {
        self.tokenizer.tokenize(texts, Keep::Beginning)
    }

    /// The same, keeping the end of what is longer than the model reads.
    pub fn tokenize_ends(&self, texts: &[&str]) -> Result<Vec<Tokenized>> {
        self.tokenizer.tokenize(texts, Keep::End)
    }

    /// Encodes texts; the answer has their order. A text's vector does not depend on the others'
    /// beyond rounding (1e-6).
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        self.embed(self.tokenize(texts)?)
    }

    /// The second half of [`Encoder::encode`]: what was split into tokens becomes vectors, in its order.
    pub fn embed(&self, tokenized: Vec<Tokenized>) -> Result<Vec<Embedding>> {
        let batches = tokenize::pack(&tokenized, BATCH_TOKENS);
        let vectors = Mutex::new(vec![Vec::new(); tokenized.len()]);
        let encode_batch = |batch: &Batch| -> Result<()> {
            let ids: Vec<&[u32]> = batch.iter().map(|&text| &tokenized[text].ids[..]).collect();
            let encoded = self.architecture.embed(&ids)?;
            let mut vectors = vectors.lock().expect("no thread panics while holding this lock");
            batch.iter().zip(encoded).for_each(|(&text, vector)| vectors[text] = pooling::normalized(vector));
            Ok(())
        };
        match &batches[..] {
            [] => {}
            [only] => self.all_threads.install(|| encode_batch(only))?,
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
}

/// Picks the architecture by config.json's `model_type`.
fn architecture(folder: &ModelFolder, engine: Engine, tensors: VarBuilder) -> Result<Box<dyn Architecture>> {
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
            let level = kernels::level::current();
            let loaded: candle_core::Result<Box<dyn Architecture>> = match engine {
                Engine::Kernels => {
                    packed::PackedBert::load(&config, folder.pooling, folder.precision, level, tensors)
                        .map(|bert| Box::new(bert) as _)
                }
                Engine::Candle => {
                    bert::Bert::load(&config, folder.pooling, tensors).map(|bert| Box::new(bert) as _)
                }
            };
            loaded.map_err(|error| damaged(&weights_path, error))
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

/// A pool of threads. In a pool of one every parallel loop runs in place: with one batch a core, splitting
/// one multiplication over the cores would only add waiting.
fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|_| "encoder".into())
        .build()
        .map_err(|error| Error::Model(format!("cannot start an encoder thread: {error}")))
}
