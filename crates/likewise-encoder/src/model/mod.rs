//! Reads and checks the settings and files of model folders, computes the fingerprint of a model's embedding space, and
//! fetches models.
//!
//! Two kinds of model folder are supported: folders with a `model.toml` ([`manifest`]), and folders of the
//! sentence-transformers library ([`sentence_transformers`]). [`ModelFolder::open`] opens a folder of either kind, and
//! checks its files. Only [`mod@pull`] accesses the internet.

mod calibration;
mod cross_encoder;
mod document;
mod fingerprint;
mod input_type;
mod kind;
mod late_interaction;
mod list;
mod manifest;
mod network_config;
mod normalizer;
mod pull;
mod repository;
mod sentence_transformers;
mod sparse;
mod static_model;
mod weights;

pub use calibration::{Calibration, Curve, ModeCurves, RerankCalibration};
pub use document::Document;
pub use fingerprint::{Fingerprint, sha256_file};
pub use input_type::{InputType, PerInputType};
pub use kind::{
    CrossEncoderConfig, LateInteractionConfig, ModelKind, PairInput, QueryExpansion, ScoreActivation,
    Scoring, SparseActivation, SparseConfig, SparsePooling, logit, sigmoid,
};
pub use list::{ModelSummary, list, summarize};
pub use manifest::{FileChecksum, HubSource, Manifest, ManifestKind, QueryEncoder, WheelSource};
pub use network_config::Family;
pub use normalizer::BertNormalizer;
pub use pull::{Pulled, is_repository, pull};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The name of the model that is used if the user names no model.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// The default folder of all models, relative to the working directory.
pub const DEFAULT_MODELS_DIR: &str = "models";

/// The name of the weight file, unless the weights are in several files or in an older format.
pub const WEIGHTS: &str = "model.safetensors";
/// The name of the tokenizer's file, which every model folder must have.
pub const TOKENIZER: &str = "tokenizer.json";
/// The configuration of a LoRA adapter.
pub const LORA_CONFIG: &str = "adapter_config.json";
/// The weights of a LoRA adapter.
pub const LORA_WEIGHTS: &str = "adapter_model.safetensors";
/// The file with the chat template of a language model.
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// The name of the file with the network's configuration, which every model folder must have.
pub const CONFIG: &str = "config.json";

/// How the token vectors of a text are combined into one vector. The names of the variants are those of
/// sentence-transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The vector of the first token.
    Cls,
    /// The maximum of each value over all tokens.
    Max,
    /// The sum over all tokens, divided by the square root of the number of tokens.
    #[serde(rename = "mean_sqrt_len_tokens")]
    MeanSqrtLen,
    /// The weighted mean in which the n-th token has the weight n (Muennighoff, SGPT).
    WeightedMean,
    /// The vector of the last token.
    LastToken,
}

/// A linear layer that is applied to the pooled vector, with an optional tanh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// The folder of the layer, relative to the model folder.
    pub folder: String,
    /// Number of input values.
    pub inputs: usize,
    /// Number of output values.
    pub outputs: usize,
    /// Whether the layer has a bias.
    pub bias: bool,
    /// Whether tanh is applied to the output.
    pub tanh: bool,
}

/// The number format of the matrix multiplications in a network. The precision is part of the fingerprint. Pooling and
/// the dense layers after pooling always compute in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    F32,
    /// Factors are rounded to bf16, and their products are summed in f32. On a GPU, all values between the operations
    /// of the network are bf16 too. On a CPU, attention and adapters are computed in f32, unless the model is a BERT,
    /// DistilBERT, RoBERTa, ELECTRA or ALBERT that has no adapters.
    Bf16,
    /// In linear layers, factors are rounded to 8-bit integers with one scale per 128 values, and the products of these
    /// 128 values are summed exactly. Attention is computed as in [`Precision::Bf16`], and so is the linear layer that
    /// computes the values of attention in BERT, DistilBERT, RoBERTa, ELECTRA and ALBERT. GPUs do not support int8.
    Int8,
}

