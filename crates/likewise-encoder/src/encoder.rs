//! The [`Encoder`]: a loaded model that turns texts into vectors.
//!
//! It tokenises the texts, sorts them by length, packs them into batches of a limited number of tokens
//! ([`crate::tokenize`]), runs the batches ([`crate::runner`]), pools the token vectors ([`crate::pooling`],
//! [`crate::head`]) and returns the vectors in the order of the texts.

use crate::architectures;
use crate::device::Devices;
use crate::error::{Error, Result, UnreadableText};
use crate::kernels;
use crate::model::{InputType, ModelFolder, ModelKind, Precision, pull};
use crate::network::Engine;
use crate::runner::Runner;
use crate::tokenize::{self, EncodeOptions, Tokenized, TruncationSide};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;

/// Recommended number of texts per CPU core in one call of [`Encoder::encode`]. It is large enough that sorting by
/// length pays off and that all cores finish at about the same time.
const TEXTS_PER_CORE: usize = 512;

/// Recommended number of texts per GPU in one call of [`Encoder::encode`].
const TEXTS_PER_GPU: usize = 16_384;

/// Number of texts per GPU that are tokenised while the GPU computes the previous texts.
const TEXTS_TOKENIZED_AHEAD: usize = 1024;

/// The vector of one text, and how much of the text the model read.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// A vector of length 1, with [`Encoder::dimension`] values.
    pub vector: Vec<f32>,
    /// Number of tokens that the model read, including special tokens, the prompt, and a separately encoded title.
    pub tokens: usize,
    /// Whether a part of the text was cut off because the text, with the prompt, exceeds the model's maximum length.
    pub truncated: bool,
}

/// Returns the default precision for a model, which is not always the fastest one. On a GPU, it is bf16. On a CPU, it is
/// the fastest precision whose vectors hardly differ from the f32 vectors: on x86 CPUs with AVX2, int8 for BERT, DistilBERT,
/// RoBERTa, ELECTRA, ALBERT and MPNet models without adapters; bf16 for other networks if the CPU multiplies bf16 values; and
/// f32 otherwise, and for sparse encoders, static models, T5 and DeBERTa.
pub fn fastest_precision(model: &ModelFolder, devices: &Devices) -> Precision {
    if devices.are_gpus() { Precision::Bf16 } else { architectures::default_precision(model) }
}

/// A loaded model.
pub struct Encoder {
    folder: ModelFolder,
    devices: Devices,
    tokenizer: tokenize::Tokenizer,
    runner: Runner,
    /// The encoder for queries. `None`: this encoder encodes queries too.
    query: Option<Box<Encoder>>,
}

impl Encoder {
    /// Loads a model onto the CPU, with one thread per core.
    ///
    /// # Errors
    /// [`Error::Model`] if a file is missing, damaged or of an unsupported architecture.
    pub fn load(folder: &ModelFolder) -> Result<Encoder> {
        Encoder::load_on(folder, &Devices::Cpu)
    }

