//! The description of a vector store, `space.json`: the store's model, and the folder that the model was in.
//!
//! The description makes it possible to open a data folder without naming the model.

use super::DESCRIPTION;
use crate::error::{Error, Result};
use likewise_encoder::model::{Fingerprint, ModelFolder, ModelOptions, Precision};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Describes the model of a vector store. The names of the fields are part of the file format.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    /// The model's name.
    pub model: String,
    /// The model's folder when the description was written. `None` in files of older versions.
    #[serde(default)]
    path: Option<PathBuf>,
    /// Options that override the options in the model's folder.
    #[serde(default, skip_serializing_if = "ModelOptions::is_empty")]
    options: ModelOptions,
    /// Fingerprint of the model, which identifies the embedding space.
    pub fingerprint: Fingerprint,
}

impl Description {
    /// The content of `space.json` for a model.
    pub fn json_of(model: &ModelFolder) -> Result<String> {
        let description = Description {
            model: model.name.clone(),
            path: Some(std::path::absolute(&model.path).map_err(Error::io(&model.path))?),
            options: model.options.clone(),
            fingerprint: model.fingerprint.clone(),
        };
        let text = serde_json::to_string_pretty(&description);
        let text = text.map_err(|error| Error::Data(format!("{}: {error}", model.path.display())))?;
        Ok(text + "\n")
    }

    /// Reads the description in a store's folder. `None` if the file does not exist.
    pub(super) fn read(base: &Path) -> Result<Option<Description>> {
        let path = base.join(DESCRIPTION);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(Error::io(&path))?,
        };
        Description::parse(&bytes).map(Some).map_err(|error| {
            Error::Data(format!(
                "{}: {error}; delete the folder of this file and run `likewise ingest` to encode the papers again",
                path.display()
            ))
        })
    }

    /// Parses the JSON that [`Description::json_of`] returned.
    pub fn parse(text: &[u8]) -> serde_json::Result<Description> {
        serde_json::from_slice(text)
    }

    /// Opens the described model, in the precision that the fingerprint belongs to. Looks for the model in the recorded
    /// folder. If that folder does not exist, looks for the model by its name, in the folder `models`.
    ///
    /// # Errors
    /// Returns [`Error::Model`] if the model is not found, or if its current fingerprint differs from the recorded one.
    pub fn open_model(&self, models: &Path) -> Result<ModelFolder> {
        let path = self.path.as_ref().filter(|path| path.is_dir());
        let name = path.map_or(self.model.clone().into(), |path| path.to_string_lossy());
        let opened = ModelFolder::open(&name, models, Precision::F32);
        let opened = opened.and_then(|model| model.with_options(self.options.clone()));
        let model = opened.map_err(|error| match &self.path {
            Some(path) => Error::Model(format!(
                "{error}; the vectors were computed by the model that was in {}",
                path.display()
            )),
            None => error.into(),
        })?;
        let in_precision = |precision| model.clone().in_precision(precision);
        let matches = |model: &ModelFolder| model.fingerprint.sha256 == self.fingerprint.sha256;
        let current = Precision::ALL.map(in_precision);
        let differences = current.iter().map(|model| model.fingerprint.differences(&self.fingerprint));
        let fewest = differences.min_by_key(Vec::len).unwrap_or_default();
        // Older versions of likewise ignored model settings that they did not support, so the fingerprints that they
        // recorded lack these settings.
        let in_version =
            |older: fn(ModelFolder) -> ModelFolder| Precision::ALL.into_iter().map(in_precision).map(older);
        let older =
            in_version(ModelFolder::as_before_titles).chain(in_version(ModelFolder::as_before_prompts));
        current.into_iter().chain(older).find(matches).ok_or_else(|| {
            Error::Model(format!(
                "{}: the model must be {}, which computed the vectors (got another model: {}); restore the original \
                 files, or give --model a folder that has them",
                model.path.display(),
                self.model,
                fewest.join("; ")
            ))
        })
    }
}

/// Length of the names of stores' folders, in hexadecimal digits: enough to tell fingerprints apart, and still
/// readable.
pub(super) const FOLDER_NAME_DIGITS: usize = 16;

/// The name of the folder of the store with this fingerprint: its first digits.
pub(super) fn folder_name(sha256: &str) -> &str {
    sha256.get(..FOLDER_NAME_DIGITS).unwrap_or(sha256)
}
