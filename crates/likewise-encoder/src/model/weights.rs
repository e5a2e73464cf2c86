//! Finds the weight files in a folder.
//!
//! Weights are stored as one safetensors file, as one file written by `torch.save`, or as several files of either
//! format with an index that maps tensors to files. If a folder has both formats, the safetensors files are used.

use super::WEIGHTS;
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names of the supported files in order of preference, and whether the file is an index that lists the weight files.
const WEIGHT_FILES: [(&str, bool); 4] = [
    (WEIGHTS, false),
    ("model.safetensors.index.json", true),
    ("pytorch_model.bin", false),
    ("pytorch_model.bin.index.json", true),
];

/// The files in the folder of an adapter: the configuration and the weights of the adapter.
pub(super) const ADAPTER_FILES: [&str; 2] = ["adapter_config.json", "pytorch_adapter.bin"];

#[derive(Deserialize)]
struct WeightIndex {
    /// The name of the file that contains each tensor, by tensor name.
    weight_map: BTreeMap<String, String>,
}

/// Returns the names of the weight files in `folder`.
///
/// # Errors
/// [`Error::Model`] if the folder has no weight files, or the index is damaged.
pub(super) fn files(folder: &Path) -> Result<Vec<String>> {
    let preferred = WEIGHT_FILES.iter().find(|(name, _)| folder.join(name).is_file());
    let Some((name, is_index)) = preferred else {
        return Err(Error::Model(format!(
            "{}: the folder has no weights; it must contain {WEIGHTS}, several safetensors files with an index, or \
             pytorch_model.bin",
            folder.display()
        )));
    };
    if !is_index {
        return Ok(vec![(*name).into()]);
    }
    let path = folder.join(name);
    let text = disk::read_text(&path).map_err(Error::io(&path))?;
    let index: WeightIndex = serde_json::from_str(&text).map_err(|error| {
        Error::Model(format!("{}: {error}; fetch the model folder again", path.display()))
    })?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    let is_outside = |file: &String| file.contains(['/', '\\']) || file.starts_with('.');
    if let Some(file) = files.iter().find(|file| is_outside(file)) {
        return Err(Error::Model(format!(
            "{}: the index lists the file {file:?}, but must list only files in its own folder; fetch the model folder \
             again",
            path.display()
        )));
    }
    Ok(files.into_iter().collect())
}
