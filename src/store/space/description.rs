//! What a space's folder says of itself: which model's it is, and where that was.
//!
//! Its own file because it lets a data folder be opened by whoever does not know what it was filled with.

use super::DESCRIPTION;
use crate::error::{Error, Result};
use likewise_encoder::model::{Fingerprint, ModelFolder, ModelOptions, Precision};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Says whose a space is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    /// The model's name.
    pub model: String,
    /// The model's folder, when the space was made; older versions did not say.
    #[serde(default)]
    path: Option<PathBuf>,
    /// How it differs from what its folder says.
    #[serde(default, skip_serializing_if = "ModelOptions::is_empty")]
    options: ModelOptions,
    /// Names the space.
    pub fingerprint: Fingerprint,
}

impl Description {
    /// Of a model's space, as it is written.
    pub fn of(model: &ModelFolder) -> Result<String> {
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

    /// What the space in `base` says, if there is one.
    pub(super) fn read(base: &Path) -> Result<Option<Description>> {
        let path = base.join(DESCRIPTION);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(Error::io(&path))?,
        };
        Description::parse(&bytes).map(Some).map_err(|error| {
            Error::Data(format!(
                "{}: {error}; delete the folder it is in and run `likewise ingest` to encode its papers again",
                path.display()
            ))
        })
    }

    /// As [`Description::of`] wrote it.
    pub fn parse(text: &[u8]) -> serde_json::Result<Description> {
        serde_json::from_slice(text)
    }

    /// Opens the model whose space it is, where it was or by its name under `models`, in its precision.
    ///
    /// # Errors
    /// [`Error::Model`] if it is not there, or is another one by now.
    pub fn open_model(&self, models: &Path) -> Result<ModelFolder> {
        let path = self.path.as_ref().filter(|path| path.is_dir());
        let name = path.map_or(self.model.clone().into(), |path| path.to_string_lossy());
        let opened = ModelFolder::open(&name, models, Precision::F32);
        let opened = opened.and_then(|model| model.with_options(self.options.clone()));
        let model = opened.map_err(|error| match &self.path {
            Some(path) => {
                Error::Model(format!("{error}; the vectors are of the model that was in {}", path.display()))
            }
            None => error.into(),
        })?;
        let in_precision = |precision| model.clone().in_precision(precision);
        let is_it = |model: &ModelFolder| model.fingerprint.sha256 == self.fingerprint.sha256;
        let now = Precision::ALL.map(in_precision);
        let differences = now.iter().map(|model| model.fingerprint.differences(&self.fingerprint));
        let fewest = differences.min_by_key(Vec::len).unwrap_or_default();
        // Older versions passed over what they did not know.
        let then =
            |before: fn(ModelFolder) -> ModelFolder| Precision::ALL.into_iter().map(in_precision).map(before);
        let before = then(ModelFolder::as_before_titles).chain(then(ModelFolder::as_before_prompts));
        now.into_iter().chain(before).find(is_it).ok_or_else(|| {
            Error::Model(format!(
                "{}: got another model than {}, which the vectors are of ({}); put its files there again, or give --model \
                 a folder that has them",
                model.path.display(),
                self.model,
                fewest.join("; ")
            ))
        })
    }
}

/// Digits of a fingerprint that make a folder's name: enough to tell spaces apart, few enough to read.
pub(super) const SHORT: usize = 16;

/// The first of them.
pub(super) fn short(sha256: &str) -> &str {
    sha256.get(..SHORT).unwrap_or(sha256)
}