impl Precision {
    /// All precisions, the most accurate first.
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

/// What a model is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To compute vectors, as an embedding model.
    Vectors,
    /// To rank texts, as a cross-encoder or with late interaction.
    Ranking,
    /// To compute sparse vectors.
    SparseVectors,
    /// To look at its settings: as what its files say.
    Any,
}

impl Purpose {
    /// The option with which a model for this purpose is chosen.
    fn option(self) -> &'static str {
        match self {
            Purpose::Vectors | Purpose::Any => "--model",
            Purpose::Ranking => "--reranker",
            Purpose::SparseVectors => "--sparse-model",
        }
    }

    /// Returns an error if a model of another kind is opened to compute vectors. Other errors come from the reader of the
    /// settings, which says what the folder lacks.
    fn check(self, kind: ManifestKind, folder: &Path) -> Result<()> {
        let other_use = match kind {
            ManifestKind::Embedding | ManifestKind::Static => return Ok(()),
            ManifestKind::CrossEncoder => {
                "a cross-encoder, which ranks texts but computes no vectors; give it to --reranker"
            }
            ManifestKind::LateInteraction => {
                "a model with late interaction, which computes a vector per token; give it to --reranker"
            }
            ManifestKind::Sparse => {
                "a sparse encoder, whose vectors cannot be indexed; use `embed --sparse`, or give it to --sparse-model"
            }
        };
        match self {
            Purpose::Vectors => {
                let folder = folder.display();
                Err(Error::Model(format!("{folder}: the model is {other_use} instead of --model")))
            }
            _ => Ok(()),
        }
    }
}

/// Maximum weight of a title, in per cent.
const MAX_TITLE: u16 = 1000;

/// A model folder whose settings and files have been checked.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The model's name, for people. It is not part of the fingerprint.
    pub name: String,
    /// The path of the folder.
    pub path: PathBuf,
    /// The kind of network.
    pub family: Family,
    /// The names of the weight files, in the folder of the network.
    pub weights: Vec<String>,
    /// Number of tokens that the model has vectors for. `None`: config.json does not state the number.
    pub vocabulary_size: Option<usize>,
    /// The settings that the folder contains.
    pub config: ModelConfig,
    /// The prompts that are put before documents and queries.
    pub prompt: PerInputType<String>,
    /// The precision to encode in.
    pub precision: Precision,
    /// Options that override settings in the folder.
    pub options: ModelOptions,
    /// The model that encodes queries, with files in a subfolder. `None`: one model encodes documents and queries.
    pub query: Option<Box<ModelFolder>>,
    /// Names and SHA-256 checksums of the files that affect vectors.
    checksums: Vec<(String, String)>,
    /// Identifies the model's embedding space.
    pub fingerprint: Fingerprint,
}

/// Options with which the user overrides the settings of a model folder. `None`: the folder's setting applies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOptions {
    /// Number of values to keep of every vector. The shortened vector is scaled to length 1 again. This option is for
    /// models that were trained for it (Kusupati et al., Matryoshka Representation Learning).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<usize>,
    /// The name of the model's prompt that is put before documents and queries alike (`--prompt-name`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_name: Option<String>,
    /// The weight of a title's vector relative to the vector of the paper's text, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<u16>,
}

impl ModelOptions {
    /// Returns these options, with the options of `defaults` in place of those that are `None`.
    pub fn or(self, defaults: &ModelOptions) -> ModelOptions {
        ModelOptions {
            dimensions: self.dimensions.or(defaults.dimensions),
            prompt_name: self.prompt_name.or_else(|| defaults.prompt_name.clone()),
            title: self.title.or(defaults.title),
        }
    }

    /// Whether no option is set.
    pub fn is_empty(&self) -> bool {
        *self == ModelOptions::default()
    }
}

