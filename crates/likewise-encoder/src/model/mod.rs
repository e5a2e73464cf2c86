//! What a model folder says: its files and their sums, how token vectors become one vector, what is put before
//! texts, how much of them it reads, and the fingerprint that names its embedding space.
//!
//! Two kinds of folder are understood: one with our own `model.toml` ([`manifest`]), and any
//! sentence-transformers folder ([`sentence_transformers`]). Both give a [`ModelFolder`], which has
//! been checked and can be loaded; nothing here touches the network ([`mod@pull`] is the only file that
//! does).

mod chances;
mod config;
mod document;
mod fingerprint;
mod list;
mod manifest;
mod normalizer;
mod pull;
mod repository;
mod sentence_transformers;
mod sides;
mod weights;

pub use chances::{Chances, Curve, Curves};
pub use config::Family;
pub use document::Document;
pub use fingerprint::{Fingerprint, sha256_file};
pub use list::{Listed, list, look};
pub use manifest::{FileSum, HubSource, Manifest, WheelSource};
pub use normalizer::BertNormalizer;
pub use pull::{Pulled, is_repository, pull};
pub use sides::{Side, Sides};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The model used when none is named.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// Where models are kept unless told otherwise, relative to the working folder.
pub const DEFAULT_MODELS_DIR: &str = "models";

/// Where the weights are, unless they are in several files or in an older format.
pub const WEIGHTS: &str = "model.safetensors";
/// A file that every model folder must have.
pub const TOKENIZER: &str = "tokenizer.json";
/// See [`TOKENIZER`].
pub const CONFIG: &str = "config.json";

/// How the vectors of a text's tokens become one vector, by the names that sentence-transformers has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over a text's tokens.
    Mean,
    /// The first token's vector.
    Cls,
    /// The largest of every value.
    Max,
    /// The sum, over the square root of how many there are.
    #[serde(rename = "mean_sqrt_len_tokens")]
    MeanSqrtLen,
    /// The mean, in which the n-th token counts n times (Muennighoff, SGPT).
    WeightedMean,
    /// The last token's vector.
    LastToken,
}

/// A linear layer on the pooled vector, with a function after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Its folder, in the model's.
    pub folder: String,
    /// Values it takes.
    pub inputs: usize,
    /// Values it gives.
    pub outputs: usize,
    /// Whether it adds a bias.
    pub bias: bool,
    /// Whether what it gives goes through tanh.
    pub tanh: bool,
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

/// Most that a title may count, in per cent of its paper's text.
const MAX_TITLE: u16 = 1000;

/// A checked model folder on disk.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    /// The model's name, as shown to people; not part of the fingerprint.
    pub name: String,
    /// Where its files are.
    pub path: PathBuf,
    /// What kind of network it is.
    pub family: Family,
    /// The files of its weights.
    pub weights: Vec<String>,
    /// Tokens that it has vectors for, if config.json says so.
    pub vocabulary: Option<usize>,
    /// What its folder says of it.
    pub stated: Stated,
    /// What is put before papers and before queries.
    pub prompt: Sides<String>,
    /// The arithmetic to encode in.
    pub precision: Precision,
    /// How it differs from what its folder says.
    pub options: ModelOptions,
    /// Sums of files that change a vector.
    sums: Vec<(String, String)>,
    /// Names the embedding space.
    pub fingerprint: Fingerprint,
}

/// What somebody wants otherwise than a model's folder says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOptions {
    /// The first so many values of every vector, scaled to length 1 again: for models that were trained for it
    /// (Kusupati et al., Matryoshka Representation Learning).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<usize>,
    /// The prompt of this name before papers and queries alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_name: Option<String>,
    /// How much a paper's title counts beside its text, in per cent of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<u16>,
}

impl ModelOptions {
    /// These, and where they say nothing, others.
    pub fn or(self, others: &ModelOptions) -> ModelOptions {
        ModelOptions {
            dimensions: self.dimensions.or(others.dimensions),
            prompt_name: self.prompt_name.or_else(|| others.prompt_name.clone()),
            title: self.title.or(others.title),
        }
    }

