//! The [`CrossEncoder`]: a loaded model that scores pairs of a query and a document.
//!
//! A cross-encoder reads query and document together, so it sees which words of the two belong together. It ranks better
//! than vectors do, but it must compute each pair anew. It therefore reranks the first hits of a search, and cannot search
//! itself.

use crate::device::Devices;
use crate::encoder::encode_readable;
use crate::error::{Error, Result, UnreadableText};
use crate::kernels::isa;
use crate::model::{CrossEncoderConfig, ModelFolder, ModelKind, PairInput, RerankCalibration, sigmoid};
use crate::network::Engine;
use crate::runner::Runner;
use crate::tokenize::pairs::{DEFAULT_INSTRUCTION, PairFormat};
use crate::tokenize::{Tokenized, Tokenizer};

/// The score of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairScore {
    /// The model's output before the activation function. Logits of different models cannot be compared.
    pub logit: f32,
    /// The logit after the model's activation function: the result of `CrossEncoder.predict` of sentence-transformers.
    pub score: f32,
    /// Number of tokens that the model read of the pair, including special tokens.
    pub tokens: usize,
    /// Whether the pair has the maximum number of tokens, so that a part of it was probably cut off.
    pub truncated: bool,
}

impl PairScore {
    /// The logit, mapped to the range 0 to 1 by the sigmoid function, whatever the model's activation function.
    pub fn relevance(&self) -> f32 {
        sigmoid(self.logit)
    }
}

/// A loaded cross-encoder.
pub struct CrossEncoder {
    folder: ModelFolder,
    config: CrossEncoderConfig,
    format: PairFormat,
    tokenizer: Tokenizer,
    runner: Runner,
}

impl CrossEncoder {
    /// Loads a cross-encoder onto devices, with one worker per CPU core or per GPU. `folder` is a folder that
    /// [`ModelFolder::open_reranker`] opened.
    ///
    /// # Errors
    /// [`Error::Model`] if the model is not a cross-encoder, or if a file is missing, damaged or of an unsupported
    /// architecture.
    pub fn load_on(folder: &ModelFolder, devices: &Devices) -> Result<CrossEncoder> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        CrossEncoder::load_with(folder, devices, Engine::default(), threads)
    }

    /// Loads a cross-encoder; see [`CrossEncoder::load_on`]. `threads` is the number of workers on a CPU.
    pub fn load_with(
        folder: &ModelFolder,
        devices: &Devices,
        engine: Engine,
        threads: usize,
    ) -> Result<CrossEncoder> {
        let ModelKind::CrossEncoder(config) = &folder.config.kind else {
            return Err(Error::Model(format!("{}: the model is not a cross-encoder", folder.path.display())));
        };
        let prompt = folder.prompt.query.clone();
        let format = match config.input {
            PairInput::TwoTexts { token_types } => PairFormat::TwoTexts { prompt, token_types },
            PairInput::Instruction => PairFormat::Instruction {
                instruction: if prompt.is_empty() { DEFAULT_INSTRUCTION.into() } else { prompt },
            },
        };
        let encoder = CrossEncoder {
            folder: folder.clone(),
            config: config.clone(),
            format,
            tokenizer: Tokenizer::load(folder)?,
            runner: Runner::load(folder, devices, engine, threads)?,
        };
        encoder.self_test()?;
        Ok(encoder)
    }

    /// Scores two pairs, so that a broken model folder is found when the model is loaded.
    fn self_test(&self) -> Result<()> {
        let scores =
            self.score("How do proteins fold?", &["Folding of proteins in water", "Graphs without cycles"])?;
        if scores.iter().all(|score| score.logit.is_finite()) {
            return Ok(());
        }
        Err(Error::Model(format!(
            "{}: the model returns scores that are not numbers; fetch the model folder again",
            self.folder.path.display()
        )))
    }

    /// The model that this cross-encoder runs.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// The curves from logits to probabilities. `None`: the model is not calibrated.
    pub fn calibration(&self) -> Option<RerankCalibration> {
        self.folder.config.rerank_calibration
    }

    /// Returns one line for people: the model, the devices and, on a CPU, the number of threads and the instruction set.
    pub fn describe(&self) -> String {
        let (model, runner) = (self.folder.describe(), &self.runner);
        match runner.is_on_cpu() {
            false => format!("{model}, on {}", runner.device_names()),
            true => format!("{model}, on cpu, {} threads, {}", runner.workers(), isa::current().name),
        }
    }

    /// Tokenises the pairs of a query and each document. This is the first half of [`CrossEncoder::score`].
    ///
    /// # Errors
    /// [`Error::Texts`] lists the documents with a token that the model has no vector for; all of them if the query has
    /// such a token.
    pub fn tokenize(&self, query: &str, documents: &[&str]) -> Result<Vec<Tokenized>> {
        self.tokenizer.tokenize_pairs(query, documents, &self.format)
    }

    /// Like [`CrossEncoder::tokenize`], but returns `None` for each document that the model cannot read.
    ///
    /// # Errors
    /// Returns the errors of [`CrossEncoder::tokenize`] if the model can read none of the documents, because then the
    /// query is probably at fault.
    pub fn tokenize_readable(&self, query: &str, documents: &[&str]) -> Result<Vec<Option<Tokenized>>> {
        let tokenized = encode_readable(documents, |documents| self.tokenize(query, documents))?;
        if tokenized.iter().any(Result::is_ok) || tokenized.is_empty() {
            return Ok(tokenized.into_iter().map(Result::ok).collect());
        }
        let reasons = tokenized.into_iter().filter_map(Result::err).enumerate();
        Err(Error::Texts(reasons.map(|(index, reason)| UnreadableText { index, reason }).collect()))
    }

    /// Scores a query with each document; `None` for a document that the model cannot read.
    ///
    /// # Errors
    /// Returns the errors of [`CrossEncoder::tokenize_readable`].
    pub fn score_readable(&self, query: &str, documents: &[&str]) -> Result<Vec<Option<PairScore>>> {
        let tokenized = self.tokenize_readable(query, documents)?;
        let readable: Vec<Tokenized> = tokenized.iter().flatten().cloned().collect();
        let mut scores = self.score_tokenized(&readable)?.into_iter();
        Ok(tokenized.into_iter().map(|pair| pair.and_then(|_| scores.next())).collect())
    }

    /// Scores tokenised pairs, in the order of `pairs`. This is the second half of [`CrossEncoder::score`].
    pub fn score_tokenized(&self, pairs: &[Tokenized]) -> Result<Vec<PairScore>> {
        let logits = self.runner.run(pairs)?;
        let score = |(pair, logit): (&Tokenized, Vec<f32>)| {
            let logit = logit.first().copied().unwrap_or(f32::NAN);
            let score = self.config.activation.apply(logit);
            PairScore { logit, score, tokens: pair.ids.len(), truncated: pair.truncated }
        };
        Ok(pairs.iter().zip(logits).map(score).collect())
    }

    /// Scores a query with each document: higher scores mean more relevant. Returns one score per document, in the order
    /// of `documents`.
    ///
    /// # Errors
    /// Returns the errors of [`CrossEncoder::tokenize`].
    pub fn score(&self, query: &str, documents: &[&str]) -> Result<Vec<PairScore>> {
        self.score_tokenized(&self.tokenize(query, documents)?)
    }
}
