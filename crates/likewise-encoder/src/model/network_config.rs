//! Reads the properties in config.json that every network has, and checks that the network is supported.
//!
//! Both kinds of model folder have a config.json. Each architecture itself reads the remaining fields of the file.

use super::static_model::TableSize;
use super::{CONFIG, ModelConfig, Pooling};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::Deserialize;
use std::path::Path;

/// The kind of a model's network. Each kind has a file in the module `architectures`.
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
    /// Jina's BERT, version 2.
    JinaBert,
    /// Qwen3: Qwen3-Embedding.
    Qwen3,
    /// Gemma 3: EmbeddingGemma.
    Gemma3,
    /// DeBERTa, versions 2 and 3: mxbai-rerank.
    DebertaV2,
    /// The encoder of T5: GTR, Sentence-T5, Instructor.
    T5,
    /// Qwen2: gte-Qwen2, stella-1.5B.
    Qwen2,
    /// Mistral: e5-mistral.
    Mistral,
    /// EuroBERT.
    EuroBert,
    /// GTE's encoder, which repositories call `new`: GTE v1.5, gte-multilingual, arctic-embed-m-v2.
    Gte,
    /// ELECTRA.
    Electra,
    /// ALBERT.
    Albert,
    /// No network, but a table of token vectors: model2vec, wordllama.
    Static,
}

impl Family {
    /// Whether the head size can differ from `hidden_size / num_attention_heads`.
    fn has_own_head_size(self) -> bool {
        matches!(self, Family::Qwen3 | Family::Gemma3 | Family::Mistral | Family::EuroBert | Family::Qwen2)
    }

    /// Whether queries and keys are rotated by angles that depend on their positions.
    fn uses_rotary_embedding(self) -> bool {
        self.has_own_head_size() || matches!(self, Family::ModernBert | Family::NomicBert | Family::Gte)
    }
}

/// All supported values of `model_type`, and the kind of network that each stands for.
const MODEL_TYPES: [(&str, Family); 22] = [
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
    ("deberta-v2", Family::DebertaV2),
    ("t5", Family::T5),
    ("qwen2", Family::Qwen2),
    ("mistral", Family::Mistral),
    ("eurobert", Family::EuroBert),
    ("new", Family::Gte),
    ("gte", Family::Gte),
    ("electra", Family::Electra),
    ("albert", Family::Albert),
];

/// The properties of a network, from config.json.
pub(super) struct NetworkConfig {
    /// The value of `model_type`.
    pub model_type: String,
    pub family: Family,
    /// Number of values of a token vector.
    pub hidden_size: usize,
    /// Number of tokens that the network has positions for.
    pub max_length: usize,
    /// Whether a token attends only to itself and to the tokens before it.
    pub is_causal: bool,
    /// Number of tokens that the network has vectors for. `None`: config.json does not state the number.
    pub vocabulary_size: Option<usize>,
    /// The settings of the head for sequence classification. Most of them have no meaning for other models.
    classifier: ClassifierConfig,
}

/// The fields of config.json that describe a head for sequence classification.
#[derive(Deserialize, Default)]
struct ClassifierConfig {
    /// The class of the network in the transformers library, such as `BertForSequenceClassification`.
    architectures: Option<Vec<String>>,
    num_labels: Option<usize>,
    id2label: Option<serde_json::Map<String, serde_json::Value>>,
    /// The activation function of the score, in cross-encoders that version 4 or 5 of sentence-transformers saved.
    sentence_transformers: Option<ScoreConfig>,
    /// The same, in older cross-encoders.
    sbert_ce_default_activation_function: Option<String>,
    /// ModernBERT: how token vectors are pooled for the head.
    classifier_pooling: Option<String>,
}

