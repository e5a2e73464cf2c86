//! The [`SparseEncoder`]: a loaded model that turns texts into sparse vectors, with one value for each token of the
//! vocabulary that the text is about (SPLADE, Formal et al. 2021).

use crate::device::Devices;
use crate::error::{Error, Result};
use crate::model::{InputType, ModelFolder, ModelKind};
use crate::network::Engine;
use crate::runner::Runner;
use crate::tokenize::{EncodeOptions, Tokenized, Tokenizer, TruncationSide};

/// Number of texts whose vectors are computed at a time: before the zeros are removed, each has as many values as the
/// vocabulary has tokens.
const TEXTS_AT_ONCE: usize = 256;

/// A sparse vector: the values that are not 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseVector {
    /// The ids of the tokens, ascending.
    pub indices: Vec<u32>,
    /// The value of each of these tokens, greater than 0.
    pub values: Vec<f32>,
}

/// A loaded sparse encoder.
pub struct SparseEncoder {
    folder: ModelFolder,
    tokenizer: Tokenizer,
    runner: Runner,
    /// The ids of special tokens such as `[CLS]`, which say nothing about a text.
    special: Vec<u32>,
}

impl SparseEncoder {
    /// Loads a sparse encoder onto devices, with one worker per CPU core or per GPU. `folder` is a folder that
    /// [`ModelFolder::open_sparse`] opened.
    ///
    /// # Errors
    /// [`Error::Model`] if the model is not a sparse encoder, or if a file is missing, damaged or of an unsupported
    /// architecture.
    pub fn load_on(folder: &ModelFolder, devices: &Devices) -> Result<SparseEncoder> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        SparseEncoder::load_with(folder, devices, Engine::default(), threads)
    }

    /// Loads a sparse encoder; see [`SparseEncoder::load_on`]. `threads` is the number of workers on a CPU.
    pub fn load_with(
        folder: &ModelFolder,
        devices: &Devices,
        engine: Engine,
        threads: usize,
    ) -> Result<SparseEncoder> {
        if !matches!(folder.config.kind, ModelKind::Sparse(_)) {
            return Err(Error::Model(format!(
                "{}: the model is not a sparse encoder",
                folder.path.display()
            )));
        }
        let tokenizer = Tokenizer::load(folder)?;
        Ok(SparseEncoder {
            folder: folder.clone(),
            special: tokenizer.special_tokens(),
            tokenizer,
            runner: Runner::load(folder, devices, engine, threads)?,
        })
    }

    /// Recommended number of texts per call of [`SparseEncoder::encode`], when there are many texts to encode.
    pub fn chunk_size(&self) -> usize {
        TEXTS_AT_ONCE
    }

    /// The model that this encoder runs.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// Tokenises texts, with the model's prompt for their type. This is the first half of [`SparseEncoder::encode`].
    ///
    /// # Errors
    /// [`Error::Texts`] lists all texts with a token that the model has no vector for.
    pub fn tokenize(&self, texts: &[&str], input_type: InputType) -> Result<Vec<Tokenized>> {
        let prompt = self.folder.prompt.get(input_type).clone();
        let options = EncodeOptions { input_type, prompt, truncation_side: TruncationSide::Right };
        self.tokenizer.tokenize(texts, &options)
    }

    /// Computes the vectors of tokenised texts, in the order of `tokenized`. This is the second half of
    /// [`SparseEncoder::encode`].
    pub fn embed(&self, tokenized: &[Tokenized]) -> Result<Vec<SparseVector>> {
        let mut vectors = Vec::with_capacity(tokenized.len());
        for texts in tokenized.chunks(TEXTS_AT_ONCE) {
            vectors.extend(self.runner.run(texts)?.into_iter().map(|values| self.without_zeros(&values)));
        }
        Ok(vectors)
    }

    /// Encodes texts. Returns one vector per text, in the order of `texts`. The dot product of two vectors is their
    /// similarity.
    ///
    /// # Errors
    /// Returns the errors of [`SparseEncoder::tokenize`].
    pub fn encode(&self, texts: &[&str], input_type: InputType) -> Result<Vec<SparseVector>> {
        self.embed(&self.tokenize(texts, input_type)?)
    }

    fn without_zeros(&self, values: &[f32]) -> SparseVector {
        let mut vector = SparseVector::default();
        for (index, value) in (0..).zip(values) {
            if *value > 0.0 && !self.special.contains(&index) {
                vector.indices.push(index);
                vector.values.push(*value);
            }
        }
        vector
    }
}