impl ModelFolder {
    /// Opens a model that computes vectors, and that will encode in `precision`. `name_or_path` is the path of a folder,
    /// or the name of a model in `models_dir`.
    ///
    /// Reads every file that affects vectors to compute its checksum. If the model's manifest has checksums, a damaged
    /// or replaced file causes an error here, and not wrong search results later.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such folder, if a file is missing, damaged or not supported, or if the model
    /// does not compute one vector per text.
    pub fn open(name_or_path: &str, models_dir: &Path, precision: Precision) -> Result<ModelFolder> {
        ModelFolder::open_as(Purpose::Vectors, name_or_path, models_dir, precision)
    }

    /// Opens a cross-encoder or a model with late interaction; otherwise like [`ModelFolder::open`].
    ///
    /// # Errors
    /// Returns the errors of [`ModelFolder::open`], and [`Error::Model`] if the model is of another kind.
    pub fn open_reranker(name_or_path: &str, models_dir: &Path, precision: Precision) -> Result<ModelFolder> {
        ModelFolder::open_as(Purpose::Ranking, name_or_path, models_dir, precision)
    }

    /// Opens a sparse encoder; otherwise like [`ModelFolder::open`].
    ///
    /// # Errors
    /// Returns the errors of [`ModelFolder::open`], and [`Error::Model`] if the model is not a sparse encoder.
    pub fn open_sparse(name_or_path: &str, models_dir: &Path, precision: Precision) -> Result<ModelFolder> {
        ModelFolder::open_as(Purpose::SparseVectors, name_or_path, models_dir, precision)
    }

    /// Opens a model of any kind; otherwise like [`ModelFolder::open`].
    pub fn open_any(name_or_path: &str, models_dir: &Path, precision: Precision) -> Result<ModelFolder> {
        ModelFolder::open_as(Purpose::Any, name_or_path, models_dir, precision)
    }

    fn open_as(
        purpose: Purpose,
        name_or_path: &str,
        models_dir: &Path,
        precision: Precision,
    ) -> Result<ModelFolder> {
        let path = resolve(name_or_path, models_dir, purpose)?;
        let manifest = Manifest::read(&path)?;
        // Verifies the checksums first, so that the error for a replaced file says that the checksum is wrong, and not
        // that something in the content is wrong.
        manifest.as_ref().map_or(Ok(()), |manifest| manifest.check(&path))?;
        let is_static = match &manifest {
            Some(manifest) => manifest.kind == ManifestKind::Static,
            None => sentence_transformers::is_static(&path)?,
        };
        // Manifests describe models whose network is in the model folder itself; tables can be in a folder of their own.
        let has_modules = path.join(sentence_transformers::MODULES).is_file();
        let network_folder = match manifest.is_some() && !(is_static && has_modules) {
            true => String::new(),
            false => sentence_transformers::network_folder(&path)?,
        };
        let network = path.join(&network_folder);
        let network_config = match is_static {
            true => network_config::NetworkConfig::of_table(&static_model::table_size(&network)?),
            false => network_config::NetworkConfig::read(&network)?,
        };
        let kind = match &manifest {
            Some(manifest) => manifest.kind,
            None => kind_of(&path, &network_config)?,
        };
        purpose.check(kind, &path)?;
        let config = match (purpose, kind) {
            (Purpose::SparseVectors, _) | (Purpose::Any, ManifestKind::Sparse) => {
                sparse::read(&path, &network_config)?
            }
            (_, ManifestKind::LateInteraction) => late_interaction::read(&path, &network_config)?,
            (Purpose::Ranking, _) | (_, ManifestKind::CrossEncoder) => {
                cross_encoder::read(&path, &network_config)?
            }
            (_, _) => match manifest {
                Some(manifest) => {
                    let mut config = ModelConfig { network: network_folder, ..manifest.config() };
                    if config.lora.is_none() && sentence_transformers::has_lora(&path.join(&config.network)) {
                        config.lora = Some(config.network.clone());
                    }
                    let folder = ModelFolder::assemble(path, models_dir, &network_config, config, precision)?;
                    return folder.with_query_encoder(models_dir);
                }
                None => sentence_transformers::read(&path, &network_config)?,
            },
        };
        let config = match manifest {
            Some(manifest) => config.with_manifest(manifest),
            None => config,
        };
        ModelFolder::assemble(path, models_dir, &network_config, config, precision)
    }

