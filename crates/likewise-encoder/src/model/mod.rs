//! Model folders: reads and checks their settings and files, computes the fingerprint of their embedding space, and
//! fetches them.
//!
//! Two kinds of folder are supported: those with a `model.toml` ([`manifest`]), and those of the sentence-transformers
//! library ([`sentence_transformers`]). Both are opened as a [`ModelFolder`], whose files have been checked. Only
//! [`mod@pull`] accesses the internet.

mod calibration;
mod document;
mod fingerprint;
mod input_type;
mod list;
mod manifest;
mod network_config;
mod normalizer;
mod pull;
mod repository;
mod sentence_transformers;
mod weights;

pub use calibration::{Calibration, Curve, ModeCurves};
pub use document::Document;
pub use fingerprint::{Fingerprint, sha256_file};
pub use input_type::{InputType, PerInputType};
pub use list::{ModelSummary, list, summarize};
pub use manifest::{FileChecksum, HubSource, Manifest, WheelSource};
pub use network_config::Family;
pub use normalizer::BertNormalizer;
pub use pull::{Pulled, is_repository, pull};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The model used when none is named.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// The default models folder, relative to the working directory.
pub const DEFAULT_MODELS_DIR: &str = "models";

/// The weight file, unless the weights are in several files or in an older format.
pub const WEIGHTS: &str = "model.safetensors";
/// The tokenizer's file. Every model folder must have it.
pub const TOKENIZER: &str = "tokenizer.json";
/// The network's configuration. Every model folder must have it.
pub const CONFIG: &str = "config.json";

/// How the token vectors of a text are combined into one vector. The names are those of sentence-transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// The vector of the first token.
    Cls,
    /// The maximum of each value over all tokens.
    Max,
    /// The sum over all tokens, divided by the square root of their number.
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
    /// Its folder, relative to the model folder.
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

/// The number format of matrix multiplications. It is part of the fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    F32,
    /// Factors are rounded to bf16, and their products are summed in f32.
    Bf16,
    /// Factors are rounded to 8-bit integers with one scale per 128 values, and their products are summed exactly.
    /// Attention is computed in bf16.
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
    /// Number of tokens that the model has vectors for. `None`: config.json does not state it.
    pub vocabulary_size: Option<usize>,
    /// The settings in the folder.
    pub config: ModelConfig,
    /// The prompts that are put before documents and queries.
    pub prompt: PerInputType<String>,
    /// The precision to encode in.
    pub precision: Precision,
    /// Options that override settings in the folder.
    pub options: ModelOptions,
    /// Names and SHA-256 checksums of the files that affect vectors.
    checksums: Vec<(String, String)>,
    /// Identifies the embedding space.
    pub fingerprint: Fingerprint,
}

/// Options of the user that override the settings of a model folder. `None`: the folder's setting applies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOptions {
    /// Number of values to keep of every vector, which is then scaled to length 1 again. For models that were trained
    /// for this (Kusupati et al., Matryoshka Representation Learning).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<usize>,
    /// The name of the prompt to put before both documents and queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_name: Option<String>,
    /// The weight of a title's vector relative to that of the paper's text, in per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<u16>,
}

