//! Reads the settings of models without a `model.toml` from the files of the sentence-transformers library.
//!
//! `modules.json` lists the modules and their folders. `1_Pooling/config.json` has the pooling, and
//! `config_sentence_transformers.json` the prompts. The maximum length is in the folder of the network: in
//! `sentence_bert_config.json`, in a file with one of six similar names, or, since version 6 of the library, in
//! `tokenizer_config.json`.
//!
//! A setting that is not supported causes an error, because ignoring the setting would change the vectors.

use super::network_config::NetworkConfig;
use super::normalizer::{self, NormalizerConfig};
use super::repository::{TRANSFORMER_CONFIGS, is_module_folder};
use super::{
    CONFIG, Dense, LORA_CONFIG, LORA_WEIGHTS, ModelConfig, ModelKind, PerInputType, Pooling, static_model,
    weights,
};
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
    /// A float, because "no limit" is stored as 1e30, which is too large for an integer.
    model_max_length: Option<f64>,
    #[serde(flatten)]
    normalizer: NormalizerConfig,
}

/// The prompts in config_sentence_transformers.json.
#[derive(Deserialize, Default)]
pub(super) struct PromptsConfig {
    pub default_prompt_name: Option<String>,
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
    /// The name of the pooling mode, which newer versions of the library write instead of the flags.
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
pub(super) struct Module {
    r#type: String,
    pub path: String,
}

impl Module {
    /// Returns the name of the module's Python class, without the Python package before it, which depends on the
    /// version of the library.
    pub fn class(&self) -> &str {
        self.r#type.rsplit('.').next().unwrap_or_default()
    }
}

/// The name of the file that lists the modules.
pub(super) const MODULES: &str = "modules.json";

/// The class of the module with a table of token vectors.
const STATIC: &str = "StaticEmbedding";

/// The folder of the pooling module in models without modules.json.
const POOLING: &str = "1_Pooling";

/// The name of the file with the prompts.
pub(super) const PROMPTS: &str = "config_sentence_transformers.json";

/// Reads the settings of a model that computes vectors. It makes no difference whether the folder has a Normalize
/// module: vectors are always scaled to length 1, because vectors are compared by cosine.
pub(super) fn read(folder: &Path, network_config: &NetworkConfig) -> Result<ModelConfig> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    let (pooling, dense) = match &modules {
        Some(modules) => pooling_and_dense(folder, modules)?,
        // The library's default pooling for folders without a pooling module.
        None if !folder.join(POOLING).is_dir() => {
            (if network_config.is_causal { Pooling::LastToken } else { Pooling::Mean }, Vec::new())
        }
        None => (pooling(folder, POOLING)?, Vec::new()),
    };
    if modules.is_none() {
        check_no_unlisted_modules(folder)?;
    }
    let dimension = dense.last().map_or(network_config.hidden_size, |dense| dense.outputs);
    Ok(ModelConfig { pooling, dense, dimension, ..common(folder, network_config)? })
}

/// Reads the settings that models of every kind have: the tokenizer's settings, the maximum length and the prompts. The
/// other settings are those of a model that computes vectors without dense layers.
pub(super) fn common(folder: &Path, network_config: &NetworkConfig) -> Result<ModelConfig> {
    let network = network_folder(folder)?;
    let has_lora = has_lora(&folder.join(&network));
    if !has_lora {
        check_no_adapters(folder, &folder.join(&network))?;
    }
    let prompts: PromptsConfig = json(folder, PROMPTS)?.unwrap_or_default();
    let (prompts, prompt) = named_and_default_prompts(folder, prompts)?;
    let transformer: TransformerConfig = transformer_config(&folder.join(&network))?;
    let tokenizer: TokenizerConfig =
        json(&folder.join(&network), "tokenizer_config.json")?.unwrap_or_default();
    // The cast from float to integer saturates. Below, the maximum length is limited to the number of positions that
    // the network has.
    let max_length = transformer.max_seq_length.or(tokenizer.model_max_length.map(|length| length as usize));
    let path = folder.canonicalize().map_err(Error::io(folder))?;
    Ok(ModelConfig {
        kind: ModelKind::Embedding,
        name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        pooling: Pooling::Mean,
        max_length: max_length.unwrap_or(network_config.max_length).min(network_config.max_length),
        normalizer: normalizer::replacement(&folder.join(&network), &tokenizer.normalizer, network_config)?,
        lowercase: transformer.do_lower_case.unwrap_or_default(),
        lora: has_lora.then(|| network.clone()),
        network,
        join: None,
        pair: false,
        query_encoder: None,
        title: 0,
        calibration: None,
        rerank_calibration: None,
        prompts,
        prompt,
        adapters: None,
        dimension: network_config.hidden_size,
        dense: Vec::new(),
        checksums: Vec::new(),
    })
}