impl ClassifierConfig {
    /// Reads the fields from the text of config.json. Fields of unexpected types have no effect: most models have no such
    /// head, and their fields mean something else.
    fn of(text: &str) -> ClassifierConfig {
        serde_json::from_str(text).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct ScoreConfig {
    activation_fn: Option<String>,
}

// Upper limits for sizes in config.json, far above the sizes of any real model. The limits keep a damaged file from
// causing huge allocations.
const MAX_HIDDEN_SIZE: usize = 1 << 16;
const MAX_POSITIONS: usize = 1 << 20;

/// Maximum number of tokens of a T5 whose config.json states none. Attention over so many tokens needs about 1 GB.
const MAX_T5_LENGTH: usize = 4096;
const MAX_HEADS: usize = 256;
const MAX_HEAD_SIZE: usize = 1024;

/// The fields of config.json, before they are checked. Architectures use different names for the same property, and
/// some files contain a property under several names.
#[derive(Deserialize)]
struct RawConfig {
    model_type: String,
    position_embedding_type: Option<String>,
    hidden_size: Option<usize>,
    dim: Option<usize>,
    d_model: Option<usize>,
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
    num_hidden_layers: Option<usize>,
    n_layers: Option<usize>,
    n_layer: Option<usize>,
    num_attention_heads: Option<usize>,
    n_heads: Option<usize>,
    n_head: Option<usize>,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: Option<usize>,
    is_decoder: Option<bool>,
    quantization_config: Option<serde_json::Value>,
}

impl NetworkConfig {
    /// The properties of a static model.
    pub fn of_table(table: &TableSize) -> NetworkConfig {
        NetworkConfig {
            model_type: "static".into(),
            family: Family::Static,
            hidden_size: table.width,
            max_length: MAX_POSITIONS,
            is_causal: false,
            vocabulary_size: Some(table.tokens),
            classifier: ClassifierConfig::default(),
        }
    }

    /// Reads config.json in `folder`.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or damaged, or the network is not supported.
    pub fn read(folder: &Path) -> Result<NetworkConfig> {
        #[derive(Deserialize)]
        struct ModelType {
            model_type: String,
        }
        let path = folder.join(CONFIG);
        let shown = path.display();
        let text = disk::read_text(&path)
            .map_err(|error| Error::Model(format!("{shown}: {error}; a model folder needs this file")))?;
        let damaged = |error| Error::Model(format!("{shown}: {error}; fetch the model folder again"));
        let ModelType { model_type } = serde_json::from_str(&text).map_err(damaged)?;
        if !MODEL_TYPES.iter().any(|(name, _)| *name == model_type) {
            let supported: Vec<&str> = MODEL_TYPES.iter().map(|(name, _)| *name).collect();
            return Err(Error::Model(format!(
                "{shown}: model_type {model_type:?} is not supported, only {}; use a model of one of these kinds",
                supported.join(", ")
            )));
        }
        let raw: RawConfig = serde_json::from_str(&text).map_err(damaged)?;
        let refused = |error| Error::Model(format!("{shown}: {error}; use another model"));
        let family = raw.family().and_then(|family| raw.check(family).map(|()| family)).map_err(refused)?;
        let missing = |name: &str| {
            Error::Model(format!("{shown}: the field {name} is missing; fetch the model folder again"))
        };
        let config = NetworkConfig {
            family,
            hidden_size: raw.width(family).ok_or_else(|| missing("hidden_size"))?,
            max_length: raw.max_length(family).ok_or_else(|| missing("max_position_embeddings"))?,
            is_causal: raw.is_causal(family),
            vocabulary_size: raw.vocab_size,
            classifier: ClassifierConfig::of(&text),
            model_type,
        };
        raw.check_shape(&config).map_err(refused)?;
        Ok(config)
    }

    /// Checks that the settings of a model folder agree with the network.
    ///
    /// # Errors
    /// [`Error::Model`] if the dense layers, the dimension or the maximum length do not fit the network.
    pub fn check(&self, folder: &Path, config: &ModelConfig) -> Result<()> {
        let path = folder.join(CONFIG);
        let differ = |setting: &str, stated: usize, actual: usize| {
            Error::Model(format!(
                "{}: the model has {actual}, but model.toml (or modules.json and the files that it names) states \
                 {setting} {stated}; correct the value, or fetch the model again",
                path.display()
            ))
        };
        let mut dimension = self.hidden_size;
        for dense in &config.dense {
            if dense.inputs != dimension {
                return Err(differ(&format!("{} inputs", dense.folder), dense.inputs, dimension));
            }
            dimension = dense.outputs;
        }
        if config.dimension != dimension {
            return Err(differ("dimension", config.dimension, dimension));
        }
        if config.max_length > self.max_length {
            return Err(differ("max_length", config.max_length, self.max_length));
        }
        Ok(())
    }
}

impl NetworkConfig {
    /// Whether the network has a head for sequence classification.
    pub fn is_classifier(&self) -> bool {
        self.has_class_ending("ForSequenceClassification")
    }

    /// Whether the network has this class.
    pub fn has_class(&self, name: &str) -> bool {
        self.classifier.architectures.iter().flatten().any(|class| class == name)
    }

    /// Whether the network predicts the next token of a text.
    pub fn is_language_model(&self) -> bool {
        self.has_class_ending("ForCausalLM")
    }

    fn has_class_ending(&self, end: &str) -> bool {
        self.classifier.architectures.iter().flatten().next().is_some_and(|class| class.ends_with(end))
    }

    /// Number of labels of the head for sequence classification: 2 unless config.json states another number, as in the
    /// transformers library.
    pub fn labels(&self) -> usize {
        let ClassifierConfig { num_labels, id2label, .. } = &self.classifier;
        id2label.as_ref().map(|labels| labels.len()).or(*num_labels).unwrap_or(2)
    }

    /// The Python class of the function that turns a logit into a score. `None`: config.json does not state it.
    pub fn score_activation(&self) -> Option<&str> {
        let ClassifierConfig { sentence_transformers, sbert_ce_default_activation_function, .. } =
            &self.classifier;
        let stated = sentence_transformers.as_ref().and_then(|score| score.activation_fn.as_deref());
        stated.or(sbert_ce_default_activation_function.as_deref())
    }

    /// ModernBERT: how token vectors are pooled for the head.
    pub fn classifier_pooling(&self) -> Pooling {
        match self.classifier.classifier_pooling.as_deref() {
            Some("mean") => Pooling::Mean,
            _ => Pooling::Cls,
        }
    }
}

impl RawConfig {
    fn family(&self) -> Result<Family, String> {
        let found = MODEL_TYPES.into_iter().find(|(name, _)| *name == self.model_type);
        let (_, family) =
            found.ok_or_else(|| format!("model_type {:?} is not supported", self.model_type))?;
        match (family, self.position_embedding_type.as_deref()) {
            // Jina's BERT is published with the model_type "bert", so the position_embedding_type has to identify it.
            (Family::Bert | Family::JinaBert, Some("alibi")) => Ok(Family::JinaBert),
            (Family::Gte, Some(other)) if other != "rope" => {
                Err(format!("position_embedding_type {other:?} is not supported, only \"rope\""))
            }
            (
                Family::Bert | Family::Roberta | Family::JinaBert | Family::Electra | Family::Albert,
                Some(other),
            ) if other != "absolute" => Err(format!(
                "position_embedding_type {other:?} is not supported, only \"absolute\", and for BERT also \"alibi\""
            )),
            // Other architectures ignore the field position_embedding_type, even if their config.json contains it.
            _ => Ok(family),
        }
    }

    /// Returns an error for settings that change the result in the transformers library but are not implemented here.
    fn check(&self, family: Family) -> Result<(), String> {
        let kinds = |rope: &serde_json::Value| -> Vec<String> {
            let nested = rope.as_object().into_iter().flat_map(|rope| rope.values());
            let kind = |rope: &serde_json::Value| {
                let kind = rope.get("rope_type").filter(|kind| !kind.is_null())?;
                Some(kind.as_str().map_or_else(|| kind.to_string(), String::from))
            };
            nested.chain([rope]).filter_map(kind).collect()
        };
        // GTE's own file checks its scaling.
        let is_scaled = self.rope_scaling.is_some() && family != Family::Gte;
        let scaled = is_scaled || self.rotary_scaling_factor.is_some();
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

    /// Returns an error for impossible sizes, before tensors of these sizes are allocated.
    fn check_shape(
        &self,
        NetworkConfig { family, hidden_size, max_length, .. }: &NetworkConfig,
    ) -> Result<(), String> {
        let check_range = |name: &str, value: usize, max: usize| match (1..=max).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} must be between 1 and {max} (got {value})")),
        };
        check_range("hidden_size", *hidden_size, MAX_HIDDEN_SIZE)?;
        check_range("max_position_embeddings (without unused positions)", *max_length, MAX_POSITIONS)?;
        if self.num_hidden_layers.or(self.n_layers).or(self.n_layer) == Some(0) {
            return Err("num_hidden_layers must be at least 1 (got 0)".into());
        }
        let Some(heads) = self.num_attention_heads.or(self.n_heads).or(self.n_head) else { return Ok(()) };
        check_range("num_attention_heads", heads, MAX_HEADS)?;
        if let Some(kv_heads) = self.num_key_value_heads.filter(|count| *count == 0 || heads % count > 0) {
            return Err(format!(
                "num_key_value_heads must divide num_attention_heads, {heads} (got {kv_heads})"
            ));
        }
        let (name, size) = match self.head_dim.filter(|_| family.has_own_head_size()) {
            Some(size) => ("head_dim", size),
            None if hidden_size.is_multiple_of(heads) => {
                ("hidden_size / num_attention_heads", hidden_size / heads)
            }
            None => {
                return Err(format!(
                    "num_attention_heads must divide hidden_size, {hidden_size} (got {heads})"
                ));
            }
        };
        check_range(name, size, MAX_HEAD_SIZE)?;
        if family.uses_rotary_embedding() && !size.is_multiple_of(2) {
            return Err(format!("{name} must be even (got {size})"));
        }
        Ok(())
    }

    /// Number of values of a token vector. Each family reads its own field, even if config.json has others too.
    fn width(&self, family: Family) -> Option<usize> {
        match family {
            Family::T5 => self.d_model,
            Family::DistilBert => self.dim.or(self.hidden_size),
            Family::NomicBert => self.n_embd.or(self.hidden_size),
            _ => self.hidden_size,
        }
    }

    /// Returns the number of positions that texts can use. `None`: config.json does not state the number. RoBERTa and
    /// MPNet count positions from the padding token's id + 1, so texts never use the positions below that.
    fn max_length(&self, family: Family) -> Option<usize> {
        let positions = self.max_position_embeddings;
        match family {
            Family::Roberta => Some(positions?.saturating_sub(self.pad_token_id.unwrap_or(1) + 1)),
            Family::Mpnet => Some(positions?.saturating_sub(2)),
            // `n_positions` comes first: max_position_embeddings of Nomic's BERT is the length of the texts in
            // training.
            Family::NomicBert => self.n_positions.or(positions),
            // T5 has no positions, only distances, so every length is possible; but the memory for attention grows with
            // the square of the length. `n_positions` in old files is the length of the texts in training.
            Family::T5 => positions.or(Some(MAX_T5_LENGTH)),
            _ => positions.or(self.n_positions),
        }
    }

    fn is_causal(&self, family: Family) -> bool {
        match family {
            Family::Qwen3 | Family::Qwen2 | Family::Mistral => self.is_causal != Some(false),
            Family::Gemma3 => self.use_bidirectional_attention != Some(true),
            _ => false,
        }
    }
}
