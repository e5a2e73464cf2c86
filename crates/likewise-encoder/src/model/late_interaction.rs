//! Reads the settings of models with late interaction (ColBERT), from the files of the sentence-transformers library, of
//! PyLate, or of Stanford's ColBERT.
//!
//! The library lists the modules Transformer, Dense, MultiVectorMask and Normalize in modules.json. PyLate's folders have
//! only the first two, and their other settings are in config_sentence_transformers.json. Stanford's folders have no
//! modules.json: their settings are in artifact.metadata, and the dense layer is among the network's weights.

use super::network_config::NetworkConfig;
use super::sentence_transformers::{
    MODULES, Module, PROMPTS, check_inside, common, config_path, json, missing, read_token_dense,
    transformer_config,
};
use super::{
    Dense, Family, LateInteractionConfig, ModelConfig, ModelKind, PerInputType, QueryExpansion, TOKENIZER,
};
use crate::error::{Error, Result, damaged};
use serde::{Deserialize, Deserializer};
use std::path::Path;

/// The class of the module that leaves out tokens.
const MASK: &str = "MultiVectorMask";

/// The file with the settings of Stanford's ColBERT.
const METADATA: &str = "artifact.metadata";

/// The class of the network in config.json of Stanford's folders.
const STANFORD: &str = "HF_ColBERT";

/// The punctuation that PyLate and Stanford's ColBERT leave out of documents: Python's `string.punctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Number of tokens of an expanded query, if no file states it.
const DEFAULT_QUERY_LENGTH: usize = 32;

/// Maximum number of tokens of an expanded query. Attention computes this many tokens at once.
const MAX_EXPANDED: usize = 256;

/// The settings in config_sentence_transformers.json. All but `similarity_fn_name` are those of PyLate's models.
#[derive(Deserialize, Default)]
struct LibraryConfig {
    model_type: Option<String>,
    query_prefix: Option<String>,
    document_prefix: Option<String>,
    do_query_expansion: Option<bool>,
    attend_to_expansion_tokens: Option<bool>,
    skiplist_words: Option<Vec<String>>,
    document_length: Option<usize>,
    query_length: Option<usize>,
    similarity_fn_name: Option<String>,
    attend_to_mask_tokens: Option<bool>,
    /// `Some(None)`: queries are not expanded. `None`: not stated.
    #[serde(default, deserialize_with = "stated")]
    query_expansion: Option<Option<ExpansionConfig>>,
}

/// Reads a field that can be null, so that null differs from no field.
fn stated<'de, D: Deserializer<'de>>(
    field: D,
) -> std::result::Result<Option<Option<ExpansionConfig>>, D::Error> {
    Deserialize::deserialize(field).map(Some)
}

impl LibraryConfig {
    /// Whether one of the settings is there with which PyLate's models were saved.
    fn has_pylate_settings(&self) -> bool {
        self.query_prefix.is_some()
            || self.document_prefix.is_some()
            || self.query_length.is_some()
            || self.document_length.is_some()
            || self.do_query_expansion.is_some()
            || self.attend_to_expansion_tokens.is_some()
            || self.attend_to_mask_tokens.is_some()
            || self.skiplist_words.is_some()
    }

    /// How queries are expanded, in a folder whose module Transformer does not state it.
    fn expansion(&mut self) -> Option<ExpansionConfig> {
        match self.query_expansion.take() {
            Some(stated) => stated,
            None if !self.has_pylate_settings() || self.do_query_expansion == Some(false) => None,
            None => Some(ExpansionConfig {
                strategy: "fixed".into(),
                attend: self.attend_to_expansion_tokens.or(self.attend_to_mask_tokens).unwrap_or_default(),
                token: None,
                length: self.query_length.unwrap_or(DEFAULT_QUERY_LENGTH),
            }),
        }
    }
}

/// The settings in the configuration of the module Transformer.
#[derive(Deserialize, Default)]
struct TransformerConfig {
    query_length: Option<usize>,
    document_length: Option<usize>,
    query_expansion: Option<ExpansionConfig>,
}

#[derive(Deserialize)]
struct ExpansionConfig {
    strategy: String,
    #[serde(default)]
    attend: bool,
    token: Option<String>,
    length: usize,
}

/// The configuration of the module MultiVectorMask.
#[derive(Deserialize, Default)]
struct MaskConfig {
    #[serde(default)]
    skiplist_words: Vec<String>,
    skiplist_tasks: Option<Vec<String>>,
    keep_only_token_ids: Option<Vec<u32>>,
}

/// The settings of Stanford's ColBERT.
#[derive(Deserialize, Default)]
struct Metadata {
    query_token_id: Option<String>,
    doc_token_id: Option<String>,
    query_maxlen: Option<usize>,
    doc_maxlen: Option<usize>,
    dim: Option<usize>,
    mask_punctuation: Option<bool>,
    attend_to_mask_tokens: Option<bool>,
}

