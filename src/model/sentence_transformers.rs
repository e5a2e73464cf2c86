//! Reads what a sentence-transformers folder states, for models without a `model.toml`.
//!
//! Its own file because the convention is somebody else's, and changes: `1_Pooling/config.json` has the
//! pooling, `modules.json` what comes after it, and the length is in `sentence_bert_config.json` or,
//! since the library's version 6, in `tokenizer_config.json`.

use super::config::Config;
use super::{Pooling, Stated};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize, Default)]
struct SentenceBert {
    max_seq_length: Option<usize>,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    /// Where no limit was set it is 1e30, which fits no integer.
    model_max_length: Option<f64>,
}

#[derive(Deserialize, Default)]
struct SentenceTransformers {
    default_prompt_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PoolingConfig {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
    /// The newer spelling, one word instead of flags.
    pooling_mode: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    r#type: String,
}

/// Reads the folder's statements; its vectors are normalised whether or not it asks for it, because
/// the space's metric is cosine.
pub(super) fn read(folder: &Path) -> Result<Stated> {
    let config = Config::read(folder)?;
    refuse_prompt(folder)?;
    let modules: Vec<Module> = json(folder, "modules.json")?.unwrap_or_default();
    let known = ["Transformer", "Pooling", "Normalize"];
    if let Some(other) = modules.iter().find(|module| !known.iter().any(|name| module.r#type.ends_with(name)))
    {
        let (shown, kind) = (folder.join("modules.json"), &other.r#type);
        return Err(Error::Model(format!(
            "{}: module {kind} is not supported, only {}; use another model",
            shown.display(),
            known.join(", ")
        )));
    }
    let name = folder.canonicalize().map_err(Error::io(folder))?;
    Ok(Stated {
        name: name.file_name().unwrap_or(name.as_os_str()).to_string_lossy().into_owned(),
        pooling: pooling(folder)?,
        max_length: stated_length(folder)?
            .unwrap_or(config.max_position_embeddings)
            .min(config.max_position_embeddings),
        dimension: config.hidden_size,
        sums: Vec::new(),
    })
}

/// The longest input in tokens, wherever the folder says it.
fn stated_length(folder: &Path) -> Result<Option<usize>> {
    let stated: SentenceBert = json(folder, "sentence_bert_config.json")?.unwrap_or_default();
    let tokenizer: TokenizerConfig = json(folder, "tokenizer_config.json")?.unwrap_or_default();
    // The cast saturates, and the model's positions limit it.
    Ok(stated.max_seq_length.or(tokenizer.model_max_length.map(|length| length as usize)))
}

/// A default prompt would go before every text; without it the vectors would silently be others.
fn refuse_prompt(folder: &Path) -> Result<()> {
    const PATH: &str = "config_sentence_transformers.json";
    let stated: SentenceTransformers = json(folder, PATH)?.unwrap_or_default();
    let Some(prompt) = stated.default_prompt_name else { return Ok(()) };
    let shown = folder.join(PATH);
    Err(Error::Model(format!(
        "{}: the default prompt {prompt:?} is not supported; use a model without one",
        shown.display()
    )))
}

fn pooling(folder: &Path) -> Result<Pooling> {
    const PATH: &str = "1_Pooling/config.json";
    let config: PoolingConfig = json(folder, PATH)?.ok_or_else(|| missing(folder, PATH))?;
    let unsupported = config.pooling_mode_max_tokens
        || config.pooling_mode_mean_sqrt_len_tokens
        || config.pooling_mode_weightedmean_tokens
        || config.pooling_mode_lasttoken;
    let flags = (config.pooling_mode_mean_tokens, config.pooling_mode_cls_token, unsupported);
    match (flags, config.pooling_mode.as_deref()) {
        ((true, false, false), None) | ((_, _, false), Some("mean")) => Ok(Pooling::Mean),
        ((false, true, false), None) | ((_, _, false), Some("cls")) => Ok(Pooling::Cls),
        _ => Err(Error::Model(format!(
            "{}: wanted exactly one of mean and cls pooling; use a model with one of them",
            folder.join(PATH).display()
        ))),
    }
}

/// Reads a JSON file; `None` if there is none.
fn json<T: serde::de::DeserializeOwned>(folder: &Path, path: &str) -> Result<Option<T>> {
    let path = folder.join(path);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(&path)(error)),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| Error::Model(format!("{}: {error}; fetch the model folder again", path.display())))
}

fn missing(folder: &Path, path: &str) -> Error {
    Error::Model(format!(
        "{}: no such file; a model folder has a model.toml, or is a whole sentence-transformers folder",
        folder.join(path).display()
    ))
}