/// Whether the model is static: it has a table of token vectors instead of a network.
pub(super) fn is_static(folder: &Path) -> Result<bool> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    Ok(match modules.as_deref() {
        Some(modules) => modules.first().is_some_and(|first| first.class() == STATIC),
        None => static_model::is_model2vec(folder),
    })
}

/// Returns the folder of the network, relative to the model folder. It is `0_Transformer` in models written by older
/// versions of the library, and empty if the network is in the model folder itself.
pub(super) fn network_folder(folder: &Path) -> Result<String> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    match modules.as_deref() {
        Some([first, ..]) => {
            check_inside(folder, first)?;
            match first.class() {
                "Transformer" | STATIC => Ok(first.path.trim_matches(['.', '/']).to_string()),
                _ => Err(unsupported_modules(
                    folder,
                    &format!("the module {} is not supported as the first module", first.r#type),
                )),
            }
        }
        Some([]) => Err(unsupported_modules(folder, "the list of modules is empty")),
        None if folder.join(CONFIG).is_file() => Ok(String::new()),
        None => check_no_unlisted_modules(folder).map(|()| String::new()),
    }
}

pub(super) fn check_inside(folder: &Path, Module { r#type, path }: &Module) -> Result<()> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(unsupported_modules(
            folder,
            &format!("the path {path:?} of the module {type} is outside the model folder"),
        ));
    }
    Ok(())
}

fn unsupported_modules(folder: &Path, problem: &str) -> Error {
    let supported = "the modules must be Transformer and Pooling, or StaticEmbedding; then any number of Dense, and \
                     Normalize at the end";
    Error::Model(format!("{}: {problem}; {supported}; use another model", folder.join(MODULES).display()))
}

/// Reads the first of the files `TRANSFORMER_CONFIGS` that has fields. Without such a file, no field is set.
pub(super) fn transformer_config<T: serde::de::DeserializeOwned + Default>(network: &Path) -> Result<T> {
    for name in TRANSFORMER_CONFIGS {
        let fields: serde_json::Map<String, serde_json::Value> = json(network, name)?.unwrap_or_default();
        if !fields.is_empty() {
            return Ok(json(network, name)?.unwrap_or_default());
        }
    }
    Ok(T::default())
}

/// Whether the folder of the network has a LoRA adapter.
pub(super) fn has_lora(network: &Path) -> bool {
    [LORA_CONFIG, LORA_WEIGHTS].iter().all(|file| network.join(file).is_file())
}

/// Returns an error if the folder contains adapters, because no file of the library says which texts an adapter is for,
/// or whether the adapter has to be merged into the weights.
fn check_no_adapters(folder: &Path, network: &Path) -> Result<()> {
    let [config, _] = weights::ADAPTER_FILES;
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?.flatten();
    // Requires both files of an adapter, because training programs leave a lone adapter_config.json in their checkpoint
    // folders.
    let adapters =
        entries.filter(|entry| weights::ADAPTER_FILES.iter().all(|file| entry.path().join(file).is_file()));
    let mut names: Vec<String> =
        adapters.map(|entry| format!("{:?}", entry.file_name().to_string_lossy())).collect();
    names.sort();
    let shown = folder.display();
    match &names[..] {
        _ if folder.join(config).is_file() || network.join(config).is_file() => Err(Error::Model(format!(
            "{shown}: there is {config}, but not {LORA_WEIGHTS}; put that file beside it, or merge the adapter into the \
             model, and save the result"
        ))),
        [] => Ok(()),
        names => Err(Error::Model(format!(
            "{shown}: the folder has the adapters {}, but does not state which texts they are for; add a model.toml \
             that does (`adapters = {{ paper = \"proximity\", query = \"adhoc_query\" }}`, as in \
             models/specter2/model.toml), or give --model the model's name",
            names.join(", ")
        ))),
    }
}

/// Returns an error if a folder without modules.json contains a module with weights. Such a folder is incomplete, and
/// the module would be ignored.
fn check_no_unlisted_modules(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?.flatten();
    let with_weights = entries.filter(|entry| weights::files(&entry.path()).is_ok());
    let mut names = with_weights.map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.find(|name| is_module_folder(name)) {
        Some(name) => Err(Error::Model(format!(
            "{}: the folder contains {name}, but not modules.json, which lists the modules; fetch the model folder \
             again",
            folder.display()
        ))),
        None => Ok(()),
    }
}