#[derive(Deserialize, Default)]
struct SpecialTokens {
    mask_token: Option<serde_json::Value>,
    eos_token: Option<serde_json::Value>,
}

/// Whether a folder without model.toml contains a model with late interaction.
///
/// # Errors
/// [`Error::Model`] if a file is damaged.
pub(super) fn is_late_interaction(folder: &Path, network_config: &NetworkConfig) -> Result<bool> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    let library: LibraryConfig = json(folder, PROMPTS)?.unwrap_or_default();
    Ok(network_config.has_class(STANFORD)
        || library.model_type.as_deref() == Some("ColBERT")
        || modules.is_some_and(|modules| modules.iter().any(|module| module.class() == MASK)))
}

/// Reads the settings of a model with late interaction.
///
/// # Errors
/// [`Error::Model`] if a file is damaged, or a setting is not supported.
pub(super) fn read(folder: &Path, network_config: &NetworkConfig) -> Result<ModelConfig> {
    let config = common(folder, network_config)?;
    let settings = match json::<Vec<Module>>(folder, MODULES)? {
        None => stanford(folder, network_config)?,
        Some(modules) => library(folder, &modules, &config.network)?,
    };
    settings.complete(folder, network_config.family, config)
}

/// Reads a folder with modules.json.
fn library(folder: &Path, modules: &[Module], network: &str) -> Result<Settings> {
    let mut library: LibraryConfig = json(folder, PROMPTS)?.unwrap_or_default();
    let transformer: TransformerConfig = transformer_config(&folder.join(network))?;
    let mut dense = Vec::new();
    // PyLate's folders have no module for what it always does.
    let is_pylate = library.model_type.as_deref() == Some("ColBERT");
    let (mut mask, mut is_normalized) = (is_pylate.then(|| pylate_mask(&library)), is_pylate);
    for module in &modules[1..] {
        check_inside(folder, module)?;
        match module.class() {
            "Dense" if !is_normalized || is_pylate => dense.push(read_token_dense(folder, &module.path)?),
            MASK if mask.is_none() => {
                let file = config_path(&module.path);
                mask = Some(json(folder, &file)?.ok_or_else(|| missing(folder, &file))?);
            }
            "Normalize" if !is_normalized => is_normalized = true,
            class => {
                let problem = format!("the module {class} is not supported, or not at this position");
                return Err(wrong_modules(folder, &problem));
            }
        }
    }
    let mask = mask.ok_or_else(|| wrong_modules(folder, &format!("the module {MASK} is missing")))?;
    if !is_normalized {
        return Err(wrong_modules(folder, "the module Normalize is missing"));
    }
    if mask.keep_only_token_ids.is_some_and(|ids| !ids.is_empty()) {
        return Err(refused(folder, "keep_only_token_ids, for models that read images, is not supported"));
    }
    let expansion = transformer.query_expansion.or_else(|| library.expansion());
    let markers = PerInputType { document: library.document_prefix, query: library.query_prefix };
    // Like the library, takes the names of similarities of single vectors for maxsim.
    let is_mean = library.similarity_fn_name.as_deref() == Some("meanmaxsim");
    let lengths = PerInputType {
        query: transformer.query_length.or(library.query_length),
        document: transformer.document_length.or(library.document_length),
    };
    let tasks = mask.skiplist_tasks.unwrap_or_else(|| vec!["document".into()]);
    let skips = |task: &str| tasks.iter().any(|name| name == task);
    Ok(Settings {
        markers,
        lengths,
        expansion,
        dense,
        skipped: mask.skiplist_words,
        skips: PerInputType { document: skips("document"), query: skips("query") },
        is_mean,
    })
}

fn pylate_mask(library: &LibraryConfig) -> MaskConfig {
    let words = library.skiplist_words.clone().unwrap_or_else(punctuation);
    MaskConfig { skiplist_words: words, ..MaskConfig::default() }
}

fn punctuation() -> Vec<String> {
    PUNCTUATION.chars().map(String::from).collect()
}

/// Reads a folder of Stanford's ColBERT.
fn stanford(folder: &Path, network_config: &NetworkConfig) -> Result<Settings> {
    if !network_config.has_class(STANFORD) {
        return Err(wrong_modules(folder, "the file is missing"));
    }
    let metadata: Metadata = json(folder, METADATA)?.unwrap_or_default();
    let marker =
        |token: Option<String>, default: &str| Some(format!("{} ", token.as_deref().unwrap_or(default)));
    let inputs = network_config.hidden_size;
    // The dense layer is among the weights of the network.
    let dense = Dense {
        folder: String::new(),
        inputs,
        outputs: metadata.dim.unwrap_or(128),
        bias: false,
        tanh: false,
    };
    Ok(Settings {
        markers: PerInputType {
            document: marker(metadata.doc_token_id, "[unused1]"),
            query: marker(metadata.query_token_id, "[unused0]"),
        },
        lengths: PerInputType { document: metadata.doc_maxlen, query: None },
        expansion: Some(ExpansionConfig {
            strategy: "fixed".into(),
            attend: metadata.attend_to_mask_tokens.unwrap_or_default(),
            token: None,
            length: metadata.query_maxlen.unwrap_or(DEFAULT_QUERY_LENGTH),
        }),
        dense: vec![dense],
        skipped: if metadata.mask_punctuation.unwrap_or(true) { punctuation() } else { Vec::new() },
        skips: PerInputType { document: true, query: false },
        is_mean: false,
    })
}

