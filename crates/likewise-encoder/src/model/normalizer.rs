//! How BERT's tokenizer normalises texts, where tokenizer_config.json says it otherwise than tokenizer.json.
//!
//! Its own file because transformers lets the first have the last word for BERT's relatives, and for no others: a cased
//! model is often one whose tokenizer.json was never changed.

use super::TOKENIZER;
use super::config::{Config, Family};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::Deserialize;
use std::path::Path;

/// What is done to a text before it is split into words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename = "BertNormalizer")]
pub struct BertNormalizer {
    /// Whether control characters are left out, and every kind of space is one.
    pub clean_text: bool,
    /// Whether each Chinese character is a word.
    pub handle_chinese_chars: bool,
    /// Whether accents are left out; if that is not said, they are where letters become small.
    pub strip_accents: Option<bool>,
    /// Whether letters become small.
    pub lowercase: bool,
}

/// The part of tokenizer_config.json that is about this.
#[derive(Deserialize, Default)]
pub(super) struct Stated {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
}

/// The normaliser in the place of tokenizer.json's; `None` if that one is right.
pub(super) fn other(network: &Path, stated: &Stated, config: &Config) -> Result<Option<BertNormalizer>> {
    if !stated.is_of_bert(config.family) {
        return Ok(None);
    }
    let Some(own) = of_tokenizer(network)? else { return Ok(None) };
    let wanted = BertNormalizer {
        clean_text: own.clean_text,
        handle_chinese_chars: stated.tokenize_chinese_chars.unwrap_or(true),
        strip_accents: stated.strip_accents,
        lowercase: stated.do_lower_case.unwrap_or(true),
    };
    Ok(Some(wanted).filter(|wanted| *wanted != own))
}

impl Stated {
    /// Whether transformers loads one of its BERT tokenizers.
    fn is_of_bert(&self, family: Family) -> bool {
        match self.tokenizer_class.as_deref() {
            Some(class) => {
                let class = class.trim_end_matches("Fast").trim_end_matches("Tokenizer");
                ["Bert", "DistilBert", "MPNet", "Electra"].contains(&class)
            }
            None => matches!(family, Family::Bert | Family::DistilBert | Family::Mpnet),
        }
    }
}

/// The normaliser in tokenizer.json, if it is BERT's.
fn of_tokenizer(network: &Path) -> Result<Option<BertNormalizer>> {
    #[derive(Deserialize)]
    struct Tokenizer {
        normalizer: Option<serde_json::Value>,
    }
    let path = network.join(TOKENIZER);
    // That it is missing or damaged is told of where it is summed and loaded.
    let Ok(text) = disk::read_text(&path) else { return Ok(None) };
    let tokenizer: Tokenizer = serde_json::from_str(&text).map_err(|error| {
        Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
    })?;
    Ok(tokenizer.normalizer.and_then(|own| serde_json::from_value(own).ok()))
}
