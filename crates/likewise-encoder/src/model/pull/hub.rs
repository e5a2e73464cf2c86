//! Fetches models from the Hugging Face hub, and from the hub's local cache, which other programs use too.
//!
//! This module is part of the program only with the feature `hub`, because it needs an HTTP client and TLS.

use super::{ModelRequest, copy_file, list_files};
use crate::error::{Error, Result};
use crate::model::manifest::{FileChecksum, HubSource};
use crate::model::network_config::NetworkConfig;
use crate::model::{LORA_WEIGHTS, kind_of, read_settings, sentence_transformers};
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use std::path::Path;

/// Copies the files of a model from the hub's local cache.
pub(super) fn from_hub_cache(request: &ModelRequest, staging: &Path) -> Result<Vec<FileChecksum>> {
    let cache = hf_hub::Cache::from_env();
    let snapshot = |hub: &HubSource| {
        let base = cache.path().join(repo_of(hub).folder_name());
        // If the revision is a branch, this file contains the branch's commit. The folder of a snapshot is named after
        // its commit.
        let commit = std::fs::read_to_string(base.join("refs").join(&hub.revision));
        base.join("snapshots").join(commit.as_deref().map_or(hub.revision.as_str(), str::trim))
    };
    let own = snapshot(&request.hub);
    if !own.is_dir() {
        let cache = cache.path().display();
        return Err(Error::Model(format!("{} is not in {cache}", request.hub.repo)));
    }
    let files = request.files(|| list_files(&own))?;
    if request.manifest.is_none() && !own.join("modules.json").is_file() {
        return Err(Error::Model(format!(
            "{}: the folder has no modules.json, so the model might be incomplete",
            own.display()
        )));
    }
    for file in &files {
        let (hub, name) = location_of(file, request);
        copy_file(&snapshot(&hub).join(name), &staging.join(&file.path))?;
    }
    Ok(files)
}

/// Downloads the files of a model from the hub.
pub(super) fn from_hub(request: &ModelRequest, staging: &Path) -> Result<Vec<FileChecksum>> {
    let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
    if !matches!(offline.to_ascii_lowercase().as_str(), "" | "0" | "false" | "no" | "off") {
        return Err(Error::Model(format!("the hub is not used, because of HF_HUB_OFFLINE={offline}")));
    }
    let api = api()?;
    let list_all = || {
        let info = api.repo(repo_of(&request.hub)).info().map_err(hub_error)?;
        Ok(info.siblings.into_iter().map(|file| file.rfilename).collect())
    };
    let files = request.files(list_all)?;
    for file in &files {
        let has_tensors = file.path.ends_with(".safetensors") || file.path.ends_with(".bin");
        let is_weights = has_tensors && !file.path.ends_with(LORA_WEIGHTS);
        let is_in_network = !file.path.contains('/') || file.path.starts_with("0_");
        if request.files.is_none() && request.manifest.is_none() && is_weights && is_in_network {
            // Checks that the model is supported before gigabytes of weights are downloaded.
            let network = staging.join(sentence_transformers::network_folder(staging)?);
            if !sentence_transformers::is_static(staging)? {
                let network_config = NetworkConfig::read(&network)?;
                read_settings(kind_of(staging, &network_config)?, staging, &network_config)?;
            }
        }
        let (hub, name) = location_of(file, request);
        let cached = api.repo(repo_of(&hub)).download(&name).map_err(hub_error)?;
        copy_file(&cached, &staging.join(&file.path))?;
    }
    Ok(files)
}

fn api() -> Result<Api> {
    let mut builder = ApiBuilder::from_env();
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    builder.build().map_err(hub_error)
}

fn hub_error(error: ApiError) -> Error {
    Error::Model(error.to_string())
}

fn repo_of(hub: &HubSource) -> hf_hub::Repo {
    hf_hub::Repo::with_revision(hub.repo.clone(), hf_hub::RepoType::Model, hub.revision.clone())
}

/// Returns the repository of a file, and the file's path in that repository.
fn location_of(file: &FileChecksum, request: &ModelRequest) -> (HubSource, String) {
    let Some(from) = &file.from else { return (request.hub.clone(), file.path.clone()) };
    let mut parts = from.splitn(3, '/');
    let mut next = || parts.next().unwrap_or_default();
    let repo = format!("{}/{}", next(), next());
    (HubSource { repo, revision: "main".into() }, next().into())
}
