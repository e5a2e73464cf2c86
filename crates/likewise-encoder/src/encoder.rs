//! An [`Encoder`] is one loaded model.
//!
//! It tokenises everything it is given first, sorts by length, packs texts into batches by a token budget
//! ([`crate::tokenize`]), runs each batch through the network on one of its workers (a core each; or a GPU each), pools
//! ([`crate::pooling`], [`crate::head`]) and puts the vectors back in the order of the texts.

use crate::architectures;
use crate::device::Devices;
use crate::error::{Error, Result, UnreadableText};
use crate::kernels;
use crate::loaded::{BATCH_TOKENS, Loaded};
use crate::model::{ModelFolder, Precision, Side, pull};
use crate::network::Engine;
use crate::tokenize::{self, Batch, Keep, Reading, Tokenized};
use crate::weights;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

/// Texts that are best given at once, for every core: enough to sort them by length and for the cores to end together.
const TEXTS_A_CORE: usize = 512;

/// The same for every GPU.
const TEXTS_A_GPU: usize = 16_384;

/// Texts that are tokenised for every GPU while it computes the ones before them.
const TEXTS_AHEAD: usize = 1024;

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

/// The precision that a model is encoded in if nobody says otherwise: on a GPU bf16, on a CPU the one that it computes
/// fastest in, for BERT and what has its shape. Others were not looked at closely enough to be rounded unasked.
pub fn fastest_precision(model: &ModelFolder, devices: &Devices) -> Precision {
    if devices.are_gpus() {
        return Precision::Bf16;
    }
    if architectures::is_packed(model) { kernels::level::current().fastest } else { Precision::F32 }
}

