//! Determines the text normalisation of BERT tokenizers if tokenizer_config.json contradicts tokenizer.json.
//!
//! The transformers library gives tokenizer_config.json precedence for BERT and related models, and tokenizer.json for
//! all other models. Many cased models depend on this: their tokenizer.json was never updated, and still converts texts
//! to lower case.

use super::TOKENIZER;
use super::network_config::{Family, NetworkConfig};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::Deserialize;
use std::path::Path;

/// The normalisation of a text before it is split into words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename = "BertNormalizer")]
pub struct BertNormalizer {
    /// Whether control characters are removed, and all whitespace characters are replaced by spaces.
    pub clean_text: bool,
    /// Whether each Chinese character is a word of its own.
    pub handle_chinese_chars: bool,
    /// Whether accents are removed. `None`: accents are removed only if `lowercase` is set.
    pub strip_accents: Option<bool>,
    /// Whether letters are converted to lower case.
    pub lowercase: bool,
}

/// The fields of tokenizer_config.json that affect the normalisation.
#[derive(Deserialize, Default)]
pub(super) struct NormalizerConfig {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

/// Returns the normaliser that replaces the normaliser in tokenizer.json. `None`: the one in tokenizer.json is used.
pub(super) fn replacement(
    network: &Path,
    normalizer: &NormalizerConfig,
    network_config: &NetworkConfig,
) -> Result<Option<BertNormalizer>> {
    if !normalizer.is_bert(network_config.family) {
        return Ok(None);
    }
    let Some(own) = in_tokenizer_json(network)? else { return Ok(None) };
    let replacement = BertNormalizer {
        clean_text: own.clean_text,
        handle_chinese_chars: normalizer.tokenize_chinese_chars.unwrap_or(true),
        strip_accents: normalizer.strip_accents,
        lowercase: normalizer.do_lower_case.unwrap_or(true),
    };
    Ok(Some(replacement).filter(|replacement| *replacement != own))
}

impl NormalizerConfig {
    /// Whether the transformers library would load one of its BERT tokenizers for this model.
    fn is_bert(&self, family: Family) -> bool {
        match self.tokenizer_class.as_deref() {
            Some(class) => {
                let class = class.trim_end_matches("Fast").trim_end_matches("Tokenizer");
                ["Bert", "DistilBert", "MPNet", "Electra"].contains(&class)
            }
            None => matches!(family, Family::Bert | Family::DistilBert | Family::Mpnet | Family::Electra),
        }
    }
}

/// Returns the BERT normaliser in tokenizer.json. `None`: the file has no normaliser, or one of another kind, or the
/// file cannot be read.
fn in_tokenizer_json(network: &Path) -> Result<Option<BertNormalizer>> {
    #[derive(Deserialize)]
    struct Tokenizer {
        normalizer: Option<serde_json::Value>,
    }
    let path = network.join(TOKENIZER);
    // A missing or unreadable file causes an error later, when its checksum is computed.
    let Ok(text) = disk::read_text(&path) else { return Ok(None) };
    let tokenizer: Tokenizer = serde_json::from_str(&text).map_err(|error| {
        Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
    })?;
    Ok(tokenizer.normalizer.and_then(|own| serde_json::from_value(own).ok()))
}