impl ModelOptions {
    /// These options, with those that are `None` taken from `defaults`.
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
    /// Opens a model, to encode in `precision`. `name_or_path` is the path of a folder, or the name of a model in
    /// `models_dir`.
    ///
    /// Reads every file to compute its checksum, so that damaged or replaced files are found here and not by wrong
    /// search results.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such folder, or if a file is missing, damaged or not supported.
    pub fn open(name_or_path: &str, models_dir: &Path, precision: Precision) -> Result<ModelFolder> {
        let path = resolve(name_or_path, models_dir)?;
        // Checksums come first: a file that was replaced is reported as such, and not because of its content.
        let in_manifest = Manifest::read(&path)?.map(|manifest| manifest.check(&path)).transpose()?;
        let network = match in_manifest {
            Some(_) => path.clone(),
            None => path.join(sentence_transformers::network_folder(&path)?),
        };
        let network_config = network_config::NetworkConfig::read(&network)?;
        let config = in_manifest.map_or_else(|| sentence_transformers::read(&path, &network_config), Ok)?;
        network_config.check(&network, &config)?;
        let weights = weights::files(&network)?;
        let checksums = fingerprint::checksums(&path, &weights, &config)?;
        // Models of a repository are in `models_dir/owner/name` and are named after it.
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
            checksums,
            fingerprint: Fingerprint::default(),
        };
        folder.fingerprint = Fingerprint::of(&folder);
        Ok(folder)
    }

    /// A model without files, for tests that need only its name and dimension.
    #[cfg(test)]
    pub fn without_files(dimension: usize) -> ModelFolder {
        let config = ModelConfig {
            name: "m".into(),
            network: String::new(),
            pooling: Pooling::Mean,
            dense: Vec::new(),
            max_length: 8,
            lowercase: false,
            normalizer: None,
            join: None,
            title: 0,
            calibration: None,
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
            checksums: Vec::new(),
            fingerprint: Fingerprint { sha256: "0".repeat(64), parts: String::new(), dimension },
        }
    }

    /// The same folder, to encode in another precision.
    pub fn in_precision(mut self, precision: Precision) -> ModelFolder {
        self.precision = precision;
        self.fingerprint = Fingerprint::of(&self);
        self
    }

    /// The precision in which this model has the fingerprint `sha256`. `None`: it has another fingerprint in all of
    /// them.
    pub fn precision_of(&self, sha256: &str) -> Option<Precision> {
        let has = |precision: &Precision| self.clone().in_precision(*precision).fingerprint.sha256 == sha256;
        Precision::ALL.into_iter().find(has)
    }

    /// The same folder with other options. They replace all previous ones.
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
        self.options = options;
        self.fingerprint = Fingerprint::of(&self);
        Ok(self)
    }

    /// The same folder as versions of this program before title weights used it: titles are part of the text only.
    pub fn as_before_titles(mut self) -> ModelFolder {
        // The calibration was fitted on vectors with title weights.
        (self.config.title, self.config.calibration) = (0, None);
        self.fingerprint = Fingerprint::of(&self);
        self
    }

    /// The same folder as still older versions used it: also without prompts and lower-casing.
    pub fn as_before_prompts(mut self) -> ModelFolder {
        (self.prompt, self.config.lowercase) = (PerInputType::default(), false);
        self.as_before_titles()
    }

    /// The folder of config.json, the tokenizer and the weights.
    pub fn network(&self) -> PathBuf {
        self.path.join(&self.config.network)
    }

    /// The text to encode for a document: title and body, joined with the model's own separator if it has one.
    pub fn text_of(&self, document: Document) -> String {
        match &self.config.join {
            Some(join) if !document.body.is_empty() => format!("{}{join}{}", document.title, document.body),
            _ => document.text(),
        }
    }

    /// The weight of a title's vector relative to that of the paper's text. 0: titles are not encoded separately.
    pub fn title_weight(&self) -> f32 {
        f32::from(self.options.title.unwrap_or(self.config.title)) / 100.0
    }

    /// The calibration of scores. `None`: the model has none, or options change its vectors, so it does not apply.
    pub fn calibration(&self) -> Option<Calibration> {
        let ModelOptions { dimensions, prompt_name, title } = &self.options;
        let has_own_title_weight = title.is_none_or(|title| title == self.config.title);
        let has_own_vectors = dimensions.is_none() && prompt_name.is_none() && has_own_title_weight;
        self.config.calibration.filter(|_| has_own_vectors)
    }

    /// Number of values of its vectors.
    pub fn dimension(&self) -> usize {
        self.options.dimensions.unwrap_or(self.config.dimension)
    }

    /// The names of its prompts. `document` and `query` are always among them; if the model does not define them, they
    /// stand for its default prompts, which may be empty.
    pub fn prompt_names(&self) -> Vec<&str> {
        let prompts = &self.config.prompts;
        let defaults = ["document", "query"].into_iter().filter(|name| !prompts.contains_key(*name));
        prompts.keys().map(String::as_str).chain(defaults).collect()
    }

    /// The prompt with a name, one of [`ModelFolder::prompt_names`].
    ///
    /// # Errors
    /// If there is no such prompt, a message that lists the names.
    pub fn prompt_named(&self, name: &str) -> Result<&str, String> {
        match (self.config.prompts.get(name), name) {
            (Some(prompt), _) => Ok(prompt),
            (None, "document") => Ok(&self.prompt.document),
            (None, "query") => Ok(&self.prompt.query),
            _ => {
                let names: Vec<String> = self.prompt_names().iter().map(|name| format!("{name:?}")).collect();
                let names = names.join(", ");
                Err(format!("this model has no prompt {name:?}, only {names}; use one of these, or omit it"))
            }
        }
    }

    /// One line for people: the name, the precision, and which dimensions and prompts are used. It is shown before
    /// papers are encoded.
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
            description += ", without any of its prompts";
        }
        description
    }
}

