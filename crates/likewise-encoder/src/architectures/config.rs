//! Reads config.json into an architecture's own type, and checks numbers in the config.

use crate::error::{Error, Result, damaged};
use crate::model::{CONFIG, ModelFolder};
use likewise_base::disk;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Checks numbers that are used as divisors or under a root. Each number comes with the name of its field.
///
/// # Errors
/// Returns a message that names the first field whose number is not finite or not greater than 0.
pub fn check_positive(numbers: &[(&str, f64)]) -> Result<(), String> {
    match numbers.iter().find(|(_, number)| !(number.is_finite() && *number > 0.0)) {
        Some((name, number)) => Err(format!("{name} must be greater than 0 (got {number})")),
        None => Ok(()),
    }
}

/// Reads config.json of a model folder. `other_names` has pairs of two names of a field. If a file has both names, the
/// value of the second name is used.
///
/// # Errors
/// Returns [`Error::Io`] if the file cannot be read, and [`Error::Model`] if it is not valid JSON, or if a field is
/// missing or has the wrong type.
pub fn read<T: DeserializeOwned>(folder: &ModelFolder, other_names: &[(&str, &str)]) -> Result<T> {
    let path = folder.network().join(CONFIG);
    let text = disk::read_text(&path).map_err(Error::io(&path))?;
    let mut config: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| damaged(&path, error))?;
    for (other, name) in other_names {
        if let (Some(value), false) = (config.get(*other).cloned(), config.contains_key(*name)) {
            config.insert((*name).into(), value);
        }
    }
    serde_path_to_error::deserialize(Value::from(config)).map_err(|error| damaged(&path, error))
}