    /// Checks that the settings fit the network, and computes the checksums and the fingerprint.
    fn assemble(
        path: PathBuf,
        models_dir: &Path,
        network_config: &network_config::NetworkConfig,
        config: ModelConfig,
        precision: Precision,
    ) -> Result<ModelFolder> {
        let network = path.join(&config.network);
        network_config.check(&network, &config)?;
        let weights = weights::files(&network)?;
        let checksums = fingerprint::checksums(&path, &weights, &config, network_config.family)?;
        // A model from a repository of the hub is in `models_dir/owner/name`, and its name is `owner/name`.
        let repository = path.strip_prefix(models_dir).ok().filter(|inside| inside.components().count() == 2);
        let name = repository.map_or(config.name.clone(), |inside| inside.to_string_lossy().into_owned());
        let mut folder = ModelFolder {
            name,
            path,
            family: network_config.family,
            vocabulary_size: network_config.vocabulary_size,
            weights,
            prompt: config.prompt.clone(),
            config,
            precision,
            options: ModelOptions::default(),
            query: None,
            checksums,
            fingerprint: Fingerprint::default(),
        };
        folder.fingerprint = Fingerprint::of(&folder);
        Ok(folder)
    }

    /// Opens the encoder for queries, if the model has one. It has the settings of the encoder for papers, except for the
    /// maximum length and what concerns titles.
    fn with_query_encoder(mut self, models_dir: &Path) -> Result<ModelFolder> {
        let Some(QueryEncoder { folder, max_length }) = self.config.query_encoder.clone() else {
            return Ok(self);
        };
        let network_config = network_config::NetworkConfig::read(&self.path.join(&folder))?;
        let in_folder = |(file, checksum): &(String, String)| {
            Some((file.strip_prefix(&format!("{folder}/"))?.to_string(), checksum.clone()))
        };
        let checksums = self.config.checksums.iter().filter_map(in_folder).collect();
        let config = ModelConfig {
            network: folder.clone(),
            max_length,
            join: None,
            pair: false,
            query_encoder: None,
            checksums,
            ..self.config.clone()
        };
        let (path, precision) = (self.path.clone(), self.precision);
        let query = ModelFolder::assemble(path, models_dir, &network_config, config, precision)?;
        self.query = Some(Box::new(query));
        self.fingerprint = Fingerprint::of(&self);
        Ok(self)
    }

    /// A model without files, for tests that need only its name and dimension.
    #[cfg(test)]
    pub fn without_files(dimension: usize) -> ModelFolder {
        let config = ModelConfig {
            kind: ModelKind::Embedding,
            name: "m".into(),
            network: String::new(),
            pooling: Pooling::Mean,
            dense: Vec::new(),
            max_length: 8,
            lowercase: false,
            normalizer: None,
            join: None,
            pair: false,
            query_encoder: None,
            lora: None,
            title: 0,
            calibration: None,
            rerank_calibration: None,
            prompts: BTreeMap::new(),
            prompt: PerInputType::default(),
            adapters: None,
            dimension,
            checksums: Vec::new(),
        };
        ModelFolder {
            name: config.name.clone(),
            path: "m".into(),
            family: Family::Bert,
            weights: Vec::new(),
            vocabulary_size: None,
            config,
            prompt: PerInputType::default(),
            precision: Precision::F32,
            options: ModelOptions::default(),
            query: None,
            checksums: Vec::new(),
            fingerprint: Fingerprint { sha256: "0".repeat(64), parts: String::new(), dimension },
        }
    }

    /// Returns this model folder with another precision to encode in.
    pub fn in_precision(mut self, precision: Precision) -> ModelFolder {
        self.precision = precision;
        self.query = self.query.map(|query| Box::new(query.in_precision(precision)));
        self.fingerprint = Fingerprint::of(&self);
        self
    }

