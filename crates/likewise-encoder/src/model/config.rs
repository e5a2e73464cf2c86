//! config.json: the part of it that a model's other files must agree with.
//!
//! Its own file because both kinds of folder have it, and because what kind of model it is must be known
//! before anything else in it can be understood.

use super::{CONFIG, Stated};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::Deserialize;
use std::path::Path;

/// What kind of network a model is: each has a file among the encoder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// BERT: MiniLM, BGE, E5, GTE, SPECTER, SciNCL.
    Bert,
    /// DistilBERT.
    DistilBert,
    /// RoBERTa and XLM-RoBERTa: multilingual E5, BGE-M3.
    Roberta,
    /// MPNet: all-mpnet-base-v2.
    Mpnet,
    /// ModernBERT: Granite R2, GTE.
    ModernBert,
    /// Nomic's BERT: nomic-embed-text.
    NomicBert,
    /// Jina's BERT, of its second version.
    JinaBert,
    /// Qwen3: Qwen3-Embedding.
    Qwen3,
    /// Gemma 3: EmbeddingGemma.
    Gemma3,
}

/// Every `model_type` that is understood.
const KNOWN: [(&str, Family); 13] = [
    ("bert", Family::Bert),
    ("distilbert", Family::DistilBert),
    ("roberta", Family::Roberta),
    ("xlm-roberta", Family::Roberta),
    ("xlm_roberta", Family::Roberta),
    ("camembert", Family::Roberta),
    ("mpnet", Family::Mpnet),
    ("modernbert", Family::ModernBert),
    ("nomic_bert", Family::NomicBert),
    ("jina_bert", Family::JinaBert),
    ("qwen3", Family::Qwen3),
    ("gemma3_text", Family::Gemma3),
    ("gemma3", Family::Gemma3),
];

/// What config.json says.
pub(super) struct Config {
    /// As it is called there.
    pub model_type: String,
    pub family: Family,
    /// Length of the token vectors.
    pub hidden_size: usize,
    /// Longest input in tokens that the model has positions for.
    pub max_length: usize,
    /// Whether a token sees only those before it.
    pub is_causal: bool,
    /// Tokens that it has vectors for.
    pub vocabulary: Option<usize>,
}

/// Widest token vectors, and longest texts, that are believed: far beyond any model's.
const WIDEST: usize = 1 << 16;
const LONGEST: usize = 1 << 20;

/// The same of attention's heads.
const MOST_HEADS: usize = 256;
const WIDEST_HEAD: usize = 1024;

/// Names differ, and some files have several of them.
#[derive(Deserialize)]
struct Raw {
    model_type: String,
    position_embedding_type: Option<String>,
    hidden_size: Option<usize>,
    dim: Option<usize>,
    n_embd: Option<usize>,
    max_position_embeddings: Option<usize>,
    n_positions: Option<usize>,
    pad_token_id: Option<usize>,
    use_bidirectional_attention: Option<bool>,
    is_causal: Option<bool>,
    rope_scaling: Option<serde_json::Value>,
    rotary_scaling_factor: Option<f64>,
    rope_parameters: Option<serde_json::Value>,
    feed_forward_type: Option<String>,
    num_attention_heads: Option<usize>,
    n_heads: Option<usize>,
    n_head: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: Option<usize>,
    is_decoder: Option<bool>,
    quantization_config: Option<serde_json::Value>,
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
        let text = disk::read_text(&path)
            .map_err(|error| Error::Model(format!("{shown}: {error}; a model folder needs this file")))?;
        let wrong = |error| Error::Model(format!("{shown}: {error}; fetch the model folder again"));
        let Kind { model_type } = serde_json::from_str(&text).map_err(wrong)?;
        if !KNOWN.iter().any(|(name, _)| *name == model_type) {
            let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
            return Err(Error::Model(format!(
                "{shown}: model_type {model_type:?} is not supported, only {}; use a model of one of these kinds",
                known.join(", ")
            )));
        }
        let raw: Raw = serde_json::from_str(&text).map_err(wrong)?;
        let refused = |error| Error::Model(format!("{shown}: {error}; use another model"));
        let family = raw.family().and_then(|family| raw.check(family).map(|()| family)).map_err(refused)?;
        let lacks = |name: &str| Error::Model(format!("{shown}: no {name}; fetch the model folder again"));
        let config = Config {
            family,
            hidden_size: raw.hidden_size.or(raw.dim).or(raw.n_embd).ok_or_else(|| lacks("hidden_size"))?,
            max_length: raw.max_length(family).ok_or_else(|| lacks("max_position_embeddings"))?,
            is_causal: raw.is_causal(family),
            vocabulary: raw.vocab_size,
            model_type,
        };
        raw.check_shape(&config).map_err(refused)?;
        Ok(config)
    }

    /// Refuses what a folder states about its model in contradiction to it.
    pub fn check(&self, folder: &Path, stated: &Stated) -> Result<()> {
        let shown = folder.join(CONFIG);
        let differ = |what: &str, stated: usize, own: usize| {
            Error::Model(format!(
                "{}: the model has {own}, but model.toml, modules.json or what they name states {what} {stated}; correct the \
                 statement, or fetch the model again",
                shown.display()
            ))
        };
        let mut dimension = self.hidden_size;
        for dense in &stated.dense {
            if dense.inputs != dimension {
                return Err(differ(&format!("{}, which takes", dense.folder), dense.inputs, dimension));
            }
            dimension = dense.outputs;
        }
        if stated.dimension != dimension {
            return Err(differ("dimension", stated.dimension, dimension));
        }
        if stated.max_length > self.max_length {
            return Err(differ("a maximum length of", stated.max_length, self.max_length));
        }
        Ok(())
    }
}

