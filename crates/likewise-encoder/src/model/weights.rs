//! Which files of a folder hold its weights.
//!
//! Its own file because there are three ways to store them: one safetensors file, several with an index that says
//! which tensor is where, and what `torch.save` writes. The safe one is taken where there are two.

use super::WEIGHTS;
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The ways, in their order, and whether the file is an index of others.
const WAYS: [(&str, bool); 4] = [
    (WEIGHTS, false),
    ("model.safetensors.index.json", true),
    ("pytorch_model.bin", false),
    ("pytorch_model.bin.index.json", true),
];

/// What an adapter's folder holds: its shape and its weights.
pub(super) const ADAPTER: [&str; 2] = ["adapter_config.json", "pytorch_adapter.bin"];

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files of `folder`'s weights, by their names in it.
///
/// # Errors
/// [`Error::Model`] if there are none, or the index cannot be read.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let way = WAYS.iter().find(|(name, _)| folder.join(name).is_file());
    let Some((name, is_index)) = way else {
        return Err(Error::Model(format!(
            "{}: no {} in it; a model folder needs its weights, as {WEIGHTS}, as several such files with their index, or as \
             pytorch_model.bin",
            folder.display(),
            WEIGHTS
        )));
    };
    if !is_index {
        return Ok(vec![(*name).into()]);
    }
    let path = folder.join(name);
    let text = disk::read_text(&path).map_err(Error::io(&path))?;
    let index: Index = serde_json::from_str(&text).map_err(|error| {
        Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
    })?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    let is_outside = |file: &String| file.contains(['/', '\\']) || file.starts_with('.');
    if let Some(file) = files.iter().find(|file| is_outside(file)) {
        return Err(Error::Model(format!(
            "{}: got the file {file:?}, wanted names of files beside it; fetch the model folder again",
            path.display()
        )));
    }
    Ok(files.into_iter().collect())
}