    /// Returns the precision in which this model has the fingerprint `sha256`. `None`: in every precision, the model
    /// has a different fingerprint.
    pub fn precision_of(&self, sha256: &str) -> Option<Precision> {
        let has = |precision: &Precision| self.clone().in_precision(*precision).fingerprint.sha256 == sha256;
        Precision::ALL.into_iter().find(has)
    }

    /// Returns this model folder with `options`, which replace all previous options.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `dimensions` is 0 or larger than the model's dimension, the title's weight is over 1000
    /// per cent, or the model has no prompt of the given name.
    pub fn with_options(mut self, options: ModelOptions) -> Result<ModelFolder> {
        let max = self.config.dimension;
        if let Some(dimensions) = options.dimensions.filter(|dimensions| !(1..=max).contains(dimensions)) {
            let name = &self.name;
            return Err(Error::Invalid(format!(
                "--dimensions must be between 1 and {max}, the dimension of {name} (got {dimensions})"
            )));
        }
        if let Some(title) = options.title.filter(|title| *title > MAX_TITLE) {
            return Err(Error::Invalid(format!(
                "--title must be between 0 and {MAX_TITLE} per cent (got {title})"
            )));
        }
        self.prompt = self.config.prompt.clone();
        if let Some(name) = &options.prompt_name {
            let prompt =
                self.prompt_named(name).map_err(|error| Error::Invalid(format!("--prompt-name: {error}")))?;
            self.prompt = PerInputType::same(prompt.to_string());
        }
        let query = self.query.map(|query| query.with_options(options.clone())).transpose()?;
        (self.options, self.query) = (options, query.map(Box::new));
        self.fingerprint = Fingerprint::of(&self);
        Ok(self)
    }

    /// Returns this model folder with the settings of program versions that had no title weights. Titles are then only
    /// part of the text, unless the option [`ModelOptions::title`] is set.
    pub fn as_before_titles(mut self) -> ModelFolder {
        // The calibration is removed, because it was fitted on vectors with title weights.
        (self.config.title, self.config.calibration) = (0, None);
        self.fingerprint = Fingerprint::of(&self);
        self
    }

    /// Returns this model folder with the settings of program versions that had no title weights, no prompts and no
    /// lower-casing.
    pub fn as_before_prompts(mut self) -> ModelFolder {
        (self.prompt, self.config.lowercase) = (PerInputType::default(), false);
        self.as_before_titles()
    }

    /// The path of the folder with config.json, the tokenizer and the weights.
    pub fn network(&self) -> PathBuf {
        self.path.join(&self.config.network)
    }

    /// The text to encode for a document: title and body, joined with the model's own separator if the model has one.
    pub fn text_of(&self, document: Document) -> String {
        match &self.config.join {
            Some(join) if !document.body.is_empty() => format!("{}{join}{}", document.title, document.body),
            _ => document.text(),
        }
    }

    /// The weight of a title's vector relative to the vector of the paper's text. 0: titles are not encoded separately.
    pub fn title_weight(&self) -> f32 {
        f32::from(self.options.title.unwrap_or(self.config.title)) / 100.0
    }

    /// The calibration of scores. `None`: the model has no calibration, or options change the model's vectors, so that
    /// its calibration does not apply.
    pub fn calibration(&self) -> Option<Calibration> {
        let ModelOptions { dimensions, prompt_name, title } = &self.options;
        let has_own_title_weight = title.is_none_or(|title| title == self.config.title);
        let has_own_vectors = dimensions.is_none() && prompt_name.is_none() && has_own_title_weight;
        self.config.calibration.filter(|_| has_own_vectors)
    }

    /// Maximum number of tokens that the model reads at once: of a text, or of a query and a document together.
    pub fn max_input_length(&self) -> usize {
        match &self.config.kind {
            ModelKind::LateInteraction(late) => late.max_lengths.query + late.max_lengths.document,
            _ => self.config.max_length,
        }
    }

