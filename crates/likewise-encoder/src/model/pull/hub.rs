//! The model hub, and the cache in which other programs keep what they have of it.
//!
//! Its own file because it is a feature (`hub`): it brings an HTTP client and TLS, which a program that has its model does
//! not need.

use super::{Wanted, copy_file, list};
use crate::error::{Error, Result};
use crate::model::config::Config;
use crate::model::manifest::{FileSum, HubSource};
use crate::model::sentence_transformers;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use std::path::Path;

/// From what other programs have fetched before.
pub(super) fn from_hub_cache(wanted: &Wanted, aside: &Path) -> Result<Vec<FileSum>> {
    let cache = hf_hub::Cache::from_env();
    let snapshot = |hub: &HubSource| {
        let base = cache.path().join(repo_of(hub).folder_name());
        // A branch's file holds the commit that its snapshot is named for.
        let commit = std::fs::read_to_string(base.join("refs").join(&hub.revision));
        base.join("snapshots").join(commit.as_deref().map_or(hub.revision.as_str(), str::trim))
    };
    let own = snapshot(&wanted.hub);
    if !own.is_dir() {
        let cache = cache.path().display();
        return Err(Error::Model(format!("{} is not in {cache}", wanted.hub.repo)));
    }
    let files = wanted.files(|| list(&own))?;
    if wanted.manifest.is_none() && !own.join("modules.json").is_file() {
        return Err(Error::Model(format!(
            "{}: no modules.json in it, so that nobody knows whether it is all of the model",
            own.display()
        )));
    }
    for file in &files {
        let (hub, name) = place_of(file, wanted);
        copy_file(&snapshot(&hub).join(name), &aside.join(&file.path))?;
    }
    Ok(files)
}

/// From the hub itself.
pub(super) fn from_hub(wanted: &Wanted, aside: &Path) -> Result<Vec<FileSum>> {
    let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
    if !matches!(offline.to_ascii_lowercase().as_str(), "" | "0" | "false" | "no" | "off") {
        return Err(Error::Model(format!("not asked, because HF_HUB_OFFLINE={offline}")));
    }
    let api = api()?;
    let listed = || {
        let info = api.repo(repo_of(&wanted.hub)).info().map_err(refused)?;
        Ok(info.siblings.into_iter().map(|file| file.rfilename).collect())
    };
    let files = wanted.files(listed)?;
    for file in &files {
        let is_weights = file.path.ends_with(".safetensors") || file.path.ends_with(".bin");
        let is_of_network = !file.path.contains('/') || file.path.starts_with("0_");
        if wanted.files.is_none() && wanted.manifest.is_none() && is_weights && is_of_network {
            // Before gigabytes are fetched for nothing.
            let network = aside.join(sentence_transformers::network_in(aside)?);
            sentence_transformers::read(aside, &Config::read(&network)?)?;
        }
        let (hub, name) = place_of(file, wanted);
        let cached = api.repo(repo_of(&hub)).download(&name).map_err(refused)?;
        copy_file(&cached, &aside.join(&file.path))?;
    }
    Ok(files)
}

fn api() -> Result<Api> {
    let mut builder = ApiBuilder::from_env();
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    builder.build().map_err(refused)
}

fn refused(error: ApiError) -> Error {
    Error::Model(error.to_string())
}

fn repo_of(hub: &HubSource) -> hf_hub::Repo {
    hf_hub::Repo::with_revision(hub.repo.clone(), hf_hub::RepoType::Model, hub.revision.clone())
}

/// Where a file is on the hub, and its name there.
fn place_of(file: &FileSum, wanted: &Wanted) -> (HubSource, String) {
    let Some(from) = &file.from else { return (wanted.hub.clone(), file.path.clone()) };
    let mut parts = from.splitn(3, '/');
    let mut next = || parts.next().unwrap_or_default();
    let repo = format!("{}/{}", next(), next());
    (HubSource { repo, revision: "main".into() }, next().into())
}