impl Raw {
    fn family(&self) -> Result<Family, String> {
        let known = KNOWN.into_iter().find(|(name, _)| *name == self.model_type);
        let (_, family) =
            known.ok_or_else(|| format!("model_type {:?} is not supported", self.model_type))?;
        match (family, self.position_embedding_type.as_deref()) {
            // Published under another's name, with code of their own.
            (Family::Bert | Family::JinaBert, Some("alibi")) => Ok(Family::JinaBert),
            (Family::Bert | Family::Roberta | Family::JinaBert, Some(other)) if other != "absolute" => {
                Err(format!(
                    "position_embedding_type {other:?} is not supported, only \"absolute\", and \"alibi\" in BERT"
                ))
            }
            // Others say it and do not mean it.
            _ => Ok(family),
        }
    }

    /// Refuses what would be computed otherwise by the library, and is not here.
    fn check(&self, family: Family) -> Result<(), String> {
        let kinds = |rope: &serde_json::Value| -> Vec<String> {
            let nested = rope.as_object().into_iter().flat_map(|rope| rope.values());
            let kind = |rope: &serde_json::Value| {
                let kind = rope.get("rope_type").filter(|kind| !kind.is_null())?;
                Some(kind.as_str().map_or_else(|| kind.to_string(), String::from))
            };
            nested.chain([rope]).filter_map(kind).collect()
        };
        let scaled = self.rope_scaling.is_some() || self.rotary_scaling_factor.is_some();
        let kind = self.rope_parameters.iter().flat_map(kinds).find(|kind| kind != "default");
        match (&self.feed_forward_type, kind) {
            _ if scaled => Err("rope_scaling and rotary_scaling_factor are not supported".into()),
            _ if self.quantization_config.is_some() => Err("quantised weights are not supported".into()),
            _ if self.is_decoder == Some(true) => Err("is_decoder is not supported".into()),
            (_, Some(kind)) => Err(format!("rope_type {kind:?} is not supported, only \"default\"")),
            (Some(other), _) if family == Family::JinaBert && other != "geglu" => {
                Err(format!("feed_forward_type {other:?} is not supported, only \"geglu\""))
            }
            _ => Ok(()),
        }
    }

    /// Refuses shapes that nothing can have, before anything is made by them.
    fn check_shape(&self, Config { family, hidden_size, max_length, .. }: &Config) -> Result<(), String> {
        let within = |name: &str, got: usize, most: usize| match (1..=most).contains(&got) {
            true => Ok(()),
            false => Err(format!("{name}: got {got}, wanted 1 to {most}")),
        };
        within("hidden_size", *hidden_size, WIDEST)?;
        within("max_position_embeddings, less those that are never used", *max_length, LONGEST)?;
        let Some(heads) = self.num_attention_heads.or(self.n_heads).or(self.n_head) else { return Ok(()) };
        within("num_attention_heads", heads, MOST_HEADS)?;
        if let Some(shared) = self.num_key_value_heads.filter(|shared| *shared == 0 || heads % shared > 0) {
            return Err(format!("num_key_value_heads: got {shared}, wanted a divisor of {heads}, the heads"));
        }
        let (name, size) = match self.head_dim.filter(|_| matches!(family, Family::Qwen3 | Family::Gemma3)) {
            Some(size) => ("head_dim", size),
            None if hidden_size.is_multiple_of(heads) => ("hidden_size over the heads", hidden_size / heads),
            None => {
                return Err(format!(
                    "num_attention_heads: got {heads}, wanted a divisor of hidden_size, {hidden_size}"
                ));
            }
        };
        within(name, size, WIDEST_HEAD)?;
        let turns = matches!(family, Family::ModernBert | Family::NomicBert | Family::Qwen3 | Family::Gemma3);
        if turns && !size.is_multiple_of(2) {
            return Err(format!("{name}: got {size}, wanted an even number"));
        }
        Ok(())
    }

    /// RoBERTa and MPNet count positions from the one after padding's, so that the first ones are never used.
    fn max_length(&self, family: Family) -> Option<usize> {
        let stated = self.max_position_embeddings;
        match family {
            Family::Roberta => Some(stated?.saturating_sub(self.pad_token_id.unwrap_or(1) + 1)),
            Family::Mpnet => Some(stated?.saturating_sub(2)),
            // The other one says how long the texts were that it was trained on.
            Family::NomicBert => self.n_positions.or(stated),
            _ => stated.or(self.n_positions),
        }
    }

    fn is_causal(&self, family: Family) -> bool {
        match family {
            Family::Qwen3 => self.is_causal != Some(false),
            Family::Gemma3 => self.use_bidirectional_attention != Some(true),
            _ => false,
        }
    }
}
