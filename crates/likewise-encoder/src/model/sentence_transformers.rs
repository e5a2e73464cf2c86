//! Reads what a sentence-transformers folder states, for models without a `model.toml`.
//!
//! Its own file because the convention is somebody else's, and changes: `modules.json` has the steps and their
//! folders, `1_Pooling/config.json` the pooling, `config_sentence_transformers.json` the prompts, and the length is
//! in `sentence_bert_config.json` (or one of six other names, beside the network's weights) or, since the library's
//! version 6, in `tokenizer_config.json`. What is said there
//! and cannot be done here is refused by its name: passed over, it would give other vectors.

use super::config::Config;
use super::normalizer;
use super::repository::{TRANSFORMER_CONFIGS, is_step};
use super::{CONFIG, Dense, Pooling, Sides, Stated, weights};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize, Default)]
struct TransformerConfig {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    /// Where no limit was set it is 1e30, which fits no integer.
    model_max_length: Option<f64>,
    #[serde(flatten)]
    normalizer: normalizer::Stated,
}

#[derive(Deserialize, Default)]
struct SentenceTransformers {
    default_prompt_name: Option<String>,
    #[serde(default)]
    prompts: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    /// The newer spelling, one word instead of flags.
    pooling_mode: Option<serde_json::Value>,
    #[serde(default = "yes")]
    include_prompt: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct DenseConfig {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    activation_function: Option<String>,
    #[serde(default)]
    use_residual: bool,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

#[derive(Deserialize)]
struct Module {
    r#type: String,
    path: String,
}

impl Module {
    /// Its class: older versions of the library have another path to it.
    fn kind(&self) -> &str {
        self.r#type.rsplit('.').next().unwrap_or_default()
    }
}

/// What says which steps there are.
pub(super) const MODULES: &str = "modules.json";

/// Where the pooling is, if nothing says so.
const POOLING: &str = "1_Pooling";

/// What [`SentenceTransformers`] is in.
const PROMPTS: &str = "config_sentence_transformers.json";

/// Reads the folder's statements; its vectors are normalised whether or not it asks for it, because
/// the space's metric is cosine.
pub(super) fn read(folder: &Path, config: &Config) -> Result<Stated> {
    let network = network_in(folder)?;
    refuse_adapters(folder, &folder.join(&network))?;
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    let (pooling, dense) = match &modules {
        Some(modules) => steps(folder, modules)?,
        // The library takes a bare model the same way.
        None if !folder.join(POOLING).is_dir() => {
            (if config.is_causal { Pooling::LastToken } else { Pooling::Mean }, Vec::new())
        }
        None => (pooling(folder, POOLING)?, Vec::new()),
    };
    if modules.is_none() {
        refuse_unnamed(folder)?;
    }
    let prompts: SentenceTransformers = json(folder, PROMPTS)?.unwrap_or_default();
    let (prompts, prompt) = sides(folder, prompts)?;
    let transformer = transformer_config(&folder.join(&network))?;
    let tokenizer: TokenizerConfig =
        json(&folder.join(&network), "tokenizer_config.json")?.unwrap_or_default();
    // The cast saturates, and the model's positions limit it.
    let max_length = transformer.max_seq_length.or(tokenizer.model_max_length.map(|length| length as usize));
    let name = folder.canonicalize().map_err(Error::io(folder))?;
    Ok(Stated {
        name: name.file_name().unwrap_or(name.as_os_str()).to_string_lossy().into_owned(),
        pooling,
        max_length: max_length.unwrap_or(config.max_length).min(config.max_length),
        normalizer: normalizer::other(&folder.join(&network), &tokenizer.normalizer, config)?,
        lowercase: transformer.do_lower_case.unwrap_or_default(),
        network,
        join: None,
        title: 0,
        chances: None,
        prompts,
        prompt,
        adapters: None,
        dimension: dense.last().map_or(config.hidden_size, |dense| dense.outputs),
        dense,
        sums: Vec::new(),
    })
}

/// The folder of the network's files in a model's: the model's own, or `0_Transformer`, as older versions of the library
/// wrote it.
pub(super) fn network_in(folder: &Path) -> Result<String> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    match modules.as_deref() {
        Some([first, ..]) => {
            check_inside(folder, first)?;
            match first.kind() {
                "Transformer" => Ok(first.path.clone()),
                _ => Err(unsupported(
                    folder,
                    &format!("module {} is not supported as the first", first.r#type),
                )),
            }
        }
        Some([]) => Err(unsupported(folder, "it lists no module")),
        None if folder.join(CONFIG).is_file() => Ok(String::new()),
        None => refuse_unnamed(folder).map(|()| String::new()),
    }
}

fn check_inside(folder: &Path, Module { r#type, path }: &Module) -> Result<()> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(unsupported(folder, &format!("module {type} is in {path:?}, outside the folder")));
    }
    Ok(())
}

fn unsupported(folder: &Path, what: &str) -> Error {
    let known = "wanted Transformer, Pooling, then any of Dense and Normalize";
    Error::Model(format!("{}: {what}; {known}; use another model", folder.join(MODULES).display()))
}

/// The first of the library's files that says something.
fn transformer_config(network: &Path) -> Result<TransformerConfig> {
    for name in TRANSFORMER_CONFIGS {
        let stated: serde_json::Map<String, serde_json::Value> = json(network, name)?.unwrap_or_default();
        if !stated.is_empty() {
            return Ok(json(network, name)?.unwrap_or_default());
        }
    }
    Ok(TransformerConfig::default())
}

/// Which texts go through which adapter, or whether weights are to be changed by one, is said nowhere in such a folder.
fn refuse_adapters(folder: &Path, network: &Path) -> Result<()> {
    let [config, _] = weights::ADAPTER;
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?.flatten();
    // Both: other programs leave such a config.json among what they kept while training.
    let with_one =
        entries.filter(|entry| weights::ADAPTER.iter().all(|file| entry.path().join(file).is_file()));
    let mut names: Vec<String> =
        with_one.map(|entry| format!("{:?}", entry.file_name().to_string_lossy())).collect();
    names.sort();
    let shown = folder.display();
    match &names[..] {
        _ if folder.join(config).is_file() || network.join(config).is_file() => Err(Error::Model(format!(
            "{shown}: {config} is not supported beside a model's own files; merge the adapter into them, and save that"
        ))),
        [] => Ok(()),
        names => Err(Error::Model(format!(
            "{shown}: has the adapters {}, and nothing says which texts go through which; say so in a model.toml there \
             (`adapters = {{ paper = \"proximity\", query = \"adhoc_query\" }}`, as models/specter2/model.toml does), or \
             take the model by its name",
            names.join(", ")
        ))),
    }
}

/// Without modules.json, a step with weights would be left out: of such a folder a part was lost.
fn refuse_unnamed(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?.flatten();
    let steps = entries.filter(|entry| weights::files(&entry.path()).is_ok());
    let mut names = steps.map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.find(|name| is_step(name)) {
        Some(name) => Err(Error::Model(format!(
            "{}: {name} is there, but no modules.json, which says what it is for; fetch the model folder again",
            folder.display()
        ))),
        None => Ok(()),
    }
}

/// What follows the network, step by step.
fn steps(folder: &Path, modules: &[Module]) -> Result<(Pooling, Vec<Dense>)> {
    let (mut pooled, mut dense) = (None, Vec::new());
    let refused = |what: String| unsupported(folder, &what);
    for (place, module @ Module { r#type, path }) in modules.iter().enumerate() {
        check_inside(folder, module)?;
        match (module.kind(), pooled) {
            ("Transformer", None) if place == 0 => {}
            ("Pooling", None) => pooled = Some(pooling(folder, path)?),
            ("Dense", Some(_)) => dense.push(read_dense(folder, path)?),
            // Again at the end; in the middle only without anything that changes lengths after it.
            ("Normalize", Some(_))
                if modules[place..].iter().all(|module| module.r#type.ends_with("Normalize")) => {}
            _ => return Err(refused(format!("module {type} is not supported, or not here"))),
        }
    }
    pooled.map(|pooled| (pooled, dense)).ok_or_else(|| refused("no Pooling".into()))
}

/// Which prompt goes before which side: by the names that the library's `encode_document` and `encode_query` look for.
/// The default prompt is neither's, as there. (Since its version 5.1 the library finds an empty "document" in every
/// model, and so never comes to "passage" and "corpus", which older models have; here they are theirs.)
fn sides(folder: &Path, stated: SentenceTransformers) -> Result<(BTreeMap<String, String>, Sides<String>)> {
    let SentenceTransformers { default_prompt_name, prompts } = stated;
    let prompts: BTreeMap<String, String> =
        prompts.into_iter().map(|(name, prompt)| (name, prompt.unwrap_or_default())).collect();
    if let Some(name) = default_prompt_name.filter(|name| !prompts.contains_key(name)) {
        return Err(Error::Model(format!(
            "{}: default_prompt_name is {name:?}, but no prompt has that name; correct it",
            folder.join(PROMPTS).display()
        )));
    }
    let first =
        |names: &[&str]| names.iter().find_map(|name| prompts.get(*name)).cloned().unwrap_or_default();
    let prompt = Sides { paper: first(&["document", "passage", "corpus"]), query: first(&["query"]) };
    Ok((prompts, prompt))
}

/// A step may be said to be in the model's own folder.
fn config_in(step: &str) -> String {
    if step.is_empty() { CONFIG.into() } else { format!("{step}/{CONFIG}") }
}

fn pooling(folder: &Path, path: &str) -> Result<Pooling> {
    let path = config_in(path);
    let config: PoolingConfig = json(folder, &path)?.ok_or_else(|| missing(folder, &path))?;
    let refused = |what: &str| {
        Err(Error::Model(format!("{}: {what}; use another model", folder.join(&path).display())))
    };
    if !config.include_prompt {
        return refused("include_prompt is false: leaving a prompt out of the pooling is not supported");
    }
    let flags = [
        (config.pooling_mode_cls_token, Pooling::Cls),
        (config.pooling_mode_mean_tokens, Pooling::Mean),
        (config.pooling_mode_max_tokens, Pooling::Max),
        (config.pooling_mode_mean_sqrt_len_tokens, Pooling::MeanSqrtLen),
        (config.pooling_mode_weightedmean_tokens, Pooling::WeightedMean),
        (config.pooling_mode_lasttoken, Pooling::LastToken),
    ];
    let flagged: Vec<Pooling> =
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mode)| mode).collect();
    match (config.pooling_mode, &flagged[..]) {
        (Some(mode), _) => serde_json::from_value(mode.clone()).or_else(|_| {
            refused(&format!(
                "pooling_mode {mode} is not supported, only one of cls, mean, max, mean_sqrt_len_tokens, weightedmean and \
                 lasttoken"
            ))
        }),
        (None, [one]) => Ok(*one),
        (None, several) => refused(&format!("got {} kinds of pooling, wanted exactly one", several.len())),
    }
}

fn read_dense(folder: &Path, path: &str) -> Result<Dense> {
    let file = config_in(path);
    let config: DenseConfig = json(folder, &file)?.ok_or_else(|| missing(folder, &file))?;
    let refused = |what: String| {
        Err(Error::Model(format!("{}: {what}; use another model", folder.join(&file).display())))
    };
    let is_sentence = |name: &Option<String>| name.as_deref().is_none_or(|name| name == "sentence_embedding");
    if config.use_residual
        || !is_sentence(&config.module_input_name)
        || !is_sentence(&config.module_output_name)
    {
        return refused(
            "a Dense with a residual, or on anything but the pooled vector, is not supported".into(),
        );
    }
    let function = config.activation_function.as_deref().unwrap_or("torch.nn.modules.activation.Tanh");
    let tanh = match function.rsplit('.').next() {
        Some("Tanh") => true,
        Some("Identity") => false,
        _ => {
            return refused(format!(
                "activation_function {function:?} is not supported, only Tanh and Identity"
            ));
        }
    };
    let DenseConfig { in_features: inputs, out_features: outputs, bias, .. } = config;
    Ok(Dense { folder: path.into(), inputs, outputs, bias, tanh })
}

/// Reads a JSON file; `None` if there is none.
fn json<T: serde::de::DeserializeOwned>(folder: &Path, path: &str) -> Result<Option<T>> {
    let path = folder.join(path);
    let text = match disk::read_text(&path) {
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