    /// Whether nothing is to be otherwise.
    pub fn is_empty(&self) -> bool {
        *self == ModelOptions::default()
    }
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
        // A file that was swapped is told of as such, and not for what is in it.
        let stated = Manifest::read(&path)?.map(|manifest| manifest.check(&path)).transpose()?;
        let network = match stated {
            Some(_) => path.clone(),
            None => path.join(sentence_transformers::network_in(&path)?),
        };
        let config = config::Config::read(&network)?;
        let stated = stated.map_or_else(|| sentence_transformers::read(&path, &config), Ok)?;
        config.check(&network, &stated)?;
        let weights = weights::files(&network)?;
        let sums = fingerprint::sums(&path, &weights, &stated)?;
        let in_models = path.strip_prefix(models_dir).ok().filter(|inside| inside.components().count() == 2);
        let name = in_models.map_or(stated.name.clone(), |inside| inside.to_string_lossy().into_owned());
        let mut folder = ModelFolder {
            name,
            path,
            family: config.family,
            vocabulary: config.vocabulary,
            weights,
            prompt: stated.prompt.clone(),
            stated,
            precision,
            options: ModelOptions::default(),
            sums,
            fingerprint: Fingerprint::default(),
        };
        folder.fingerprint = Fingerprint::of(&folder);
        Ok(folder)
    }

    /// A model without files, for tests of what only asks for its name and dimension.
    #[cfg(test)]
    pub fn without_files(dimension: usize) -> ModelFolder {
        let stated = Stated {
            name: "m".into(),
            network: String::new(),
            pooling: Pooling::Mean,
            dense: Vec::new(),
            max_length: 8,
            lowercase: false,
            normalizer: None,
            join: None,
            title: 0,
            chances: None,
            prompts: BTreeMap::new(),
            prompt: Sides::default(),
            adapters: None,
            dimension,
            sums: Vec::new(),
        };
        ModelFolder {
            name: stated.name.clone(),
            path: "m".into(),
            family: Family::Bert,
            weights: Vec::new(),
            vocabulary: None,
            stated,
            prompt: Sides::default(),
            precision: Precision::F32,
            options: ModelOptions::default(),
            sums: Vec::new(),
            fingerprint: Fingerprint { sha256: "0".repeat(64), parts: String::new(), dimension },
        }
    }

    /// The same folder, to encode in another precision.
    pub fn in_precision(mut self, precision: Precision) -> ModelFolder {
        self.precision = precision;
        self.fingerprint = Fingerprint::of(&self);
        self
    }

    /// The precision in which this model has a fingerprint; `None` if it has it in none.
    pub fn precision_of(&self, sha256: &str) -> Option<Precision> {
        let has = |precision: &Precision| self.clone().in_precision(*precision).fingerprint.sha256 == sha256;
        Precision::ALL.into_iter().find(has)
    }

    /// The same folder, with these things done otherwise than it says, and nothing else.
    ///
    /// # Errors
    /// [`Error::Invalid`], if its vectors are not that long, or it has no prompt of that name.
    pub fn with_options(mut self, options: ModelOptions) -> Result<ModelFolder> {
        if let Some(wanted) = options.dimensions
            && !(1..=self.stated.dimension).contains(&wanted)
        {
            let most = self.stated.dimension;
            return Err(Error::Invalid(format!(
                "--dimensions: got {wanted}, wanted 1 to {most}, which {} has",
                self.name
            )));
        }
        if let Some(title) = options.title.filter(|title| *title > MAX_TITLE) {
            return Err(Error::Invalid(format!("--title: got {title}, wanted 0 to {MAX_TITLE} per cent")));
        }
        self.prompt = self.stated.prompt.clone();
        if let Some(name) = &options.prompt_name {
            let prompt =
                self.prompt_named(name).map_err(|error| Error::Invalid(format!("--prompt-name: {error}")))?;
            self.prompt = Sides::both(prompt.to_string());
        }
        self.options = options;
        self.fingerprint = Fingerprint::of(&self);
        Ok(self)
    }

    /// The same folder, read as older versions of this program read it: titles count in their texts only.
    pub fn as_before_titles(mut self) -> ModelFolder {
        // What scores mean was found out with titles.
        (self.stated.title, self.stated.chances) = (0, None);
        self.fingerprint = Fingerprint::of(&self);
        self
    }

    /// The same, by still older ones: also without prompts, and without lower case.
    pub fn as_before_prompts(mut self) -> ModelFolder {
        (self.prompt, self.stated.lowercase) = (Sides::default(), false);
        self.as_before_titles()
    }

    /// The folder of config.json, the tokenizer and the weights.
    pub fn network(&self) -> PathBuf {
        self.path.join(&self.stated.network)
    }

    /// What it reads of a document.
    pub fn text_of(&self, document: Document) -> String {
        match &self.stated.join {
            Some(join) if !document.body.is_empty() => format!("{}{join}{}", document.title, document.body),
            _ => document.text(),
        }
    }

    /// How much the vector of a paper's title counts beside that of its text.
    pub fn title_share(&self) -> f32 {
        f32::from(self.options.title.unwrap_or(self.stated.title)) / 100.0
    }

    /// What scores mean, if that is known of vectors as these are.
    pub fn chances(&self) -> Option<Chances> {
        let ModelOptions { dimensions, prompt_name, title } = &self.options;
        let is_as_stated = dimensions.is_none() && prompt_name.is_none();
        self.stated.chances.filter(|_| is_as_stated && title.is_none_or(|title| title == self.stated.title))
    }

    /// Length of its vectors.
    pub fn dimension(&self) -> usize {
        self.options.dimensions.unwrap_or(self.stated.dimension)
    }

    /// Names of its prompts; every model has one for each side, if only to put nothing before a text.
    pub fn prompt_names(&self) -> Vec<&str> {
        let prompts = &self.stated.prompts;
        let sides = ["document", "query"].into_iter().filter(|name| !prompts.contains_key(*name));
        prompts.keys().map(String::as_str).chain(sides).collect()
    }

    /// What it puts before texts under this name.
    ///
    /// # Errors
    /// Says which names there are.
    pub fn prompt_named(&self, name: &str) -> Result<&str, String> {
        match (self.stated.prompts.get(name), name) {
            (Some(prompt), _) => Ok(prompt),
            (None, "document") => Ok(&self.prompt.paper),
            (None, "query") => Ok(&self.prompt.query),
            _ => {
                let known: Vec<String> = self.prompt_names().iter().map(|name| format!("{name:?}")).collect();
                let known = known.join(", ");
                Err(format!("got {name:?}, but this model has {known}; name one of them, or leave it out"))
            }
        }
    }

    /// Its name, and in what way its vectors are its own: what one wants to be told before a million papers are encoded.
    pub fn describe(&self) -> String {
        let mut described = format!("{} in {}", self.name, self.precision);
        if let Some(dimensions) = self.options.dimensions {
            described += &format!(", {dimensions} dimensions");
        }
        let Sides { paper, query } = &self.prompt;
        for (side, prompt) in [("papers", paper), ("queries", query)] {
            if !prompt.is_empty() {
                described += &format!(", {side} after {prompt:?}");
            }
        }
        if paper.is_empty()
            && query.is_empty()
            && self.stated.prompts.values().any(|prompt| !prompt.is_empty())
        {
            described += ", none of its prompts used";
        }
        described
    }
}

