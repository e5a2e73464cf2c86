//! config.json, as an architecture reads it, and the numbers in it that nothing can be computed with.
//!
//! Its own file because every architecture checks its own.

use crate::error::{Error, Result, damaged};
use crate::model::{CONFIG, ModelFolder};
use likewise_base::disk;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Refuses what would be divided by, or be the root of nothing.
pub fn positive(numbers: &[(&str, f64)]) -> Result<(), String> {
    match numbers.iter().find(|(_, number)| !(number.is_finite() && *number > 0.0)) {
        Some((name, number)) => Err(format!("{name}: got {number}, wanted more than 0")),
        None => Ok(()),
    }
}

/// The folder's config.json, as an architecture reads it; `older_names` are pairs of a field's older name and its own.
pub fn read<T: DeserializeOwned>(folder: &ModelFolder, older_names: &[(&str, &str)]) -> Result<T> {
    let path = folder.network().join(CONFIG);
    let text = disk::read_text(&path).map_err(Error::io(&path))?;
    let mut config: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| damaged(&path, error))?;
    for (older, name) in older_names {
        if let (Some(value), false) = (config.get(*older).cloned(), config.contains_key(*name)) {
            config.insert((*name).into(), value);
        }
    }
    serde_path_to_error::deserialize(Value::from(config)).map_err(|error| damaged(&path, error))
}
