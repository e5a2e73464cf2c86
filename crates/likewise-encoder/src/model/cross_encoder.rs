//! Reads the settings of cross-encoders, from the files of the sentence-transformers library or of the transformers
//! library. A folder of the second kind has no file besides config.json, the tokenizer and the weights.

use super::network_config::NetworkConfig;
use super::sentence_transformers::{
    MODULES, Module, PROMPTS, PromptsConfig, check_inside, common, config_path, json,
};
use super::{
    CHAT_TEMPLATE, CrossEncoderConfig, Family, ModelConfig, ModelKind, PairInput, PerInputType, Pooling,
    ScoreActivation, Scoring, TOKENIZER,
};
use crate::error::{Error, Result, damaged};
use likewise_base::disk;
use serde::Deserialize;
use std::path::Path;

/// The field of `config_sentence_transformers.json` that only cross-encoders have.
#[derive(Deserialize, Default)]
struct LibraryConfig {
    activation_fn: Option<String>,
}

/// The config.json of the module LogitScore.
#[derive(Deserialize)]
struct LogitScoreConfig {
    true_token_id: u32,
    false_token_id: Option<u32>,
}

/// Whether a folder without model.toml contains a cross-encoder, judged by its modules and by the class of its network.
///
/// # Errors
/// [`Error::Model`] if modules.json is damaged.
pub(super) fn is_cross_encoder(folder: &Path, network_config: &NetworkConfig) -> Result<bool> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    Ok(match modules {
        Some(modules) if modules.iter().any(|module| module.class() == "LogitScore") => true,
        Some(modules) => modules.len() == 1 && network_config.is_classifier(),
        None => network_config.is_classifier(),
    })
}

/// Reads the settings of a cross-encoder.
///
/// # Errors
/// [`Error::Model`] if a file is damaged, or the folder contains a model of another kind or with several labels.
pub(super) fn read(folder: &Path, network_config: &NetworkConfig) -> Result<ModelConfig> {
    let config = common(folder, network_config)?;
    let scoring = scoring(folder, network_config)?;
    let library: LibraryConfig = json(folder, PROMPTS)?.unwrap_or_default();
    let tokenizer = TokenizerConfig::read(&folder.join(&config.network))?;
    let input = match scoring {
        Scoring::Classifier if !tokenizer.has_instruction() => {
            PairInput::TwoTexts { token_types: tokenizer.returns_token_types() }
        }
        // Older folders of Qwen3-Reranker have the chat template of Qwen3, but were trained with this prompt too.
        Scoring::TokenLogit { .. }
            if !tokenizer.has_instruction() && network_config.family != Family::Qwen3 =>
        {
            return Err(Error::Model(format!(
                "{}: of the language models that answer with a token, only those with the prompt of Qwen3-Reranker are \
                 supported, and the chat template is another one; use another model",
                folder.display()
            )));
        }
        _ => PairInput::Instruction,
    };
    let activation_class = library.activation_fn.as_deref().or(network_config.score_activation());
    let activation = activation(folder, activation_class)?;
    let PromptsConfig { default_prompt_name, .. } = json(folder, PROMPTS)?.unwrap_or_default();
    let prompt = default_prompt_name.and_then(|name| config.prompts.get(&name)).cloned().unwrap_or_default();
    Ok(ModelConfig {
        kind: ModelKind::CrossEncoder(CrossEncoderConfig { input, scoring, activation }),
        pooling: pooling(network_config),
        prompt: PerInputType { document: String::new(), query: prompt },
        ..config
    })
}

/// The fields of `tokenizer_config.json` that determine the input of the network.
#[derive(Deserialize, Default)]
struct TokenizerConfig {
    tokenizer_class: Option<String>,
    model_input_names: Option<Vec<String>>,
    /// The chat template. In newer folders, it is in a file of its own.
    chat_template: Option<serde_json::Value>,
}

impl TokenizerConfig {
    fn read(network: &Path) -> Result<TokenizerConfig> {
        let config: TokenizerConfig = json(network, "tokenizer_config.json")?.unwrap_or_default();
        let path = network.join(CHAT_TEMPLATE);
        let in_file = match path.is_file() {
            true => {
                Some(serde_json::Value::from(disk::read_text(&path).map_err(|error| damaged(&path, error))?))
            }
            false => None,
        };
        Ok(TokenizerConfig { chat_template: in_file.or(config.chat_template), ..config })
    }