/// What a folder states about its model, by whichever convention.
#[derive(Debug, Clone)]
pub struct Stated {
    /// The model's name, where its folder's place does not say another.
    name: String,
    /// The folder of config.json, the tokenizer and the weights in the model's: most often that itself, and so empty.
    network: String,
    /// How token vectors are pooled.
    pub pooling: Pooling,
    /// What comes after that.
    pub dense: Vec<Dense>,
    /// The longest input in tokens, special tokens included; the rest of a text is not read.
    pub max_length: usize,
    /// Whether texts are put into lower case, whatever the tokenizer says; not the special tokens in them.
    pub lowercase: bool,
    /// How texts are normalised, if otherwise than tokenizer.json says.
    pub normalizer: Option<BertNormalizer>,
    /// What it wants between a paper's title and its abstract; else it is a full stop.
    pub join: Option<String>,
    /// How much a paper's title counts beside its text, in per cent of that.
    title: u16,
    /// What scores mean, if somebody found out.
    chances: Option<Chances>,
    /// What may be put before texts, by name.
    pub prompts: BTreeMap<String, String>,
    /// What is put before papers and before queries, if nobody says otherwise.
    prompt: Sides<String>,
    /// Folders of the adapters that papers and queries go through, if any.
    pub adapters: Option<Sides<String>>,
    /// Length of its vectors, before any are shortened.
    dimension: usize,
    /// Sums of files, where already known.
    sums: Vec<(String, String)>,
}

/// Whether `models_dir` has a folder for a model of this name.
pub fn is_here(name: &str, models_dir: &Path) -> bool {
    resolve(name, models_dir).is_ok()
}

/// Whether a folder has a model in it, and not only what could be known of one.
fn has_model(folder: &Path) -> bool {
    folder.join(CONFIG).is_file() || folder.join(sentence_transformers::MODULES).is_file()
}

fn resolve(name_or_path: &str, models_dir: &Path) -> Result<PathBuf> {
    let as_path = Path::new(name_or_path);
    if as_path.is_dir() {
        return Ok(as_path.to_path_buf());
    }
    let name = Manifest::known(name_or_path).map_or(name_or_path.to_string(), |manifest| manifest.name);
    let named = models_dir.join(&name);
    // Models that can be had have a folder with nothing but their manifest in it.
    if has_model(&named) {
        return Ok(named);
    }
    let todo = match Manifest::known(&name) {
        Some(_) => format!("run `likewise pull {name}`, or give --model a sentence-transformers folder"),
        None if is_repository(name_or_path) => {
            format!("run `likewise pull {name}` where the hub can be reached")
        }
        None => "give --model a sentence-transformers folder, or a name that `likewise pull` knows".into(),
    };
    Err(Error::Model(format!(
        "no model {name_or_path:?}: neither a folder of that name nor {} exists; {todo}",
        named.join(CONFIG).display()
    )))
}