/// The settings of a model, from its model.toml or from the files of sentence-transformers.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// The model's name. A model in `models_dir/owner/name` is called `owner/name` instead.
    name: String,
    /// The folder of config.json, the tokenizer and the weights, relative to the model folder; mostly empty.
    network: String,
    /// How token vectors are pooled.
    pub pooling: Pooling,
    /// The linear layers after pooling.
    pub dense: Vec<Dense>,
    /// Maximum length of a text in tokens, special tokens included. Longer texts are truncated.
    pub max_length: usize,
    /// Whether texts are converted to lower case in addition to the tokenizer's own normalisation. Special tokens are
    /// not.
    pub lowercase: bool,
    /// The normaliser that replaces that of tokenizer.json, if any.
    pub normalizer: Option<BertNormalizer>,
    /// The separator between a paper's title and its abstract. `None`: a full stop.
    pub join: Option<String>,
    /// The weight of a title's vector relative to that of the paper's text, in per cent.
    title: u16,
    /// The calibration of scores, if the model has one.
    calibration: Option<Calibration>,
    /// All prompts by name.
    pub prompts: BTreeMap<String, String>,
    /// The default prompts of documents and queries.
    prompt: PerInputType<String>,
    /// The folders of the adapters for documents and queries, if the model has adapters.
    pub adapters: Option<PerInputType<String>>,
    /// Number of values of its vectors, without the option `dimensions`.
    dimension: usize,
    /// Names and SHA-256 checksums of files that have been verified already.
    checksums: Vec<(String, String)>,
}

/// Whether a model is installed: `name` is the path of a folder, or `models_dir` has a folder with a model of this
/// name.
pub fn is_installed(name: &str, models_dir: &Path) -> bool {
    resolve(name, models_dir).is_ok()
}

/// Whether a folder contains a model, and not only a manifest.
fn has_model(folder: &Path) -> bool {
    folder.join(CONFIG).is_file() || folder.join(sentence_transformers::MODULES).is_file()
}

fn resolve(name_or_path: &str, models_dir: &Path) -> Result<PathBuf> {
    let as_path = Path::new(name_or_path);
    if as_path.is_dir() {
        return Ok(as_path.to_path_buf());
    }
    let name = Manifest::built_in(name_or_path).map_or(name_or_path.to_string(), |manifest| manifest.name);
    let folder = models_dir.join(&name);
    // Not `is_dir`: the folder of a built-in model that has not been fetched may contain only its manifest.
    if has_model(&folder) {
        return Ok(folder);
    }
    let remedy = match Manifest::built_in(&name) {
        Some(_) => format!("run `likewise pull {name}`, or give --model a sentence-transformers folder"),
        None if is_repository(name_or_path) => {
            format!("run `likewise pull {name}` where the hub can be reached")
        }
        None => "give --model a sentence-transformers folder, or a name that `likewise pull` knows".into(),
    };
    Err(Error::Model(format!(
        "no model {name_or_path:?}: neither a folder of that name nor {} exists; {remedy}",
        folder.join(CONFIG).display()
    )))
}