    /// Loads a model onto the CPU, with one thread per core, or onto GPUs, with one worker per GPU.
    pub fn load_on(folder: &ModelFolder, devices: &Devices) -> Result<Encoder> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Encoder::load_with(folder, devices, Engine::default(), threads)
    }

    /// Loads a model onto devices. `threads` is the number of workers on a CPU; on GPUs there is one worker per GPU.
    pub fn load_with(
        folder: &ModelFolder,
        devices: &Devices,
        engine: Engine,
        threads: usize,
    ) -> Result<Encoder> {
        if folder.config.kind != ModelKind::Embedding {
            return Err(Error::Model(format!(
                "{}: the model computes no vectors of texts; use ModelFolder::open",
                folder.path.display()
            )));
        }
        let (tokenizer, runner) = rayon::join(
            || tokenize::Tokenizer::load(folder),
            || Runner::load(folder, devices, engine, threads),
        );
        let (tokenizer, runner) = (tokenizer?, runner?);
        let query = folder.query.as_ref().map(|query| Encoder::load_with(query, devices, engine, threads));
        let query = query.transpose()?.map(Box::new);
        let encoder = Encoder { folder: folder.clone(), devices: devices.clone(), tokenizer, runner, query };
        encoder.self_test()?;
        Ok(encoder)
    }

    /// Encodes two texts and checks their vectors, so that a broken model folder is detected when the model is loaded,
    /// and not after a million papers.
    fn self_test(&self) -> Result<()> {
        const TEXTS: [&str; 2] = ["Folding of proteins in water", "Which graphs have no short cycles?"];
        let shown = self.folder.path.display();
        let broken =
            |problem: &str| Err(Error::Model(format!("{shown}: {problem}; fetch the model folder again")));
        for input_type in [InputType::Document, InputType::Query] {
            let tokenizer = &self.encoder_for(input_type).tokenizer;
            let checked = tokenizer.check_prompt_length(&self.encode_options(input_type));
            checked.map_err(|error| Error::Model(format!("{shown}: {error}")))?;
            let embeddings = self.encode(&TEXTS, input_type)?;
            let squared_length =
                |embedding: &Embedding| embedding.vector.iter().map(|value| value * value).sum::<f32>();
            if !embeddings.iter().all(|embedding| (squared_length(embedding) - 1.0).abs() < 0.01) {
                return broken("the model returns vectors that are zero or not a number");
            }
            // A unit vector of one dimension is 1 or -1, so different texts can have equal vectors.
            if self.dimension() > 1 && embeddings[0].vector == embeddings[1].vector {
                return broken("the model returns the same vector for different texts");
            }
            let prompts = &self.folder.prompt;
            if prompts.document == prompts.query
                && self.folder.config.adapters.is_none()
                && self.query.is_none()
            {
                break;
            }
        }
        Ok(())
    }

    /// The model that this encoder runs.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// The devices passed to [`Encoder::load_on`] or [`Encoder::load_with`], for loading another model onto the same
    /// devices.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Number of values of each vector.
    pub fn dimension(&self) -> usize {
        self.folder.dimension()
    }

    /// Number of workers, which is also the maximum number of batches that one call encodes at the same time.
    pub fn threads(&self) -> usize {
        self.runner.workers()
    }

    /// Recommended number of texts per call of [`Encoder::encode`], when there are many texts to encode.
    pub fn chunk_size(&self) -> usize {
        let per_worker = if self.is_on_cpu() { TEXTS_PER_CORE } else { TEXTS_PER_GPU };
        per_worker * self.threads()
    }

    fn is_on_cpu(&self) -> bool {
        self.runner.is_on_cpu()
    }

    /// Returns one line for people: the model, the devices and, on a CPU, the number of threads and the instruction
    /// set.
    pub fn describe(&self) -> String {
        let model = self.folder.describe();
        if !self.is_on_cpu() {
            return format!("{model}, on {}", self.runner.device_names());
        }
        let (threads, isa) = (self.threads(), kernels::isa::current().describe(self.folder.precision));
        format!("{model}, on cpu, {threads} threads, {isa}")
    }

    /// Returns the options with which this model encodes texts of an input type: the model's prompt for that type.
    /// The end of a text that is too long is cut off.
    pub fn encode_options(&self, input_type: InputType) -> EncodeOptions {
        let prompt = self.folder.prompt.get(input_type).clone();
        EncodeOptions { input_type, prompt, truncation_side: TruncationSide::Right }
    }

    /// Number of leading bytes of a query that fit within the model's maximum length, with the model's prompt for
    /// queries before them.
    pub fn fitting_bytes(&self, text: &str) -> usize {
        let tokenizer = &self.encoder_for(InputType::Query).tokenizer;
        tokenizer.fitting_bytes(text, &self.encode_options(InputType::Query))
    }

    /// Loads a model onto all cores of the CPU, in its default precision ([`fastest_precision`]). `name` is the path of
    /// a model folder, the name of a built-in model, or a repository `owner/name` on the Hugging Face hub. A model that
    /// is not on this machine is downloaded first.
    ///
    /// Downloaded models are stored in the folder that the environment variable `LIKEWISE_MODELS` names. If the
    /// variable is not set or empty, they are stored in the folder `likewise` inside the user's cache folder.
    ///
    /// # Errors
    /// [`Error::Model`] if no source provides the model (the message has the reason for each source), or if a file is
    /// damaged.
    pub fn from_pretrained(name: &str) -> Result<Encoder> {
        let models = models_folder()?;
        let folder = pull(name, &models)?.folder;
        let folder = ModelFolder::open(&folder.to_string_lossy(), &models, Precision::F32)?;
        let precision = fastest_precision(&folder, &Devices::Cpu);
        Encoder::load(&folder.in_precision(precision))
    }

    /// Encodes documents, the texts that a search finds. Returns one embedding per text, in the order of `texts`.
    pub fn encode_documents<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Embedding>> {
        self.encode(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>(), InputType::Document)
    }

    /// Encodes queries. Returns one embedding per text, in the order of `texts`.
    pub fn encode_queries<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Embedding>> {
        self.encode(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>(), InputType::Query)
    }

    /// Encodes one text.
    pub fn encode_one(&self, text: &str, input_type: InputType) -> Result<Embedding> {
        let mut embeddings = self.encode(&[text], input_type)?;
        Ok(embeddings.pop().expect("encode returns one embedding per text"))
    }

    /// Tokenises texts. This is the first half of [`Encoder::encode`].
    ///
    /// # Errors
    /// [`Error::Texts`] lists all texts with a token that the model has no vector for.
    pub fn tokenize(&self, texts: &[&str], options: &EncodeOptions) -> Result<Vec<Tokenized>> {
        self.encoder_for(options.input_type).tokenizer.tokenize(texts, options)
    }

    /// The encoder for texts of this type.
    fn encoder_for(&self, input_type: InputType) -> &Encoder {
        match (input_type, &self.query) {
            (InputType::Query, Some(query)) => query,
            _ => self,
        }
    }

    /// Encodes texts. Returns one embedding per text, in the order of `texts`. The vector of a text depends on the
    /// other texts of the call only through rounding (about 1e-6 in f32).
    ///
    /// # Errors
    /// [`Error::Texts`] lists texts that the model cannot read. On a CPU, the list is complete. On a GPU, a call with
    /// many texts tokenises them in chunks, and the list has only the texts of the first chunk that has any.
    /// [`encode_readable`] encodes the remaining texts, and finds all texts that the model cannot read.
    pub fn encode(&self, texts: &[&str], input_type: InputType) -> Result<Vec<Embedding>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let options = self.encode_options(input_type);
        let ahead = TEXTS_TOKENIZED_AHEAD * self.runner.devices();
        if self.is_on_cpu() || texts.len() <= ahead {
            return self.embed(self.tokenize(texts, &options)?);
        }
        // On a GPU, tokenising takes as long as the computation of the vectors, so both run in parallel.
        let (sender, receiver) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let options = &options;
            scope.spawn(move || {
                for (number, next) in texts.chunks(ahead).enumerate() {
                    let tokenized =
                        self.tokenize(next, options).map_err(|error| shift_indices(error, number * ahead));
                    // Sending fails once the receiver has stopped at an error.
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

    /// Computes the vectors of tokenised texts, in the order of `tokenized`. This is the second half of
    /// [`Encoder::encode`].
    pub fn embed(&self, tokenized: Vec<Tokenized>) -> Result<Vec<Embedding>> {
        let vectors = match &self.query {
            None => self.runner.run(&tokenized)?,
            Some(query) => {
                let (queries, documents): (Vec<Tokenized>, Vec<Tokenized>) =
                    tokenized.iter().cloned().partition(|text| text.input_type == InputType::Query);
                let mut queries = query.runner.run(&queries)?.into_iter();
                let mut documents = self.runner.run(&documents)?.into_iter();
                let vector = |text: &Tokenized| match text.input_type {
                    InputType::Query => queries.next(),
                    InputType::Document => documents.next(),
                };
                tokenized.iter().filter_map(vector).collect()
            }
        };
        let embed = |(text, vector): (Tokenized, Vec<f32>)| Embedding {
            vector,
            tokens: text.ids.len(),
            truncated: text.truncated,
        };
        Ok(tokenized.into_iter().zip(vectors).map(embed).collect())
    }
}

/// Encodes or tokenises all texts that the model can read. Returns one result per text, in the order of `texts`: what
/// `encode` returns for it, or the reason why the model cannot read the text.
///
/// `encode` takes several texts, as [`Encoder::encode`] does. Each time `encode` returns [`Error::Texts`], it is
/// called again without the texts that the error lists.
///
/// # Errors
/// Returns every error of `encode` other than [`Error::Texts`].
pub fn encode_readable<T>(
    texts: &[&str],
    encode: impl Fn(&[&str]) -> Result<Vec<T>>,
) -> Result<Vec<Result<T, String>>> {
    let mut unreadable: BTreeMap<usize, String> = BTreeMap::new();
    loop {
        let indices: Vec<usize> = (0..texts.len()).filter(|index| !unreadable.contains_key(index)).collect();
        let readable: Vec<&str> = indices.iter().map(|index| texts[*index]).collect();
        match encode(&readable) {
            Ok(encoded) => {
                let mut encoded = encoded.into_iter();
                let result = |index| match unreadable.remove(&index) {
                    Some(reason) => Some(Err(reason)),
                    None => encoded.next().map(Ok),
                };
                return Ok((0..texts.len()).map_while(result).collect());
            }
            Err(Error::Texts(more)) if !more.is_empty() => {
                unreadable.extend(more.into_iter().map(|text| (indices[text.index], text.reason)));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Adds `offset` to the text indices in an [`Error::Texts`]. This turns indices in a chunk of texts into indices in the
/// whole list.
fn shift_indices(error: Error, offset: usize) -> Error {
    let shifted = |text: UnreadableText| UnreadableText { index: text.index + offset, ..text };
    match error {
        Error::Texts(texts) => Error::Texts(texts.into_iter().map(shifted).collect()),
        other => other,
    }
}

/// The folder in which [`Encoder::from_pretrained`] stores models.
fn models_folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("LIKEWISE_MODELS").or_else(|| Some(cache()?.join("likewise"))).ok_or_else(|| {
        Error::Model("models cannot be stored: HOME is not set; set LIKEWISE_MODELS to a folder".into())
    })
}