    /// Whether the chat template is that of Qwen3-Reranker, so that pairs are put into its prompt.
    fn has_instruction(&self) -> bool {
        let template = self.chat_template.as_ref().map(|template| template.to_string()).unwrap_or_default();
        template.contains("<Instruct>") && template.contains("<Document>")
    }

    /// Whether the tokenizer passes token types to the network. In the transformers library, a tokenizer of a general
    /// class does so only if `model_input_names` says it.
    fn returns_token_types(&self) -> bool {
        let is_general = matches!(
            self.tokenizer_class.as_deref(),
            Some("TokenizersBackend" | "PreTrainedTokenizerFast" | "PreTrainedTokenizer")
        );
        let names = self.model_input_names.as_ref();
        names.map_or(!is_general, |names| names.iter().any(|name| name == "token_type_ids"))
    }
}

/// How the model computes the score of a pair.
///
/// # Errors
/// [`Error::Model`] if the model is not a cross-encoder, or has more than one label.
pub(super) fn scoring(folder: &Path, network_config: &NetworkConfig) -> Result<Scoring> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    let refused = |problem: String| Err(Error::Model(format!("{}: {problem}", folder.display())));
    match modules.as_deref() {
        Some([_, module]) if module.class() == "LogitScore" => logit_score(folder, module),
        None | Some([_]) if network_config.is_classifier() => match network_config.labels() {
            1 => Ok(Scoring::Classifier),
            labels => refused(format!(
                "a cross-encoder must have one label to be used for ranking (got {labels}); use another model"
            )),
        },
        None if network_config.is_language_model() => yes_or_no(&folder.join(TOKENIZER)),
        _ => refused(
            "the model is not a cross-encoder: it has no head for sequence classification, and no module LogitScore; \
             if it computes vectors, give it to --model instead of --reranker"
                .into(),
        ),
    }
}

/// The answer tokens of the module LogitScore.
fn logit_score(folder: &Path, module: &Module) -> Result<Scoring> {
    check_inside(folder, module)?;
    let path = config_path(&module.path);
    let config: Option<LogitScoreConfig> = json(folder, &path)?;
    let missing = || damaged(&folder.join(&path), "the file is missing");
    let LogitScoreConfig { true_token_id, false_token_id } = config.ok_or_else(missing)?;
    Ok(Scoring::TokenLogit { token: true_token_id, other: false_token_id })
}

/// The answer tokens `yes` and `no`, which the library uses for language models without the module LogitScore.
fn yes_or_no(tokenizer: &Path) -> Result<Scoring> {
    let loaded = tokenizers::Tokenizer::from_file(tokenizer).map_err(|error| damaged(tokenizer, error))?;
    match ["yes", "no"].map(|word| loaded.token_to_id(word)) {
        [Some(yes), Some(no)] => Ok(Scoring::TokenLogit { token: yes, other: Some(no) }),
        _ => Err(Error::Model(format!(
            "{}: the tokenizer must have the tokens yes and no, with which a language model ranks; use another model",
            tokenizer.display()
        ))),
    }
}

/// The function that is applied to the logit, from the name of its Python class. The library's default for models with
/// one label is the sigmoid function.
fn activation(folder: &Path, class: Option<&str>) -> Result<ScoreActivation> {
    match class.map(|class| class.rsplit('.').next().unwrap_or_default()) {
        None | Some("Sigmoid") => Ok(ScoreActivation::Sigmoid),
        Some("Identity") => Ok(ScoreActivation::Identity),
        Some(other) => Err(Error::Model(format!(
            "{}: the activation function {other:?} of the score is not supported, only Sigmoid and Identity; use \
             another model",
            folder.display()
        ))),
    }
}

/// Which token vectors the head gets.
pub(super) fn pooling(network_config: &NetworkConfig) -> Pooling {
    match network_config.family {
        // Only the last token has read the whole pair.
        _ if network_config.is_causal => Pooling::LastToken,
        Family::ModernBert => network_config.classifier_pooling(),
        _ => Pooling::Cls,
    }
}