/// The settings that the three kinds of folder have in common.
struct Settings {
    markers: PerInputType<Option<String>>,
    lengths: PerInputType<Option<usize>>,
    expansion: Option<ExpansionConfig>,
    dense: Vec<Dense>,
    skipped: Vec<String>,
    skips: PerInputType<bool>,
    is_mean: bool,
}

impl Settings {
    /// Adds these settings to those that models of every kind have.
    fn complete(self, folder: &Path, family: Family, config: ModelConfig) -> Result<ModelConfig> {
        let Settings { markers, lengths, expansion, dense, skipped, skips, is_mean } = self;
        let longest = config.max_length;
        let document = lengths.document.unwrap_or(longest).min(longest);
        let mut query = lengths.query.unwrap_or(longest).min(longest);
        if let Some(ExpansionConfig { strategy, length, attend, .. }) = &expansion {
            if !attend && matches!(family, Family::T5 | Family::DebertaV2) {
                return Err(refused(
                    folder,
                    "T5 and DeBERTa attend to all tokens, but the model's expanded queries must not",
                ));
            }
            if !(1..=MAX_EXPANDED.min(longest)).contains(length) {
                let most = MAX_EXPANDED.min(longest);
                return Err(refused(
                    folder,
                    &format!("the length of expanded queries must be between 1 and {most} (got {length})"),
                ));
            }
            query = match strategy.as_str() {
                "fixed" => *length,
                "min" => query.max(*length),
                other => {
                    return Err(refused(
                        folder,
                        &format!("the strategy of query_expansion must be fixed or min (got {other:?})"),
                    ));
                }
            };
        }
        let expansion = match expansion {
            Some(ExpansionConfig { token, attend, length, .. }) => Some(QueryExpansion {
                length,
                is_attended: attend,
                token: token.map_or_else(|| mask_token(&folder.join(&config.network)), Ok)?,
            }),
            None => None,
        };
        let with_marker = |prompt: &str, marker: &Option<String>| match marker {
            Some(marker) => format!("{marker}{}", prompt.strip_prefix(marker.as_str()).unwrap_or(prompt)),
            None => prompt.into(),
        };
        let prompt = PerInputType {
            document: with_marker(&config.prompt.document, &markers.document),
            query: with_marker(&config.prompt.query, &markers.query),
        };
        let kind = ModelKind::LateInteraction(Box::new(LateInteractionConfig {
            max_lengths: PerInputType { document, query },
            expansion,
            markers: [markers.document, markers.query].into_iter().flatten().collect(),
            skipped,
            skips,
            is_mean,
        }));
        let dimension = dense.last().map_or(config.dimension, |dense| dense.outputs);
        Ok(ModelConfig { kind, dense, dimension, prompt, ..config })
    }
}

/// The token with which queries are expanded if the folder names none: the tokenizer's mask token or, if it has none, the
/// token that ends a text.
fn mask_token(network: &Path) -> Result<String> {
    let text = |token: Option<serde_json::Value>| match token? {
        serde_json::Value::String(text) => Some(text),
        token => Some(token.get("content")?.as_str()?.to_string()),
    };
    let (mut mask, mut end) = (None, None);
    for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        let tokens: SpecialTokens = json(network, file)?.unwrap_or_default();
        mask = mask.or_else(|| text(tokens.mask_token));
        end = end.or_else(|| text(tokens.eos_token));
    }
    if let Some(mask) = mask {
        return Ok(mask);
    }
    let path = network.join(TOKENIZER);
    let tokenizer = tokenizers::Tokenizer::from_file(&path).map_err(|error| damaged(&path, error))?;
    let usual = ["[MASK]", "<mask>"].into_iter().find(|token| tokenizer.token_to_id(token).is_some());
    usual.map(String::from).or(end).ok_or_else(|| {
        Error::Model(format!(
            "{}: the tokenizer has no mask token, with which queries are expanded; use another model",
            path.display()
        ))
    })
}

fn refused(folder: &Path, problem: &str) -> Error {
    Error::Model(format!("{}: {problem}; use another model", folder.display()))
}

fn wrong_modules(folder: &Path, problem: &str) -> Error {
    Error::Model(format!(
        "{}: {problem}; the modules must be Transformer, any number of Dense, {MASK} and Normalize; use another model",
        folder.join(MODULES).display()
    ))
}