/// Reads the settings of the modules that follow the network.
fn pooling_and_dense(folder: &Path, modules: &[Module]) -> Result<(Pooling, Vec<Dense>)> {
    let (mut pooled, mut dense) = (None, Vec::new());
    let refused = |problem: String| unsupported_modules(folder, &problem);
    for (index, module @ Module { r#type, path }) in modules.iter().enumerate() {
        check_inside(folder, module)?;
        match (module.class(), pooled) {
            ("Transformer", None) if index == 0 => {}
            // The table is already a mean over tokens.
            (STATIC, None) if index == 0 => pooled = Some(Pooling::Mean),
            ("Pooling", None) => pooled = Some(pooling(folder, path)?),
            ("Dense", Some(_)) => dense.push(read_dense(folder, path)?),
            // Vectors are normalised once, at the end, so a Normalize module that is followed by a module of another
            // kind is not supported.
            ("Normalize", Some(_))
                if modules[index..].iter().all(|module| module.r#type.ends_with("Normalize")) => {}
            _ => return Err(refused(format!("the module {type} is not supported, or not at this position"))),
        }
    }
    pooled.map(|pooled| (pooled, dense)).ok_or_else(|| refused("the module Pooling is missing".into()))
}

/// Returns all prompts by name, and the default prompts of documents and queries. The default prompts are those that
/// the library's functions `encode_document` and `encode_query` use; these functions ignore `default_prompt_name`. For
/// documents, there is one difference: since version 5.1, the library adds an empty "document" prompt to all models,
/// whereas this function uses the "passage" or "corpus" prompt of older models.
fn named_and_default_prompts(
    folder: &Path,
    config: PromptsConfig,
) -> Result<(BTreeMap<String, String>, PerInputType<String>)> {
    let PromptsConfig { default_prompt_name, prompts } = config;
    let prompts: BTreeMap<String, String> =
        prompts.into_iter().map(|(name, prompt)| (name, prompt.unwrap_or_default())).collect();
    if let Some(name) = default_prompt_name.filter(|name| !prompts.contains_key(name)) {
        return Err(Error::Model(format!(
            "{}: default_prompt_name is {name:?}, but there is no prompt with that name; correct it",
            folder.join(PROMPTS).display()
        )));
    }
    let first =
        |names: &[&str]| names.iter().find_map(|name| prompts.get(*name)).cloned().unwrap_or_default();
    let document = first(&["document", "passage", "corpus"]);
    let prompt = PerInputType { document, query: first(&["query"]) };
    Ok((prompts, prompt))
}

/// Returns the path of a module's config.json, relative to the model folder. `module` is the folder of the module, and
/// is empty if the module is in the model folder itself.
pub(super) fn config_path(module: &str) -> String {
    if module.is_empty() { CONFIG.into() } else { format!("{module}/{CONFIG}") }
}

fn pooling(folder: &Path, module: &str) -> Result<Pooling> {
    let path = config_path(module);
    let config: PoolingConfig = json(folder, &path)?.ok_or_else(|| missing(folder, &path))?;
    let refused = |problem: &str| {
        Err(Error::Model(format!("{}: {problem}; use another model", folder.join(&path).display())))
    };
    if !config.include_prompt {
        return refused("include_prompt = false (pooling without the prompt's tokens) is not supported");
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
                "pooling_mode {mode} is not supported, only one of cls, mean, max, mean_sqrt_len_tokens, weightedmean \
                 and lasttoken"
            ))
        }),
        (None, [one]) => Ok(*one),
        (None, several) => {
            refused(&format!("exactly one kind of pooling must be set (got {})", several.len()))
        }
    }
}

/// The name of pooled vectors, in the settings of a Dense module.
const POOLED: &str = "sentence_embedding";

/// Reads the settings of a dense layer that is applied to pooled vectors.
fn read_dense(folder: &Path, module: &str) -> Result<Dense> {
    read_dense_of(folder, module, POOLED)
}

/// Reads the settings of a dense layer that is applied to the vector of each token.
pub(super) fn read_token_dense(folder: &Path, module: &str) -> Result<Dense> {
    read_dense_of(folder, module, "token_embeddings")
}

/// Reads the settings of a dense layer whose input has the name `input`, which is also the name of its output.
fn read_dense_of(folder: &Path, module: &str, input: &str) -> Result<Dense> {
    let file = config_path(module);
    let config: DenseConfig = json(folder, &file)?.ok_or_else(|| missing(folder, &file))?;
    let refused = |problem: String| {
        Err(Error::Model(format!("{}: {problem}; use another model", folder.join(&file).display())))
    };
    let is_input = |name: &Option<String>| name.as_deref().is_none_or(|name| name == input);
    if config.use_residual || !is_input(&config.module_input_name) || !is_input(&config.module_output_name) {
        return refused(format!(
            "a Dense module with a residual connection, or with another input or output than {input}, is not supported"
        ));
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
    Ok(Dense { folder: module.into(), inputs, outputs, bias, tanh })
}

/// Reads a JSON file. `None`: the file does not exist.
pub(super) fn json<T: serde::de::DeserializeOwned>(folder: &Path, path: &str) -> Result<Option<T>> {
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

pub(super) fn missing(folder: &Path, path: &str) -> Error {
    Error::Model(format!(
        "{}: the file does not exist; a model folder needs a model.toml, or all files of a sentence-transformers model",
        folder.join(path).display()
    ))
}
