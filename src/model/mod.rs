//! What a model folder says: its files and their sums, how token vectors are pooled, how much text
//! it reads, and the fingerprint that names its embedding space.
//!
//! Two kinds of folder are understood: one with our own `model.toml` ([`manifest`]), and any
//! sentence-transformers folder ([`sentence_transformers`]). Both give a [`ModelFolder`], which has
//! been checked and can be loaded; nothing here touches the network ([`mod@pull`] is the only file that
//! does).

mod config;
mod fingerprint;
mod manifest;
mod pull;
mod sentence_transformers;

pub use fingerprint::{Fingerprint, sha256_file};
pub use manifest::{FileSum, HubSource, Manifest, WheelSource};
pub use pull::{Pulled, pull};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The model used when none is named.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// Where models are kept unless told otherwise, relative to the working folder.
pub const DEFAULT_MODELS_DIR: &str = "models";

/// The three files every model folder must have.
pub const WEIGHTS: &str = "model.safetensors";
/// See [`WEIGHTS`].
pub const TOKENIZER: &str = "tokenizer.json";
/// See [`WEIGHTS`].
pub const CONFIG: &str = "config.json";

/// How the vectors of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over the tokens that the attention mask keeps.
    Mean,
    /// The first token's vector.
    Cls,
}

/// The arithmetic of the large multiplications; part of the fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    F32,
    /// Factors rounded to bf16, sums in f32.
    Bf16,
    /// Factors rounded to bytes with a scale for every 128, sums of those exact; attention in bf16.
    Int8,
}

impl Precision {
    /// Every one, the most exact first.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        })
    }
}

/// A checked model folder on disk.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The model's name, as shown to people; not part of the fingerprint.
    pub name: String,
    /// Where its files are.
    pub path: PathBuf,
    /// How token vectors are pooled.
    pub pooling: Pooling,
    /// The longest input in tokens, special tokens included; the rest of a text is not read.
    pub max_length: usize,
    /// The arithmetic to encode in.
    pub precision: Precision,
    /// Names the embedding space.
    pub fingerprint: Fingerprint,
}

impl ModelFolder {
    /// Opens `name_or_path`: an existing folder, or a model's name under `models_dir`; to encode in
    /// `precision`.
    ///
    /// Every file is read and summed, so a damaged or swapped one is found here and not in the answers.
    ///
    /// # Errors
    /// [`Error::Model`] names the folder or file, what was got, and what to do.
    pub fn open(name_or_path: &str, models_dir: &Path, precision: Precision) -> Result<ModelFolder> {
        let path = resolve(name_or_path, models_dir)?;
        let stated = match Manifest::read(&path)? {
            Some(manifest) => manifest.check(&path)?,
            None => sentence_transformers::read(&path)?,
        };
        config::Config::read(&path)?.check(&path, &stated)?;
        let fingerprint = Fingerprint::of(&path, &stated, precision)?;
        let Stated { name, pooling, max_length, .. } = stated;
        Ok(ModelFolder { name, path, pooling, max_length, precision, fingerprint })
    }

    /// The same folder, to encode in another precision.
    pub fn in_precision(self, precision: Precision) -> ModelFolder {
        let fingerprint = self.fingerprint.in_precision(precision);
        ModelFolder { precision, fingerprint, ..self }
    }
}

/// What a folder states about its model, by whichever convention.
#[derive(Debug, Clone)]
struct Stated {
    name: String,
    pooling: Pooling,
    max_length: usize,
    dimension: usize,
    /// The sums of [`WEIGHTS`], [`TOKENIZER`] and [`CONFIG`], where already known.
    sums: Vec<(String, String)>,
}

fn resolve(name_or_path: &str, models_dir: &Path) -> Result<PathBuf> {
    let as_path = Path::new(name_or_path);
    if as_path.is_dir() {
        return Ok(as_path.to_path_buf());
    }
    let name = Manifest::known(name_or_path).map_or(name_or_path.to_string(), |manifest| manifest.name);
    let named = models_dir.join(&name);
    if named.is_dir() {
        return Ok(named);
    }
    let todo = match Manifest::known(&name) {
        Some(_) => format!("run `likewise pull {name}`, or give --model a sentence-transformers folder"),
        None => "give --model a sentence-transformers folder, or a name that `likewise pull` knows".into(),
    };
    Err(Error::Model(format!(
        "no model {name_or_path:?}: neither a folder of that name nor {} exists; {todo}",
        named.display()
    )))
}
