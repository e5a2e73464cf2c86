//! Reads the settings of sparse encoders (SPLADE) from the files of the sentence-transformers library.

use super::network_config::NetworkConfig;
use super::sentence_transformers::{MODULES, Module, check_inside, common, config_path, json};
use super::{ModelConfig, ModelKind, SparseActivation, SparseConfig, SparsePooling};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// The class of the module that pools the predictions of the network.
const POOLING: &str = "SpladePooling";

#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default = "max")]
    pooling_strategy: String,
    #[serde(default = "relu")]
    activation_function: String,
}

fn max() -> String {
    "max".into()
}

fn relu() -> String {
    "relu".into()
}

/// Whether a folder without model.toml contains a sparse encoder.
///
/// # Errors
/// [`Error::Model`] if modules.json is damaged.
pub(super) fn is_sparse(folder: &Path) -> Result<bool> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    Ok(modules.is_some_and(|modules| modules.iter().any(|module| module.class() == POOLING)))
}

/// Reads the settings of a sparse encoder.
///
/// # Errors
/// [`Error::Model`] if a file is damaged, or the folder contains a model of another kind or with further modules.
pub(super) fn read(folder: &Path, network_config: &NetworkConfig) -> Result<ModelConfig> {
    let modules: Option<Vec<Module>> = json(folder, MODULES)?;
    let refused = |problem: String| Err(Error::Model(format!("{}: {problem}", folder.display())));
    let module = match modules.as_deref() {
        Some([_, module]) if module.class() == POOLING => module,
        _ => {
            return refused(
                "the model is not a sparse encoder: modules.json must have the modules Transformer and SpladePooling"
                    .into(),
            );
        }
    };
    check_inside(folder, module)?;
    let path = config_path(&module.path);
    let Some(PoolingConfig { pooling_strategy, activation_function }) = json(folder, &path)? else {
        return refused(format!("{path} is missing; fetch the model folder again"));
    };
    let pooling = match pooling_strategy.as_str() {
        "max" => SparsePooling::Max,
        "sum" => SparsePooling::Sum,
        other => return refused(format!("{path}: pooling_strategy must be max or sum (got {other:?})")),
    };
    let activation = match activation_function.as_str() {
        "relu" => SparseActivation::Log,
        "log1p_relu" => SparseActivation::LogLog,
        other => {
            return refused(format!(
                "{path}: activation_function must be relu or log1p_relu (got {other:?})"
            ));
        }
    };
    let kind = ModelKind::Sparse(SparseConfig { pooling, activation });
    Ok(ModelConfig { kind, ..common(folder, network_config)? })
}
