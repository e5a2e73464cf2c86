//! The [`Reranker`]: a loaded model that scores pairs of a query and a document.
//!
//! A cross-encoder reads query and document together, so it sees which words of the two belong together. A model with late
//! interaction compares the vectors of all their tokens. Both can rank better than one vector per text does, but they must
//! compute each pair anew. They therefore rerank the first hits of a search, and cannot search themselves.

use crate::device::Devices;
use crate::encoder::encode_readable;
use crate::error::{Error, Result, UnreadableText};
use crate::kernels::isa;
use crate::late_interaction::{LateInteraction, MaxSim};
use crate::model::{CrossEncoderConfig, ModelFolder, ModelKind, PairInput, RerankCalibration, sigmoid};
use crate::network::Engine;
use crate::runner::Runner;
use crate::tokenize::pairs::{DEFAULT_INSTRUCTION, PairFormat};
use crate::tokenize::{Tokenized, Tokenizer};

/// The score of a pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairScore {
    /// The model's output before the activation function; for late interaction, the same as `score`. Logits of different
    /// models cannot be compared.
    pub logit: f32,
    /// The logit after the model's activation function: the result of `CrossEncoder.predict` of sentence-transformers. For
    /// late interaction, the result of `MultiVectorEncoder.similarity`.
    pub score: f32,
    /// The score, mapped to the range 0 to 1: the sigmoid function of the logit, whatever the model's activation function.
    /// For late interaction, the mean of the largest cosines of the query's tokens, mapped from the range -1 to 1.
    pub relevance: f32,
    /// Number of tokens that the model read of the pair, including special tokens.
    pub tokens: usize,
    /// Whether the pair has the maximum number of tokens, so that a part of it was probably cut off.
    pub truncated: bool,
}

/// A loaded cross-encoder, or a loaded model with late interaction.
pub struct Reranker {
    folder: ModelFolder,
    method: Method,
    runner: Runner,
}

/// How a model scores pairs.
enum Method {
    /// It reads query and document together.
    CrossEncoder { config: CrossEncoderConfig, format: PairFormat, tokenizer: Box<Tokenizer> },
    /// It computes a vector for each token of the two.
    LateInteraction(Box<LateInteraction>),
}

impl Method {
    fn load(folder: &ModelFolder) -> Result<Method> {
        let config = match &folder.config.kind {
            ModelKind::LateInteraction(config) => {
                return LateInteraction::load(folder, config)
                    .map(|late| Method::LateInteraction(Box::new(late)));
            }
            ModelKind::CrossEncoder(config) => config.clone(),
            _ => return Err(Error::Model(format!("{}: the model is not a reranker", folder.path.display()))),
        };
        let prompt = folder.prompt.query.clone();
        let format = match config.input {
            PairInput::TwoTexts { token_types } => PairFormat::TwoTexts { prompt, token_types },
            PairInput::Instruction => PairFormat::Instruction {
                instruction: if prompt.is_empty() { DEFAULT_INSTRUCTION.into() } else { prompt },
            },
        };
        Ok(Method::CrossEncoder { config, format, tokenizer: Box::new(Tokenizer::load(folder)?) })
    }
}

impl Reranker {
    /// Loads a reranker onto devices, with one worker per CPU core or per GPU. `folder` is a folder that
    /// [`ModelFolder::open_reranker`] opened.
    ///
    /// # Errors
    /// [`Error::Model`] if the model is not a reranker, or if a file is missing, damaged or of an unsupported
    /// architecture.
    pub fn load_on(folder: &ModelFolder, devices: &Devices) -> Result<Reranker> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Reranker::load_with(folder, devices, Engine::default(), threads)
    }

    /// Loads a reranker; see [`Reranker::load_on`]. `threads` is the number of workers on a CPU.
    pub fn load_with(
        folder: &ModelFolder,
        devices: &Devices,
        engine: Engine,
        threads: usize,
    ) -> Result<Reranker> {
        let reranker = Reranker {
            folder: folder.clone(),
            method: Method::load(folder)?,
            runner: Runner::load(folder, devices, engine, threads)?,
        };
        reranker.self_test()?;
        Ok(reranker)
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

    /// The model that this reranker runs.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// Whether the model compares the vectors of tokens, and is not a cross-encoder.
    pub fn is_late_interaction(&self) -> bool {
        matches!(self.method, Method::LateInteraction(_))
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
            true => {
                let isa = isa::current().describe(self.folder.precision);
                format!("{model}, on cpu, {} threads, {isa}", runner.workers())
            }
        }
    }

    /// Tokenises the pairs of a query and each document. This is the first half of [`Reranker::score`].
    ///
    /// # Errors
    /// [`Error::Texts`] lists the documents with a token that the model has no vector for; all of them if the query has
    /// such a token.
    pub fn tokenize(&self, query: &str, documents: &[&str]) -> Result<Vec<Tokenized>> {
        match &self.method {
            Method::CrossEncoder { tokenizer, format, .. } => {
                tokenizer.tokenize_pairs(query, documents, format)
            }
            Method::LateInteraction(late) => late.tokenize(query, documents),
        }
    }

    /// Like [`Reranker::tokenize`], but returns `None` for each document that the model cannot read.
    ///
    /// # Errors
    /// Returns the errors of [`Reranker::tokenize`] if the model can read none of the documents, because then the
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
    /// Returns the errors of [`Reranker::tokenize_readable`].
    pub fn score_readable(&self, query: &str, documents: &[&str]) -> Result<Vec<Option<PairScore>>> {
        let tokenized = self.tokenize_readable(query, documents)?;
        let readable: Vec<Tokenized> = tokenized.iter().flatten().cloned().collect();
        let mut scores = self.score_tokenized(&readable)?.into_iter();
        Ok(tokenized.into_iter().map(|pair| pair.and_then(|_| scores.next())).collect())
    }

    /// Scores tokenised pairs, in the order of `pairs`. This is the second half of [`Reranker::score`].
    pub fn score_tokenized(&self, pairs: &[Tokenized]) -> Result<Vec<PairScore>> {
        match &self.method {
            Method::CrossEncoder { config, .. } => {
                let logits = self.runner.run(pairs)?;
                let logits = logits.into_iter().map(|logit| logit.first().copied().unwrap_or(f32::NAN));
                let score = |(pair, logit): (&Tokenized, f32)| {
                    let (score, relevance) = (config.activation.apply(logit), sigmoid(logit));
                    PairScore { logit, score, relevance, tokens: pair.ids.len(), truncated: pair.truncated }
                };
                Ok(pairs.iter().zip(logits).map(score).collect())
            }
            Method::LateInteraction(late) => {
                let score = |(pair, MaxSim { sum, query_tokens }): (&Tokenized, MaxSim)| {
                    let mean = sum / query_tokens.max(1) as f32;
                    let logit = if late.is_mean { mean } else { sum };
                    let relevance = (0.5 + mean / 2.0).clamp(0.0, 1.0);
                    let (tokens, truncated) = (pair.ids.len(), pair.truncated);
                    PairScore { logit, score: logit, relevance, tokens, truncated }
                };
                Ok(pairs.iter().zip(late.score(&self.runner, pairs)?).map(score).collect())
            }
        }
    }

    /// Scores a query with each document: higher scores mean more relevant. Returns one score per document, in the order
    /// of `documents`.
    ///
    /// # Errors
    /// Returns the errors of [`Reranker::tokenize`].
    pub fn score(&self, query: &str, documents: &[&str]) -> Result<Vec<PairScore>> {
        self.score_tokenized(&self.tokenize(query, documents)?)
    }
}