    /// Number of values of the model's vectors.
    pub fn dimension(&self) -> usize {
        self.options.dimensions.unwrap_or(self.config.dimension)
    }

    /// The names of the model's prompts. `document` and `query` are always among the names. If the model does not
    /// define a prompt with one of these two names, the name stands for the model's default prompt, which can be empty.
    pub fn prompt_names(&self) -> Vec<&str> {
        let prompts = &self.config.prompts;
        let defaults = ["document", "query"].into_iter().filter(|name| !prompts.contains_key(*name));
        prompts.keys().map(String::as_str).chain(defaults).collect()
    }

    /// Returns the prompt with the name `name`, which must be one of [`ModelFolder::prompt_names`].
    ///
    /// # Errors
    /// Returns a message that lists the names if there is no prompt with this name.
    pub fn prompt_named(&self, name: &str) -> Result<&str, String> {
        match (self.config.prompts.get(name), name) {
            (Some(prompt), _) => Ok(prompt),
            (None, "document") => Ok(&self.prompt.document),
            (None, "query") => Ok(&self.prompt.query),
            _ => {
                let names: Vec<String> = self.prompt_names().iter().map(|name| format!("{name:?}")).collect();
                let names = names.join(", ");
                Err(format!(
                    "this model has no prompt {name:?}, only {names}; use one of these names, or none"
                ))
            }
        }
    }

    /// Returns one line for people: the model's name, the precision, the number of dimensions if it is reduced, and the
    /// prompts. The line is shown before papers are encoded.
    pub fn describe(&self) -> String {
        let mut description = format!("{} in {}", self.name, self.precision);
        if let Some(dimensions) = self.options.dimensions {
            description += &format!(", {dimensions} dimensions");
        }
        let PerInputType { document, query } = &self.prompt;
        for (texts, prompt) in [("papers", document), ("queries", query)] {
            if !prompt.is_empty() {
                description += &format!(", {texts} with the prompt {prompt:?}");
            }
        }
        if document.is_empty()
            && query.is_empty()
            && self.config.prompts.values().any(|prompt| !prompt.is_empty())
        {
            description += ", without any of the model's prompts";
        }
        description
    }
}

/// The settings of a model, from its model.toml or from the files of sentence-transformers.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// What the model computes.
    pub kind: ModelKind,
    /// The model's name. A model in `models_dir/owner/name` is called `owner/name` instead.
    name: String,
    /// The folder of config.json, the tokenizer and the weights, relative to the model folder. Empty: the files are in
    /// the model folder itself.
    network: String,
    /// How token vectors are pooled.
    pub pooling: Pooling,
    /// The linear layers after pooling.
    pub dense: Vec<Dense>,
    /// Maximum length of a text in tokens, special tokens included. Longer texts are truncated.
    pub max_length: usize,
    /// Whether texts are converted to lower case in addition to the tokenizer's own normalisation. Special tokens are
    /// not converted.
    pub lowercase: bool,
    /// The normaliser that replaces the normaliser in tokenizer.json. `None`: the one in tokenizer.json is used.
    pub normalizer: Option<BertNormalizer>,
    /// The separator between a paper's title and its abstract. `None`: a full stop and a space, or only a space after a
    /// title that ends with punctuation ([`Document::text`]).
    pub join: Option<String>,
    /// Whether the tokens after this separator have the token type of a second text.
    pub pair: bool,
    /// The encoder for queries, if it is not the encoder for papers.
    query_encoder: Option<QueryEncoder>,
    /// The folder of the LoRA adapter that is merged into the weights, relative to the model folder. It is empty if the
    /// adapter is in the model folder itself. `None`: no such adapter.
    pub lora: Option<String>,
    /// The weight of a title's vector relative to the vector of the paper's text, in per cent.
    title: u16,
    /// The calibration of scores, if the model has one.
    calibration: Option<Calibration>,
    /// The calibration of a cross-encoder, if it has one.
    pub rerank_calibration: Option<RerankCalibration>,
    /// All prompts by name.
    pub prompts: BTreeMap<String, String>,
    /// The default prompts of documents and queries.
    prompt: PerInputType<String>,
    /// The folders of the adapters for documents and queries, if the model has adapters.
    pub adapters: Option<PerInputType<String>>,
    /// Number of values of the model's vectors if the option `dimensions` is not set.
    dimension: usize,
    /// Names and SHA-256 checksums of files that have been verified already.
    checksums: Vec<(String, String)>,
}

