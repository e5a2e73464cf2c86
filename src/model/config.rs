//! config.json: the part of it that a model's other files must agree with.
//!
//! Its own file because both kinds of folder have it, and because what kind of model it is must be known
//! before anything else in it can be understood.

use super::{CONFIG, Stated};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// Every `model_type` that the encoder has an architecture for.
const SUPPORTED: [&str; 1] = ["bert"];

/// What config.json says.
#[derive(Deserialize)]
pub(super) struct Config {
    /// Length of the token vectors.
    pub hidden_size: usize,
    /// Longest input in tokens that the model has positions for.
    pub max_position_embeddings: usize,
}

impl Config {
    /// Reads `folder`'s.
    ///
    /// # Errors
    /// [`Error::Model`] names the file, and an architecture that is not supported.
    pub fn read(folder: &Path) -> Result<Config> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: String,
        }
        let path = folder.join(CONFIG);
        let shown = path.display();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::Model(format!("{shown}: {error}; a model folder needs this file")))?;
        let wrong = |error| Error::Model(format!("{shown}: {error}; fetch the model folder again"));
        let Kind { model_type } = serde_json::from_str(&text).map_err(wrong)?;
        if !SUPPORTED.contains(&model_type.as_str()) {
            return Err(Error::Model(format!(
                "{shown}: model_type {model_type:?} is not supported, only {}; use a model of the BERT family",
                SUPPORTED.join(", ")
            )));
        }
        serde_json::from_str(&text).map_err(wrong)
    }

    /// Refuses what a folder states about its model in contradiction to it.
    pub fn check(&self, folder: &Path, stated: &Stated) -> Result<()> {
        let shown = folder.join(CONFIG);
        let differ = |what: &str, stated: usize, own: usize| {
            Error::Model(format!(
                "{}: the model folder states {what} {stated}, but the model has {own}; correct the statement",
                shown.display()
            ))
        };
        if stated.dimension != self.hidden_size {
            return Err(differ("dimension", stated.dimension, self.hidden_size));
        }
        if stated.max_length > self.max_position_embeddings {
            return Err(differ("a maximum length of", stated.max_length, self.max_position_embeddings));
        }
        Ok(())
    }
}