/// A loaded model.
pub struct Encoder {
    folder: ModelFolder,
    devices: Devices,
    tokenizer: tokenize::Tokenizer,
    /// The model on each device: on the CPU once, for all its workers.
    loaded: Vec<Loaded>,
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
        Encoder::load_on(folder, &Devices::Cpu)
    }

    /// Loads a model onto devices: the CPU, or a GPU for each worker.
    pub fn load_on(folder: &ModelFolder, devices: &Devices) -> Result<Encoder> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Encoder::load_with(folder, devices, Engine::default(), threads)
    }

    /// Loads a model, to encode with `threads` threads, if it is on the CPU.
    pub fn load_with(
        folder: &ModelFolder,
        devices: &Devices,
        engine: Engine,
        threads: usize,
    ) -> Result<Encoder> {
        let tokenizer = tokenize::Tokenizer::load(folder)?;
        let opened = devices.open(folder.precision)?;
        let weights = weights::Weights::open(&folder.network(), &folder.weights)?;
        let load = |device| Loaded::new(folder, engine, &weights, device);
        let loaded: Vec<Loaded> = opened.iter().map(load).collect::<Result<_>>()?;
        let is_cpu = loaded.iter().all(Loaded::is_on_cpu);
        let workers = if is_cpu { threads.max(1) } else { loaded.len() };
        let workers = (0..workers).map(|_| pool(1)).collect::<Result<_>>()?;
        let all_threads = pool(threads.max(1))?;
        let (folder, devices) = (folder.clone(), devices.clone());
        let encoder = Encoder { folder, devices, tokenizer, loaded, workers, all_threads };
        encoder.probe()?;
        Ok(encoder)
    }

    /// Sees whether it does what it is for: what is wrong with a folder should not come to light after a million papers.
    fn probe(&self) -> Result<()> {
        const TEXTS: [&str; 2] = ["Folding of proteins in water", "Which graphs have no short cycles?"];
        let shown = self.folder.path.display();
        let wrong = |what: &str| Err(Error::Model(format!("{shown}: {what}; fetch the model folder again")));
        for side in [Side::Paper, Side::Query] {
            let checked = self.tokenizer.check_room(&self.reading(side));
            checked.map_err(|error| Error::Model(format!("{shown}: {error}")))?;
            let embeddings = self.encode(&TEXTS, side)?;
            let length =
                |embedding: &Embedding| embedding.vector.iter().map(|value| value * value).sum::<f32>();
            if !embeddings.iter().all(|embedding| (length(embedding) - 1.0).abs() < 0.01) {
                return wrong("its vectors have no direction, they are zero or no numbers");
            }
            // Of a single value nothing is left but its sign.
            if self.dimension() > 1 && embeddings[0].vector == embeddings[1].vector {
                return wrong("different texts have the same vector");
            }
            if self.folder.prompt.paper == self.folder.prompt.query && self.folder.stated.adapters.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The model this encoder runs.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// The devices that were asked for, for another model beside this one.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Length of the vectors.
    pub fn dimension(&self) -> usize {
        self.folder.dimension()
    }

    /// Batches that are encoded at once, when there are so many.
    pub fn threads(&self) -> usize {
        self.workers.len()
    }

    /// Texts that this encoder is best given at once, when there are so many.
    pub fn chunk(&self) -> usize {
        let each = if self.is_on_cpu() { TEXTS_A_CORE } else { TEXTS_A_GPU };
        each * self.threads()
    }

    fn is_on_cpu(&self) -> bool {
        self.loaded.iter().all(Loaded::is_on_cpu)
    }

    /// Where and with how many threads this encoder runs, in words.
    pub fn describe(&self) -> String {
        let model = self.folder.describe();
        if !self.is_on_cpu() {
            let devices: Vec<String> = self.loaded.iter().map(Loaded::device_name).collect();
            return format!("{model}, on {}", devices.join(", "));
        }
        let (threads, level) = (self.threads(), kernels::level::current().name);
        format!("{model}, on cpu, {threads} threads, {level}")
    }

    /// How a text of this side is read.
    pub fn reading(&self, side: Side) -> Reading {
        Reading { side, prompt: self.folder.prompt.of(side).clone(), keep: Keep::Beginning }
    }

    /// How many bytes of a query are read before the model's limit.
    pub fn read_bytes(&self, text: &str) -> usize {
        self.tokenizer.read_bytes(text, &self.reading(Side::Query))
    }

    /// Loads a model by its name, fetched if it is not here; a sentence-transformers folder; or `owner/name` of the model
    /// hub. It encodes in the precision that this CPU is fastest in, with all of its cores.
    ///
    /// Models are kept in the folder that `LIKEWISE_MODELS` names, else in the user's cache folder.
    ///
    /// # Errors
    /// [`Error::Model`] says which source refused it why, or which file is damaged.
    pub fn from_pretrained(name: &str) -> Result<Encoder> {
        let models = models_folder()?;
        let folder = pull(name, &models)?.folder;
        let folder = ModelFolder::open(&folder.to_string_lossy(), &models, Precision::F32)?;
        let precision = fastest_precision(&folder, &Devices::Cpu);
        Encoder::load(&folder.in_precision(precision))
    }

    /// Encodes texts that are to be found; the answer has their order.
    pub fn encode_documents<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Embedding>> {
        self.encode(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>(), Side::Paper)
    }

    /// Encodes texts that are asked by; the answer has their order.
    pub fn encode_queries<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Embedding>> {
        self.encode(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>(), Side::Query)
    }

    /// Encodes one text.
    pub fn encode_one(&self, text: &str, side: Side) -> Result<Embedding> {
        let mut embeddings = self.encode(&[text], side)?;
        Ok(embeddings.pop().expect("encode gives one embedding a text"))
    }

    /// Splits texts into tokens, as [`Encoder::encode`] does first.
    pub fn tokenize(&self, texts: &[&str], reading: &Reading) -> Result<Vec<Tokenized>> {
        self.tokenizer.tokenize(texts, reading)
    }

    /// Encodes texts; the answer has their order. A text's vector does not depend on the others'
    /// beyond rounding (1e-6).
    ///
    /// # Errors
    /// [`Error::Texts`] names those that the model cannot read; [`encode_readable`] passes them over.
    pub fn encode(&self, texts: &[&str], side: Side) -> Result<Vec<Embedding>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let reading = self.reading(side);
        let ahead = TEXTS_AHEAD * self.loaded.len();
        if self.is_on_cpu() || texts.len() <= ahead {
            return self.embed(self.tokenize(texts, &reading)?);
        }
        // A GPU would wait for the tokenizer as long as it computes.
        let (sender, receiver) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let reading = &reading;
            scope.spawn(move || {
                for (number, next) in texts.chunks(ahead).enumerate() {
                    let tokenized =
                        self.tokenize(next, reading).map_err(|error| moved(error, number * ahead));
                    // The receiver stops at the first error.
                    if sender.send(tokenized).is_err() {
                        break;
                    }
                }
            });
            let mut embeddings = Vec::with_capacity(texts.len());
            for tokenized in receiver {
                embeddings.extend(self.embed(tokenized?)?);
            }
            Ok(embeddings)
        })
    }

    /// The second half of [`Encoder::encode`]: what was split into tokens becomes vectors, in its order.
    pub fn embed(&self, tokenized: Vec<Tokenized>) -> Result<Vec<Embedding>> {
        let budget = self.loaded.iter().map(Loaded::budget).min().unwrap_or(BATCH_TOKENS);
        let batches = tokenize::pack(&tokenized, budget, self.folder.stated.adapters.is_some());
        let vectors = Mutex::new(vec![Vec::new(); tokenized.len()]);
        let encode_batch = |loaded: &Loaded, batch: &Batch| -> Result<()> {
            let texts: Vec<&Tokenized> = batch.iter().map(|&text| &tokenized[text]).collect();
            let encoded = loaded.embed(&texts)?;
            let mut vectors = vectors.lock().expect("no thread panics while holding this lock");
            batch.iter().zip(encoded).for_each(|(&text, vector)| vectors[text] = vector);
            Ok(())
        };
        match (&batches[..], &self.loaded[..]) {
            ([], _) => {}
            ([only], [first, ..]) => self.all_threads.install(|| encode_batch(first, only))?,
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
    fn share_out(&self, batches: &[Batch], run: impl Fn(&Loaded, &Batch) -> Result<()> + Sync) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = |loaded: &Loaded| {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                run(loaded, batch)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let work = &work;
            let mut running = Vec::new();
            for (worker, loaded) in self.workers.iter().zip(self.loaded.iter().cycle()) {
                running.push(scope.spawn(move || worker.install(|| work(loaded))));
            }
            running.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }
}

/// Encodes the texts that the model can read, by what encodes texts; the answer has their order, and says of the others
/// what is wrong with them.
///
/// # Errors
/// What `encode` fails with, but for [`Error::Texts`].
pub fn encode_readable(
    texts: &[&str],
    encode: impl Fn(&[&str]) -> Result<Vec<Embedding>>,
) -> Result<Vec<Result<Embedding, String>>> {
    let mut unreadable: BTreeMap<usize, String> = BTreeMap::new();
    loop {
        let places: Vec<usize> = (0..texts.len()).filter(|place| !unreadable.contains_key(place)).collect();
        let readable: Vec<&str> = places.iter().map(|place| texts[*place]).collect();
        match encode(&readable) {
            Ok(embeddings) => {
                let mut embeddings = embeddings.into_iter();
                let of = |place| match unreadable.remove(&place) {
                    Some(reason) => Some(Err(reason)),
                    None => embeddings.next().map(Ok),
                };
                return Ok((0..texts.len()).map_while(of).collect());
            }
            Err(Error::Texts(more)) if !more.is_empty() => {
                unreadable.extend(more.into_iter().map(|text| (places[text.index], text.reason)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// An error about texts that come so many places later in a longer list.
fn moved(error: Error, by: usize) -> Error {
    let later = |text: UnreadableText| UnreadableText { index: text.index + by, ..text };
    match error {
        Error::Texts(texts) => Error::Texts(texts.into_iter().map(later).collect()),
        other => other,
    }
}

/// Where [`Encoder::from_pretrained`] keeps models.
fn models_folder() -> Result<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    named("LIKEWISE_MODELS")
        .or_else(|| Some(cache()?.join("likewise")))
        .ok_or_else(|| Error::Model("no folder to keep models in; set LIKEWISE_MODELS to one".into()))
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