impl ModelConfig {
    /// Returns these settings, which were read from a model without vectors of texts, with the name, the maximum length,
    /// the prompts, the calibration and the checksums of the folder's model.toml.
    fn with_manifest(mut self, manifest: Manifest) -> ModelConfig {
        if let ModelKind::LateInteraction(late) = &mut self.kind {
            late.max_lengths.document = late.max_lengths.document.min(manifest.max_length);
        }
        let ModelConfig { name, max_length, checksums, prompt, rerank_calibration, .. } = manifest.config();
        let prompt = if prompt.query.is_empty() { self.prompt.clone() } else { prompt };
        ModelConfig { name, max_length, checksums, prompt, rerank_calibration, ..self }
    }
}

/// Whether a model is installed. This is the case if `name` is the path of a folder, or if `models_dir` has a folder
/// with a model of this name.
pub fn is_installed(name: &str, models_dir: &Path) -> bool {
    resolve(name, models_dir, Purpose::Vectors).is_ok()
}

/// Whether a folder contains a model, and not only a manifest.
fn has_model(folder: &Path) -> bool {
    [CONFIG, sentence_transformers::MODULES, WEIGHTS].iter().any(|file| folder.join(file).is_file())
}

/// The kind of the model in a folder without model.toml.
fn kind_of(folder: &Path, network_config: &network_config::NetworkConfig) -> Result<ManifestKind> {
    Ok(match () {
        () if network_config.family == Family::Static => ManifestKind::Static,
        () if sparse::is_sparse(folder)? => ManifestKind::Sparse,
        () if late_interaction::is_late_interaction(folder, network_config)? => ManifestKind::LateInteraction,
        () if cross_encoder::is_cross_encoder(folder, network_config)? => ManifestKind::CrossEncoder,
        () => ManifestKind::Embedding,
    })
}

/// Reads the settings of a model of this kind in a folder without model.toml.
fn read_settings(
    kind: ManifestKind,
    folder: &Path,
    network_config: &network_config::NetworkConfig,
) -> Result<ModelConfig> {
    match kind {
        ManifestKind::Sparse => sparse::read(folder, network_config),
        ManifestKind::LateInteraction => late_interaction::read(folder, network_config),
        ManifestKind::CrossEncoder => cross_encoder::read(folder, network_config),
        ManifestKind::Embedding | ManifestKind::Static => sentence_transformers::read(folder, network_config),
    }
}

fn resolve(name_or_path: &str, models_dir: &Path, purpose: Purpose) -> Result<PathBuf> {
    let as_path = Path::new(name_or_path);
    if as_path.is_dir() {
        return Ok(as_path.to_path_buf());
    }
    let name = Manifest::built_in(name_or_path).map_or(name_or_path.to_string(), |manifest| manifest.name);
    let folder = models_dir.join(&name);
    // `is_dir` would not be enough: the folder of a built-in model that has not been fetched can contain only a
    // manifest.
    if has_model(&folder) {
        return Ok(folder);
    }
    let option = purpose.option();
    let remedy = match Manifest::built_in(&name) {
        Some(_) => format!("run `likewise pull {name}`, or give {option} a sentence-transformers folder"),
        None if is_repository(name_or_path) => {
            format!("run `likewise pull {name}` where the hub can be reached")
        }
        None => format!("give {option} a sentence-transformers folder, or a name that `likewise pull` knows"),
    };
    Err(Error::Model(format!(
        "there is no model {name_or_path:?}: neither a folder of that name nor {} exists; {remedy}",
        folder.join(CONFIG).display()
    )))
}
